// GetOrCompute without waiting: what it shares with the threads that wait, what it waits for by
// timers, and how it ends. That its options mean the same is what look_aside_test.cc is for: one
// state machine has them.
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

// Nothing here is to end because a machine is slow.
LookAsideOptions Patient() {
  LookAsideOptions options;
  options.lease = absl::Minutes(5);
  options.wait_max = absl::Minutes(2);
  return options;
}

AsyncLookAside::Compute Says(const std::string& value) {
  return [value](const Done& done) { done(Value(value)); };
}

AsyncLookAside::Compute Never() {
  return [](const Done& done) { done(absl::InternalError("computed without need")); };
}

LookAside::Compute NeverByThread() {
  return []() -> Value { return absl::InternalError("computed without need"); };
}

// The reads that the server has answered.
int CountOfGets(Client& client) {
  const auto stats = client.Stats(0).value();
  for (const auto& [name, value] : stats) {
    if (name == "cmd_get") return std::stoi(value);
  }
  return -1;
}

// A computation that a test completes when it wants to.
struct Held {
  AsyncLookAside::Compute Compute() {
    return [this](Done done) { begun.set_value(std::move(done)); };
  }
  Done Await() { return begun.get_future().get(); }
  std::promise<Done> begun;
};

// What a call came to, when that is not waited for where it is begun.
struct Later {
  explicit Later(AsyncResult<Got> call) {
    std::move(call).Then([this](Got got) { promise.set_value(std::move(got)); });
  }
  Got Await() { return promise.get_future().get(); }
  std::promise<Got> promise;
};

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

TEST_CASE("threads and event loops of a process compute once, cache server or not",
          "[client][look]") {
  const bool up = GENERATE(true, false);
  const bool loop_leads = GENERATE(true, false);
  OneServer one;
  if (!up) one.server.Kill();
  LookAside pages(one.client.get(), Patient());
  const AsyncLookAside async(&pages);
  constexpr int kThreads = 8;  // that wait; and as many that do not, but call so often:
  constexpr int kEach = 50;
  constexpr int kCallers = 1 + kThreads + kThreads * kEach;
  std::atomic<int> computed{0};
  std::promise<Done> begun;
  const AsyncLookAside::Compute compute = [&](Done done) {
    if (++computed > 1) return done(Value("v"));
    begun.set_value(std::move(done));
  };
  const LookAside::Compute compute_here = [&]() -> Value {
    std::promise<Value> value;
    compute(Done([&value](Value told) { value.set_value(std::move(told)); }));
    return value.get_future().get();
  };
  std::atomic<int> right{0};
  std::atomic<int> over{0};
  const auto count = [&](const Got& got) {
    if (got.ok() && got->value == "v" && got->cache.ok() == up) ++right;
    ++over;
  };
  const auto call = [&] { async.GetOrCompute("key", compute).Then(count); };
  const auto wait = [&] { count(pages.GetOrCompute("key", compute_here)); };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { loop_leads ? call() : wait(); });
  const Done done = begun.get_future().get();
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back(wait);
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) call();
    });
  }
  while (up ? CountOfGets(*one.client) < kCallers : pages.counters().not_reached < kCallers) {
    std::this_thread::yield();
  }
  done(Value("v"));
  while (over < kCallers) std::this_thread::yield();
  for (std::thread& thread : threads) thread.join();
  CHECK(right == kCallers);
  if (up) {
    CHECK(computed == 1);
    CHECK(pages.counters().computed == 1);
    CHECK(pages.counters().not_stored == 0);
  } else {
    // Counted as not reached, a caller is about to join; by then the flight may be over.
    CHECK(computed <= kCallers / 2);
  }
}

