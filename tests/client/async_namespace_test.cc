// Namespaces without waiting: what they share with the threads that wait, and how calls end.
#include "cairn/async_namespace.h"

#include <event2/event.h>

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "cairn/namespace.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

Namespace::Options AskAlways() {
  Namespace::Options options;
  options.refresh = absl::ZeroDuration();
  return options;
}

// A generation is believed for as long as a test takes.
Namespace::Options AskOnce() {
  Namespace::Options options;
  options.refresh = absl::Hours(1);
  return options;
}

}  // namespace

TEST_CASE("an invalidation without waiting makes all keys of a namespace unreachable", "[client]") {
  OneServer one;
  Namespace user(one.client.get(), "user:42", AskOnce());
  const AsyncNamespace async(&user);
  const std::string before = Wait(async.Key("profile")).value();
  CHECK(before.size() == std::string("user:42::profile").size() + 16);
  REQUIRE(one.client->Set(before, "old").ok());
  CHECK(Wait(async.Key("profile")).value() == before);
  CHECK(user.Key("profile").value() == before);
  CHECK(Wait(async.Invalidate()).ok());
  const std::string after = Wait(async.Key("profile")).value();
  CHECK(after != before);
  CHECK(user.Key("profile").value() == after);
  CHECK(one.client->Get(after).value() == std::nullopt);
  // What a thread invalidates a loop does not find.
  CHECK(user.Invalidate().ok());
  CHECK(Wait(async.Key("profile")).value() != after);
  // Other objects are other processes.
  Namespace elsewhere(one.client.get(), "user:42", AskAlways());
  CHECK(Wait(AsyncNamespace(&elsewhere).Key("k")).value() == user.Key("k").value());
  REQUIRE(Wait(async.Invalidate()).ok());
  CHECK(Wait(AsyncNamespace(&elsewhere).Key("k")).value() == user.Key("k").value());
}

TEST_CASE("what is known of a generation is known at once, and to all", "[client]") {
  OneServer one;
  auto names = std::make_unique<Namespace>(one.client.get(), "n", AskOnce());
  const AsyncNamespace async(names.get());
  const std::string key = names->Key("k").value();
  // Without asking, also when there is nobody to ask; and when the Namespace is no more.
  one.server.Kill();
  names = nullptr;
  CHECK(async.Key("k").await_ready());
  CHECK(Wait(async.Key("k")).value() == key);
  // Who could not say whether others see it knows nothing.
  CHECK(absl::IsUnavailable(Wait(async.Invalidate())));
  CHECK(absl::IsUnavailable(Wait(async.Key("k")).status()));
  one.server.Start();
  CHECK(Wait(async.Key("k")).value() != key);
}

TEST_CASE("old keys stay unreachable when the generation is evicted, without waiting", "[client]") {
  OneServer one;
  Namespace names(one.client.get(), "n", AskAlways());
  const AsyncNamespace async(&names);
  std::set<std::string> seen;
  for (int i = 0; i < 10; ++i) {
    CHECK(seen.insert(Wait(async.Key("k")).value()).second);
    CHECK(one.client->Delete("ns:n").value());
  }
  REQUIRE(one.client->Set("ns:n", "something of somebody's").ok());
  CHECK(Wait(async.Key("k")).status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("threads and event loops that find no generation end up with one", "[client]") {
  OneServer one;
  constexpr int kCalls = 50;
  Namespace names(one.client.get(), "n", AskAlways());
  const AsyncNamespace async(&names);
  std::vector<std::string> waited(4);
  std::vector<std::string> told(kCalls);
  std::atomic<int> over{0};
  std::vector<std::thread> threads;
  for (std::string& key : waited) {
    threads.emplace_back([&] { key = names.Key("k").value_or(""); });
  }
  for (std::string& key : told) {
    async.Key("k").Then([&](const absl::StatusOr<std::string>& got) {
      key = got.value_or("");
      ++over;
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (over < kCalls) std::this_thread::yield();
  std::set<std::string> all(waited.begin(), waited.end());
  all.insert(told.begin(), told.end());
  CHECK(all.size() == 1);
  CHECK_FALSE(all.begin()->empty());
}

TEST_CASE("an answer from before an invalidation is not believed after it, without waiting",
          "[client]") {
  std::atomic<bool> invalidated{false};
  const std::string old_generation(16, 'a');
  // The first connection, of the loop, answers late; the second one, of a thread, at once.
  ScriptedPeer peer([&](Conversation& conversation, int number) {
    if (number == 0) {
      conversation.Expect("get ns:n");
      while (!invalidated) std::this_thread::yield();
      conversation.Send("VALUE ns:n 0 16\r\n" + old_generation + "\r\nEND\r\n");
    } else {
      conversation.Line();
      conversation.Line();
      conversation.Send("STORED\r\n");
    }
    conversation.Hang();
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = std::move(Client::Make(options).value());
  Namespace names(client.get(), "n", AskOnce());
  std::promise<std::string> key;
  AsyncNamespace(&names).Key("k").Then(
      [&](const absl::StatusOr<std::string>& got) { key.set_value(got.value_or("")); });
  while (peer.connections() == 0) std::this_thread::yield();
  REQUIRE(names.Invalidate().ok());
  const std::string now = names.Key("k").value();
  invalidated = true;
  CHECK(key.get_future().get() == "n:" + old_generation + ":k");  // as if it had come in time
  CHECK(names.Key("k").value() == now);
  CHECK(Wait(AsyncNamespace(&names).Key("k")).value() == now);
}

TEST_CASE("calls about a namespace end as cancelled with their loop", "[client]") {
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); });
  const auto client = std::move(Client::Make(PatientOptions(silent.server())).value());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  int cancelled = 0;
  {
    AsyncClient loop(client.get(), base);
    const auto names = std::make_unique<Namespace>(client.get(), "n");
    const AsyncNamespace async(names.get(), &loop);
    async.Key("k").Then([&](const absl::StatusOr<std::string>& got) {
      if (absl::IsCancelled(got.status())) ++cancelled;
    });
    async.Invalidate().Then([&](const absl::Status& got) {
      if (absl::IsCancelled(got)) ++cancelled;
    });
    while (silent.connections() == 0) event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK(cancelled == 0);
  }
  CHECK(cancelled == 2);
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire KeepAndForget(AsyncClient& client, AsyncNamespace names, std::string name, int& right,
                   int& over) {
  const auto key = co_await names.Key(name);
  const absl::Status stored = co_await client.Set(*key, name);
  const auto found = co_await client.Get(*key);
  if (stored.ok() && found.ok() && *found == name) ++right;
  const absl::Status invalidated = co_await names.Invalidate();
  const auto next = co_await names.Key(name);
  const auto lost = co_await client.Get(*next);
  if (invalidated.ok() && lost.ok() && !lost->has_value()) ++right;
  ++over;
}

}  // namespace

TEST_CASE("coroutines use a namespace on the caller's event loop", "[client]") {
  OneServer one;
  event_base* const base = event_base_new();
  {
    AsyncClient loop(one.client.get(), base);
    Namespace names(one.client.get(), "n", AskOnce());
    int right = 0;
    int over = 0;
    for (int i = 0; i < 50; ++i) {
      KeepAndForget(loop, AsyncNamespace(&names, &loop), std::to_string(i), right, over);
    }
    while (over < 50) event_base_loop(base, EVLOOP_ONCE);
    CHECK(right == 100);
  }
  event_base_free(base);
}

#endif

}  // namespace cairn
