// The store in process: what an operation costs by kind, number of items, distribution of keys and
// threads. 20-byte keys, 100-byte values, memory for everything.
//
//   store_bench [--benchmark_filter='Get.*']        see --help of google-benchmark
//
// zipf:1 is skewed (0.99), zipf:0 uniform. batch:1 prefetches 16 keys, then does them, as a server
// does with a pipeline; batch:0 does each as it comes. store_instructions.py counts instructions.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/store.h"

namespace cairn::storage {
namespace {

constexpr Time kNow{1000};
constexpr size_t kKeyBytes = 20;
constexpr size_t kBatch = 16;
constexpr size_t kSequence = size_t{1} << 18;

/// Writes the key of item `n` and returns it.
std::string_view KeyBytes(uint64_t n, char (&buffer)[kKeyBytes]) {
  std::memcpy(buffer, "user:session", kKeyBytes - sizeof n);
  std::memcpy(buffer + kKeyBytes - sizeof n, &n, sizeof n);
  return {buffer, kKeyBytes};
}

/// Can be incremented in place.
std::string ValueText() {
  std::string text(100, ' ');
  text[0] = '1';
  return text;
}

/// A filled store and the order in which its items are asked for.
struct Workload {
  std::unique_ptr<Store> store;
  std::vector<uint32_t> uniform;
  std::vector<uint32_t> zipf;

  explicit Workload(uint32_t items) {
    Config config;
    config.memory_limit_bytes = std::max<uint64_t>(items * uint64_t{200}, uint64_t{64} << 20);
    config.thread_count = 4;
    config.hash_seed = 1;
    auto made = Store::Create(config);
    if (!made.ok()) {
      std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
      std::exit(1);
    }
    store = *std::move(made);
    const std::string value = ValueText();
    char buffer[kKeyBytes];
    for (uint32_t i = 0; i < items; ++i) {
      if (store->Put(store->MakeKey(KeyBytes(i, buffer)), value, {}, kNow).status !=
          StoreStatus::kStored) {
        std::exit(1);
      }
    }
    MakeOrder(items);
  }

 private:
  void MakeOrder(uint32_t items) {
    std::mt19937_64 random(1);
    std::vector<double> cumulative(items);
    double sum = 0;
    for (uint32_t i = 0; i < items; ++i) cumulative[i] = sum += 1 / std::pow(i + 1, 0.99);
    std::uniform_real_distribution<double> place(0, sum);
    for (size_t i = 0; i < kSequence; ++i) {
      uniform.push_back(static_cast<uint32_t>(random() % items));
      const auto rank = std::lower_bound(cumulative.begin(), cumulative.end(), place(random));
      // Popular items are not neighbours in memory.
      const auto item = static_cast<uint64_t>(rank - cumulative.begin()) * 2654435761 % items;
      zipf.push_back(static_cast<uint32_t>(item));
    }
  }
};

/// Made once for a number of items, however many benchmarks use it.
Workload& WorkloadOf(int64_t items) {
  static std::map<int64_t, std::unique_ptr<Workload>> made;
  std::unique_ptr<Workload>& workload = made[items];
  if (workload == nullptr) {
    made.clear();
    made[items] = std::make_unique<Workload>(static_cast<uint32_t>(items));
    return *made[items];
  }
  return *workload;
}

void Prepare(const benchmark::State& state) { WorkloadOf(state.range(0)); }

/// The keys that one thread asks for, in order and without end, a batch at a time.
class Keys {
 public:
  explicit Keys(const benchmark::State& state)
      : store_(*WorkloadOf(state.range(0)).store),
        order_(state.range(1) == 1 ? WorkloadOf(state.range(0)).zipf
                                   : WorkloadOf(state.range(0)).uniform),
        count_(state.range(2) == 1 ? kBatch : 1),
        at_(static_cast<size_t>(state.thread_index()) * kSequence / 2) {}

  std::span<const Key> Next() {
    for (size_t i = 0; i < count_; ++i) {
      keys_[i] = store_.MakeKey(KeyBytes(order_[at_++ % kSequence], buffers_[i]));
    }
    if (count_ > 1) store_.Prefetch({keys_, count_});
    return {keys_, count_};
  }
  Store& store() { return store_; }
  size_t count() const { return count_; }

