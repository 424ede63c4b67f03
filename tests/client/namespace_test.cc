#include "cairn/namespace.h"

#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

struct OneServer {
  OneServer() {
    ClientOptions options;
    options.servers = {server.server()};
    options.connect_timeout = options.request_timeout = absl::Seconds(10);
    options.max_fails = 0;
    client = std::move(Client::Make(options).value());
  }
  ServerProcess server;
  std::unique_ptr<Client> client;
};

Namespace::Options AskAlways() {
  Namespace::Options options;
  options.refresh = absl::ZeroDuration();
  return options;
}

}  // namespace

TEST_CASE("invalidating a namespace makes its keys unreachable and no other's", "[client]") {
  OneServer one;
  Namespace user(one.client.get(), "user:42");
  Namespace other(one.client.get(), "user:43");
  const std::string before = user.Key("profile").value();
  const std::string others = other.Key("profile").value();
  CHECK(before.starts_with("user:42:"));
  CHECK(before.size() == std::string("user:42profile").size() + 18);
  CHECK(user.Key("profile").value() == before);
  REQUIRE(one.client->Set(before, "x").ok());
  REQUIRE(user.Invalidate().ok());
  const std::string after = user.Key("profile").value();
  CHECK(after != before);
  CHECK(one.client->Get(after).value() == std::nullopt);
  CHECK(other.Key("profile").value() == others);
}

TEST_CASE("processes agree on a generation, and see an invalidation when they ask", "[client]") {
  OneServer one;
  Namespace mine(one.client.get(), "n");
  Namespace theirs(one.client.get(), "n");
  Namespace asking(one.client.get(), "n", AskAlways());
  const std::string before = mine.Key("k").value();
  CHECK(theirs.Key("k").value() == before);
  CHECK(asking.Key("k").value() == before);
  REQUIRE(theirs.Invalidate().ok());
  CHECK(asking.Key("k").value() == theirs.Key("k").value());
  CHECK(asking.Key("k").value() != before);
}

TEST_CASE("old keys stay unreachable when the generation is evicted", "[client]") {
  OneServer one;
  Namespace names(one.client.get(), "n", AskAlways());
  std::set<std::string> seen;
  for (int i = 0; i < 10; ++i) {
    CHECK(seen.insert(names.Key("k").value()).second);
    CHECK(one.client->Delete("ns:n").value());
  }
}

TEST_CASE("without its server a namespace says so, and recovers", "[client]") {
  OneServer one;
  Namespace names(one.client.get(), "n", AskAlways());
  const std::string before = names.Key("k").value();
  one.server.Kill();
  CHECK(absl::IsUnavailable(names.Key("k").status()));
  CHECK(absl::IsUnavailable(names.Invalidate()));
  one.server.Start();
  const std::string after = names.Key("k").value();
  CHECK(after != before);
  CHECK(names.Key("k").value() == after);
}

TEST_CASE("what is not a generation is not taken for one", "[client]") {
  OneServer one;
  REQUIRE(one.client->Set("ns:n", "something of somebody's").ok());
  Namespace names(one.client.get(), "n");
  CHECK(names.Key("k").status().code() == absl::StatusCode::kFailedPrecondition);
  REQUIRE(names.Invalidate().ok());
  CHECK(names.Key("k").ok());
}

TEST_CASE("many threads that find no generation end up with one", "[client]") {
  OneServer one;
  std::vector<std::string> keys(8);
  std::vector<std::thread> threads;
  for (std::string& key : keys) {
    threads.emplace_back([&one, &key] {
      Namespace names(one.client.get(), "n");
      const auto got = names.Key("k");
      if (got.ok()) key = *got;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::set<std::string>(keys.begin(), keys.end()).size() == 1);
  CHECK_FALSE(keys[0].empty());
}

}  // namespace cairn
