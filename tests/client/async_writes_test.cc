// Writes beside a database without waiting: that what they leave in the cache is never older than
// the database, and how they end.
#include <event2/event.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async_look_aside.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;
using DoneWrite = AsyncLookAside::DoneWrite;

void Succeeds(const DoneWrite& done) { done(absl::OkStatus()); }
void Fails(const DoneWrite& done) { done(absl::UnknownError("lost")); }
void Throws(const DoneWrite&) { throw std::runtime_error("of the application"); }
void Drops(const DoneWrite&) {}

LookAside::Compute Says(const std::string& value) {
  return [value]() -> LookAside::Value { return value; };
}

}  // namespace

TEST_CASE("a write without waiting deletes what the cache has of it, and what is being computed",
          "[client][look]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  LookAside pages(one.client.get());
  const AsyncLookAside async(&pages);
  std::string database = "old";
  const LookAside::Compute read = [&]() -> LookAside::Value { return database; };
  REQUIRE(pages.GetOrCompute("a", read).ok());
  const std::vector<std::string_view> keys = {"a", "absent", "b"};
  // A computation of b has read the database before the write and stores after it.
  const auto computes_late = [&]() -> LookAside::Value {
    const std::string was = database;
    const Written written = Wait(async.DeleteOnWrite(keys, [&](const DoneWrite& done) {
      database = "new";
      done(absl::OkStatus());
    }));
    CHECK(written.write.ok());
    CHECK(written.cache.ok());
    return was;
  };
  const Fetched before = pages.GetOrCompute("b", computes_late).value();
  CHECK(before.value == "old");
  CHECK(absl::IsAborted(before.cache));
  CHECK(pages.GetOrCompute("a", read).value().value == "new");
  CHECK(pages.GetOrCompute("b", read).value().value == "new");
  // A write that failed, threw or was forgotten may have been carried out.
  for (const auto& write : {Fails, Throws, Drops}) {
    REQUIRE(pages.GetOrCompute("a", read).ok());
    const Written failed = Wait(async.DeleteOnWrite(keys, write));
    CHECK(failed.write.code() ==
          (write == Fails ? absl::StatusCode::kUnknown : absl::StatusCode::kAborted));
    CHECK(failed.cache.ok());
    CHECK_FALSE(pages.Peek("a").value().has_value());
  }
  { const auto dropped = async.DeleteOnWrite(keys, Throws); }  // was never begun
  one.server.Kill();
  const Written down = Wait(async.DeleteOnWrite(keys, Succeeds));
  CHECK(down.write.ok());
  CHECK(absl::IsUnavailable(down.cache));
}

TEST_CASE("a write without waiting may leave a stale value to be served meanwhile",
          "[client][look]") {
  OneServer one;
  LookAside pages(one.client.get());
  REQUIRE(pages.GetOrCompute("a", Says("old")).ok());
  const std::string_view keys[] = {"a"};
  CHECK(Wait(AsyncLookAside(&pages).DeleteOnWrite(keys, Succeeds, absl::Minutes(1))).cache.ok());
  const LeasedItem item = one.client->GetWithLease("a").value();
  CHECK(item.stale);
  CHECK(item.value == "old");
}

TEST_CASE("write-through without waiting stores what was written", "[client][look]") {
  OneServer one;
  LookAside pages(one.client.get());
  const AsyncLookAside async(&pages);
  CHECK(Wait(async.WriteThrough("key", "1", Succeeds)).cache.ok());
  CHECK(pages.Peek("key").value()->value == "1");
  CHECK(Wait(async.WriteThrough("key", "2", Succeeds)).cache.ok());
  CHECK(pages.Peek("key").value()->value == "2");
  // What was not written, or perhaps, is not stored; and what was there may not be true any more.
  for (const auto& write : {Fails, Throws, Drops}) {
    REQUIRE(one.client->Set("key", "2").ok());
    const Written failed = Wait(async.WriteThrough("key", "3", write));
    CHECK_FALSE(failed.write.ok());
    CHECK(failed.cache.ok());
    CHECK_FALSE(pages.Peek("key").value().has_value());
  }
  one.server.Kill();
  const Written down = Wait(async.WriteThrough("key", "4", Succeeds));
  CHECK(down.write.ok());
  CHECK(absl::IsUnavailable(down.cache));
}

