#pragma once

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "benchmarks/bare_peer.h"
#include "cairn/look_aside.h"

/// One process of several whose threads all ask for one missing key at the same moment, through
/// GetOrCompute: prints "ready" when the threads are there, reads "<key> <nanoseconds>" from stdin,
/// where the second is the moment on the monotonic clock, and then prints
///
///   <computations> <CPU microseconds> <microseconds until its last thread had the value>
///
/// of this process. Dies when a thread gets no value, or there is nothing on stdin.
inline void RunHerd(cairn::Client* client, size_t threads_count,
                    std::chrono::milliseconds computation) {
  using Clock = std::chrono::steady_clock;
  const auto cpu_us = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
  };
  cairn::LookAside pages(client);
  std::string key;
  std::atomic<int> computed{0};
  std::atomic<size_t> right{0};
  const cairn::LookAside::Compute compute = [&]() -> cairn::LookAside::Value {
    ++computed;
    std::this_thread::sleep_for(computation);
    return "the value";
  };
  std::latch there(static_cast<std::ptrdiff_t>(threads_count));
  std::latch go(1);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < threads_count; ++i) {
    threads.emplace_back([&] {
      there.count_down();
      go.wait();
      const absl::StatusOr<cairn::Fetched> fetched = pages.GetOrCompute(key, compute);
      if (fetched.ok() && fetched->value == "the value") ++right;
    });
  }
  there.wait();
  printf("ready\n");
  fflush(stdout);
  char name[100];
  long long moment = 0;
  Check(scanf("%99s %lld", name, &moment) == 2, "there is nothing to ask for");
  key = name;
  const Clock::time_point begin{std::chrono::nanoseconds(moment)};
  std::this_thread::sleep_until(begin);
  const auto cpu = cpu_us();
  go.count_down();
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double, std::micro> took = Clock::now() - begin;
  Check(right == threads_count, "a thread got no value");
  printf("%d\t%lld\t%.0f\n", computed.load(), static_cast<long long>(cpu_us() - cpu), took.count());
}
