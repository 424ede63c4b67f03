// Through mcrouter, where there is one (in PATH, or as CAIRN_MCROUTER says), and anywhere through a
// peer that takes and answers requests as it does. That one was written after mcrouter's source
// (McAsciiParser.rl, AsciiSerialized.cpp, MultiOpParent.cpp as of 2026); one server does what
// mcrouter would route.
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "cairn/look_aside.h"
#include "cairn/session.h"
#include "tests/catch.h"
#include "tests/client/client_end.h"
#include "tests/client/one_server.h"
#include "tests/client/proxy_process.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

// mcrouter's grammar, of what a client may ask. Blanks are as free there, and not used.
constexpr const char* kReads = "gets?( [^ ]{1,250})+|gats? -?[0-9]{1,20}( [^ ]{1,250})+";
constexpr const char* kStores =
    "(set|add|replace|append|prepend) [^ ]+ [0-9]+ -?[0-9]+ ([0-9]+)( noreply)?|"
    "cas [^ ]+ [0-9]+ -?[0-9]+ ([0-9]+) [0-9]+( noreply)?";
constexpr const char* kOthers =
    "delete [^ ]+( -?[0-9]+)?( noreply)?|touch [^ ]+ -?[0-9]+( noreply)?|"
    "(incr|decr) [^ ]+ [0-9]+( noreply)?";

class LikeMcrouter {
 public:
  explicit LikeMcrouter(std::string version)
      : version_(std::move(version)), peer_([this](Conversation& client, int) { Serve(client); }) {}

  Server server() const { return peer_.server(); }
  int connections() const { return peer_.connections(); }

 private:
  void Serve(Conversation& client) {
    const std::regex reads(kReads), stores(kStores), others(kOthers);
    ClientEnd upstream(behind_.server());
    Conversation& server = upstream.conversation;
    for (;;) {
      const std::string line = client.Line();
      std::smatch parts;
      if (line == "version") {
        client.Send("VERSION " + version_ + "\r\n");
      } else if (line.starts_with("stats ")) {
        client.Send("CLIENT_ERROR bad stats command\r\n");
      } else if (line == "flush_all") {
        client.Send("SERVER_ERROR Command disabled\r\n");  // unless --enable-flush-cmd
      } else if (std::regex_match(line, reads)) {
        server.Send(line + "\r\n");
        PassValues(server, client);
      } else if (std::regex_match(line, parts, stores)) {
        const size_t bytes = std::stoul(parts[2].matched ? parts[2] : parts[4]);
        server.Send(line + "\r\n" + client.Bytes(bytes + 2));
        client.Send(server.Line() + "\r\n");
      } else if (std::regex_match(line, others)) {
        server.Send(line + "\r\n");
        const std::string answer = server.Line();
        // Of numbers mcrouter hides what is said of values that are none.
        const bool is_hidden = answer.starts_with("CLIENT_ERROR cannot increment");
        client.Send((is_hidden ? "NOT_FOUND" : answer) + "\r\n");
      } else {
        if (!line.empty()) client.Send("CLIENT_ERROR malformed request\r\n");
        return;
      }
    }
  }

  static void PassValues(Conversation& server, Conversation& client) {
    for (;;) {
      const std::string line = server.Line();
      client.Send(line + "\r\n");
      if (!line.starts_with("VALUE ")) return;
      const size_t flags = line.find(' ', 6) + 1;
      client.Send(server.Bytes(std::stoul(line.substr(line.find(' ', flags))) + 2));
    }
  }

  const std::string version_;
  ServerProcess behind_;
  ScriptedPeer peer_;
};

/// mcrouter itself in front of `servers`.
class Mcrouter : public ProxyProcess {
 public:
  static constexpr const char* kProgram = "mcrouter";

  explicit Mcrouter(const std::vector<std::unique_ptr<ServerProcess>>& servers,
                    const std::vector<std::string>& options) {
    std::string pool;
    for (const auto& server : servers) {
      pool += (pool.empty() ? "\"" : ",\"") + server->server().Address() + "\"";
    }
    const char* const program = std::getenv("CAIRN_MCROUTER");
    std::vector<std::string> words = {
        program == nullptr ? kProgram : program,
        "-p",
        std::to_string(port()),
        "--config-str",
        R"({"pools":{"A":{"servers":[)" + pool + R"(]}},"route":"PoolRoute|A"})",
        "--asynclog-disable",
        "--probe-timeout-initial=50"};
    for (const char* option : {"--stats-root=", "--async-dir=", "--debug-fifo-root="}) {
      words.push_back(option + folder());
    }
    words.insert(words.end(), options.begin(), options.end());
    Start(std::move(words));
  }
};

