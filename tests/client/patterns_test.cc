// Writes beside a database, counters, locks and sessions.
#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cairn/counter.h"
#include "cairn/lock.h"
#include "cairn/look_aside.h"
#include "cairn/session.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;

LookAside::Compute Says(const std::string& value) {
  return [value]() -> LookAside::Value { return value; };
}

absl::Status Succeeds() { return absl::OkStatus(); }

}  // namespace

TEST_CASE("a write deletes what the cache has of it, and what is being computed", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  LookAside pages(one.client.get());
  std::string database = "old";
  const LookAside::Compute read = [&]() -> LookAside::Value { return database; };
  REQUIRE(pages.GetOrCompute("a", read).ok());
  const std::vector<std::string_view> keys = {"a", "absent", "b"};
  // A computation of b has read the database before the write and stores after it.
  const Fetched before = pages
                             .GetOrCompute("b",
                                           [&]() -> LookAside::Value {
                                             const std::string was = database;
                                             const Written written = pages.DeleteOnWrite(keys, [&] {
                                               database = "new";
                                               return absl::OkStatus();
                                             });
                                             CHECK(written.write.ok());
                                             CHECK(written.cache.ok());
                                             return was;
                                           })
                             .value();
  CHECK(before.value == "old");
  CHECK(absl::IsAborted(before.cache));
  CHECK(pages.GetOrCompute("a", read).value().value == "new");
  CHECK(pages.GetOrCompute("b", read).value().value == "new");
  // A write that failed, or threw, may have been carried out.
  const Written failed = pages.DeleteOnWrite(keys, [] { return absl::UnknownError("lost"); });
  CHECK(failed.write == absl::UnknownError("lost"));
  CHECK_FALSE(pages.Peek("a").value().has_value());
  REQUIRE(pages.GetOrCompute("a", read).ok());
  CHECK_THROWS_AS(pages.DeleteOnWrite(keys, []() -> absl::Status { throw 1; }), int);
  CHECK_FALSE(pages.Peek("a").value().has_value());
  one.server.Kill();
  const Written down = pages.DeleteOnWrite(keys, Succeeds);
  CHECK(down.write.ok());
  CHECK(absl::IsUnavailable(down.cache));
}

TEST_CASE("a write may leave a stale value to be served meanwhile", "[client]") {
  OneServer one;
  LookAside pages(one.client.get());
  REQUIRE(pages.GetOrCompute("a", Says("old")).ok());
  const std::string_view keys[] = {"a"};
  CHECK(pages.DeleteOnWrite(keys, Succeeds, absl::Minutes(1)).cache.ok());
  const LeasedItem item = one.client->GetWithLease("a").value();
  CHECK(item.stale);
  CHECK(item.value == "old");
}

TEST_CASE("write-through stores what was written", "[client]") {
  OneServer one;
  LookAside pages(one.client.get());
  CHECK(pages.WriteThrough("key", "1", Succeeds).cache.ok());
  CHECK(pages.Peek("key").value()->value == "1");
  CHECK(pages.WriteThrough("key", "2", Succeeds).cache.ok());
  CHECK(pages.Peek("key").value()->value == "2");
  // What was not written, or perhaps, is not stored; and what was there may not be true any more.
  const Written failed = pages.WriteThrough("key", "3", [] { return absl::UnknownError("lost"); });
  CHECK(failed.write == absl::UnknownError("lost"));
  CHECK(failed.cache.ok());
  CHECK_FALSE(pages.Peek("key").value().has_value());
  one.server.Kill();
  CHECK(absl::IsUnavailable(pages.WriteThrough("key", "4", Succeeds).cache));
}

TEST_CASE("without the meta protocol write-through stores only over what is there", "[client]") {
  OneServer one(Protocol::kText);
  LookAside pages(one.client.get());
  CHECK(pages.WriteThrough("key", "1", Succeeds).cache.ok());
  CHECK_FALSE(pages.Peek("key").value().has_value());
  CHECK(pages.GetOrCompute("key", Says("2"))->value == "2");
  CHECK(pages.WriteThrough("key", "3", Succeeds).cache.ok());
  CHECK(pages.Peek("key").value()->value == "3");
}

