// What the store misses under made-up loads, beside an exact LRU of the same bytes that has no
// metadata. What storage/shard_policy.cc does was chosen by simulations on traces and by these
// loads.
//
//   policy_bench [--benchmark_filter=scan]
//
// Names read load/megabytes. miss_ratio is the store's, over_lru its ratio to the LRU's.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "storage/store.h"

namespace cairn::storage {
namespace {

constexpr uint32_t kOthers = 1'000'000;  // objects from here on are those of scans and loops

struct Load {
  std::vector<uint32_t> requests;  // object numbers
  double median_bytes = 600;       // of log-normal sizes
  double sigma = 1;
  double largest_bytes = 64000;
};

uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

size_t SizeOf(const Load& load, uint32_t object) {
  const double u = static_cast<double>(Mix(object * uint64_t{2} + 1) >> 11) * 0x1p-53;
  const double v = static_cast<double>(Mix(object * uint64_t{2} + 2) >> 11) * 0x1p-53;
  const double normal = std::sqrt(-2 * std::log(u + 1e-18)) * std::cos(6.283185307179586 * v);
  return static_cast<size_t>(
      std::clamp(load.median_bytes * std::exp(load.sigma * normal), 1.0, load.largest_bytes));
}

std::vector<uint32_t> Zipf(size_t count, uint32_t objects, double skew, std::mt19937_64* random) {
  std::vector<double> cumulative(objects);
  double sum = 0;
  for (uint32_t i = 0; i < objects; ++i) cumulative[i] = sum += 1 / std::pow(i + 1, skew);
  std::uniform_real_distribution<double> place(0, sum);
  std::vector<uint32_t> drawn(count);
  for (uint32_t& object : drawn) {
    const auto at = std::lower_bound(cumulative.begin(), cumulative.end(), place(*random));
    object = static_cast<uint32_t>(at - cumulative.begin());
  }
  return drawn;
}

Load MakeLoad(const std::string& name) {
  std::mt19937_64 random(5);
  Load load;
  std::vector<uint32_t>& out = load.requests;
  if (name == "zipf") {
    out = Zipf(3'000'000, 200'000, 0.9, &random);
  } else if (name == "mixed_sizes") {
    out = Zipf(3'000'000, 200'000, 0.9, &random);
    load.median_bytes = 1500;
    load.sigma = 2.2;
    load.largest_bytes = 300000;
  } else if (name == "scan") {  // every sixth request is for what never comes again
    for (const uint32_t object : Zipf(2'500'000, 100'000, 0.95, &random)) {
      out.push_back(object);
      if (out.size() % 6 == 5) out.push_back(kOthers + static_cast<uint32_t>(out.size()));
    }
  } else if (name == "bursts") {  // the same 60,000 objects once in a while
    for (const uint32_t object : Zipf(2'500'000, 100'000, 0.9, &random)) {
      out.push_back(object);
      if (out.size() % 260'000 != 200'000) continue;
      for (uint32_t i = 0; i < 60'000; ++i) out.push_back(kOthers + i);
    }
  } else if (name == "loop") {  // every third request goes round 60,000 objects
    uint32_t n = 0;
    for (const uint32_t object : Zipf(2'000'000, 40'000, 0.9, &random)) {
      out.push_back(object);
      if (++n % 2 == 0) out.push_back(kOthers + n / 2 % 60'000);
    }
  } else if (name == "shift") {  // what is popular changes
    for (uint32_t phase = 0; phase < 10; ++phase) {
      for (const uint32_t object : Zipf(300'000, 60'000, 0.9, &random)) {
        out.push_back((object + phase * 15'000) % 150'000);
      }
    }
  } else if (name ==
             "recency") {  // a tenth is new; the rest came up lately, the later the likelier
    std::uniform_real_distribution<double> unit(0, 1);
    uint32_t next = 0;
    while (out.size() < 2'500'000) {
      if (out.size() < 100 || unit(random) < 0.1) {
        out.push_back(next++);
        continue;
      }
      const double back = std::exp(unit(random) * std::log(120000.0));
      const auto most = static_cast<double>(out.size() - 1);
      out.push_back(out[out.size() - 1 - static_cast<size_t>(std::min(most, back))]);
    }
  }
  return load;
}

double MissRatioOfLru(const Load& load, size_t capacity) {
  std::list<uint32_t> order;
  std::unordered_map<uint32_t, std::list<uint32_t>::iterator> places;
  const size_t key_bytes = 20;
  size_t used = 0;
  size_t misses = 0;
  for (const uint32_t object : load.requests) {
    if (const auto it = places.find(object); it != places.end()) {
      order.splice(order.begin(), order, it->second);
      continue;
    }
    ++misses;
    const size_t bytes = SizeOf(load, object) + key_bytes;
    while (used + bytes > capacity) {
      used -= SizeOf(load, order.back()) + key_bytes;
      places.erase(order.back());
      order.pop_back();
    }
    order.push_front(object);
    places[object] = order.begin();
    used += bytes;
  }
  return static_cast<double>(misses) / static_cast<double>(load.requests.size());
}

double MissRatioOfStore(const Load& load, size_t capacity) {
  Config config;
  config.memory_limit_bytes = capacity;
  config.hash_seed = 7;
  auto made = Store::Create(config);
  if (!made.ok()) std::exit(1);
  Store& store = **made;
  const std::string value(static_cast<size_t>(load.largest_bytes), 'v');
  size_t misses = 0;
  Time now{100000};
  for (const uint32_t object : load.requests) {
    now.ms += misses % 100 == 0;
    char name[32];
    std::snprintf(name, sizeof name, "key:%016llx", static_cast<unsigned long long>(Mix(object)));
    const Key key = store.MakeKey(name);
    if (store.Fetch(key, {}, now, [](const ItemView&) {}) == FetchStatus::kHit) continue;
    ++misses;
    const std::string_view stored(value.data(), SizeOf(load, object));
    if (store.Put(key, stored, {}, now).status != StoreStatus::kStored) std::exit(1);
  }
  return static_cast<double>(misses) / static_cast<double>(load.requests.size());
}

void Misses(benchmark::State& state, const std::string& name) {
  const Load load = MakeLoad(name);
  const auto capacity = static_cast<size_t>(state.range(0)) << 20;
  double ratio = 0;
  for (auto _ : state) ratio = MissRatioOfStore(load, capacity);
  state.counters["miss_ratio"] = ratio;
  state.counters["over_lru"] = ratio / MissRatioOfLru(load, capacity);
}

#define CAIRN_LOAD(name) \
  BENCHMARK_CAPTURE(Misses, name, #name)->Arg(16)->Arg(48)->Iterations(1)->Unit(benchmark::kSecond)
CAIRN_LOAD(zipf);
CAIRN_LOAD(mixed_sizes);
CAIRN_LOAD(scan);
CAIRN_LOAD(bursts);
CAIRN_LOAD(loop);
CAIRN_LOAD(shift);
CAIRN_LOAD(recency);

}  // namespace
}  // namespace cairn::storage