struct McrouterPool : ProxiedPool<Mcrouter> {
  explicit McrouterPool(const std::vector<std::string>& options = {}) : ProxiedPool(2, options) {}
};

void UseSingleKeys(Client& client) {
  // Writes first: a connection that is about to be closed would lose them.
  CHECK(client.Set("key", "value", {.flags = 7}).ok());
  const std::optional<Item> item = client.Gets("key").value();
  REQUIRE(item.has_value());
  CHECK(item->value == "value");
  CHECK(item->flags == 7);
  CHECK(client.CompareAndSwap("key", "next", item->cas).value() == CasOutcome::kStored);
  CHECK(client.CompareAndSwap("key", "late", item->cas).value() == CasOutcome::kChanged);
  CHECK_FALSE(client.Add("key", "x").value());
  CHECK(client.Replace("key", "10").value());
  CHECK(client.Increment("key", 5).value() == 15);
  CHECK(client.Decrement("nothing").value() == std::nullopt);
  CHECK(client.Append("key", "0").value());
  CHECK(client.Prepend("key", "1").value());
  CHECK(client.Get("key").value() == "1150");
  CHECK(client.Touch("key", absl::Minutes(1)).value());
  CHECK(client.GetAndTouch("key", absl::Hours(24 * 60)).value()->value == "1150");
  CHECK(client.Set("gone", "x", {.ttl = absl::ZeroDuration()}).ok());
  CHECK(client.Get("gone").value() == std::nullopt);
  CHECK(client.Set("word", "one").ok());
  CHECK(client.Increment("word").value() == std::nullopt);
  CHECK(client.Delete("key").value());
  CHECK_FALSE(client.Delete("key").value());
  CHECK(client.FlushAll().message().find("Command disabled") != std::string_view::npos);

  for (const size_t bytes : {0, 1, 300000}) {
    const std::string value(bytes, 'v');
    CHECK(client.Set("large", value).ok());
    CHECK(client.Get("large").value() == value);
  }
}

void UseManyKeys(Client& client) {
  std::vector<std::string> keys;
  std::vector<SetItem> values;
  for (int i = 0; i < 500; ++i) keys.push_back("key:" + std::to_string(i));
  for (const std::string& key : keys) values.push_back({key, key});
  CHECK(client.SetAll(values).ok());
  CHECK(client.SetMulti(values).done_count() == keys.size());
  const std::vector<std::string_view> asked(keys.begin(), keys.end());
  CHECK(client.DeleteMulti(std::span(asked).first(100)).done_count() == 100);
  const MultiGetResult got = client.GetMulti(asked);
  CHECK(got.misses() == 100);
  CHECK(got.hits() == 400);
  CHECK(got[499].value == "key:499");
  CHECK(Wait(client.Async().Get("key:499")).value() == "key:499");
}

// By locks: there are no meta commands.
void UsePatterns(Client& client) {
  LookAside pages(&client);
  const auto page = pages.GetOrCompute("page", []() -> LookAside::Value { return "computed"; });
  REQUIRE(page.ok());
  CHECK(page->cache.ok());
  CHECK(client.Get("page").value() == "computed");
  CHECK(pages.DeleteOnWrite(std::array{std::string_view("page")}, [] { return absl::OkStatus(); })
            .cache.ok());
  CHECK(client.Get("page").value() == std::nullopt);

  Sessions sessions(&client, {.ttl = absl::Minutes(1)});
  const std::string id = sessions.Create("visits=1").value();
  CHECK(sessions.Update(id, [](std::string_view data) { return std::string(data) + "!"; }).value());
  CHECK(sessions.Load(id).value()->data == "visits=1!");
  CHECK(sessions.Destroy(id).value());
  CHECK(sessions.Load(id).value() == std::nullopt);
  CHECK(client.IncrementOrStart("visits", 2, 10, absl::Minutes(1)).value() == 12);
  CHECK(client.IncrementOrStart("visits", 2, 10, absl::Minutes(1)).value() == 14);
}

}  // namespace