TEST_CASE("write-through never leaves what is older than the database", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  const bool there = GENERATE(true, false);
  OneServer one(protocol);
  LookAside mine(one.client.get());
  LookAside theirs(one.client.get());
  if (there) REQUIRE(one.client->Set("key", "0").ok());
  // Another write in the midst of this one: which is the later, nobody knows.
  const Written outer = mine.WriteThrough("key", "1", [&] {
    CHECK(theirs.WriteThrough("key", "2", Succeeds).cache.ok());
    return absl::OkStatus();
  });
  CHECK(outer.cache.ok());
  CHECK_FALSE(mine.Peek("key").value().has_value());
  // A reader that has read the database before the write and stores after it.
  one.client->Delete("key").IgnoreError();
  const Fetched reader =
      theirs
          .GetOrCompute("key",
                        [&]() -> LookAside::Value {
                          CHECK(mine.WriteThrough("key", "new", Succeeds).cache.ok());
                          return "old";
                        })
          .value();
  CHECK(reader.value == "old");
  const auto left = mine.Peek("key").value();
  if (left.has_value()) CHECK(left->value == "new");
}

TEST_CASE("a counter is there as soon as it is counted", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Counter views(one.client.get(), "views");
  CHECK(views.Get().value() == std::nullopt);
  CHECK(views.Add().value() == 1);
  CHECK(views.Add(9).value() == 10);
  CHECK(views.Subtract(1).value() == 9);
  CHECK(views.Get().value() == 9u);
  CHECK(views.Reset().ok());
  CHECK(views.Reset().ok());
  CHECK(views.Get().value() == std::nullopt);
  Counter left(one.client.get(), "left", {.initial = 100, .ttl = absl::Minutes(1)});
  CHECK(left.Subtract(1).value() == 99);
  CHECK(left.Subtract(200).value() == 0);
  REQUIRE(one.client->Set("word", "abc").ok());
  Counter word(one.client.get(), "word");
  CHECK(absl::IsInvalidArgument(word.Add().status()));
  CHECK(absl::IsInvalidArgument(word.Get().status()));
  // Nothing is lost, whoever comes first.
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) views.Add().IgnoreError();
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(views.Get().value() == 400u);
  one.server.Kill();
  CHECK(absl::IsUnavailable(views.Add().status()));
}

