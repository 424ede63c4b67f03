// Sessions without waiting: that they are those of threads that wait, that no change of many is
// lost, and how calls end.
#include "cairn/async_session.h"

#include <event2/event.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "cairn/session.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;

std::string WithAnX(std::string_view data) { return std::string(data) + "x"; }

}  // namespace

TEST_CASE("a session is the same whether it is waited for or not", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Sessions waiting(one.client.get());
  const AsyncSessions sessions(&one.client->Async());
  const std::string id = Wait(sessions.Create("{}")).value();
  CHECK(id.size() == 32);
  CHECK(Wait(sessions.Create("{}")).value() != id);
  CHECK(waiting.Load(id).value()->data == "{}");
  const auto session = Wait(sessions.Load(id)).value();
  REQUIRE(session.has_value());
  CHECK(session->data == "{}");
  CHECK(Wait(sessions.Save(id, "{1}", session->cas)).value() == CasOutcome::kStored);
  CHECK(Wait(sessions.Save(id, "{2}", session->cas)).value() == CasOutcome::kChanged);
  CHECK(waiting.Update(id, WithAnX).value());
  CHECK(Wait(sessions.Update(id, WithAnX)).value());
  CHECK(Wait(sessions.Load(id)).value()->data == "{1}xx");
  const auto throws = [](std::string_view) -> std::string { throw std::runtime_error("mine"); };
  CHECK(absl::IsAborted(Wait(sessions.Update(id, throws)).status()));
  CHECK(waiting.Load(id).value()->data == "{1}xx");
  // What comes from a visitor is no key until it looks like one.
  for (const std::string& bad : {std::string(), std::string("x\r\nflush_all"), std::string(32, 'g'),
                                 id + "0", std::string(32, 'A')}) {
    CHECK(Wait(sessions.Load(bad)).value() == std::nullopt);
    CHECK(Wait(sessions.Save(bad, "x", 1)).value() == CasOutcome::kNotFound);
    CHECK_FALSE(Wait(sessions.Update(bad, throws)).value());
    CHECK_FALSE(Wait(sessions.Destroy(bad)).value());
  }
  CHECK(Wait(sessions.Destroy(id)).value());
  CHECK_FALSE(Wait(sessions.Destroy(id)).value());
  CHECK(Wait(sessions.Load(id)).value() == std::nullopt);
  CHECK_FALSE(Wait(sessions.Update(id, throws)).value());
  // Options, of which loading prolongs: from a second to an hour.
  const AsyncSessions brief(&one.client->Async(), {.ttl = absl::Seconds(1), .prefix = "s:"});
  const std::string kept = Wait(brief.Create("kept")).value();
  const std::string lost = Wait(brief.Create("lost")).value();
  const AsyncSessions lasting(&one.client->Async(), {.ttl = absl::Hours(1), .prefix = "s:"});
  REQUIRE(Wait(lasting.Load(kept)).value().has_value());
  while (one.client->Get("s:" + lost).value().has_value()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(Wait(lasting.Load(kept)).value().has_value());
  one.server.Kill();
  CHECK(absl::IsUnavailable(Wait(sessions.Create("{}")).status()));
  CHECK(absl::IsUnavailable(Wait(sessions.Load(id)).status()));
  CHECK(absl::IsUnavailable(Wait(sessions.Save(id, "x", 1)).status()));
  CHECK(absl::IsUnavailable(Wait(sessions.Update(id, throws)).status()));
  CHECK(absl::IsUnavailable(Wait(sessions.Destroy(id)).status()));
}

TEST_CASE("no change of a session is lost among threads and event loops", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Sessions waiting(one.client.get());
  const AsyncSessions sessions(&one.client->Async());
  const std::string id = waiting.Create("").value();
  constexpr int kUpdates = 30;
  std::atomic<int> updated{0};
  std::atomic<int> tries{0};
  std::atomic<int> over{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 10; ++n) {
        const auto done = waiting.Update(id, WithAnX);
        if (done.ok() && *done) ++updated;
      }
    });
  }
  for (int i = 0; i < kUpdates; ++i) {
    const auto change = [&](std::string_view data) {
      ++tries;
      return WithAnX(data);
    };
    sessions.Update(id, change).Then([&](const absl::StatusOr<bool>& done) {
      if (done.ok() && *done) ++updated;
      ++over;
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (over < kUpdates) std::this_thread::yield();
  CHECK(tries > kUpdates);  // they did come between one another
  CHECK(updated >= kUpdates);
  CHECK(waiting.Load(id).value()->data.size() == static_cast<size_t>(updated));
}

TEST_CASE("calls about sessions end as cancelled with their loop", "[client]") {
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); });
  const auto client = std::move(Client::Make(PatientOptions(silent.server())).value());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  const std::string id(32, 'a');
  int cancelled = 0;
  {
    AsyncClient loop(client.get(), base);
    const AsyncSessions sessions(&loop);
    sessions.Create("x").Then([&](const auto& got) {
      if (absl::IsCancelled(got.status())) ++cancelled;
    });
    sessions.Update(id, WithAnX).Then([&](const auto& got) {
      if (absl::IsCancelled(got.status())) ++cancelled;
      sessions.Load(id).Then([&](const auto& more) {
        if (absl::IsCancelled(more.status())) ++cancelled;
      });
    });
    while (silent.connections() == 0) event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK(cancelled == 0);
  }
  CHECK(cancelled == 3);
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire Visit(AsyncSessions sessions, int& right, int& over) {
  const std::string first = "first";
  const auto id = co_await sessions.Create(first);
  const auto updated = co_await sessions.Update(*id, WithAnX);
  const auto session = co_await sessions.Load(*id);
  if (updated.ok() && *updated && (*session)->data == "firstx") ++right;
  const auto none = co_await sessions.Load(first);  // is known without asking
  if (none.ok() && !none->has_value()) ++right;
  const auto destroyed = co_await sessions.Destroy(*id);
  if (destroyed.ok() && *destroyed) ++right;
  ++over;
}

}  // namespace

TEST_CASE("coroutines have sessions on the caller's event loop", "[client]") {
  OneServer one;
  event_base* const base = event_base_new();
  {
    AsyncClient loop(one.client.get(), base);
    int right = 0;
    int over = 0;
    for (int i = 0; i < 50; ++i) Visit(AsyncSessions(&loop), right, over);
    while (over < 50) event_base_loop(base, EVLOOP_ONCE);
    CHECK(right == 150);
  }
  event_base_free(base);
}

#endif

}  // namespace cairn
