// Reads beside writes, most of them without a lock: run under ThreadSanitizer. What a read returns
// must be what one write left behind, whole, of its own key, and one that was current at a moment
// between the read's beginning and its end.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr int kOperations = 3000;
#else
constexpr int kOperations = 40000;
#endif
constexpr size_t kWriters = 2;
constexpr size_t kReaders = 2;
constexpr size_t kKeys = 6;  // each belongs to one of the writers

/// The states that a key goes through, one a write: numbered, so that a read tells which it saw.
struct State {
  bool there;
  bool stale;
  int written_by;  ///< the write that the value is of
  size_t value_bytes;
};

State StateOf(int write) {
  // In place, elsewhere, longer than what is read without the lock, and in chunks.
  constexpr size_t kSizes[] = {100, 90, 0, 7, 600, 101, 300, 400, 2000, 100};
  const bool marks_stale = write % 8 == 3;
  const int by = marks_stale ? write - 1 : write;
  return {write % 8 != 0, marks_stale, by, kSizes[by % 10]};
}

uint32_t FlagsOf(int write) { return write % 3 == 0 ? 0 : static_cast<uint32_t>(write); }
Expiry ExpiryOf(int write) { return Expiry::At(Time{(write + 1000) * int64_t{1000}}); }

std::string NameOf(size_t key) { return "key" + std::to_string(key); }

/// Raises `*most` to `to`.
void Raise(std::atomic<int>* most, int to) {
  int seen = most->load();
  while (seen < to && !most->compare_exchange_weak(seen, to)) {
  }
}

class Registers {
 public:
  Registers(Store* store, Time now, bool may_lose) : store_(store), now_(now), lossy_(may_lose) {}

  void Write(size_t writer) {
    // On a busy machine readers may have had no time yet.
    for (int write = 1; write <= kOperations || hits == 0 || misses == 0; ++write) {
      for (size_t key = writer; key < kKeys; key += kWriters) {
        started_[key] = write;
        Apply(key, write);
        finished_[key] = write;
      }
    }
    ++done_;
  }

  void Read(unsigned seed) {
    std::minstd_rand random(seed);
    while (done_ < kWriters) {
      ReadOne(random() % kKeys, /*count_access=*/random() % 2 == 0);
    }
  }

  bool finished() const { return done_ == kWriters; }

  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> hits{0};
  std::atomic<uint64_t> misses{0};

 private:
  void Apply(size_t key_number, int write) {
    const std::string name = NameOf(key_number);
    const Key key = store_->MakeKey(name);
    const State state = StateOf(write);
    if (!state.there) {
      static_cast<void>(store_->Delete(key, {}, now_));
    } else if (state.stale) {
      DeleteOptions options;
      options.mark_stale = true;
      options.explicit_cas = write;
      options.touch = ExpiryOf(write);
      static_cast<void>(store_->Delete(key, options, now_));
    } else {
      StoreOptions options;
      options.client_flags = FlagsOf(write);
      options.explicit_cas = write;
      options.expiry = ExpiryOf(write);
      const std::string value = ValueOf(key_number, write);
      if (store_->Put(key, value, options, now_).status != StoreStatus::kStored) ++wrong;
    }
  }

  static std::string ValueOf(size_t key, int write) {
    const State state = StateOf(write);
    return Pattern(state.value_bytes,
                   static_cast<unsigned>(state.written_by) * 64 + static_cast<unsigned>(key));
  }

  void ReadOne(size_t number, bool count_access) {
    const std::string name = NameOf(number);
    const Key key = store_->MakeKey(name);
    FetchOptions options;
    options.count_access = count_access;
    const int happened = std::max(finished_[number].load(), seen_[number].load());
    const int not_before = std::max(happened, gone_[number] + 1);
    int write = 0;
    bool right = true;
    const FetchStatus status = store_->Fetch(key, options, now_, [&](const ItemView& view) {
      write = static_cast<int>(view.cas);
      const State state = StateOf(write);
      right = view.key == name && state.there && view.stale == state.stale &&
              view.client_flags == FlagsOf(state.written_by) && view.expiry == ExpiryOf(write) &&
              StoreFixture::Join(view) == ValueOf(number, write);
    });
    const int not_after = started_[number];
    if (status == FetchStatus::kHit) {
      ++hits;
      if (!right || write < not_before || write > not_after) ++wrong;
      Raise(&seen_[number], write);
      return;
    }
    ++misses;
    bool deleted = lossy_;
    for (int w = happened; w <= not_after; ++w) deleted = deleted || !StateOf(w).there;
    if (!deleted) ++wrong;
    // What was there when the read began never comes back.
    if (StateOf(happened).there) Raise(&gone_[number], happened);
  }

  Store* const store_;
  const Time now_;
  const bool lossy_;
  std::array<std::atomic<int>, kKeys> started_{};
  std::array<std::atomic<int>, kKeys> finished_{};
  std::array<std::atomic<int>, kKeys> seen_{};  // later reads see this write or a later one
  std::array<std::atomic<int>, kKeys> gone_{};  // later reads see later writes or nothing
  std::atomic<size_t> done_{0};
};

/// Evicts, moves, compacts, flushes and gives pages from shard to shard.
void MakeNoise(Store* store, Time now, bool flush, const Registers& registers) {
  std::minstd_rand random(99);
  while (!registers.finished()) {
    const std::string name = "noise" + std::to_string(random() % 5000);
    const Key key = store->MakeKey(name);
    switch (const auto what = static_cast<unsigned>(random() % 400); what) {
      case 0:
        if (flush) store->Flush(now, now);
        break;
      case 1:
      case 2:
        static_cast<void>(store->SetMemoryLimit(uint64_t{what == 1 ? 3u : 4u} << 20, now));
        break;
      case 3:
        static_cast<void>(store->Maintain(300, now));
        break;
      case 4:
        static_cast<void>(store->Put(key, std::string(random() % 200000, 'n'), {}, now));
        break;
      default:
        if (what % 4 == 0) {
          static_cast<void>(store->Delete(key, {}, now));
        } else {
          const std::string value(what % 3 == 0 ? random() % 2500 : random() % 120, 'n');
          static_cast<void>(store->Put(key, value, {}, now));
        }
    }
  }
}

