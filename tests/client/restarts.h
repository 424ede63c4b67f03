#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/client/server_process.h"

namespace cairn {

/// So many threads store keys of their own and read them, while the server is killed and started
/// again and again: none is ever told another's value, and all go on. `set_and_get` makes the two
/// calls for a key that is its value, and returns what the second one says.
template <typename SetAndGet>
void CheckOwnAnswersDuringRestarts(ServerProcess& server, int thread_count,
                                   const SetAndGet& set_and_get) {
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < thread_count; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !stop; ++i) {
        const std::string key = std::to_string(t) + ":" + std::to_string(i % 5);
        const auto got = set_and_get(key);
        if (!got.ok() || !got->has_value()) continue;
        ++(**got == key ? right : wrong);
      }
    });
  }
  for (int restart = 0; restart < 3; ++restart) {
    const int before = right;
    while (right < before + 200) std::this_thread::yield();
    server.Kill();
    server.Start();
  }
  const int before = right;
  while (right < before + 200) std::this_thread::yield();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace cairn
