// Counters without waiting: that they are those of threads that wait, and lose no count.
#include "cairn/async_counter.h"

#include <event2/event.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "cairn/counter.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {

using Protocol = ClientOptions::Protocol;

TEST_CASE("a counter without waiting is there as soon as it is counted", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  AsyncClient* const async = &one.client->Async();
  const AsyncCounter views(async, "views");
  CHECK(Wait(views.Get()).value() == std::nullopt);
  CHECK(Wait(views.Add()).value() == 1);
  CHECK(Wait(views.Add(9)).value() == 10);
  CHECK(Wait(views.Subtract(1)).value() == 9);
  CHECK(Wait(views.Get()).value() == 9u);
  CHECK(Counter(one.client.get(), "views").Get().value() == 9u);
  CHECK(Wait(views.Reset()).ok());
  CHECK(Wait(views.Reset()).ok());
  CHECK(Wait(views.Get()).value() == std::nullopt);
  const AsyncCounter left(async, "left", {.initial = 100, .ttl = absl::Minutes(1)});
  CHECK(Wait(left.Subtract(1)).value() == 99);
  CHECK(Wait(left.Subtract(200)).value() == 0);
  REQUIRE(one.client->Set("word", "abc").ok());
  const AsyncCounter word(async, "word");
  CHECK(absl::IsInvalidArgument(Wait(word.Add()).status()));
  CHECK(absl::IsInvalidArgument(Wait(word.Get()).status()));
  one.server.Kill();
  CHECK(absl::IsUnavailable(Wait(views.Add()).status()));
  CHECK(absl::IsUnavailable(Wait(views.Get()).status()));
  CHECK(absl::IsUnavailable(Wait(views.Reset())));
}

TEST_CASE("no count is lost among threads and event loops, whoever comes first", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Counter waiting(one.client.get(), "views");
  const AsyncCounter views(&one.client->Async(), "views");
  std::atomic<int> over{0};
  std::set<uint64_t> seen;  // on the loop's thread
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) waiting.Add().IgnoreError();
    });
  }
  for (int n = 0; n < 200; ++n) {
    views.Add().Then([&](const absl::StatusOr<uint64_t>& number) {
      if (number.ok()) seen.insert(*number);
      ++over;
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (over < 200) std::this_thread::yield();
  CHECK(seen.size() == 200);
  CHECK(waiting.Get().value() == 400u);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire CountThrice(AsyncCounter counter, int& over) {
  for (int i = 0; i < 3; ++i) {
    const auto number = co_await counter.Add();
    if (!number.ok()) co_return;
  }
  const auto number = co_await counter.Get();
  if (number.ok() && *number >= 3u) ++over;
}

}  // namespace

TEST_CASE("coroutines count on the caller's event loop", "[client]") {
  OneServer one;
  event_base* const base = event_base_new();
  {
    AsyncClient loop(one.client.get(), base);
    int over = 0;
    for (int i = 0; i < 50; ++i) CountThrice(AsyncCounter(&loop, "n"), over);
    while (over < 50) event_base_loop(base, EVLOOP_ONCE);
    CHECK(one.client->Get("n").value() == "150");
  }
  event_base_free(base);
}

#endif

}  // namespace cairn