TEST_CASE("through a proxy that answers as mcrouter does", "[proxy]") {
  // Released versions had large numbers; what is built without one says 0.1.0-dev.
  const LikeMcrouter mcrouter(GENERATE(as<std::string>{}, "40.0.0 mcrouter", "0.1.0-dev mcrouter"));
  const auto made = Client::Make(PatientOptions(mcrouter.server()));
  Client& client = **made;
  UseSingleKeys(client);
  UseManyKeys(client);
  UsePatterns(client);
  // Each was made once more at most, without the question that it was closed for, and one for that
  // about the limit.
  CHECK(mcrouter.connections() <= 5);
  CHECK(client.Stats()[0].not_reached.total() == 0);
}

TEST_CASE("through mcrouter", "[proxy]") {
  const McrouterPool pool;
  if (pool.client == nullptr) return;
  const uint64_t not_reached = pool.client->Stats()[0].not_reached.total();
  UseSingleKeys(*pool.client);
  UseManyKeys(*pool.client);
  UsePatterns(*pool.client);
  CHECK(pool.client->Stats()[0].not_reached.total() == not_reached);
}

TEST_CASE("a server that dies behind mcrouter, and comes back", "[proxy]") {
  // Without that option it says that keys are not there when it cannot know.
  const bool tells = GENERATE(false, true);
  const McrouterPool pool(tells ? std::vector<std::string>{"--disable-miss-on-get-errors"}
                                : std::vector<std::string>{});
  if (pool.client == nullptr) return;
  Client& client = *pool.client;
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) texts.push_back("key:" + std::to_string(i));
  const std::vector<std::string_view> keys(texts.begin(), texts.end());
  for (const std::string_view key : keys) REQUIRE(client.Set(key, key).ok());

  pool.servers[0]->Kill();
  size_t lost = 0;
  for (const std::string_view key : keys) {
    const auto value = client.Get(key);
    const auto leased = client.GetWithLease(key);
    const absl::Status set = client.Set(key, key);
    if (set.ok()) {
      CHECK(value.value() == key);
      CHECK(leased->value == key);
      continue;
    }
    ++lost;
    CHECK(set.message().find("unavailable") != std::string_view::npos);
    if (tells) {
      CHECK_FALSE(value.ok());
      CHECK_FALSE(leased.ok());
    } else {
      CHECK(value.value() == std::nullopt);
    }
    CHECK_FALSE(client.Delete(key).ok());
  }
  CHECK(lost > 0);
  CHECK(lost < keys.size());
  const MultiGetResult some = client.GetMulti(keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (some[i].outcome == KeyOutcome::kHit) CHECK(some[i].value == keys[i]);
  }
  if (!tells) CHECK(some.hits() == keys.size() - lost);

  pool.servers[0]->Start();
  for (const std::string_view key : keys) {
    while (!client.Set(key, "new").ok()) std::this_thread::yield();
  }
  for (const std::string_view key : keys) CHECK(client.Get(key).value() == "new");
  CHECK(client.GetMulti(keys).hits() == keys.size());
}

TEST_CASE("of many who ask for a missing key through mcrouter one computes", "[proxy]") {
  const McrouterPool pool;
  if (pool.client == nullptr) return;
  LookAside pages(pool.client.get());
  std::atomic<int> computed = 0;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      const auto page = pages.GetOrCompute("page", [&]() -> LookAside::Value {
        ++computed;
        return "computed";
      });
      if (!page.ok() || page->value != "computed" || !page->cache.ok()) ++wrong;
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(computed == 1);
  CHECK(wrong == 0);
}

TEST_CASE("what mcrouter says of servers that it does not reach", "[proxy]") {
  // Of several keys: what was there before the first that failed, and an error in place of the end.
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Expect("get a b c");
    conversation.Send("VALUE a 0 1\r\n1\r\nSERVER_ERROR connection timeout\r\n");
    conversation.Expect("set a 0 0 1");
    conversation.Expect("x");
    conversation.Send("SERVER_ERROR unavailable\r\n");
    conversation.Hang();
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = Client::Make(options).value();
  const MultiGetResult got = client->GetMulti(std::array<std::string_view, 3>{"a", "b", "c"});
  CHECK(got[0].outcome == KeyOutcome::kHit);
  CHECK(got[1].outcome == KeyOutcome::kNotReached);
  CHECK(got[2].outcome == KeyOutcome::kNotReached);
  CHECK(client->Set("a", "x").message().find("unavailable") != std::string_view::npos);
}

}  // namespace cairn
