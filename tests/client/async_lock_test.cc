// Locks without waiting: that they are the ones of threads that wait, that one has them at a time,
// and how they end.
#include "cairn/async_lock.h"

#include <event2/event.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "cairn/client.h"
#include "cairn/lock.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/two_places.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;
using Held = absl::StatusOr<std::optional<AsyncHeldLock>>;

const LockOptions kPatient = {.ttl = absl::Minutes(5), .wait_max = absl::Minutes(2)};

// The stores that the server was asked for: each attempt is one.
int CountOfSets(Client& client) {
  const auto stats = client.Stats(0).value();
  for (const auto& [name, value] : stats) {
    if (name == "cmd_set") return std::stoi(value);
  }
  return -1;
}

}  // namespace

TEST_CASE("a lock without waiting has one owner, who alone gives it back", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Client* const client = one.client.get();
  AsyncClient* const async = &client->Async();
  auto mine = Wait(AsyncHeldLock::Acquire(async, "lock")).value();
  REQUIRE(mine.has_value());
  CHECK(client->Get("lock").value() == mine->owner());
  CHECK_FALSE(Wait(AsyncHeldLock::Acquire(async, "lock")).value().has_value());
  CHECK_FALSE(HeldLock::Acquire(client, "lock").value().has_value());
  CHECK(Wait(mine->Extend(absl::Minutes(5))).value());
  CHECK(Wait(mine->Release()).value());
  CHECK_FALSE(Wait(mine->Release()).value());
  CHECK_FALSE(Wait(mine->Extend(absl::Minutes(5))).value());
  {
    auto moved = Wait(AsyncHeldLock::Acquire(async, "lock")).value();
    REQUIRE(moved.has_value());
    const AsyncHeldLock scoped = *std::move(moved);
    CHECK_FALSE(HeldLock::Acquire(client, "lock").value().has_value());
  }
  // Given back at the scope's end, soon; and by being replaced.
  auto late = Wait(AsyncHeldLock::Acquire(async, "lock", kPatient)).value();
  REQUIRE(late.has_value());
  auto other = Wait(AsyncHeldLock::Acquire(async, "other")).value();
  REQUIRE(other.has_value());
  *other = *std::move(late);
  CHECK(HeldLock::Acquire(client, "other", kPatient).value().has_value());
  CHECK(client->Get("lock").value() == other->owner());
  // It was evicted, and a thread that waits has it now.
  REQUIRE(client->Delete("lock").value());
  auto theirs = HeldLock::Acquire(client, "lock").value();
  REQUIRE(theirs.has_value());
  CHECK_FALSE(Wait(other->Extend(absl::Minutes(5))).value());
  CHECK_FALSE(Wait(other->Release()).value());
  CHECK(client->Get("lock").value() == theirs->owner());
  CHECK(absl::IsInvalidArgument(Wait(AsyncHeldLock::Acquire(async, "bad key")).status()));
  auto kept = Wait(AsyncHeldLock::Acquire(async, "kept")).value();
  REQUIRE(kept.has_value());
  one.server.Kill();
  CHECK(absl::IsUnavailable(Wait(kept->Extend(absl::Minutes(5))).status()));
  CHECK(absl::IsUnavailable(Wait(kept->Release()).status()));
  CHECK(absl::IsUnavailable(Wait(AsyncHeldLock::Acquire(async, "lock", kPatient)).status()));
}

TEST_CASE("no lock without waiting has expired before it is held", "[client]") {
  const OneServer one;
  AsyncClient* const async = &one.client->Async();
  for (const absl::Duration ttl : {absl::ZeroDuration(), -absl::Seconds(1)}) {
    const auto none = Wait(AsyncHeldLock::Acquire(async, "lock", {.ttl = ttl}));
    CHECK(absl::IsInvalidArgument(none.status()));
  }
  auto lock = Wait(AsyncHeldLock::Acquire(async, "lock"));
  REQUIRE(lock.value().has_value());
  for (const absl::Duration ttl : {absl::ZeroDuration(), -absl::Seconds(1)}) {
    CHECK(absl::IsInvalidArgument(Wait((*lock)->Extend(ttl)).status()));
  }
  CHECK_FALSE(Wait(AsyncHeldLock::Acquire(async, "lock")).value().has_value());
  CHECK(Wait((*lock)->Release()).value());
}

