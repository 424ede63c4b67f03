// GetOrCompute without waiting: what one caller has of it. That its options mean the same is what
// look_aside_test.cc is for: one state machine has them.
#include "cairn/async_look_aside.h"

#include <event2/event.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/async_look_aside.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Source = Fetched::Source;
using Done = AsyncLookAside::Done;
using DoneMulti = AsyncLookAside::DoneMulti;
using Value = LookAside::Value;
using Got = absl::StatusOr<Fetched>;

}  // namespace

TEST_CASE("a miss is computed and a hit is not, without waiting", "[client][look]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program);
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options = PatientOptions(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = std::move(Client::Make(options).value());
  LookAsideOptions remembers = Patient();
  remembers.negative_ttl = absl::Minutes(1);
  LookAside pages(client.get(), remembers);
  const AsyncLookAside async(&pages);
  const Fetched first = Wait(async.GetOrCompute("key", Says("v"))).value();
  CHECK(first.value == "v");
  CHECK(first.source == Source::kComputed);
  CHECK(first.cache.ok());
  const Fetched second = Wait(async.GetOrCompute("key", Never())).value();
  CHECK(second.value == "v");
  CHECK(second.source == Source::kCache);
  CHECK(pages.GetOrCompute("key", NeverByThread()).value().source == Source::kCache);
  // That there is nothing.
  const auto nothing = [](const Done& done) { done(std::optional<std::string>()); };
  CHECK(Wait(async.GetOrCompute("nothing", nothing)).value().value == std::nullopt);
  CHECK(Wait(async.GetOrCompute("nothing", Never())).value().source == Source::kCache);
  // A key that no server takes; and a call's own options.
  CHECK(absl::IsInvalidArgument(Wait(async.GetOrCompute("bad key", Says("v"))).value().cache));
  CHECK(Wait(async.GetOrCompute("forgotten", Patient(), nothing)).ok());
  CHECK(Wait(async.GetOrCompute("forgotten", Says("v"))).value().source == Source::kComputed);
  CHECK(pages.counters().computed == 5);
  CHECK(pages.counters().hits == 3);
  // From another thread, later; what comes second is ignored.
  Held held;
  Later later(async.GetOrCompute("held", held.Compute()));
  const Done done = held.Await();
  done(Value("one"));
  done(Value("two"));
  CHECK(later.Await().value().value == "one");
  CHECK(Wait(async.GetOrCompute("held", Never())).value().value == "one");
  { const auto dropped = async.GetOrCompute("dropped", Never()); }  // was never begun
  CHECK(pages.counters().computed == 6);
}

TEST_CASE("a cache is looked into without computing or winning anything, waiting or not",
          "[client][look]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const bool waits = GENERATE(true, false);
  OneServer one(protocol);
  LookAsideOptions options = Patient();
  options.negative_ttl = absl::Minutes(1);
  LookAside pages(one.client.get(), options);
  const AsyncLookAside async(&pages);
  const auto peek = [&](std::string_view key) {
    return waits ? pages.Peek(key) : Wait(async.Peek(key));
  };
  REQUIRE(pages.GetOrCompute("key", [] { return "v"; }).ok());
  REQUIRE(pages.GetOrCompute("nothing", [] { return std::nullopt; }).ok());
  CHECK(peek("key").value()->value == "v");
  REQUIRE(peek("nothing").value().has_value());
  CHECK(peek("nothing").value()->value == std::nullopt);
  // What is there to be computed, by nobody yet or by somebody just now.
  CHECK_FALSE(peek("absent").value().has_value());
  const LeasedItem won = one.client->GetWithLease("absent").value();
  CHECK(won.won);
  CHECK_FALSE(peek("absent").value().has_value());
  CHECK(one.client->SetWithLease("absent", "w", won.token).value());
  CHECK(peek("absent").value()->value == "w");
  // Stale values, too.
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  if (protocol == ClientOptions::Protocol::kAuto) {
    CHECK(peek("key").value()->value == "v");
    CHECK(one.client->GetWithLease("key").value().won);
  }
  CHECK(absl::IsInvalidArgument(peek("bad key").status()));
  one.server.Kill();
  CHECK(absl::IsUnavailable(peek("key").status()));
  CHECK(pages.counters().computed == 2);
}

TEST_CASE("a computation that fails, is dropped or throws leaves the lease to the next",
          "[client][look]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  const AsyncLookAside async(&mine);
  const auto fails = [](const Done& done) { done(absl::InternalError("no database")); };
  CHECK(Wait(async.GetOrCompute("a", fails)).status() == absl::InternalError("no database"));
  CHECK(theirs.GetOrCompute("a", [] { return "v"; }).value().source == Source::kComputed);
  CHECK(absl::IsAborted(Wait(async.GetOrCompute("b", [](const Done&) {})).status()));
  CHECK(theirs.GetOrCompute("b", [] { return "v"; }).value().source == Source::kComputed);
  const auto throws = [](const Done&) { throw std::runtime_error("of the application"); };
  CHECK(absl::IsAborted(Wait(async.GetOrCompute("c", throws)).status()));
  CHECK(theirs.GetOrCompute("c", [] { return "v"; }).value().source == Source::kComputed);
  // Dropped by another thread, while yet another one waits for it.
  auto held = std::make_unique<Held>();
  Later later(async.GetOrCompute("d", held->Compute()));
  auto done = std::make_unique<Done>(held->Await());
  held = nullptr;
  const int before = CountOfGets(*one.client);
  Got waited;
  std::thread thread([&] { waited = mine.GetOrCompute("d", NeverByThread()); });
  while (CountOfGets(*one.client) == before) std::this_thread::yield();
  done = nullptr;
  CHECK(absl::IsAborted(later.Await().status()));
  thread.join();
  // It was told; or it came when that was over, and won the lease that was given back.
  CHECK((absl::IsAborted(waited.status()) || absl::IsInternal(waited.status())));
  CHECK(mine.counters().failed >= 4);
}

TEST_CASE("a stale value is taken, and computed anew by one", "[client][look]") {
  OneServer one;
  LookAsideOptions options = Patient();
  LookAside pages(one.client.get(), options);
  const AsyncLookAside async(&pages);
  REQUIRE(one.client->Set("key", "old").ok());
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  Held held;
  Later winner(async.GetOrCompute("key", held.Compute()));
  const Done done = held.Await();
  CHECK(Wait(async.GetOrCompute("key", Never())).value().source == Source::kStale);
  CHECK(pages.GetOrCompute("key", NeverByThread()).value().value == "old");
  done(absl::InternalError("no database"));
  const Fetched kept = winner.Await().value();
  CHECK(kept.value == "old");
  CHECK(kept.compute == absl::InternalError("no database"));
  // In the background nobody waits, whatever `background` does; and the LookAside may be gone.
  options.background = [](const std::function<void()>&) { FAIL("not for calls on a loop"); };
  Held later;
  {
    LookAside brief(one.client.get(), options);
    const Fetched taken = Wait(AsyncLookAside(&brief).GetOrCompute("key", later.Compute())).value();
    CHECK(taken.value == "old");
    CHECK(taken.source == Source::kStale);
  }
  later.Await()(Value("new"));
  while (one.client->Get("key").value() != "new") std::this_thread::yield();
  CHECK(Wait(async.GetOrCompute("key", Never())).value().source == Source::kCache);
}

TEST_CASE("many keys are one question and one computation, without waiting", "[client][look]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside pages(one.client.get(), Patient());
  const AsyncLookAside async(&pages);
  REQUIRE(pages.GetOrCompute("b", [] { return "B"; }).ok());
  std::vector<std::string> asked;
  const AsyncLookAside::ComputeMulti compute = [&](const std::vector<std::string>& keys,
                                                   const DoneMulti& done) {
    std::vector<std::optional<std::string>> values;
    for (const std::string& key : keys) values.emplace_back(key + "!");
    asked.insert(asked.end(), keys.begin(), keys.end());
    done(std::move(values));
  };
  std::vector<Got> got;
  {
    const std::vector<std::string> names = {"a", "b", "c", "a", "bad key"};
    const std::vector<std::string_view> keys(names.begin(), names.end());
    auto call = async.GetMultiOrCompute(keys, compute);
    got = Wait(std::move(call));
  }
  REQUIRE(got.size() == 5);
  CHECK(asked == std::vector<std::string>{"a", "c", "bad key"});
  CHECK(got[0].value().value == "a!");
  CHECK(got[1].value().source == Source::kCache);
  CHECK(got[2].value().source == Source::kComputed);
  CHECK(got[3].value().value == "a!");
  CHECK(absl::IsInvalidArgument(got[4].value().cache));
  const std::string_view more[] = {"b", "d", "e"};
  const auto wrong = Wait(async.GetMultiOrCompute(more, [](const auto&, const DoneMulti& done) {
    done({std::vector<std::optional<std::string>>()});
  }));
  CHECK(wrong[0].value().value == "B");
  CHECK(absl::IsInternal(wrong[1].status()));
  const auto dropped = Wait(async.GetMultiOrCompute(more, [](const auto&, const DoneMulti&) {}));
  CHECK(absl::IsAborted(dropped[2].status()));
  CHECK(Wait(async.GetMultiOrCompute(more, compute))[1].value().source == Source::kComputed);
  CHECK(Wait(async.GetMultiOrCompute({}, compute)).empty());
}

TEST_CASE("a cache that fails an asynchronous call in its midst costs the value's place in it",
          "[client][look]") {
  struct Case {
    const char* read;  // the answer to the read
    const char* store;
    absl::StatusCode cache;
  };
  const Case cases[] = {
      {"rubbish\r\n", "", absl::StatusCode::kDataLoss},
      {"SERVER_ERROR out of memory\r\nMN\r\n", "", absl::StatusCode::kResourceExhausted},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "", absl::StatusCode::kUnavailable},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "NF\r\n", absl::StatusCode::kAborted},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "HD\r\n", absl::StatusCode::kOk},
  };
  for (const Case& each : cases) {
    INFO(each.read << each.store);
    ScriptedPeer peer([&each](Conversation& conversation, int) {
      conversation.Expect("version");
      conversation.Send("VERSION 1.6.45\r\n");
      conversation.Expect("mn");
      conversation.Send("MN\r\n");
      conversation.Line();
      conversation.Expect("mn");
      conversation.Send(each.read);
      if (conversation.Line().empty()) return;
      conversation.Expect("v");
      conversation.Send(each.store);
    });
    const auto client = std::move(Client::Make(PatientOptions(peer.server())).value());
    LookAside pages(client.get(), Patient());
    const Fetched fetched = Wait(AsyncLookAside(&pages).GetOrCompute("key", Says("v"))).value();
    CHECK(fetched.value == "v");
    CHECK(fetched.source == Source::kComputed);
    CHECK(fetched.cache.code() == each.cache);
    CHECK(pages.counters().not_stored == (each.cache == absl::StatusCode::kOk ? 0 : 1));
  }
}