TEST_CASE("who waits for another process asks the cache now and then, by timers",
          "[client][look]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  const AsyncLookAside async(&mine);
  const AsyncLookAside their_async(&theirs);
  Held held;
  Later there(their_async.GetOrCompute("key", held.Compute()));
  const Done done = held.Await();
  // One of these leads, and asks for all.
  const int before = CountOfGets(*one.client);
  std::vector<std::unique_ptr<Later>> here;
  for (int i = 0; i < 20; ++i) {
    here.push_back(std::make_unique<Later>(async.GetOrCompute("key", Never())));
  }
  while (CountOfGets(*one.client) < before + 25) std::this_thread::yield();
  done(Value("v"));
  CHECK(there.Await().value().source == Source::kComputed);
  for (const auto& each : here) {
    const Fetched got = each->Await().value();
    CHECK(got.value == "v");
    CHECK(got.source == Source::kShared);
  }
  CHECK(mine.counters().shared == 20);
  CHECK(mine.counters().computed == 0);

  // What the other one gives up, one of these computes.
  Held again;
  Later failing(their_async.GetOrCompute("other", again.Compute()));
  const Done fails = again.Await();
  std::atomic<int> computed{0};
  const int then = CountOfGets(*one.client);
  here.clear();
  for (int i = 0; i < 20; ++i) {
    here.push_back(std::make_unique<Later>(async.GetOrCompute("other", [&](const Done& late) {
      ++computed;
      late(Value("w"));
    })));
  }
  while (CountOfGets(*one.client) < then + 25) std::this_thread::yield();
  fails(absl::InternalError("no database"));
  CHECK(absl::IsInternal(failing.Await().status()));
  for (const auto& each : here) CHECK(each->Await().value().value == "w");
  CHECK(computed == 1);
}

