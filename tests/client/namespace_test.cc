#include "cairn/namespace.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async_namespace.h"
#include "cairn/look_aside.h"
#include "cairn/query_cache.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/client/two_places.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

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

TEST_CASE("of two invalidations at a time the later one is believed", "[client]") {
  std::mutex mutex;
  std::string generation;
  std::atomic<bool> first_came{false};
  std::atomic<bool> second_is_over{false};
  ScriptedPeer peer([&](Conversation& conversation, int number) {
    for (std::string line = conversation.Line(); !line.empty(); line = conversation.Line()) {
      if (line.starts_with("set ")) {
        const std::string set = conversation.Line();
        const std::lock_guard lock(mutex);
        generation = set;
      } else {
        const std::lock_guard lock(mutex);
        conversation.Send("VALUE ns:n 0 16\r\n" + generation + "\r\nEND\r\n");
        continue;
      }
      first_came = true;
      while (number == 0 && !second_is_over) std::this_thread::yield();
      conversation.Send("STORED\r\n");
    }
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = Client::Make(options).value();
  Namespace names(client.get(), "n");
  const AsyncNamespace async(&names);
  // Stored first, and told of last.
  std::thread first([&] { CHECK(names.Invalidate().ok()); });
  while (!first_came) std::this_thread::yield();
  CHECK(Wait(async.Invalidate()).ok());
  second_is_over = true;
  first.join();
  CHECK(names.Key("k").value() == "n:" + generation + ":k");
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
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program);
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  const auto client = Client::Make(PatientOptions(server.server())).value();
  Namespace names(client.get(), "n", AskAlways());
  const std::string before = names.Key("k").value();
  server.Kill();
  CHECK(absl::IsUnavailable(names.Key("k").status()));
  CHECK(absl::IsUnavailable(names.Invalidate()));
  server.Start();
  const std::string after = names.Key("k").value();
  CHECK(after != before);
  CHECK(names.Key("k").value() == after);
}

TEST_CASE("a generation has no other place while its server is left alone", "[client]") {
  TwoPlaces places(GENERATE("cairnd", "memcached"), GENERATE(true, false), "ns:");
  if (places.patient == nullptr) return;
  Namespace elsewhere(places.patient.get(), places.name, AskAlways());
  const std::string before = elsewhere.Key("k").value();
  places.home.Stop();
  {
    const auto client = places.Impatient(absl::Hours(1));
    places.AwaitDetour(*client);
    Namespace names(client.get(), places.name, AskAlways());
    const AsyncNamespace async(&names);
    // Neither read as evicted, nor changed where nobody looks when the server is back.
    CHECK(absl::IsUnavailable(names.Key("k").status()));
    CHECK(absl::IsUnavailable(Wait(async.Key("k")).status()));
    CHECK(absl::IsUnavailable(names.Invalidate()));
    CHECK(absl::IsUnavailable(Wait(async.Invalidate())));
  }
  const auto client = places.Impatient(absl::Milliseconds(100));
  places.home.Continue();
  CHECK(elsewhere.Key("k").value() == before);
  CHECK(places.at_other->Get(places.key()).value() == std::nullopt);
  // The one that left it alone comes back to it, and what it invalidates stays so.
  Namespace names(client.get(), places.name, AskAlways());
  const AsyncNamespace async(&names);
  while (!names.Invalidate().ok()) std::this_thread::yield();
  const std::string after = elsewhere.Key("k").value();
  CHECK(after != before);
  while (!Wait(async.Invalidate()).ok()) std::this_thread::yield();
  CHECK(elsewhere.Key("k").value() != after);
}

TEST_CASE("rows that could not be invalidated have no other place either", "[client]") {
  TwoPlaces places("cairnd", false, "ns:");
  const std::string_view tables[] = {"articles"};
  const SqlQuery query = {"select 1", {}, tables};
  int64_t runs = 0;
  const QueryCache::Run run = [&runs]() -> absl::StatusOr<SqlRows> {
    return SqlRows{{"n"}, {{++runs}}};
  };
  const auto ask = [&](QueryCache& queries) {
    return std::get<int64_t>(queries.GetOrRun(query, run).value().rows.at(0).at(0));
  };
  LookAside kept(places.patient.get());
  QueryCache elsewhere(places.patient.get(), &kept, {.refresh = absl::ZeroDuration()});
  CHECK(ask(elsewhere) == 1);
  CHECK(ask(elsewhere) == 1);
  places.home.Stop();
  {
    const auto client = places.Impatient(absl::Hours(1));
    places.AwaitDetour(*client);
    LookAside look_aside(client.get());
    QueryCache queries(client.get(), &look_aside);
    CHECK(absl::IsUnavailable(queries.Invalidate("articles")));
    // Asked of the database, and not cached under a generation that is none.
    CHECK(ask(queries) == 2);
    CHECK(ask(queries) == 3);
  }
  places.home.Continue();
  const auto stats = places.at_other->Stats(0).value();
  for (const auto& [name, value] : stats) {
    if (name == "curr_items") CHECK(value == "0");
  }
  CHECK(ask(elsewhere) == 1);  // who was told that it failed knows why
  REQUIRE(elsewhere.Invalidate("articles").ok());
  CHECK(ask(elsewhere) == 4);
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