TEST_CASE("a new pool fills from the old one without waiting", "[client][look]") {
  OneServer from;
  OneServer to;
  LookAsideOptions options = Patient();
  options.fill_from = from.client.get();
  options.ttl = absl::Hours(10);
  LookAside pages(to.client.get(), options);
  const AsyncLookAside async(&pages);
  REQUIRE(from.client->Set("key", "v", {.ttl = absl::Minutes(30)}).ok());
  CHECK(Wait(async.GetOrCompute("key", Never())).value().source == Source::kFilled);
  CHECK(Wait(async.GetOrCompute("key", Never())).value().source == Source::kCache);
  CHECK(*to.client->GetWithLease("key").value().ttl_left <= absl::Minutes(31));
  CHECK(Wait(async.GetOrCompute("absent", Says("w"))).value().source == Source::kComputed);
  // What is stale there is computed here, and is won there as before.
  REQUIRE(from.client->Set("stale", "old").ok());
  REQUIRE(from.client->Invalidate("stale", absl::Minutes(1)).value());
  CHECK(Wait(async.GetOrCompute("stale", Says("new"))).value().value == "new");
  while (!from.client->GetWithLease("stale").value().won) std::this_thread::yield();
  from.server.Kill();
  CHECK(Wait(async.GetOrCompute("other", Says("x"))).value().value == "x");
  CHECK(pages.counters().filled == 1);
}