TEST_CASE("waiting without a thread ends, and is not busy", "[client][look]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  REQUIRE(one.client->GetWithLease("key", {.lease = absl::Minutes(10)}).value().won);
  LookAsideOptions options = Patient();
  options.wait_max = absl::Milliseconds(600);
  LookAside pages(one.client.get(), options);
  const AsyncLookAside async(&pages);
  const int before = CountOfGets(*one.client);
  CHECK(absl::IsDeadlineExceeded(Wait(async.GetOrCompute("key", Says("v"))).status()));
  CHECK(pages.counters().waits_ended == 1);
  // 2, 4, ... 100 ms, a quarter less at the least; with a lock three questions each time.
  const int asked = CountOfGets(*one.client) - before;
  CHECK(asked > 3);
  CHECK(asked <= 3 * 20);
  options.after_waiting = LookAsideOptions::AfterWaiting::kCompute;
  const Fetched alone = Wait(async.GetOrCompute("key", options, Says("v"))).value();
  CHECK(alone.source == Source::kComputed);
  CHECK(absl::IsDeadlineExceeded(alone.cache));
  options.wait_max = absl::ZeroDuration();
  CHECK(Wait(async.GetOrCompute("key", options, Says("v"))).value().value == "v");
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

TEST_CASE("those who ask for the same keys in any order compute each once, waiting or not",
          "[client][look]") {
  OneServer one;
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  constexpr int kKeys = 60;
  constexpr int kCalls = 200;
  std::vector<std::string> names;
  for (int i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  std::vector<std::atomic<int>> computed(kKeys);
  const auto make = [&](const auto& keys) {
    std::vector<std::optional<std::string>> values;
    for (const auto& key : keys) {
      ++computed[static_cast<size_t>(std::stoi(std::string(key.substr(1))))];
      values.emplace_back(std::string(key));
    }
    return values;
  };
  std::atomic<int> right{0};
  std::atomic<int> over{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kCalls; ++t) {
    LookAside* const pages = t % 3 == 0 ? &theirs : &mine;
    std::vector<std::string_view> keys;
    for (int i = 0; i < 30; ++i) {
      keys.push_back(names[static_cast<size_t>((t * 5 + (t % 2 == 0 ? i : 29 - i)) % kKeys)]);
    }
    const auto count = [&, keys](const std::vector<Got>& got) {
      for (size_t i = 0; i < keys.size(); ++i) {
        if (got[i].ok() && got[i]->value == keys[i]) ++right;
      }
      ++over;
    };
    if (t % 20 == 0) {
      threads.emplace_back([&, pages, keys, count] {
        count(pages->GetMultiOrCompute(keys, [&](auto missing) { return make(missing); }));
      });
      continue;
    }
    AsyncLookAside(pages)
        .GetMultiOrCompute(keys,
                           [&](const auto& missing, const DoneMulti& done) { done(make(missing)); })
        .Then(count);
  }
  while (over < kCalls) std::this_thread::yield();
  for (std::thread& thread : threads) thread.join();
  CHECK(right == kCalls * 30);
  for (const std::atomic<int>& times : computed) CHECK(times <= 1);
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
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "NF\r\nMN\r\n", absl::StatusCode::kAborted},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "HD\r\nMN\r\n", absl::StatusCode::kOk},
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
      conversation.Expect("mn");
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

TEST_CASE("calls that compute or wait end as cancelled with their loop", "[client][look]") {
  OneServer one;
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); });
  const auto hanging = std::move(Client::Make(PatientOptions(silent.server())).value());
  REQUIRE(one.client->GetWithLease("elsewhere", {.lease = absl::Minutes(10)}).value().won);
  auto pages = std::make_unique<LookAside>(one.client.get(), Patient());
  auto hung_pages = std::make_unique<LookAside>(hanging.get(), Patient());
  event_base* const base = event_base_new();
  int cancelled = 0;
  int over = 0;
  std::unique_ptr<Done> done;
  Got joined;
  std::thread joins;
  std::promise<void> land;
  std::thread leads;
  const auto count = [&](const Got& got) {
    if (absl::IsCancelled(got.status())) ++cancelled;
    ++over;
  };
  {
    AsyncClient loop(one.client.get(), base);
    AsyncClient hung_loop(hanging.get(), base);
    const AsyncLookAside async(pages.get(), &loop);
    // A thread's flight, a loop's, another process' lease, and a server that says nothing.
    std::promise<void> leading;
    leads = std::thread([&] {
      (void)pages->GetOrCompute("thread", [&]() -> Value {
        leading.set_value();
        land.get_future().get();
        return "v";
      });
    });
    leading.get_future().get();
    int before = CountOfGets(*one.client);
    async.GetOrCompute("thread", Never()).Then(count);
    async.GetOrCompute("mine", [&](Done mine) { done = std::make_unique<Done>(std::move(mine)); })
        .Then([&](const Got& got) {
          count(got);
          // What is begun now ends so, too.
          async.GetOrCompute("more", Never()).Then(count);
          async.GetMultiOrCompute({}, [](const auto&, const auto&) {}).Then([&](const auto& none) {
            CHECK(none.empty());
            ++over;
          });
        });
    async.GetOrCompute("elsewhere", Never()).Then(count);
    AsyncLookAside(hung_pages.get(), &hung_loop).GetOrCompute("key", Never()).Then(count);
    while (done == nullptr || CountOfGets(*one.client) < before + 5) {
      event_base_loop(base, EVLOOP_NONBLOCK);
    }
    before = CountOfGets(*one.client);
    joins = std::thread([&] { joined = pages->GetOrCompute("mine", NeverByThread()); });
    // Nothing is asked meanwhile but by that thread.
    while (CountOfGets(*one.client) == before) std::this_thread::yield();
    CHECK(over == 0);
  }
  CHECK(over == 6);
  CHECK(cancelled == 5);
  land.set_value();
  leads.join();
  // The one that waited for the loop's was told; or came later, and waits for the lease.
  REQUIRE(one.client->DeleteAndLease("mine").ok());
  joins.join();
  CHECK((absl::IsAborted(joined.status()) || absl::IsInternal(joined.status())));
  pages = nullptr;
  (*done)(Value("too late"));
  done = nullptr;
  CHECK(one.client->Get("mine").value().value_or("") != "too late");
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