void CheckRegisters(uint64_t limit_mib, bool noisy, bool flush) {
  Config config;
  config.memory_limit_bytes = limit_mib << 20;
  config.max_item_bytes = uint64_t{1} << 19;
  config.shard_count = noisy ? 2 : 1;
  config.hash_seed = 5;
  StoreFixture f(config);
  Registers registers(&f.store(), f.now, noisy);
  std::vector<std::thread> threads;
  for (size_t w = 0; w < kWriters; ++w) threads.emplace_back([&, w] { registers.Write(w); });
  for (unsigned r = 0; r < kReaders; ++r) threads.emplace_back([&, r] { registers.Read(r + 1); });
  if (noisy) threads.emplace_back([&] { MakeNoise(&f.store(), f.now, flush, registers); });
  for (std::thread& thread : threads) thread.join();
  CHECK(registers.wrong == 0);
}

TEST_CASE("A read sees one of the writes that were current during it") {
  CheckRegisters(64, /*noisy=*/false, /*flush=*/false);
}

TEST_CASE("A read sees no write that is past while items are evicted and moved") {
  CheckRegisters(4, /*noisy=*/true, /*flush=*/false);
}

TEST_CASE("A read sees nothing of what was flushed") {
  CheckRegisters(4, /*noisy=*/true, /*flush=*/true);
}

/// Numbers that several threads raise: by increments, or by compare-and-store.
void CheckCounter(const std::function<bool(Store*, const Key&, Time)>& raise) {
  StoreFixture f;
  Store& store = f.store();
  REQUIRE(f.Set("number", "0") == StoreStatus::kStored);
  std::atomic<uint64_t> started{0};
  std::atomic<uint64_t> finished{0};
  std::atomic<size_t> done{0};
  std::atomic<uint64_t> wrong{0};
  std::vector<std::thread> threads;
  for (size_t w = 0; w < kWriters; ++w) {
    threads.emplace_back([&] {
      const Key key = store.MakeKey("number");
      for (int i = 0; i < kOperations; ++i) {
        ++started;
        while (!raise(&store, key, f.now)) {
        }
        ++finished;
      }
      ++done;
    });
  }
  for (size_t r = 0; r < kReaders; ++r) {
    threads.emplace_back([&, r] {
      const Key key = store.MakeKey("number");
      FetchOptions options;
      options.count_access = r == 0;
      uint64_t last = 0;
      while (done < kWriters) {
        const uint64_t least = std::max(finished.load(), last);
        const FetchStatus status = store.Fetch(key, options, f.now, [&](const ItemView& view) {
          last = std::stoull(StoreFixture::Join(view));
        });
        if (status != FetchStatus::kHit || last < least || last > started) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(std::stoull(*f.Get("number")) == kWriters * kOperations);
}

TEST_CASE("A read sees no increment undone and none twice") {
  CheckCounter([](Store* store, const Key& key, Time now) {
    return store->Arithmetic(key, {}, now, [](const ItemView&) {}).status == ArithmeticStatus::kOk;
  });
}

TEST_CASE("A read sees no compare-and-store undone and none twice") {
  CheckCounter([](Store* store, const Key& key, Time now) {
    uint64_t number = 0;
    StoreOptions options;
    static_cast<void>(store->Fetch(key, {}, now, [&](const ItemView& view) {
      number = std::stoull(StoreFixture::Join(view));
      options.compare_cas = view.cas;
    }));
    return store->Put(key, std::to_string(number + 1), options, now).status == StoreStatus::kStored;
  });
}

TEST_CASE("Reads that have nothing to write do not wait for the lock") {
  StoreFixture f;
  REQUIRE(f.Set("held", "x") == StoreStatus::kStored);
  REQUIRE(f.Set("hot", "value") == StoreStatus::kStored);
  // After so many, a hit is nothing new to the item.
  for (int i = 0; i < 4; ++i) REQUIRE(f.Get("hot") == "value");

  std::mutex mutex;
  std::condition_variable read;
  bool hit = false;
  bool missed = false;
  std::thread reader;
  FetchOptions options;
  options.touch = Expiry::Never();  // this one writes, and so its visitor holds the lock
  const FetchStatus status =
      f.store().Fetch(f.store().MakeKey("held"), options, f.now, [&](const ItemView&) {
        reader = std::thread([&] {
          std::string value;
          const FetchStatus hot =
              f.store().Fetch(f.store().MakeKey("hot"), {}, f.now,
                              [&](const ItemView& view) { value = StoreFixture::Join(view); });
          const FetchStatus none =
              f.store().Fetch(f.store().MakeKey("none"), {}, f.now, [](const ItemView&) {});
          const std::lock_guard<std::mutex> lock(mutex);
          hit = hot == FetchStatus::kHit && value == "value";
          missed = none == FetchStatus::kMiss;
          read.notify_one();
        });
        std::unique_lock<std::mutex> lock(mutex);
        // Only a failure takes that long.
        read.wait_for(lock, std::chrono::seconds(60), [&] { return hit && missed; });
        CHECK(hit);
        CHECK(missed);
      });
  CHECK(status == FetchStatus::kHit);
  reader.join();
}

}  // namespace
}  // namespace cairn::storage
