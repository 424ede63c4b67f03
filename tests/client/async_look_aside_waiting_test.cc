// GetOrCompute without waiting, when somebody else computes: threads that wait, other callers on
// loops, other processes; and how those end that wait for them.
#include <event2/event.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async_look_aside.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/async_look_aside.h"
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

}  // namespace cairn