TEST_CASE("a lock has no other place while its server is left alone", "[client]") {
  TwoPlaces places(GENERATE("cairnd", "memcached"), GENERATE(true, false), "lock:");
  if (places.patient == nullptr) return;
  Client* const owner = places.patient.get();
  const std::string key = places.key();
  const bool loop_has_it = GENERATE(true, false);
  std::optional<HeldLock> lock;
  std::optional<AsyncHeldLock> async_lock;
  if (loop_has_it) {
    async_lock = Wait(AsyncHeldLock::Acquire(&owner->Async(), key)).value();
  } else {
    lock = HeldLock::Acquire(owner, key, kPatient).value();
  }
  REQUIRE((lock.has_value() || async_lock.has_value()));
  {
    // Others see the server fail. None of them gets the lock, which its owner still has.
    const auto others = places.Impatient(absl::Hours(1));
    places.home.Stop();
    places.AwaitDetour(*others);
    CHECK(absl::IsUnavailable(HeldLock::Acquire(others.get(), key, kPatient).status()));
    CHECK(absl::IsUnavailable(
        Wait(AsyncHeldLock::Acquire(&others->Async(), key, kPatient)).status()));
  }
  places.home.Continue();
  CHECK(places.at_other->Get(key).value() == std::nullopt);
  if (loop_has_it) {
    CHECK(Wait(async_lock->Extend(absl::Minutes(5))).value());
    CHECK(Wait(async_lock->Release()).value());
  } else {
    CHECK(lock->Extend(absl::Minutes(5)).value());
    CHECK(lock->Release().value());
  }
}

TEST_CASE("an owner whose server is left alone can neither prolong nor give back", "[client]") {
  TwoPlaces places("cairnd", GENERATE(true, false), "lock:");
  const std::string key = places.key();
  ClientOptions options = places.options;
  options.max_fails = 1;
  options.fail_timeout = options.pause_max = absl::Hours(1);
  const auto owner = Client::Make(options).value();
  std::string other_key = key;
  do other_key += "x";
  while (owner->ServerOf(other_key) != 0);
  auto lock = HeldLock::Acquire(owner.get(), key).value();
  auto async_lock = Wait(AsyncHeldLock::Acquire(&owner->Async(), other_key)).value();
  REQUIRE(lock.has_value());
  REQUIRE(async_lock.has_value());
  places.home.Kill();
  places.AwaitDetour(*owner);
  // Not "it is not ours any more", which another server would say.
  CHECK(absl::IsUnavailable(lock->Extend(absl::Minutes(5)).status()));
  CHECK(absl::IsUnavailable(lock->Release().status()));
  CHECK(absl::IsUnavailable(Wait(async_lock->Extend(absl::Minutes(5))).status()));
  CHECK(absl::IsUnavailable(Wait(async_lock->Release()).status()));
  CHECK(places.at_other->Get(key).value() == std::nullopt);
  CHECK(places.at_other->Get(other_key).value() == std::nullopt);
}

TEST_CASE("a lock is waited for by timers, and not for ever", "[client]") {
  OneServer one;
  Client* const client = one.client.get();
  AsyncClient* const async = &client->Async();
  auto mine = HeldLock::Acquire(client, "lock", kPatient).value();
  REQUIRE(mine.has_value());
  LockOptions brief;
  brief.wait_max = absl::Milliseconds(30);
  int before = CountOfSets(*client);
  CHECK_FALSE(Wait(AsyncHeldLock::Acquire(async, "lock", brief)).value().has_value());
  // After 5, 10 and 15 ms; on a busy machine less often, but once at the end.
  CHECK(CountOfSets(*client) >= before + 2);
  CHECK(CountOfSets(*client) <= before + 4);
  std::promise<bool> got;
  before = CountOfSets(*client);
  AsyncHeldLock::Acquire(async, "lock", kPatient).Then([&](const Held& held) {
    got.set_value(held.ok() && held->has_value());
  });
  while (CountOfSets(*client) < before + 3) std::this_thread::yield();
  // Meanwhile the loop has time for others.
  CHECK(Wait(async->Get("lock")).value() == mine->owner());
  CHECK(mine->Release().value());
  CHECK(got.get_future().get());
}

