// Filling a cache before it is asked; and SQL results.
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cairn/query_cache.h"
#include "cairn/warm_up.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;
using Values = absl::StatusOr<std::vector<std::optional<std::string>>>;

std::vector<std::string> Names(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back("key:" + std::to_string(i));
  return names;
}

Values Echo(std::span<const std::string_view> keys) {
  std::vector<std::optional<std::string>> values;
  for (const std::string_view key : keys) values.emplace_back(std::string(key));
  return values;
}

}  // namespace

TEST_CASE("a cache is filled before it is asked", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  LookAside pages(one.client.get());
  const std::vector<std::string> names = Names(250);
  const std::vector<std::string_view> keys(names.begin(), names.end());
  REQUIRE(one.client->Set("key:3", "there").ok());
  REQUIRE(one.client->GetWithLease("key:4").value().won);
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  const LookAside::ComputeMulti load = [&](std::span<const std::string_view> missing) -> Values {
    const int now = ++at_once;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::vector<std::optional<std::string>> values = *Echo(missing);
    for (auto& value : values) {
      if (value == "key:5") value.reset();
    }
    --at_once;
    return values;
  };
  WarmUpOptions options;
  options.batch = 20;
  options.concurrency = 3;
  const WarmUpProgress done = WarmUp(&pages, keys, load, options);
  CHECK(done.keys == 250);
  CHECK(done.stored == 247);
  CHECK(done.present == 1);
  CHECK(done.absent == 1);
  CHECK(done.taken == 1);
  CHECK(done.failed == 0);
  CHECK(most <= 3);
  CHECK(one.client->Get("key:3").value() == "there");
  CHECK(one.client->Get("key:249").value() == "key:249");
  CHECK(WarmUp(&pages, keys, load, options).present == 248);
}

TEST_CASE("filling keeps to its rate, stops when told, and says what failed", "[client]") {
  OneServer one;
  LookAside pages(one.client.get());
  const std::vector<std::string> names = Names(100);
  const std::vector<std::string_view> keys(names.begin(), names.end());
  WarmUpOptions options;
  options.batch = 10;
  options.concurrency = 4;
  options.keys_per_second = 500;
  const auto begin = std::chrono::steady_clock::now();
  CHECK(WarmUp(&pages, keys, Echo, options).stored == 100);
  // Nine intervals of 20 ms stand between ten batches. (That it takes no longer depends on the
  // machine.)
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(180));
  options.concurrency = 1;
  options.progress = [](const WarmUpProgress& progress) { return progress.keys < 30; };
  CHECK(WarmUp(&pages, keys, Echo, options).keys == 30);
  options.progress = nullptr;
  options.keys_per_second = 0;
  REQUIRE(one.client->FlushAll().ok());
  const WarmUpProgress failed = WarmUp(
      &pages, keys, [](auto) -> Values { return absl::DeadlineExceededError("slow"); }, options);
  CHECK(failed.failed == 100);
  CHECK(failed.failure == absl::UnavailableError("slow"));
  CHECK_THROWS_AS(WarmUp(
                      &pages, keys, [](auto) -> Values { throw 1; }, options),
                  int);
  one.server.Kill();
  const WarmUpProgress down = WarmUp(&pages, keys, Echo, options);
  CHECK(down.failed == 100);
  CHECK(absl::IsUnavailable(down.failure));
}

TEST_CASE("one pool is copied to another with what values have left to live", "[client]") {
  OneServer from;
  OneServer to;
  REQUIRE(from.client->Set("brief", "1", {.ttl = absl::Minutes(10), .flags = 9}).ok());
  REQUIRE(from.client->Set("lasting", "2").ok());
  REQUIRE(from.client->Set("stale", "3").ok());
  REQUIRE(from.client->Invalidate("stale", absl::Minutes(5)).value());
  const std::vector<std::string_view> keys = {"brief", "lasting", "stale", "absent"};
  const WarmUpProgress done =
      WarmUpFromPool(to.client.get(), from.client.get(), keys, absl::Hours(1));
  CHECK(done.stored == 2);
  CHECK(done.absent == 2);
  const LeaseOptions plain = {.lease = absl::ZeroDuration()};
  const LeasedItem brief = to.client->GetWithLease("brief", plain).value();
  CHECK(brief.value == "1");
  CHECK(brief.flags == 9);
  CHECK(*brief.ttl_left <= absl::Seconds(601));
  CHECK(to.client->GetWithLease("lasting", plain).value().ttl_left == absl::InfiniteDuration());
  CHECK(to.client->Get("absent").value() == std::nullopt);
}

