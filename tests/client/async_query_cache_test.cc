// Answers of a database without waiting: what they share with the threads that wait, and how calls
// end.
#include "cairn/async_query_cache.h"

#include <event2/event.h>

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "cairn/query_cache.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Done = AsyncQueryCache::Done;
using Rows = absl::StatusOr<SqlRows>;

LookAsideOptions Patient() {
  LookAsideOptions options;
  options.lease = absl::Minutes(5);
  options.wait_max = absl::Minutes(2);
  return options;
}

QueryCache::Options AskAlways() {
  QueryCache::Options options;
  options.refresh = absl::ZeroDuration();
  return options;
}

SqlRows RowsWith(int64_t number) { return {{"n"}, {{number}}}; }

int64_t NumberIn(const Rows& rows) { return std::get<int64_t>(rows.value().rows.at(0).at(0)); }

}  // namespace

TEST_CASE("an answer of a database is cached until a table changes, without waiting", "[client]") {
  OneServer one;
  LookAside look_aside(one.client.get(), Patient());
  QueryCache queries(one.client.get(), &look_aside, AskAlways());
  QueryCache elsewhere(one.client.get(), &look_aside, AskAlways());
  const AsyncQueryCache async(&queries);
  int runs = 0;
  const AsyncQueryCache::Run run = [&](const Done& done) { done(RowsWith(++runs)); };
  const std::vector<SqlValue> parameters = {int64_t{42}};
  const std::vector<std::string_view> tables = {"articles", "user names"};
  const SqlQuery query = {"select n from articles where id = ?", parameters, tables};
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 1);
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 1);
  const auto never = []() -> Rows { return absl::InternalError("asked without need"); };
  CHECK(NumberIn(elsewhere.GetOrRun(query, never)) == 1);
  CHECK(Wait(async.Invalidate("other")).ok());
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 1);
  CHECK(Wait(AsyncQueryCache(&elsewhere).Invalidate("user names")).ok());
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 2);
  // What the query views need not last.
  auto prepared = [&] {
    const std::string statement = "select n from articles where id = ?";
    const std::vector<std::string> names = {"articles", "user names"};
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::vector<SqlValue> values = {int64_t{42}};
    return async.GetOrRun({statement, values, views}, run);
  }();
  CHECK(NumberIn(Wait(std::move(prepared))) == 2);
  // A write between a query and its answer's way to the cache.
  CHECK(Wait(async.Invalidate("articles")).ok());
  const AsyncQueryCache::Run overtaken = [&](const Done& done) {
    AsyncQueryCache(&elsewhere).Invalidate("articles").Then([&, done](const absl::Status& status) {
      CHECK(status.ok());
      run(done);
    });
  };
  CHECK(NumberIn(Wait(async.GetOrRun(query, overtaken))) == 3);
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 4);
  const SqlQuery other = {"other", {}, {}};
  const auto fails = [](const Done& done) { done(absl::AbortedError("busy")); };
  CHECK(Wait(async.GetOrRun(other, fails)).status() == absl::AbortedError("busy"));
  CHECK(absl::IsAborted(Wait(async.GetOrRun(other, [](const Done&) {})).status()));
  // Without a cache the database is asked, however that ends.
  one.server.Kill();
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 5);
  CHECK(Wait(async.GetOrRun(query, fails)).status() == absl::AbortedError("busy"));
  const auto throws = [](const Done&) { throw std::runtime_error("of the application"); };
  CHECK(absl::IsAborted(Wait(async.GetOrRun(query, throws)).status()));
  CHECK(absl::IsUnavailable(Wait(async.Invalidate("articles"))));
}

TEST_CASE("what is not rows is asked for again, without waiting", "[client]") {
  OneServer one;
  LookAside look_aside(one.client.get(), Patient());
  QueryCache queries(one.client.get(), &look_aside);
  const AsyncQueryCache async(&queries);
  int runs = 0;
  const AsyncQueryCache::Run run = [&](const Done& done) { done(RowsWith(++runs)); };
  const SqlQuery query = {"select 1", {}, {}};
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 1);
  const std::string key = "sql:" + QueryHash(std::string("\1\0\0\0001", 5), "select 1", {});
  REQUIRE(one.client->Replace(key, "rubbish").value());
  CHECK(NumberIn(Wait(async.GetOrRun(query, run))) == 2);
  CHECK(one.client->Get(key).value() == std::nullopt);
}

