// Calls that do not wait: on the library's own loop and on the caller's, with callbacks and with
// coroutines, when all is well and when it is not.
#include "cairn/async.h"

#include <event2/event.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/restarts.h"
#include "tests/client/server_process.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

ClientOptions OptionsFor(std::vector<Server> servers) {
  ClientOptions options;
  options.servers = std::move(servers);
  options.protocol = ClientOptions::Protocol::kText;
  options.max_fails = 0;
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  options.call_timeout = absl::Seconds(60);
  return options;
}

void TestEveryCall(AsyncClient& async) {
  CHECK(Wait(async.Get("missing")).value() == std::nullopt);
  CHECK(Wait(async.Set("key", "value", {.flags = 7})).ok());
  CHECK(Wait(async.Get("key")).value() == "value");
  const auto item = Wait(async.Gets("key")).value();
  REQUIRE(item.has_value());
  CHECK(item->flags == 7);
  CHECK(Wait(async.CompareAndSwap("key", "new", item->cas)).value() == CasOutcome::kStored);
  CHECK(Wait(async.CompareAndSwap("key", "old", item->cas)).value() == CasOutcome::kChanged);
  CHECK_FALSE(Wait(async.Add("key", "x")).value());
  CHECK(Wait(async.Replace("key", "b")).value());
  CHECK(Wait(async.Append("key", "c")).value());
  CHECK(Wait(async.Prepend("key", "a")).value());
  CHECK(Wait(async.GetAndTouch("key", absl::Seconds(50))).value()->value == "abc");
  CHECK(Wait(async.Touch("key", absl::Seconds(50))).value());
  CHECK(Wait(async.Delete("key")).value());
  CHECK_FALSE(Wait(async.Delete("key")).value());
  CHECK(Wait(async.Set("n", "10")).ok());
  CHECK(Wait(async.Increment("n", 5)).value() == 15u);
  CHECK(Wait(async.Decrement("n")).value() == 14u);
  CHECK(Wait(async.Increment("absent")).value() == std::nullopt);
  CHECK(Wait(async.IncrementOrStart("up", 5, 10, absl::Minutes(1))).value() == 15);
  CHECK(Wait(async.IncrementOrStart("up", 5, 10, absl::Minutes(1))).value() == 20);
  CHECK(Wait(async.DecrementOrStart("down", 5, 3, absl::Minutes(1))).value() == 0);
  CHECK(Wait(async.DecrementOrStart("up", 7, 3, absl::Minutes(1))).value() == 13);
}

void TestBulk(AsyncClient& async) {
  std::vector<std::string> keys;
  for (int i = 0; i < 10000; ++i) keys.push_back("key:" + std::to_string(i));
  const std::string value(300, 'v');
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, value});
  CHECK(Wait(async.SetMulti(items)).done_count() == keys.size());
  std::vector<std::string_view> views(keys.begin(), keys.end());
  views.push_back("absent");
  views.push_back("bad key");
  const MultiGetResult got = Wait(async.GetMulti(views, {}, true));
  CHECK(got.hits() == keys.size());
  CHECK(got.misses() == 1);
  CHECK(absl::IsInvalidArgument(got.status(views.size() - 1)));
  CHECK(got[5].value == value);
  CHECK(Wait(async.TouchMulti(views, absl::Seconds(50))).done_count() == keys.size());
  CHECK(Wait(async.DeleteMulti(views)).done_count() == keys.size());
  CHECK(Wait(async.GetMulti({})).size() == 0);
}

}  // namespace