TEST_CASE("a counter ends after its time, however often it is counted", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Counter hits(one.client.get(), "hits", {.ttl = absl::Seconds(1)});
  uint64_t last = hits.Add().value();
  for (;;) {
    const uint64_t next = hits.Add().value();
    if (next <= last) break;
    last = next;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  CHECK(hits.Get().value().has_value());
}

TEST_CASE("a lock has one owner, who alone gives it back", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Client* const client = one.client.get();
  auto mine = HeldLock::Acquire(client, "lock").value();
  REQUIRE(mine.has_value());
  CHECK_FALSE(HeldLock::Acquire(client, "lock").value().has_value());
  CHECK(mine->Extend(absl::Minutes(5)).value());
  CHECK(mine->Release().value());
  CHECK_FALSE(mine->Release().value());
  {
    auto moved = HeldLock::Acquire(client, "lock").value();
    REQUIRE(moved.has_value());
    const HeldLock scoped = *std::move(moved);
    CHECK_FALSE(HeldLock::Acquire(client, "lock").value().has_value());
  }
  auto late = HeldLock::Acquire(client, "lock").value();
  REQUIRE(late.has_value());
  // It was evicted, and another process has it now.
  REQUIRE(client->Delete("lock").value());
  auto theirs = HeldLock::Acquire(client, "lock").value();
  REQUIRE(theirs.has_value());
  CHECK(theirs->owner() != late->owner());
  CHECK_FALSE(late->Extend(absl::Minutes(5)).value());
  CHECK_FALSE(late->Release().value());
  CHECK(client->Get("lock").value() == theirs->owner());
  one.server.Kill();
  CHECK(absl::IsUnavailable(theirs->Release().status()));
  CHECK(absl::IsUnavailable(HeldLock::Acquire(client, "lock").status()));
}

TEST_CASE("no lock has expired before it is held", "[client]") {
  const OneServer one;
  Client* const client = one.client.get();
  for (const absl::Duration ttl : {absl::ZeroDuration(), -absl::Seconds(1)}) {
    const auto none = HeldLock::Acquire(client, "lock", {.ttl = ttl, .wait_max = absl::Hours(1)});
    CHECK(absl::IsInvalidArgument(none.status()));
  }
  auto lock = HeldLock::Acquire(client, "lock");
  REQUIRE(lock.value().has_value());
  for (const absl::Duration ttl : {absl::ZeroDuration(), -absl::Seconds(1)}) {
    CHECK(absl::IsInvalidArgument((*lock)->Extend(ttl).status()));
  }
  CHECK_FALSE(HeldLock::Acquire(client, "lock").value().has_value());
  CHECK((*lock)->Release().value());
}

TEST_CASE("a lock can be waited for", "[client]") {
  OneServer one;
  Client* const client = one.client.get();
  auto mine = HeldLock::Acquire(client, "lock").value();
  REQUIRE(mine.has_value());
  CHECK_FALSE(
      HeldLock::Acquire(client, "lock", {.wait_max = absl::Milliseconds(30)}).value().has_value());
  bool got = false;
  std::thread waiting([&] {
    const auto lock = HeldLock::Acquire(client, "lock", {.wait_max = absl::Minutes(1)});
    got = lock.ok() && lock->has_value();
  });
  CHECK(mine->Release().value());
  waiting.join();
  CHECK(got);
  // An owner who died keeps it until its time is up.
  REQUIRE(client->Set("lock", "somebody", {.ttl = absl::Seconds(1)}).ok());
  CHECK(HeldLock::Acquire(client, "lock", {.wait_max = absl::Minutes(1)}).value().has_value());
}

TEST_CASE("many threads hold a lock one at a time", "[client]") {
  OneServer one;
  std::atomic<int> inside{0};
  std::atomic<int> together{0};
  std::atomic<int> held{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 5; ++n) {
        const auto lock = HeldLock::Acquire(
            one.client.get(), "lock", {.ttl = absl::Minutes(5), .wait_max = absl::Minutes(2)});
        if (!lock.ok() || !lock->has_value()) continue;
        if (++inside != 1) ++together;
        ++held;
        std::this_thread::yield();
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(held == 40);
  CHECK(together == 0);
}

TEST_CASE("a session lives as long as it is used", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  Sessions sessions(one.client.get());
  const std::string id = sessions.Create("{}").value();
  CHECK(id.size() == 32);
  CHECK(sessions.Create("{}").value() != id);
  const auto session = sessions.Load(id).value();
  REQUIRE(session.has_value());
  CHECK(session->data == "{}");
  CHECK(sessions.Save(id, "{1}", session->cas).value() == CasOutcome::kStored);
  CHECK(sessions.Save(id, "{2}", session->cas).value() == CasOutcome::kChanged);
  CHECK(sessions.Load(id).value()->data == "{1}");
  CHECK(sessions.Update(id, [](std::string_view data) { return std::string(data) + "!"; }).value());
  CHECK(sessions.Load(id).value()->data == "{1}!");
  // What comes from a visitor is no key until it looks like one.
  for (const std::string& bad : {std::string(), std::string("x\r\nflush_all"), std::string(32, 'g'),
                                 id + "0", std::string(32, 'A')}) {
    CHECK(sessions.Load(bad).value() == std::nullopt);
    CHECK(sessions.Save(bad, "x", 1).value() == CasOutcome::kNotFound);
    CHECK_FALSE(sessions.Destroy(bad).value());
  }
  CHECK(sessions.Destroy(id).value());
  CHECK_FALSE(sessions.Destroy(id).value());
  CHECK(sessions.Load(id).value() == std::nullopt);
  CHECK_FALSE(sessions.Update(id, [](std::string_view) { return std::string(); }).value());
  // Loading one prolongs it: from a second to an hour.
  Sessions brief(one.client.get(), {.ttl = absl::Seconds(1)});
  const std::string kept = brief.Create("kept").value();
  const std::string lost = brief.Create("lost").value();
  Sessions lasting(one.client.get(), {.ttl = absl::Hours(1)});
  REQUIRE(lasting.Load(kept).value().has_value());
  while (one.client->Get("session:" + lost).value().has_value()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(lasting.Load(kept).value().has_value());
  CHECK(lasting.Load(lost).value() == std::nullopt);
}

TEST_CASE("no change of a session is lost among many", "[client]") {
  OneServer one;
  Sessions sessions(one.client.get());
  const std::string id = sessions.Create("").value();
  std::atomic<int> updated{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 20; ++n) {
        const auto done =
            sessions.Update(id, [](std::string_view data) { return std::string(data) + "x"; });
        if (done.ok() && *done) ++updated;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(updated > 0);
  CHECK(sessions.Load(id).value()->data.size() == static_cast<size_t>(updated));
}

}  // namespace cairn