TEST_CASE("of threads and event loops that ask the same one asks the database", "[client]") {
  OneServer one;
  LookAside look_aside(one.client.get(), Patient());
  QueryCache queries(one.client.get(), &look_aside);
  const AsyncQueryCache async(&queries);
  constexpr int kCalls = 50;
  const std::string_view tables[] = {"articles"};
  const SqlQuery query = {"select n from articles", {}, tables};
  std::atomic<int> runs{0};
  std::atomic<int> right{0};
  std::atomic<int> over{0};
  const auto count = [&](const Rows& rows) {
    if (rows.ok() && NumberIn(rows) == 1) ++right;
    ++over;
  };
  std::promise<Done> begun;
  async
      .GetOrRun(query,
                [&](Done done) {
                  ++runs;
                  begun.set_value(std::move(done));
                })
      .Then(count);
  const Done done = begun.get_future().get();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back(
        [&] { count(queries.GetOrRun(query, [&]() -> Rows { return RowsWith(++runs); })); });
  }
  for (int i = 0; i < kCalls; ++i) {
    async.GetOrRun(query, [&](const Done& mine) { mine(RowsWith(++runs)); }).Then(count);
  }
  done(RowsWith(1));
  for (std::thread& thread : threads) thread.join();
  while (over < kCalls + 5) std::this_thread::yield();
  CHECK(right == kCalls + 5);
  CHECK(runs == 1);
}

TEST_CASE("queries end as cancelled with their loop", "[client]") {
  OneServer one;
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); });
  const auto hanging = std::move(Client::Make(PatientOptions(silent.server())).value());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  std::vector<Done> begun;
  int cancelled = 0;
  const auto count = [&](const Rows& rows) {
    if (absl::IsCancelled(rows.status())) ++cancelled;
  };
  const AsyncQueryCache::Run hold = [&](Done done) { begun.push_back(std::move(done)); };
  const std::string_view tables[] = {"articles"};
  {
    AsyncClient loop(one.client.get(), base);
    AsyncClient hung_loop(hanging.get(), base);
    {
      LookAside look_aside(one.client.get(), Patient());
      QueryCache queries(one.client.get(), &look_aside);
      LookAside hung_look_aside(hanging.get(), Patient());
      QueryCache hung(hanging.get(), &hung_look_aside);
      // The database does not answer; nor does the server that knows a table's generation.
      AsyncQueryCache(&queries, &loop).GetOrRun({"select 1", {}, tables}, hold).Then(count);
      AsyncQueryCache(&hung, &hung_loop).GetOrRun({"select 1", {}, tables}, hold).Then(count);
    }  // which calls under way do not need
    while (begun.empty() || silent.connections() == 0) event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK(cancelled == 0);
  }
  CHECK(cancelled == 2);
  CHECK(begun.size() == 1);
  begun[0](RowsWith(1));
  begun.clear();
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

// The database of these is the cache.
Fire ReadNumber(AsyncClient& client, Done done) {
  const auto number = co_await client.Increment("runs");
  if (number.ok() && number->has_value()) done(RowsWith(static_cast<int64_t>(**number)));
}

Fire Query(AsyncClient& client, AsyncQueryCache queries, int& right, int& over) {
  const std::vector<std::string_view> tables = {"articles"};
  const SqlQuery query = {"select n from articles", {}, tables};
  const AsyncQueryCache::Run run = [&client](Done done) { ReadNumber(client, std::move(done)); };
  const Rows rows = co_await queries.GetOrRun(query, run);
  if (rows.ok() && NumberIn(rows) == 1) ++right;
  ++over;
}

}  // namespace

TEST_CASE("coroutines query on the caller's event loop", "[client]") {
  OneServer one;
  REQUIRE(one.client->Set("runs", "0").ok());
  event_base* const base = event_base_new();
  {
    AsyncClient loop(one.client.get(), base);
    LookAside look_aside(one.client.get(), Patient());
    QueryCache queries(one.client.get(), &look_aside);
    int right = 0;
    int over = 0;
    for (int i = 0; i < 50; ++i) Query(loop, AsyncQueryCache(&queries, &loop), right, over);
    while (over < 50) event_base_loop(base, EVLOOP_ONCE);
    CHECK(right == 50);
    CHECK(one.client->Get("runs").value() == "1");
  }
  event_base_free(base);
}

#endif

}  // namespace cairn