TEST_CASE("values are computed on the caller's event loop", "[client][look]") {
  OneServer one;
  LookAside pages(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  const std::thread::id here = std::this_thread::get_id();
  {
    AsyncClient loop(one.client.get(), base);
    const AsyncLookAside async(&pages, &loop);
    bool elsewhere = false;
    int got = 0;
    std::thread other;
    const auto count = [&](const Got& each) {
      elsewhere = elsewhere || std::this_thread::get_id() != here;
      if (each.ok() && each->value == "v") ++got;
      if (got == 100) event_base_loopbreak(base);
    };
    for (int i = 0; i < 100; ++i) {
      async
          .GetOrCompute("key",
                        [&](const Done& done) {
                          elsewhere = elsewhere || std::this_thread::get_id() != here;
                          other = std::thread([done] { done(Value("v")); });
                        })
          .Then(count);
    }
    CHECK(got == 0);
    event_base_dispatch(base);
    other.join();
    CHECK(got == 100);
    // A thread, and another process, compute for this loop.
    for (LookAside* const computes : {&pages, &theirs}) {
      const std::string key = computes == &pages ? "a" : "b";
      got = 99;
      std::thread thread([&] {
        (void)computes->GetOrCompute(key, [&]() -> Value {
          const int before = CountOfGets(*one.client);
          async.GetOrCompute(key, Never()).Then(count);
          while (CountOfGets(*one.client) == before) std::this_thread::yield();
          return "v";
        });
      });
      event_base_dispatch(base);
      thread.join();
      CHECK(got == 100);
    }
    CHECK_FALSE(elsewhere);
  }
  CHECK(event_base_loop(base, EVLOOP_NONBLOCK) == 1);
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

// A page is made of a row, which is another key.
Fire Render(AsyncClient& client, std::string row, Done done) {
  const auto read = co_await client.Get(row);
  if (!read.ok()) {
    done(read.status());
  } else if (read->has_value()) {
    done(Value("<" + **read + ">"));
  }  // else it is dropped
}

Fire Serve(AsyncClient& client, AsyncLookAside pages, std::string row, std::string expected,
           std::atomic<int>& computed, std::atomic<int>& right, std::atomic<int>& over) {
  // By its name, since GCC 12 frees twice what a lambda within a co_await expression owns.
  const auto compute = [&, row](Done done) {
    ++computed;
    Render(client, row, std::move(done));
  };
  const Got page = co_await pages.GetOrCompute("page:" + row, compute);
  if (page.ok() ? page->value == expected : expected.empty() && absl::IsAborted(page.status())) {
    ++right;
  }
  ++over;
}

}  // namespace

TEST_CASE("coroutines compute, and wait for each other", "[client][look]") {
  OneServer one;
  AsyncClient& client = one.client->Async();
  LookAside pages(one.client.get(), Patient());
  const AsyncLookAside async(&pages);
  REQUIRE(one.client->Set("row", "text").ok());
  std::atomic<int> computed{0};
  std::atomic<int> right{0};
  std::atomic<int> over{0};
  for (int i = 0; i < 500; ++i) Serve(client, async, "row", "<text>", computed, right, over);
  while (over < 500) std::this_thread::yield();
  CHECK(right == 500);
  CHECK(computed == 1);
  for (int i = 0; i < 20; ++i) Serve(client, async, "absent", "", computed, right, over);
  while (over < 520) std::this_thread::yield();
  CHECK(right == 520);
}

#endif

}  // namespace cairn
