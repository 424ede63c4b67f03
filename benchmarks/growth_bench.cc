// What growing costs the operations that meet it: the longest of 10 million sets while the index
// grows from nothing, and of as many overwrites when it need not. The memory of the items has been
// used before in both: what the system does for the first touch of a page is not the index's.
//
//   growth_bench
//
// longest_us is the longest operation, over_1ms how many took more than a millisecond.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "storage/store.h"

namespace cairn::storage {
namespace {

constexpr uint64_t kItems = 10'000'000;
constexpr Time kNow{1000};

std::unique_ptr<Store> MakeStore() {
  Config config;
  config.memory_limit_bytes = uint64_t{2} << 30;
  config.hash_seed = 1;
  auto made = Store::Create(config);
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(made);
}

/// Sets all items and reports how long the longest took.
void SetAll(Store* store, benchmark::State* state) {
  using Clock = std::chrono::steady_clock;
  const std::string value(60, 'v');
  char key[16] = "growing";
  Clock::duration longest{};
  int64_t over_1ms = 0;
  for (uint64_t n = 0; n < kItems; ++n) {
    std::memcpy(key + 8, &n, sizeof n);
    const auto start = Clock::now();
    benchmark::DoNotOptimize(store->Put(store->MakeKey({key, sizeof key}), value, {}, kNow).status);
    const auto took = Clock::now() - start;
    longest = std::max(longest, took);
    over_1ms += took > std::chrono::milliseconds(1);
  }
  if (state == nullptr) return;
  state->counters["longest_us"] = std::chrono::duration<double, std::micro>(longest).count();
  state->counters["over_1ms"] = static_cast<double>(over_1ms);
  state->SetItemsProcessed(static_cast<int64_t>(kItems));
}

void SetWhileGrowing(benchmark::State& state) {
  const auto store = MakeStore();
  SetAll(store.get(), nullptr);
  store->Flush(kNow, kNow);  // leaves free pages and an empty index
  for (auto _ : state) SetAll(store.get(), &state);
}

void SetWithoutGrowing(benchmark::State& state) {
  const auto store = MakeStore();
  SetAll(store.get(), nullptr);
  for (auto _ : state) SetAll(store.get(), &state);
}

BENCHMARK(SetWhileGrowing)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK(SetWithoutGrowing)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn::storage