 private:
  Store& store_;
  const std::vector<uint32_t>& order_;
  const size_t count_;
  size_t at_;
  char buffers_[kBatch][kKeyBytes] = {};
  Key keys_[kBatch];
};

struct CopyOut {
  char* to;
  void operator()(const ItemView& view) const {
    for (const std::string_view piece : view.value) std::memcpy(to, piece.data(), piece.size());
  }
};

/// Runs `operation(store, key, n)` on one key after the other; it says whether it succeeded.
template <typename Operation>
void Run(benchmark::State& state, const Operation& operation) {
  Keys keys(state);
  uint64_t n = 0;
  bool good = true;
  for (auto _ : state) {
    for (const Key& key : keys.Next()) good = operation(keys.store(), key, n++) && good;
  }
  state.SetItemsProcessed(static_cast<int64_t>(n));
  if (!good) state.SkipWithError("an operation did not succeed");
}

bool GetOne(Store& store, const Key& key) {
  char value[256];
  const FetchStatus status = store.Fetch(key, {}, kNow, CopyOut{value});
  benchmark::DoNotOptimize(value);
  return status == FetchStatus::kHit;
}

void Get(benchmark::State& state) {
  Run(state, [](Store& store, const Key& key, uint64_t) { return GetOne(store, key); });
}

void Overwrite(benchmark::State& state) {
  const std::string value = ValueText();
  Run(state, [&](Store& store, const Key& key, uint64_t) {
    return store.Put(key, value, {}, kNow).status == StoreStatus::kStored;
  });
}

/// Nine gets, one overwrite.
void Mixed(benchmark::State& state) {
  const std::string value = ValueText();
  Run(state, [&](Store& store, const Key& key, uint64_t n) {
    if (n % 10 != 9) return GetOne(store, key);
    return store.Put(key, value, {}, kNow).status == StoreStatus::kStored;
  });
}

void Increment(benchmark::State& state) {
  Run(state, [](Store& store, const Key& key, uint64_t) {
    return store.Arithmetic(key, {}, kNow, [](const ItemView&) {}).status == ArithmeticStatus::kOk;
  });
}

/// Deletes, with the items put back while the clock stands.
void Delete(benchmark::State& state) {
  constexpr size_t kDeletes = 4096;
  using Clock = std::chrono::steady_clock;
  Keys keys(state);
  const std::string value = ValueText();
  std::vector<std::array<char, kKeyBytes>> deleted(kDeletes);
  for (auto _ : state) {
    const auto start = Clock::now();
    for (size_t n = 0; n < kDeletes;) {
      for (const Key& key : keys.Next()) {
        benchmark::DoNotOptimize(keys.store().Delete(key, {}, kNow));
        key.bytes.copy(deleted[n++].data(), kKeyBytes);
      }
    }
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
    for (const auto& name : deleted) {
      const Key key = keys.store().MakeKey({name.data(), name.size()});
      if (keys.store().Put(key, value, {}, kNow).status != StoreStatus::kStored) {
        state.SkipWithError("an item could not be put back");
      }
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kDeletes));
}

/// Sets of keys that are not there: in the long run each evicts.
void Set(benchmark::State& state) {
  Store& store = *WorkloadOf(state.range(0)).store;
  const size_t batch = state.range(1) == 1 ? kBatch : 1;
  const std::string value = ValueText();
  char buffers[kBatch][kKeyBytes];
  Key keys[kBatch];
  uint64_t n = (uint64_t{1} << 41) + (static_cast<uint64_t>(state.thread_index()) << 38);
  for (auto _ : state) {
    for (size_t i = 0; i < batch; ++i) keys[i] = store.MakeKey(KeyBytes(n++, buffers[i]));
    if (batch > 1) store.Prefetch({keys, batch});
    for (size_t i = 0; i < batch; ++i) {
      benchmark::DoNotOptimize(store.Put(keys[i], value, {}, kNow));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
}

void Miss(benchmark::State& state) {
  Workload& workload = WorkloadOf(state.range(0));
  char buffer[kKeyBytes];
  uint64_t n = uint64_t{1} << 40;
  for (auto _ : state) {
    const Key key = workload.store->MakeKey(KeyBytes(n++, buffer));
    benchmark::DoNotOptimize(workload.store->Fetch(key, {}, kNow, [](const ItemView&) {}));
  }
  state.SetItemsProcessed(state.iterations());
}

/// One key that all threads read.
void GetHotKey(benchmark::State& state) {
  Store& store = *WorkloadOf(state.range(0)).store;
  char buffer[kKeyBytes];
  const Key key = store.MakeKey(KeyBytes(7, buffer));
  char value[256];
  for (auto _ : state) {
    benchmark::DoNotOptimize(store.Fetch(key, {}, kNow, CopyOut{value}));
  }
  state.SetItemsProcessed(state.iterations());
}

void OneOrTwo(benchmark::internal::Benchmark* b) {
  b->Setup(Prepare)->Threads(1)->Threads(2)->UseRealTime();
}

void RegisterAll(int64_t items) {
  using Body = void (*)(benchmark::State&);
  const std::vector<int64_t> both = {0, 1};
  const std::vector<std::pair<const char*, Body>> kinds = {
      {"Get", Get}, {"Overwrite", Overwrite}, {"Mixed", Mixed}, {"Increment", Increment}};
  for (const auto& [name, body] : kinds) {
    benchmark::RegisterBenchmark(name, body)
        ->ArgNames({"items", "zipf", "batch"})
        ->ArgsProduct({{items}, both, both})
        ->Apply(OneOrTwo);
  }
  benchmark::RegisterBenchmark("GetHotKey", GetHotKey)
      ->ArgName("items")
      ->Arg(items)
      ->Apply(OneOrTwo);
  benchmark::RegisterBenchmark("Miss", Miss)->ArgName("items")->Arg(items)->Apply(OneOrTwo);
  benchmark::RegisterBenchmark("Delete", Delete)
      ->ArgNames({"items", "zipf", "batch"})
      ->ArgsProduct({{items}, both, both})
      ->Setup(Prepare)
      ->Threads(1)
      ->Threads(2)
      ->UseManualTime();
  // The last, for it evicts what the others expect.
  benchmark::RegisterBenchmark("Set", Set)
      ->ArgNames({"items", "batch"})
      ->ArgsProduct({{items}, both})
      ->Apply(OneOrTwo);
}

}  // namespace
}  // namespace cairn::storage

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const int64_t items : {1'000'000, 10'000'000}) cairn::storage::RegisterAll(items);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