TEST_CASE("every asynchronous call against real servers", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  ServerProcess servers[3] = {ServerProcess(program), ServerProcess(program),
                              ServerProcess(program)};
  if (!servers[0].running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options =
      OptionsFor({servers[0].server(), servers[1].server(), servers[2].server()});
  options.protocol = protocol;
  const auto client = Connect(options);
  REQUIRE(client->Async().status().ok());
  CHECK(&client->Async() == &client->Async());
  TestEveryCall(client->Async());
  TestBulk(client->Async());
  CHECK(client->Get("n").value()->substr(0, 2) == "14");  // beside calls that wait
}

TEST_CASE("what cannot be asked is told without asking, and not before Then() returns",
          "[client]") {
  std::atomic<int> connections{0};
  ScriptedPeer peer([&](Conversation&, int) { ++connections; });
  const auto client = Connect(OptionsFor({peer.server()}));
  AsyncClient& async = client->Async();
  CHECK(absl::IsInvalidArgument(Wait(async.Get("bad key")).status()));
  CHECK(absl::IsInvalidArgument(Wait(async.Set("", "x"))));
  CHECK(absl::IsResourceExhausted(Wait(async.Add("key", std::string(2 << 20, 'x'))).status()));
  const std::string_view bad[] = {"bad key", ""};
  CHECK(Wait(async.GetMulti(bad)).not_reached() == 2);
  { const auto dropped = async.Get("key"); }  // was never begun
  CHECK(connections == 0);
}

TEST_CASE("what is asked in one turn of the loop leaves in one write, on one connection",
          "[client]") {
  constexpr int kCalls = 50;
  std::atomic<int> reads{-1};
  ScriptedPeer peer([&](Conversation& conversation, int) {
    conversation.Expect("get first");
    conversation.Send("END\r\n");
    const int before = conversation.reads();
    std::string answers;
    for (int i = 0; i < kCalls; ++i) {
      const std::string line = conversation.Line();
      answers += "VALUE " + line.substr(4) + " 0 2\r\nok\r\nEND\r\n";
    }
    reads = conversation.reads() - before;
    conversation.Send(answers);  // only now: nobody waits for the others' answers to ask
    conversation.Hang();
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  AsyncClient& async = client->Async();
  std::atomic<int> right{0};
  std::promise<void> all;
  async.Get("first").Then([&](auto) {
    for (int i = 0; i < kCalls; ++i) {
      async.Get("key:" + std::to_string(i)).Then([&](auto got) {
        if (got.ok() && *got == "ok") ++right;
        if (right == kCalls) all.set_value();
      });
    }
  });
  all.get_future().get();
  CHECK(reads == 1);
  CHECK(peer.connections() == 1);
}

TEST_CASE("an asynchronous call ends with its timeout, and its late answer is nobody else's",
          "[client]") {
  std::atomic<bool> late{false};
  ScriptedPeer peer([&late](Conversation& conversation, int) {
    conversation.Expect("get first");
    while (!late) std::this_thread::yield();
    conversation.Send("VALUE first 0 5\r\nlate!\r\nEND\r\n");
    conversation.Expect("get second");
    conversation.Send("VALUE second 0 3\r\nyes\r\nEND\r\n");
    conversation.Hang();
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  const auto first = Wait(client->Async().Get("first", {absl::Milliseconds(20)}));
  CHECK(absl::IsDeadlineExceeded(first.status()));
  late = true;
  CHECK(Wait(client->Async().Get("second")).value() == "yes");
  CHECK(peer.connections() == 1);
}

TEST_CASE("an asynchronous call that is begun after its time is not made", "[client]") {
  OneServer one;
  WriteOptions options;
  options.timeout = absl::Nanoseconds(1);
  AsyncClient& async = one.client->Async();
  for (int i = 0; i < 100; ++i) {
    CHECK(absl::IsDeadlineExceeded(Wait(async.Set("key", "value", options))));
  }
  CHECK(one.client->Get("key").value() == std::nullopt);
}

TEST_CASE("a server that fails an asynchronous call fails it as it fails one that waits",
          "[client]") {
  Server nobody;
  nobody.host = "127.0.0.1";
  nobody.port = FreePort();
  CHECK(absl::IsUnavailable(Wait(Connect(OptionsFor({nobody}))->Async().Get("key")).status()));
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); });
  ClientOptions options = OptionsFor({silent.server()});
  options.request_timeout = absl::Milliseconds(30);
  CHECK(absl::IsDeadlineExceeded(Wait(Connect(options)->Async().Get("key")).status()));
  ScriptedPeer garbage([](Conversation& conversation, int) {
    while (!conversation.Line().empty()) conversation.Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  const auto confused = Connect(OptionsFor({garbage.server()}));
  CHECK(absl::IsDataLoss(Wait(confused->Async().Get("key")).status()));
  CHECK(absl::IsDataLoss(Wait(confused->Async().Delete("key")).status()));
  ScriptedPeer cut([](Conversation& conversation, int) {
    conversation.Line();
    conversation.Send("VALUE key 0 5\r\nhel");
  });
  CHECK(
      absl::IsUnavailable(Wait(Connect(OptionsFor({cut.server()}))->Async().Get("key")).status()));
}

TEST_CASE("the loop goes on when a server closes with very much under way", "[client]") {
#ifdef CAIRN_SANITIZED
  constexpr int kCalls = 20'000;
#else
  constexpr int kCalls = 400'000;
#endif
  constexpr int kWriteEvery = 4;
  constexpr int kLines = kCalls + kCalls / kWriteEvery;  // a write has two
  ScriptedPeer peer([](Conversation& conversation, int number) {
    conversation.Line();
    conversation.Send("END\r\n");
    if (number == 0) {
      for (int i = 0; i < kLines; ++i) conversation.Line();
      return;
    }
    while (!conversation.Line().empty()) conversation.Send("END\r\n");
  });
  ClientOptions options = OptionsFor({peer.server()});
  // Far more than it takes to go through them once, and far less than for each of them.
  options.call_timeout = absl::Seconds(20);
  const auto client = Connect(options);
  AsyncClient& async = client->Async();
  // The loop's own, until all are over.
  int read = 0;
  int lost = 0;
  int over = 0;
  std::promise<void> all_over;
  const auto end = [&] {
    if (++over == kCalls) all_over.set_value();
  };
  async.Get("key").Then([&](const auto&) {
    for (int i = 0; i < kCalls; ++i) {
      if (i % kWriteEvery == 1) {
        async.Set("key", "value").Then([&](const absl::Status& status) {
          if (absl::IsUnavailable(status)) ++lost;
          end();
        });
        continue;
      }
      async.Get("key").Then([&](const auto& value) {
        if (value.ok() && !value->has_value()) ++read;
        end();
      });
    }
  });
  all_over.get_future().wait();
  CHECK(lost == kCalls / kWriteEvery);
  CHECK(read == kCalls - lost);
  CHECK(client->Stats().at(0).requests_sent_again == static_cast<uint64_t>(read));
  CHECK(peer.connections() == 2);
}

TEST_CASE("the end of an idle connection is noticed, and so is what comes unasked", "[client]") {
  const std::string unasked = GENERATE("", "VALUE key 0 5\r\nwrong\r\nEND\r\n");
  std::atomic<bool> over{false};
  ScriptedPeer peer([&](Conversation& conversation, int number) {
    while (!conversation.Line().empty()) {
      conversation.Send("VALUE key 0 1\r\n" + std::to_string(number) + "\r\nEND\r\n");
      if (number > 0) continue;
      conversation.Send(unasked);
      over = true;
      if (unasked.empty()) return;
    }
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  const auto first = Wait(client->Async().Get("key"));
  if (first.ok()) CHECK(*first == "0");
  while (!over) std::this_thread::yield();
  while (true) {
    const auto got = Wait(client->Async().Get("key"));
    if (!got.ok() || *got == "0") continue;
    CHECK(*got == "1");
    break;
  }
}

TEST_CASE("asynchronous calls from many threads while the server restarts are never wrong",
          "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program);
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options = OptionsFor({server.server()});
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  AsyncClient& async = client->Async();
  CheckOwnAnswersDuringRestarts(server, 4, [&async](const std::string& key) {
    (void)Wait(async.Set(key, key));
    return Wait(async.Get(key));
  });
}

TEST_CASE("calls under way end as cancelled with their client", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) { conversation.Hang(); });
  int cancelled = 0;
  int more = 3;
  std::function<void(absl::StatusOr<std::optional<std::string>>)> again;
  {
    const auto client = Connect(OptionsFor({peer.server()}));
    AsyncClient& async = client->Async();
    again = [&](const auto& got) {
      if (absl::IsCancelled(got.status())) ++cancelled;
      if (more-- > 0) async.Get("key").Then(again);
    };
    for (int i = 0; i < 10; ++i) async.Get("key").Then(again);
    while (peer.connections() == 0) std::this_thread::yield();
  }
  CHECK(cancelled == 13);
}

TEST_CASE("calls run on the caller's event loop", "[client]") {
  ServerProcess server;
  const auto client = Connect(OptionsFor({server.server()}));
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  const std::thread::id here = std::this_thread::get_id();
  {
    AsyncClient async(client.get(), base);
    REQUIRE(async.status().ok());
    bool elsewhere = false;
    int done = 0;
    async.Set("key", "value").Then([&](const absl::Status& status) {
      CHECK(status.ok());
      elsewhere = elsewhere || std::this_thread::get_id() != here;
      ++done;
      async.Get("key").Then([&](const auto& got) {
        CHECK(got.value() == "value");
        elsewhere = elsewhere || std::this_thread::get_id() != here;
        ++done;
        event_base_loopbreak(base);
      });
    });
    CHECK(done == 0);
    event_base_dispatch(base);
    CHECK(done == 2);
    CHECK_FALSE(elsewhere);
    // From another thread, while this one runs the loop.
    std::thread other([&] {
      async.Get("key").Then([&](const auto& got) {
        CHECK(got.value() == "value");
        CHECK(std::this_thread::get_id() == here);
        event_base_loopbreak(base);
      });
    });
    event_base_dispatch(base);
    other.join();
  }
  // Nothing of it is left in the loop.
  CHECK(event_base_loop(base, EVLOOP_NONBLOCK) == 1);
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

struct Tally {
  std::atomic<int> right{0};
  std::atomic<int> wrong{0};
  std::atomic<int> over{0};
};

// By value: views would have to last while the coroutine waits.
Fire SetAndGet(AsyncClient& async, std::string key, int times, Tally& tally) {
  for (int i = 0; i < times; ++i) {
    const std::string value = key + "=" + std::to_string(i);
    const absl::Status stored = co_await async.Set(key, value);
    const auto got = co_await async.Get(key);
    const bool right = stored.ok() && got.ok() && *got == value;
    ++(right ? tally.right : tally.wrong);
    const std::string_view keys[] = {key, "never"};
    const MultiGetResult both = co_await async.GetMulti(keys);
    if (!both[0].hit() || both[0].value != value || both.misses() != 1) ++tally.wrong;
  }
  const auto refused = co_await async.Get("bad key");
  if (!absl::IsInvalidArgument(refused.status())) ++tally.wrong;
  ++tally.over;
}

Fire GetUntilCancelled(AsyncClient& async, int& cancelled) {
  for (;;) {
    const auto got = co_await async.Get("key");
    if (absl::IsCancelled(got.status())) break;
  }
  ++cancelled;
}

}  // namespace

TEST_CASE("a thousand coroutines share connections and get their own answers", "[client]") {
  ServerProcess servers[2];
  ClientOptions options = OptionsFor({servers[0].server(), servers[1].server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  const auto client = Connect(options);
  Tally tally;
  for (int i = 0; i < 1000; ++i) SetAndGet(client->Async(), "key:" + std::to_string(i), 5, tally);
  while (tally.over < 1000) std::this_thread::yield();
  CHECK(tally.right == 5000);
  CHECK(tally.wrong == 0);
}

TEST_CASE("coroutines run on the caller's event loop, and end with it", "[client]") {
  ServerProcess server;
  const auto client = Connect(OptionsFor({server.server()}));
  event_base* const base = event_base_new();
  int cancelled = 0;
  {
    AsyncClient async(client.get(), base);
    Tally tally;
    for (int i = 0; i < 50; ++i) SetAndGet(async, "key:" + std::to_string(i), 3, tally);
    while (tally.over < 50) event_base_loop(base, EVLOOP_ONCE);
    CHECK(tally.right == 150);
    CHECK(tally.wrong == 0);
    for (int i = 0; i < 5; ++i) GetUntilCancelled(async, cancelled);
    for (int i = 0; i < 20; ++i) event_base_loop(base, EVLOOP_ONCE);
    CHECK(cancelled == 0);
  }
  CHECK(cancelled == 5);
  event_base_free(base);
}

#endif

}  // namespace cairn
