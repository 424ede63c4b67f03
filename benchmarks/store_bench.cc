// The store in process: what an operation costs by kind, number of items, distribution of keys and
// threads. 20-byte keys, 100-byte values, memory for everything.
//
//   store_bench [--benchmark_filter='Get.*']        see --help of google-benchmark
//
// Names read operation/items/zipf/threads:n; zipf 1 is skewed (0.99), 0 uniform. An operation that
// ends in Batch prefetches 16 keys, then does them, as a server does with a pipeline.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
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

std::string ValueText() { return std::string(100, 'v'); }

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

/// The keys that one thread asks for, in order and without end.
class Keys {
 public:
  explicit Keys(const benchmark::State& state)
      : workload_(WorkloadOf(state.range(0))),
        order_(state.range(1) == 1 ? workload_.zipf : workload_.uniform),
        at_(static_cast<size_t>(state.thread_index()) * kSequence / 2) {}

  Key Next() { return store().MakeKey(KeyBytes(order_[at_++ % kSequence], buffer_)); }
  Store& store() { return *workload_.store; }

 private:
  Workload& workload_;
  const std::vector<uint32_t>& order_;
  size_t at_;
  char buffer_[kKeyBytes] = {};
};

struct CopyOut {
  char* to;
  void operator()(const ItemView& view) const {
    for (const std::string_view piece : view.value) std::memcpy(to, piece.data(), piece.size());
  }
};

void Get(benchmark::State& state) {
  Keys keys(state);
  char value[256];
  int64_t hits = 0;
  for (auto _ : state) {
    hits += keys.store().Fetch(keys.Next(), {}, kNow, CopyOut{value}) == FetchStatus::kHit;
    benchmark::DoNotOptimize(value);
  }
  state.SetItemsProcessed(state.iterations());
  if (hits != state.iterations()) state.SkipWithError("a get missed");
}

void GetBatch(benchmark::State& state) {
  Workload& workload = WorkloadOf(state.range(0));
  const auto& order = state.range(1) == 1 ? workload.zipf : workload.uniform;
  size_t at = static_cast<size_t>(state.thread_index()) * kSequence / 2;
  char buffers[kBatch][kKeyBytes];
  Key keys[kBatch];
  char value[256];
  for (auto _ : state) {
    for (size_t i = 0; i < kBatch; ++i) {
      keys[i] = workload.store->MakeKey(KeyBytes(order[at++ % kSequence], buffers[i]));
    }
    workload.store->Prefetch(keys);
    for (const Key& key : keys) {
      benchmark::DoNotOptimize(workload.store->Fetch(key, {}, kNow, CopyOut{value}));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
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

void Overwrite(benchmark::State& state) {
  Keys keys(state);
  const std::string value = ValueText();
  for (auto _ : state) {
    benchmark::DoNotOptimize(keys.store().Put(keys.Next(), value, {}, kNow));
  }
  state.SetItemsProcessed(state.iterations());
}

/// Sets of keys that are not there: in the long run each evicts.
void Set(benchmark::State& state) {
  Workload& workload = WorkloadOf(state.range(0));
  const std::string value = ValueText();
  char buffer[kKeyBytes];
  uint64_t n = (uint64_t{1} << 41) + (static_cast<uint64_t>(state.thread_index()) << 38);
  for (auto _ : state) {
    const Key key = workload.store->MakeKey(KeyBytes(n++, buffer));
    benchmark::DoNotOptimize(workload.store->Put(key, value, {}, kNow));
  }
  state.SetItemsProcessed(state.iterations());
}

void SetAndDelete(benchmark::State& state) {
  Workload& workload = WorkloadOf(state.range(0));
  const std::string value = ValueText();
  char buffer[kKeyBytes];
  uint64_t n = (uint64_t{1} << 42) + (static_cast<uint64_t>(state.thread_index()) << 38);
  for (auto _ : state) {
    const Key key = workload.store->MakeKey(KeyBytes(n++, buffer));
    benchmark::DoNotOptimize(workload.store->Put(key, value, {}, kNow));
    benchmark::DoNotOptimize(workload.store->Delete(key, {}, kNow));
  }
  state.SetItemsProcessed(state.iterations());
}

void Increment(benchmark::State& state) {
  Store& store = *WorkloadOf(state.range(0)).store;
  // A counter a thread, or one for all when skewed.
  const int owner = state.range(1) == 1 ? 0 : state.thread_index();
  const std::string name = "counter" + std::to_string(owner);
  ArithmeticOptions options;
  options.create = Expiry::Never();
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        store.Arithmetic(store.MakeKey(name), options, kNow, [](const ItemView&) {}));
  }
  state.SetItemsProcessed(state.iterations());
}

/// Nine gets, one overwrite.
void Mixed(benchmark::State& state) {
  Keys keys(state);
  const std::string value = ValueText();
  char copy[256];
  for (auto _ : state) {
    for (int i = 0; i < 9; ++i) {
      benchmark::DoNotOptimize(keys.store().Fetch(keys.Next(), {}, kNow, CopyOut{copy}));
    }
    benchmark::DoNotOptimize(keys.store().Put(keys.Next(), value, {}, kNow));
  }
  state.SetItemsProcessed(state.iterations() * 10);
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

// Overwrites and gets before what evicts the items that they expect.
#define CAIRN_BENCHMARK(function)        \
  BENCHMARK(function)                    \
      ->Setup(Prepare)                   \
      ->ArgsProduct({{1000000}, {0, 1}}) \
      ->Threads(1)                       \
      ->Threads(2)                       \
      ->UseRealTime()
CAIRN_BENCHMARK(Get);
CAIRN_BENCHMARK(GetBatch);
CAIRN_BENCHMARK(Overwrite);
CAIRN_BENCHMARK(Mixed);
CAIRN_BENCHMARK(Increment);
CAIRN_BENCHMARK(GetHotKey);
CAIRN_BENCHMARK(Miss);
CAIRN_BENCHMARK(SetAndDelete);
CAIRN_BENCHMARK(Set);
BENCHMARK(Get)->Setup(Prepare)->ArgsProduct({{10000000}, {0, 1}})->UseRealTime();
BENCHMARK(GetBatch)->Setup(Prepare)->ArgsProduct({{10000000}, {0, 1}})->UseRealTime();
BENCHMARK(Set)->Setup(Prepare)->Args({10000000, 0})->UseRealTime();

}  // namespace
}  // namespace cairn::storage
