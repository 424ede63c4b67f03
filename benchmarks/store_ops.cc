// One kind of operation on the store, so many times, for a program that counts what it executes:
// run store_instructions.py. A hundred thousand items of 20-byte keys and 100-byte values, filled
// and read before.
//
//   store_ops OPERATION COUNT
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "storage/store.h"

namespace cairn::storage {
namespace {

constexpr uint64_t kItems = 100'000;
constexpr size_t kKeyBytes = 20;

class Driver {
 public:
  Driver() {
    Config config;
    config.memory_limit_bytes = uint64_t{64} << 20;
    config.hash_seed = 1;
    auto made = Store::Create(config);
    if (!made.ok()) {
      std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
      std::exit(1);
    }
    store_ = *std::move(made);
    for (uint64_t n = 0; n < kItems; ++n) Set(n);
    // A hit is recorded in the item only so often, and once a second.
    for (int pass = 0; pass < 4; ++pass) {
      for (uint64_t n = 0; n < kItems; ++n) Get(n);
    }
  }

  bool Run(std::string_view operation, uint64_t count) {
    for (uint64_t n = 0; n < count; ++n) {
      const uint64_t item = n * 7919 % kItems;
      if (operation == "get") {
        Get(item);
      } else if (operation == "get-first") {
        // The first of each item within a second.
        now_.ms = 2000 + static_cast<int64_t>(n / kItems) * 1000;
        Get(item);
      } else if (operation == "miss") {
        Get(kItems + n);
      } else if (operation == "overwrite") {
        Set(item);
      } else if (operation == "set") {
        Set(kItems + n);
      } else if (operation == "set-delete") {
        Set(kItems + n);
        if (store_->Delete(KeyOf(kItems + n), {}, now_) != DeleteStatus::kDeleted) std::abort();
      } else if (operation == "incr") {
        Increment();
      } else {
        return false;
      }
    }
    return true;
  }

 private:
  Key KeyOf(uint64_t n) {
    std::memcpy(key_ + kKeyBytes - sizeof n, &n, sizeof n);
    return store_->MakeKey({key_, kKeyBytes});
  }
  void Get(uint64_t n) {
    static_cast<void>(store_->Fetch(KeyOf(n), {}, now_, [this](const ItemView& view) {
      for (const std::string_view piece : view.value) piece.copy(value_, sizeof value_);
    }));
  }
  void Set(uint64_t n) {
    if (store_->Put(KeyOf(n), text_, {}, now_).status != StoreStatus::kStored) std::abort();
  }
  void Increment() {
    ArithmeticOptions options;
    options.create = Expiry::Never();
    static_cast<void>(
        store_->Arithmetic(store_->MakeKey("counter"), options, now_, [](const ItemView&) {}));
  }

  std::unique_ptr<Store> store_;
  Time now_{1000};
  const std::string text_ = std::string(100, 'v');
  char key_[kKeyBytes] = {'u', 's', 'e', 'r', ':'};
  char value_[256] = {};
};

}  // namespace
}  // namespace cairn::storage

int main(int argc, char** argv) {
  if (argc == 3 && cairn::storage::Driver().Run(argv[1], std::strtoull(argv[2], nullptr, 10))) {
    return 0;
  }
  std::fprintf(stderr, "usage: store_ops OPERATION COUNT\n");
  return 2;
}
