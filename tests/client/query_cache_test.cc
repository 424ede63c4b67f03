// Answers of a database: how they are told apart, kept, and forgotten.
#include "cairn/query_cache.h"

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/client/one_server.h"

namespace cairn {

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
