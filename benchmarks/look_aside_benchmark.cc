// What GetOrCompute costs beside Get, when the values are there: processor time of this process and
// calls a second. Start a server by itself, on another processor.
//
//   look_aside_benchmark <host:port>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cairn/look_aside.h"

namespace {

constexpr int kKeys = 10000;
constexpr int kRounds = 5;
constexpr size_t kBatch = 100;

using Clock = std::chrono::steady_clock;

double ProcessorSeconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Load {
  const char* name;
  int threads;
  int calls;  // of each thread
  size_t keys_a_call;
  std::function<bool(int)> call;  // whether all was as it should be
};

// One line of the table: microseconds of processor a key, and keys a second.
bool Measure(const Load& load) {
  std::atomic<bool> good{true};
  const double processor = ProcessorSeconds();
  const Clock::time_point begin = Clock::now();
  std::vector<std::thread> threads;
  for (int t = 0; t < load.threads; ++t) {
    threads.emplace_back([&load, &good, t] {
      for (int i = 0; i < load.calls; ++i) {
        if (!load.call(t * load.calls + i)) good = false;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double keys = static_cast<double>(load.keys_a_call) * load.threads * load.calls;
  printf("%-32s %8.2f us  %10.0f keys/s\n", load.name,
         (ProcessorSeconds() - processor) / keys * 1e6, keys / seconds);
  fflush(stdout);
  return good;
}

int Main(const char* address) {
  cairn::ClientOptions options;
  options.servers = {cairn::Server::Parse(address).value()};
  const auto client = cairn::Client::Make(options).value();
  cairn::LookAsideOptions look;
  look.ttl = absl::InfiniteDuration();
  cairn::LookAside pages(client.get(), look);
  std::vector<std::string> names;
  for (int i = 0; i < kKeys; ++i) names.push_back("look-aside:key:" + std::to_string(i));
  const std::vector<std::string_view> keys(names.begin(), names.end());
  const std::string value(100, 'v');
  const cairn::LookAside::Compute compute = [&value]() -> cairn::LookAside::Value { return value; };
  const auto compute_multi = [&value](std::span<const std::string_view> missing)
      -> absl::StatusOr<std::vector<std::optional<std::string>>> {
    return std::vector<std::optional<std::string>>(missing.size(), value);
  };
  for (const auto& stored : pages.GetMultiOrCompute(keys, compute_multi)) {
    if (stored.ok() && stored->cache.ok()) continue;
    fprintf(stderr, "%s\n", (stored.ok() ? stored->cache : stored.status()).ToString().c_str());
    return 1;
  }
  const auto key = [&](int i) { return keys[static_cast<size_t>(i) * 7919 % keys.size()]; };
  const auto batch = [&](int i) {
    return std::span(keys).subspan(static_cast<size_t>(i) % (keys.size() / kBatch) * kBatch,
                                   kBatch);
  };
  const auto get = [&](int i) {
    const auto got = client->Get(key(i));
    return got.ok() && *got == value;
  };
  const auto get_or_compute = [&](int i) {
    const auto got = pages.GetOrCompute(key(i), compute);
    return got.ok() && got->value == value;
  };
  const Load loads[] = {
      {"Get, one thread", 1, 20000, 1, get},
      {"GetOrCompute, one thread", 1, 20000, 1, get_or_compute},
      {"GetMulti of 100", 1, 2000, kBatch,
       [&](int i) { return client->GetMulti(batch(i)).hits() == kBatch; }},
      {"GetMultiOrCompute of 100", 1, 2000, kBatch,
       [&](int i) {
         const auto got = pages.GetMultiOrCompute(batch(i), compute_multi);
         return got[0].ok() && got[kBatch - 1].ok() && got[0]->value == value;
       }},
      {"Get, 64 threads", 64, 2000, 1, get},
      {"GetOrCompute, 64 threads", 64, 2000, 1, get_or_compute},
  };
  bool good = true;
  for (int round = 0; round < kRounds; ++round) {
    for (const Load& load : loads) good = Measure(load) && good;
  }
  return good && pages.counters().computed == kKeys ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return argc == 2 ? Main(argv[1]) : 2; }