TEST_CASE("threads and event loops hold a lock one at a time", "[client]") {
  OneServer one;
  AsyncClient* const async = &one.client->Async();
  std::atomic<int> inside{0};
  std::atomic<int> together{0};
  std::atomic<int> held{0};
  std::atomic<int> over{0};
  const auto hold = [&] {
    if (++inside != 1) ++together;
    ++held;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto lock = HeldLock::Acquire(one.client.get(), "lock", kPatient);
      if (!lock.ok() || !lock->has_value()) return;
      hold();
      std::this_thread::yield();
      --inside;
    });
  }
  for (int i = 0; i < 8; ++i) {
    AsyncHeldLock::Acquire(async, "lock", kPatient).Then([&](Held got) {
      if (!got.ok() || !got->has_value()) {
        ++over;
        return;
      }
      hold();
      const auto lock = std::make_shared<AsyncHeldLock>(**std::move(got));
      // Held across another call.
      async->Get("anything").Then([&, lock](const auto&) {
        --inside;
        lock->Release().Then([&](const absl::StatusOr<bool>& released) {
          if (released.value()) ++over;
        });
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (over < 8) std::this_thread::yield();
  CHECK(held == 12);
  CHECK(together == 0);
}

TEST_CASE("who waits for a lock is cancelled with the loop, and leaves it alone", "[client]") {
  OneServer one;
  Client* const client = one.client.get();
  auto theirs = HeldLock::Acquire(client, "lock", kPatient).value();
  REQUIRE(theirs.has_value());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  int cancelled = 0;
  std::optional<AsyncHeldLock> mine;
  {
    AsyncClient loop(client, base);
    AsyncHeldLock::Acquire(&loop, "mine").Then([&](Held got) { mine = *std::move(got); });
    const int before = CountOfSets(*client);
    AsyncHeldLock::Acquire(&loop, "lock", kPatient).Then([&](const Held& got) {
      if (absl::IsCancelled(got.status())) ++cancelled;
      // What is begun now ends so, too.
      AsyncHeldLock::Acquire(&loop, "lock", kPatient).Then([&](const Held& again) {
        if (absl::IsCancelled(again.status())) ++cancelled;
      });
    });
    while (!mine.has_value() || CountOfSets(*client) < before + 4) {
      event_base_loop(base, EVLOOP_NONBLOCK);
    }
    CHECK(cancelled == 0);
    mine->Release().Then([&](const absl::StatusOr<bool>& released) {
      if (absl::IsCancelled(released.status())) ++cancelled;
    });
  }
  CHECK(cancelled == 3);
  CHECK(theirs->Release().value());
  CHECK(client->Get("lock").value() == std::nullopt);
  mine = std::nullopt;  // holds nothing any more, hence needs no loop
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire CountUnderLock(AsyncClient& async, int times, int& over) {
  for (int i = 0; i < times; ++i) {
    const Held lock = co_await AsyncHeldLock::Acquire(&async, "lock", kPatient);
    if (!lock.ok() || !lock->has_value()) continue;
    // Reads and writes without a condition: but for the lock some of it would be lost.
    const auto read = co_await async.Get("count");
    const std::string next = std::to_string(std::stoi(read.value().value_or("0")) + 1);
    (void)co_await async.Set("count", next);
  }
  ++over;
}

}  // namespace

TEST_CASE("coroutines take turns with a lock on the caller's event loop", "[client]") {
  OneServer one;
  event_base* const base = event_base_new();
  {
    AsyncClient loop(one.client.get(), base);
    int over = 0;
    for (int i = 0; i < 4; ++i) CountUnderLock(loop, 5, over);
    while (over < 4) event_base_loop(base, EVLOOP_ONCE);
    CHECK(one.client->Get("count").value() == "20");
  }
  event_base_free(base);
}

#endif

}  // namespace cairn