TEST_CASE("write-through without waiting never leaves what is older than the database",
          "[client][look]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  const bool there = GENERATE(true, false);
  OneServer one(protocol);
  LookAside mine(one.client.get());
  LookAside theirs(one.client.get());
  const AsyncLookAside async(&mine);
  if (there) REQUIRE(one.client->Set("key", "0").ok());
  // Another write in the midst of this one: which is the later, nobody knows.
  std::promise<DoneWrite> begun;
  std::promise<Written> written;
  async.WriteThrough("key", "1", [&](DoneWrite done) { begun.set_value(std::move(done)); })
      .Then([&](Written outcome) { written.set_value(std::move(outcome)); });
  const DoneWrite done = begun.get_future().get();
  CHECK(theirs.WriteThrough("key", "2", [] { return absl::OkStatus(); }).cache.ok());
  done(absl::OkStatus());
  CHECK(written.get_future().get().cache.ok());
  CHECK_FALSE(mine.Peek("key").value().has_value());
  // A reader that has read the database before the write and stores after it.
  one.client->Delete("key").IgnoreError();
  const auto reads_before = [&]() -> LookAside::Value {
    CHECK(Wait(async.WriteThrough("key", "new", Succeeds)).cache.ok());
    return "old";
  };
  CHECK(theirs.GetOrCompute("key", reads_before).value().value == "old");
  const auto left = mine.Peek("key").value();
  if (left.has_value()) CHECK(left->value == "new");
}

TEST_CASE("writes end as cancelled with their loop", "[client][look]") {
  OneServer one;
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); });
  const auto hanging = std::move(Client::Make(PatientOptions(silent.server())).value());
  LookAside pages(one.client.get());
  LookAside hung_pages(hanging.get());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  std::vector<DoneWrite> begun;
  int over = 0;
  const auto cancelled = [&](const Written& written) {
    CHECK(absl::IsCancelled(written.write));
    CHECK(absl::IsCancelled(written.cache));
    ++over;
  };
  const auto hold = [&](DoneWrite done) { begun.push_back(std::move(done)); };
  REQUIRE(one.client->Set("a", "1").ok());
  {
    AsyncClient loop(one.client.get(), base);
    AsyncClient hung_loop(hanging.get(), base);
    const AsyncLookAside async(&pages, &loop);
    const AsyncLookAside hung(&hung_pages, &hung_loop);
    const std::string_view keys[] = {"a"};
    async.DeleteOnWrite(keys, hold).Then(cancelled);
    async.WriteThrough("b", "2", hold).Then([&](const Written& written) {
      cancelled(written);
      async.DeleteOnWrite(keys, hold).Then(cancelled);  // is not even begun
    });
    // Written, but the cache does not answer; and before it is written.
    hung.DeleteOnWrite(keys, Succeeds).Then([&](const Written& written) {
      CHECK(written.write.ok());
      CHECK(absl::IsCancelled(written.cache));
      ++over;
    });
    hung.WriteThrough("b", "2", hold).Then(cancelled);
    while (begun.size() < 2 || silent.connections() == 0) event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK(over == 0);
  }
  CHECK(over == 5);
  CHECK(begun.size() == 2);
  for (const DoneWrite& done : begun) done(absl::OkStatus());
  begun.clear();
  CHECK(one.client->Get("a").value() == "1");
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire WriteNumbers(AsyncLookAside async, std::string key, int& right, int& over) {
  for (int i = 0; i < 5; ++i) {
    const std::string value = std::to_string(i);
    const AsyncLookAside::Write write = Succeeds;
    const Written written = co_await async.WriteThrough(key, value, write);
    const std::vector<std::string_view> keys = {key};
    const Written deleted = co_await async.DeleteOnWrite(keys, write);
    if (written.write.ok() && written.cache.ok() && deleted.cache.ok()) ++right;
  }
  ++over;
}

}  // namespace

TEST_CASE("coroutines write on the caller's event loop", "[client][look]") {
  OneServer one;
  LookAside pages(one.client.get());
  event_base* const base = event_base_new();
  {
    AsyncClient loop(one.client.get(), base);
    int right = 0;
    int over = 0;
    for (int i = 0; i < 50; ++i) {
      WriteNumbers(AsyncLookAside(&pages, &loop), "key:" + std::to_string(i), right, over);
    }
    while (over < 50) event_base_loop(base, EVLOOP_ONCE);
    CHECK(right == 250);
  }
  event_base_free(base);
}

#endif

}  // namespace cairn
