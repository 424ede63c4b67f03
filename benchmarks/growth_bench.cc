// What growing costs the operations that meet it: 10 million sets while the index grows from a
// thousand items, and beside them, one for one, sets in a store that has all its items already.
//
//   growth_bench
//
// Other programs interrupt an operation now and then, for longer than a millisecond. So all of it
// is done three times: the same set does the same work each time, and what counts as work is the
// shortest of its three durations. In the row of counters, over_1ms is how many sets took more than
// a millisecond in a round, always_over_1ms how many did in every round: these are what growing (or
// not) costs. longest_us is the longest operation, by its shortest duration.
//
// The memory of the items has been used before in both stores: what the system does for the first
// touch of a page is not the index's. Its own pages are new, for it gave them back.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "storage/store.h"

namespace cairn::storage {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kItems = 10'000'000;
constexpr uint32_t kItemsBefore = 1000;
constexpr int kRounds = 3;
constexpr Time kNow{1000};

std::unique_ptr<Store> MakeStore() {
  Config config;
  config.memory_limit_bytes = uint64_t{1} << 30;
  config.hash_seed = 1;
  auto made = Store::Create(config);
  if (!made.ok()) {
    std::fprintf(stderr, "%s\n", made.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(made);
}

void Set(Store* store, uint64_t n) {
  static const std::string value(20, 'v');
  char key[16] = "growing";
  std::memcpy(key + 8, &n, sizeof n);
  if (store->Put(store->MakeKey({key, sizeof key}), value, {}, kNow).status !=
      StoreStatus::kStored) {
    std::abort();
  }
}

/// The durations of all sets of a store, shortest of the rounds.
class Durations {
 public:
  Durations() : shortest_us_(kItems, UINT32_MAX) {}

  void Note(uint32_t n, Clock::duration took) {
    const auto us =
        static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    over_1ms_ += us >= 1000;
    shortest_us_[n] = std::min(shortest_us_[n], us);
  }
  void Report(const std::string& name, benchmark::State* state) const {
    const auto first = shortest_us_.begin() + kItemsBefore;
    state->counters[name + "_over_1ms"] = static_cast<double>(over_1ms_) / kRounds;
    state->counters[name + "_always_over_1ms"] = static_cast<double>(
        std::count_if(first, shortest_us_.end(), [](uint32_t us) { return us >= 1000; }));
    state->counters[name + "_longest_us"] = *std::max_element(first, shortest_us_.end());
  }

 private:
  std::vector<uint32_t> shortest_us_;
  int64_t over_1ms_ = 0;
};

void SetsWhileGrowing(benchmark::State& state) {
  const auto growing = MakeStore();
  const auto grown = MakeStore();
  for (uint32_t n = 0; n < kItems; ++n) {
    Set(growing.get(), n);
    Set(grown.get(), n);
  }
  if (grown->Stats().curr_items != kItems) state.SkipWithError("not all items fit");
  Durations of_growing;
  Durations of_grown;
  for (auto _ : state) {
    for (int round = 0; round < kRounds; ++round) {
      growing->Flush(kNow, kNow);  // leaves free pages and an empty index
      for (uint32_t n = 0; n < kItemsBefore; ++n) Set(growing.get(), n);
      auto before = Clock::now();
      for (uint32_t n = kItemsBefore; n < kItems; ++n) {
        Set(growing.get(), n);
        const auto between = Clock::now();
        of_growing.Note(n, between - before);
        Set(grown.get(), n);
        before = Clock::now();
        of_grown.Note(n, before - between);
      }
    }
  }
  of_growing.Report("growing", &state);
  of_grown.Report("grown", &state);
  state.SetItemsProcessed(int64_t{kRounds} * 2 * kItems);
}

BENCHMARK(SetsWhileGrowing)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cairn::storage