TEST_CASE("queries are told apart by all that makes them", "[client]") {
  const auto hash = [](std::string_view statement, std::vector<SqlValue> parameters) {
    return QueryHash("1", statement, parameters);
  };
  std::set<std::string> seen;
  const std::vector<std::string> hashes = {
      hash("select ?", {int64_t{1}}),
      hash("select ?", {1.0}),
      hash("select ?", {std::string("1")}),
      hash("select ?", {SqlBlob{"1"}}),
      hash("select ?", {std::monostate()}),
      hash("select ?", {}),
      hash("select  ?", {int64_t{1}}),
      hash("select ?", {std::string("a"), std::string("b")}),
      hash("select ?", {std::string("ab"), std::string()}),
      hash("select ?", {std::string("b"), std::string("a")}),
      QueryHash("2", "select ?", {}),
  };
  for (const std::string& each : hashes) {
    CHECK(each.size() == 43);
    CHECK(seen.insert(each).second);
  }
  CHECK(hash("select ?", {int64_t{1}}) == hashes[0]);
  // What is stored today is to be found tomorrow.
  CHECK(QueryHash("", "", {}) == "r1Vw9aGBC3r3jK9LxwpmDw31HkK6-R1N5bIyjeDoPfw");
}

TEST_CASE("rows come back as they were, and nothing else is taken for rows", "[client]") {
  SqlRows rows;
  rows.columns = {"a", "", "c"};
  rows.rows = {{std::monostate(), int64_t{-1}, 0.5},
               {std::string("text\0", 5), SqlBlob{"\xff"}, std::numeric_limits<double>::infinity()},
               {std::numeric_limits<int64_t>::min(), std::string(), SqlBlob{}}};
  const std::string bytes = EncodeRows(rows);
  CHECK(DecodeRows(bytes).value() == rows);
  CHECK(DecodeRows(EncodeRows({})).value() == SqlRows());
  for (size_t i = 0; i < bytes.size(); ++i) {
    CHECK_FALSE(DecodeRows(std::string_view(bytes).substr(0, i)).ok());
  }
  CHECK_FALSE(DecodeRows(bytes + "x").ok());
  // Counts that lie: none of these may take memory or time.
  std::string lies = bytes;
  lies.replace(3, 4, "\xff\xff\xff\xff");
  CHECK_FALSE(DecodeRows(lies).ok());
  CHECK_FALSE(DecodeRows(std::string("CQ1\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 15)).ok());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string other = bytes;
    other[i] = static_cast<char>(other[i] ^ 0x80);
    (void)DecodeRows(other).ok();
  }
}

TEST_CASE("an answer of a database is cached until a table it reads changes", "[client]") {
  OneServer one;
  LookAside look_aside(one.client.get());
  QueryCache::Options options;
  options.refresh = absl::ZeroDuration();
  QueryCache queries(one.client.get(), &look_aside, options);
  QueryCache elsewhere(one.client.get(), &look_aside, options);
  int runs = 0;
  const QueryCache::Run run = [&]() -> absl::StatusOr<SqlRows> {
    return SqlRows{{"n"}, {{int64_t{++runs}}}};
  };
  const std::vector<SqlValue> parameters = {int64_t{42}};
  const std::vector<std::string_view> tables = {"articles", "user names"};
  const SqlQuery query = {"select n from articles where id = ?", parameters, tables};
  const auto number = [&](const absl::StatusOr<SqlRows>& rows) {
    return std::get<int64_t>(rows.value().rows.at(0).at(0));
  };
  CHECK(number(queries.GetOrRun(query, run)) == 1);
  CHECK(number(queries.GetOrRun(query, run)) == 1);
  CHECK(number(elsewhere.GetOrRun(query, run)) == 1);
  CHECK(queries.Invalidate("other").ok());
  CHECK(number(queries.GetOrRun(query, run)) == 1);
  CHECK(elsewhere.Invalidate("user names").ok());
  CHECK(number(queries.GetOrRun(query, run)) == 2);
  // A write between a query and its answer's way to the cache.
  CHECK(queries.Invalidate("articles").ok());
  queries
      .GetOrRun(query,
                [&] {
                  CHECK(elsewhere.Invalidate("articles").ok());
                  return run();
                })
      .IgnoreError();
  CHECK(number(queries.GetOrRun(query, run)) == 4);
  options.version = "2";
  QueryCache next(one.client.get(), &look_aside, options);
  CHECK(number(next.GetOrRun(query, run)) == 5);
  const auto failed = queries.GetOrRun(
      {"other", {}, {}}, []() -> absl::StatusOr<SqlRows> { return absl::AbortedError("busy"); });
  CHECK(failed.status() == absl::AbortedError("busy"));
  one.server.Kill();
  CHECK(number(queries.GetOrRun(query, run)) == 6);
  CHECK(absl::IsUnavailable(queries.Invalidate("articles")));
}

TEST_CASE("what is not rows is asked for again", "[client]") {
  OneServer one;
  LookAside look_aside(one.client.get());
  QueryCache queries(one.client.get(), &look_aside);
  const SqlRows right = {{"n"}, {{int64_t{1}}}};
  const QueryCache::Run run = [&]() -> absl::StatusOr<SqlRows> { return right; };
  const SqlQuery query = {"select 1", {}, {}};
  CHECK(queries.GetOrRun(query, run).value() == right);
  const std::string key = "sql:" + QueryHash(std::string("\1\0\0\0001", 5), "select 1", {});
  REQUIRE(one.client->Replace(key, "rubbish").value());
  CHECK(queries.GetOrRun(query, run).value() == right);
  CHECK(one.client->Get(key).value() == std::nullopt);
}

}  // namespace cairn
