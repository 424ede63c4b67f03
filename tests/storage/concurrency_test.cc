// Threads in one store: run under ThreadSanitizer.
#include <atomic>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr int kRounds = 3000;
#else
constexpr int kRounds = 20000;
#endif
constexpr int kThreads = 4;

void InThreads(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
}

Config SharedConfig(uint64_t limit_mib) {
  Config config;
  config.memory_limit_bytes = limit_mib << 20;
  config.max_item_bytes = 1 << 20;
  config.shard_count = 4;
  return config;
}

TEST_CASE("Increments of many threads add up") {
  StoreFixture f(SharedConfig(16));
  constexpr int kCounters = 7;
  InThreads([&](int) {
    Store& store = f.store();
    for (int i = 0; i < kRounds; ++i) {
      const std::string key = "counter" + std::to_string(i % kCounters);
      ArithmeticOptions options;
      options.create = Expiry::Never();
      options.initial = 1;
      const ArithmeticResult result =
          store.Arithmetic(store.MakeKey(key), options, f.now, [](const ItemView&) {});
      if (result.status != ArithmeticStatus::kOk && result.status != ArithmeticStatus::kCreated) {
        std::abort();
      }
    }
  });
  uint64_t sum = 0;
  for (int c = 0; c < kCounters; ++c) {
    sum += std::stoull(f.Get("counter" + std::to_string(c)).value_or("0"));
  }
  CHECK(sum == uint64_t{kThreads} * kRounds);
}

TEST_CASE("Of several stores with the same CAS one succeeds") {
  StoreFixture f(SharedConfig(16));
  constexpr int kKeys = 3;
  for (int k = 0; k < kKeys; ++k) {
    REQUIRE(f.Set("cas" + std::to_string(k), "0") == StoreStatus::kStored);
  }
  std::atomic<uint64_t> successes{0};
  std::atomic<bool> wrong{false};
  InThreads([&](int t) {
    Store& store = f.store();
    for (int i = 0; i < kRounds; ++i) {
      const std::string name = "cas" + std::to_string((i + t) % kKeys);
      const Key key = store.MakeKey(name);
      uint64_t number = 0;
      StoreOptions options;
      static_cast<void>(store.Fetch(key, {}, f.now, [&](const ItemView& view) {
        number = std::stoull(StoreFixture::Join(view));
        options.compare_cas = view.cas;
      }));
      // Texts of growing length, so that some are stored in place and some are not.
      const std::string next = std::to_string(number + 1);
      const StoreStatus status = store.Put(key, next, options, f.now).status;
      if (status == StoreStatus::kStored) ++successes;
      if (status != StoreStatus::kStored && status != StoreStatus::kExists) wrong = true;
    }
  });
  CHECK(!wrong);
  uint64_t sum = 0;
  for (int k = 0; k < kKeys; ++k) sum += std::stoull(*f.Get("cas" + std::to_string(k)));
  CHECK(sum == successes);
}

/// What any thread stores under a key: recognisable, whatever its length.
std::string ValueOf(unsigned key, size_t size) { return Pattern(size, key); }

class Churn {
 public:
  explicit Churn(Store* store) : store_(store) {}

  void Work(int thread) {
    std::minstd_rand engine(static_cast<unsigned>(thread) + 7);
    const auto random = [&] { return static_cast<unsigned>(engine()); };
    for (int i = 0; i < kRounds; ++i) {
      const unsigned n = random() % 400;
      const std::string name = "key" + std::to_string(n);
      const Key key = store_->MakeKey(name);
      const Time now{1000 + i};
      switch (random() % 12) {
        case 0:
        case 1:
        case 2:
          Set(key, ValueOf(n, random() % 3000), now);
          break;
        case 3:
          if (random() % 8 == 0) Set(key, ValueOf(n, random() % 600000), now);
          break;
        case 4:
          static_cast<void>(store_->Delete(key, {}, now));
          break;
        case 5:
          if (random() % 4 == 0) SetSlowly(key, ValueOf(n, random() % 100000), now);
          break;
        case 6:
          Background(random() % 60, now);
          break;
        default:
          Read(key, n, now, random() % 4 == 0);
      }
    }
  }

  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> read{0};
  std::atomic<uint64_t> pinned{0};

 private:
  void Set(const Key& key, const std::string& value, Time now) {
    StoreOptions options;
    if (value.size() % 5 == 0) options.expiry = Expiry::At(Time{now.ms + 200});
    if (store_->Put(key, value, options, now).status != StoreStatus::kStored) ++wrong;
  }
  void SetSlowly(const Key& key, const std::string& value, Time now) {
    StoreStatus status;
    Reservation reservation = store_->Reserve(key, value.size(), 0, now, &status);
    if (!reservation.held()) {
      ++wrong;
      return;
    }
    std::this_thread::yield();
    for (uint64_t at = 0; at < value.size();) {
      const std::span<char> room = reservation.WritableAt(at);
      at += value.copy(room.data(), room.size(), at);
    }
    if (value.size() % 7 == 0) return;  // dropped
    if (store_->Commit(std::move(reservation), key, {}, now).status != StoreStatus::kStored) {
      ++wrong;
    }
  }
  void Read(Key key, unsigned n, Time now, bool pin) {
    std::string value;
    Pin held;
    std::vector<std::string_view> pieces;
    store_->Prefetch({&key, 1});
    const FetchStatus status = store_->Fetch(key, {}, now, [&](const ItemView& view) {
      if (pin) held = view.PinValue();
      if (held.held()) {
        pieces.assign(view.value.begin(), view.value.end());
      } else {
        value = StoreFixture::Join(view);
      }
    });
    if (status != FetchStatus::kHit) return;
    if (held.held()) {
      ++pinned;
      std::this_thread::yield();
      for (const std::string_view piece : pieces) value.append(piece);
    }
    ++read;
    if (value != ValueOf(n, value.size())) ++wrong;
  }
  void Background(unsigned what, Time now) {
    if (what == 0) {
      store_->Flush(now, now);
    } else if (what == 1) {
      store_->Flush(Time{now.ms + 20}, now);
    } else if (what < 4) {
      if (!store_->SetMemoryLimit(uint64_t{what == 2 ? 6u : 8u} << 20, now)) ++wrong;
    } else if (what < 8) {
      WalkCursor cursor;
      while (!cursor.done) store_->Walk(&cursor, 50, now, [](const ItemView&) {});
    } else if (what < 10) {
      static_cast<void>(store_->Stats());
      static_cast<void>(store_->StatsByClass(now));
    } else if (what < 14) {
      store_->ChargeExternal(1000);
      store_->ChargeExternal(-1000);
    } else {
      static_cast<void>(store_->Maintain(500, now));
    }
  }

  Store* store_;
};

TEST_CASE("Readers see whole values while everything else happens") {
  StoreFixture f(SharedConfig(8));
  Churn churn(&f.store());
  InThreads([&](int t) { churn.Work(t); });
  CHECK(churn.wrong == 0);
  CHECK(churn.read > kRounds / 10);
  CHECK(churn.pinned > kRounds / 100);
}

}  // namespace
}  // namespace cairn::storage
