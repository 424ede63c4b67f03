// Values that are larger than their server takes are not sent to it.
#include <event2/event.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/client_end.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/server_process.h"
#include "tests/client/wait.h"
#include "tests/server/temporary_folder.h"

namespace cairn {
namespace {

constexpr size_t kLarge = 5000;
constexpr size_t kPoolsMax = size_t{8} << 20;

ClientOptions OptionsOf(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.value_bytes_max = kPoolsMax;
  return options;
}

int64_t Stat(Client& client, std::string_view name) {
  const auto stats = client.Stats(0).value();
  for (const auto& [stat, value] : stats) {
    if (stat == name) return std::stoll(value);
  }
  return -1;
}

// The longest value that the server takes.
size_t LongestTaken(const Server& server, const std::string& key) {
  ClientEnd client(server);
  size_t taken = 1;
  size_t refused = size_t{4} << 20;
  while (refused - taken > 1) {
    const size_t bytes = (taken + refused) / 2;
    client.conversation.Send("set " + key + " 0 0 " + std::to_string(bytes) + "\r\n" +
                             std::string(bytes, 'x') + "\r\n");
    const std::string answer = client.conversation.Line();
    REQUIRE((answer == "STORED" || answer.starts_with("SERVER_ERROR")));
    (answer == "STORED" ? taken : refused) = bytes;
  }
  return taken;
}

// A peer that stores everything, in the meta protocol if its version is new enough, and answers the
// question with `settings`. On its first connections it hangs up on it, or says nothing any more.
// While `*waits` it keeps the answer.
struct Script {
  std::string settings;
  int hangs_up = 0;
  uint16_t port = 0;
  int keeps_silent = 0;
  const std::atomic<int>* waits = nullptr;
  std::string version = "1.6.45";
  std::string path = {};  // of a UNIX socket, in place of a port
};

class Storing {
 public:
  explicit Storing(Script script)
      : script_(std::move(script)),
        peer(script_.path.empty() ? ScriptedPeer(Talker(), script_.port)
                                  : ScriptedPeer(Talker(), script_.path)) {}

  std::atomic<int> asked{0};
  std::atomic<int> stored{0};

 private:
  ScriptedPeer::Talk Talker() {
    return [this](Conversation& client, int number) { Serve(client, number); };
  }
  void Serve(Conversation& client, int number) {
    for (std::string line = client.Line(); !line.empty(); line = client.Line()) {
      const bool is_set = line.starts_with("set ");
      if (line == "version") client.Send("VERSION " + script_.version + "\r\n");
      if (line == "mn") client.Send("MN\r\n");
      if (line == "stats settings") {
        ++asked;
        if (number < script_.hangs_up) return;
        while (number < script_.keeps_silent && !client.Line().empty()) continue;
        while (script_.waits != nullptr && *script_.waits != 0) std::this_thread::yield();
        client.Send(script_.settings);
      }
      if (line.starts_with("md ")) client.Send("HD\r\n");
      if (line.starts_with("delete ")) client.Send("DELETED\r\n");
      if (is_set || line.starts_with("ms ")) {
        // "ms <key> <bytes> ...", "set <key> <flags> <exptime> <bytes>"
        client.Skip(std::stoul(line.substr(is_set ? line.rfind(' ') : line.find(' ', 3))) + 2);
        ++stored;
        client.Send(is_set ? "STORED\r\n" : "HD\r\n");
      }
    }
  }

  const Script script_;

 public:
  ScriptedPeer peer;
};

constexpr const char* kSixteen = "STAT item_size_max 16384\r\nEND\r\n";
constexpr const char* kOldVersion = "1.4.5";

}  // namespace

TEST_CASE("what a server takes is sent to it, and nothing that is far too large", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const std::string limit = GENERATE("2k", "16k", "512k", "2m");
  INFO(program << " -I " << limit);
  // It does not start with that, or falls over when its chunks are made as small.
  if (program == "memcached" && limit.ends_with("k") && limit != "512k") return;
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  ServerProcess server(program, {"-I", limit});
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  const std::string key = GENERATE(as<std::string>(), "k", std::string(200, 'k'));
  const size_t longest = LongestTaken(server.server(), key);
  ClientOptions options = OptionsOf(server.server());
  options.protocol = protocol;
  const auto client = Connect(options);
  // Each connection that is made asks.
  const std::string asks(1100, 'x');
  REQUIRE(Wait(client->Async().Set(key, asks)).ok());
  REQUIRE(client->Set(key, asks).ok());

  CHECK(absl::IsResourceExhausted(client->Set(key, std::string(longest + 1, 'x'))));
  CHECK(client->Set(key, std::string(longest, 'x')).ok());
  // The header that memcached counts, and flags.
  const std::string large(longest + 40, 'x');
  const std::string_view small = "small";
  const int64_t before = Stat(*client, "bytes_read");
  const SetItem items[] = {{key, large}, {"other", small}};
  CHECK(absl::IsResourceExhausted(client->Add(key, large).status()));
  CHECK(absl::IsResourceExhausted(client->Append(key, large).status()));
  CHECK(absl::IsResourceExhausted(client->CompareAndSwap(key, large, 1).status()));
  // What was stored is still there; but not after what was to take its place.
  CHECK(client->Get(key).value().value().size() == longest);
  const auto is_gone = [&client, &key] {
    return !client->Get(key).value().has_value() && client->Set(key, "old").ok();
  };
  CHECK(absl::IsResourceExhausted(client->Set(key, large)));
  CHECK(is_gone());
  CHECK(absl::IsResourceExhausted(client->SetAll(items)));
  CHECK(is_gone());
  CHECK(absl::IsResourceExhausted(Wait(client->Async().Set(key, large))));
  CHECK(is_gone());
  const MultiWriteResult multi = client->SetMulti(items);
  CHECK(absl::IsResourceExhausted(multi.status(0)));
  CHECK_FALSE(multi.done(0));
  CHECK(multi.done(1));
  CHECK(is_gone());
  CHECK(client->Get("other").value() == small);
  const std::string lease_key = "l" + key.substr(1);
  const LeasedItem leased = client->GetWithLease(lease_key).value();
  REQUIRE(leased.token.held());
  const LeasedStore stores[] = {{lease_key, large, leased.token}};
  CHECK(absl::IsResourceExhausted(client->SetWithLease(lease_key, large, leased.token).status()));
  CHECK(absl::IsResourceExhausted(client->SetMultiWithLease(stores)[0].status()));
  CHECK(Stat(*client, "bytes_read") - before < 4000);
}

TEST_CASE("the first value that a client sends may be too large, too", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program, {"-I", "512k"});
  if (!server.running()) return;
  const auto other = Connect(OptionsOf(server.server()));
  const std::string large(600'000, 'x');
  const std::string smaller(400'000, 'x');
  REQUIRE(other->Set("key", "old").ok());
  REQUIRE(other->Set("small", "old").ok());
  ClientOptions options = OptionsOf(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const LeasedItem leased = Connect(options)->GetWithLease("leased").value();
  const int64_t before = Stat(*other, "bytes_read");
  const auto client = Connect(options);
  const SetItem items[] = {{"key", large}, {"small", "new"}, {"smaller", smaller}, {"gone", large}};
  size_t sent = 0;
  bool deletes = true;
  SECTION("set") { CHECK(absl::IsResourceExhausted(client->Set("key", large))); }
  SECTION("set on a loop") {
    CHECK(absl::IsResourceExhausted(Wait(client->Async().Set("key", large))));
  }
  SECTION("many") {
    const MultiWriteResult multi = client->SetMulti(items);
    CHECK(absl::IsResourceExhausted(multi.status(0)));
    CHECK(multi.done(1));
    CHECK(multi.done(2));
    CHECK(absl::IsResourceExhausted(multi.status(3)));
    CHECK(client->Get("small").value() == "new");
    CHECK(client->Get("smaller").value() == smaller);
    sent = smaller.size();
  }
  SECTION("many on a loop") {
    const MultiWriteResult multi = Wait(client->Async().SetMulti(items));
    CHECK(absl::IsResourceExhausted(multi.status(0)));
    CHECK((multi.done(1) && multi.done(2) && !multi.done(3)));
    sent = smaller.size();
  }
  SECTION("many quietly, by a client that has spoken before") {
    REQUIRE(client->Get("key").value() == "old");
    CHECK(absl::IsResourceExhausted(client->SetAll(items)));
    CHECK(client->Get("small").value() == "new");
    CHECK(client->Get("smaller").value() == smaller);
    sent = smaller.size();
  }
  SECTION("what leaves what is there") {
    deletes = false;
    CHECK(absl::IsResourceExhausted(client->Replace("key", large).status()));
    CHECK(absl::IsResourceExhausted(client->SetWithLease("leased", large, leased.token).status()));
    CHECK(client->Stats()[0].written == 0);
  }
  CHECK(client->Get("key").value().has_value() == !deletes);
  CHECK(client->Get("gone").value() == std::nullopt);
  const auto read = static_cast<size_t>(Stat(*other, "bytes_read") - before);
  CHECK(read >= sent);
  CHECK(read - sent < 2000);
  CHECK(client->Stats()[0].connections <= 2);
}

TEST_CASE("a small limit holds from the first value on, too", "[client]") {
  ServerProcess server("cairnd", {"-I", "2k"});
  ClientOptions options = OptionsOf(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto other = Connect(options);
  const int64_t before = Stat(*other, "bytes_read");
  const auto client = Connect(options);
  const std::string large(2100, 'x');
  const std::string smaller(1100, 'x');
  const SetItem items[] = {{"a", large}, {"b", smaller}, {"c", large}};
  const bool alone = GENERATE(true, false);
  if (alone) {
    CHECK(absl::IsResourceExhausted(client->Set("a", large)));
  } else {
    const MultiWriteResult multi = client->SetMulti(items);
    CHECK(absl::IsResourceExhausted(multi.status(0)));
    CHECK(multi.done(1));
    CHECK(absl::IsResourceExhausted(multi.status(2)));
  }
  CHECK(Stat(*other, "bytes_read") - before < 2000);
}

TEST_CASE("while one connection asks for the limit, another sends nothing too large either",
          "[client]") {
  std::atomic<int> waiting{1};
  Storing storing({.settings = kSixteen,
                   .waits = &waiting,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(OptionsOf(storing.peer.server()));
  const std::string large(20'000, 'x');
  absl::Status blocking;
  absl::Status asynchronous;
  std::atomic<int> over{0};
  std::thread first([&] {
    blocking = client->Set("k", large);
    ++over;
  });
  std::thread second([&] {
    asynchronous = Wait(client->Async().Set("k", large));
    ++over;
  });
  while (storing.asked < 2 && storing.stored == 0 && over < 2) std::this_thread::yield();
  waiting = 0;
  first.join();
  second.join();
  CHECK(absl::IsResourceExhausted(blocking));
  CHECK(absl::IsResourceExhausted(asynchronous));
  CHECK(storing.asked == 2);
  CHECK(storing.stored == 0);
}

TEST_CASE("of values of one key in a call the last one stays, however large", "[client]") {
  ServerProcess server("cairnd");
  const auto client = Connect(OptionsOf(server.server()));
  const std::string large(kLarge, 'x');
  const SetItem items[] = {{"a", "x"}, {"key", large}, {"key", "small"}, {"b", large}, {"b", "y"}};
  CHECK(client->SetMulti(items).done_count() == 5);
  CHECK(client->Get("key").value() == "small");
  CHECK(client->Get("b").value() == "y");
}

TEST_CASE("what is refused and what is not keep their order", "[client]") {
  ServerProcess server("cairnd");
  ClientOptions options = PatientOptions(server.server());
  options.value_bytes_max = 100;
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const bool quiet = GENERATE(false, true);
  const auto client = Connect(options);
  const std::string large(101, 'x');
  const SetItem items[] = {{"a", "x"},      {"key", large},  {"key", "small"}, {"b", large},
                           {"gone", "old"}, {"gone", large}, {"c", "y"}};
  if (quiet) {
    CHECK(absl::IsResourceExhausted(client->SetAll(items)));
  } else {
    const MultiWriteResult result = client->SetMulti(items);
    for (const size_t i : {0, 2, 4, 6}) CHECK(result.done(i));
    for (const size_t i : {1, 3, 5}) CHECK(absl::IsResourceExhausted(result.status(i)));
  }
  CHECK(client->Get("key").value() == "small");
  CHECK(client->Get("gone").value() == std::nullopt);
  CHECK(client->Get("c").value() == "y");
}

TEST_CASE("callers leave while what they set is found to be too large", "[client]") {
  std::atomic<int> waiting{0};
  Storing storing({.settings = "STAT item_size_max 4096\r\nEND\r\n",
                   .waits = &waiting,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const std::string large(kLarge, 'x');
  const std::vector<SetItem> items(100, {"key", large});
  const auto client = Connect(OptionsOf(storing.peer.server()));
  REQUIRE(client->Set("key", "small").ok());
  waiting = 1;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      WriteOptions options;
      options.timeout = t == 0 ? absl::Seconds(60) : absl::Milliseconds(5 * t);
      const MultiWriteResult result = client->SetMulti(items, options);
      for (size_t i = 0; i < items.size(); ++i) {
        const absl::Status status = result.status(i);
        const bool right =
            absl::IsResourceExhausted(status) || (t > 0 && absl::IsDeadlineExceeded(status));
        wrong += right ? 0 : 1;
      }
    });
  }
  for (int t = 4; t < 8; ++t) threads[static_cast<size_t>(t)].join();
  waiting = 0;
  for (int t = 0; t < 4; ++t) threads[static_cast<size_t>(t)].join();
  CHECK(wrong == 0);
  CHECK(storing.stored == 1);
}

TEST_CASE("what is refused as too large leaves no older value, whatever is spoken", "[client]") {
  ServerProcess server("cairnd");
  ClientOptions options = PatientOptions(server.server());
  options.value_bytes_max = 100;
  options.key_prefix = "v7:";
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  const std::string large(101, 'x');
  REQUIRE(client->Set("a", "old").ok());
  CHECK(absl::IsResourceExhausted(client->Set("a", large)));
  CHECK_FALSE(client->Get("a").value().has_value());
  // Of many, too, of which some have no value, and some no key that may be.
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("k" + std::to_string(i));
  keys.push_back("not a key");
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, "old"});
  items.pop_back();
  REQUIRE(client->SetAll(std::span(items).subspan(5000)).ok());
  items.push_back({keys.back(), large});
  for (size_t i = 0; i < items.size(); i += 2) items[i].value = large;
  const MultiWriteResult multi = client->SetMulti(items);
  const std::vector<std::string_view> asked(keys.begin(), keys.end() - 1);
  const MultiGetResult got = client->GetMulti(asked);
  for (size_t i = 0; i < 10'000; ++i) {
    INFO(i);
    REQUIRE(multi.done(i) == (i % 2 == 1));
    REQUIRE((multi.done(i) || absl::IsResourceExhausted(multi.status(i))));
    REQUIRE(got[i].outcome == (i % 2 == 1 ? KeyOutcome::kHit : KeyOutcome::kMiss));
  }
  CHECK(absl::IsInvalidArgument(multi.status(10'000)));
  CHECK(absl::IsInvalidArgument(client->Set(std::string(300, 'k'), "x")));
}

TEST_CASE("servers with limits of their own have one each", "[client]") {
  ServerProcess small("cairnd", {"-I", "16k"});
  ServerProcess large("cairnd", {"-I", "2m"});
  ClientOptions options = OptionsOf(small.server());
  options.servers.push_back(large.server());
  const auto client = Connect(options);
  std::vector<std::string> keys;
  const std::string value(100'000, 'x');
  for (int i = 0; i < 20; ++i) {
    keys.push_back("key:" + std::to_string(i));
    REQUIRE(client->Set(keys.back(), std::string(kLarge, 'x')).ok());
  }
  for (const std::string& key : keys) {
    CHECK(client->Set(key, value).ok() == (client->ServerOf(key) == 1));
  }
  CHECK(client->Stats()[0].bytes_sent < 200'000);
}

TEST_CASE("a limit is asked for when it may matter, and once", "[client]") {
  Storing storing(
      {.settings = kSixteen, .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(OptionsOf(storing.peer.server()));
  REQUIRE(client->Set("k", "small").ok());
  REQUIRE(client->SetMulti(std::vector<SetItem>(1000, {"k", "small"})).done(999));
  REQUIRE(client->DeleteMulti(std::vector<std::string_view>(1000, "k")).done(999));
  CHECK(storing.asked == 0);
  // What made it ask waits for the answer.
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(20'000, 'x'))));
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 1001);
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(20'000, 'x'))));
  CHECK(client->Set("k", std::string(16'000, 'x')).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 1002);
}

TEST_CASE("a strange answer about limits changes nothing", "[client]") {
  const std::string answer = GENERATE(
      as<std::string>(), "END\r\n", "STAT item_size_max many\r\nEND\r\n",
      "STAT item_size_max \r\nEND\r\n", "STAT item_size_max 0\r\nEND\r\n",
      "STAT item_size_max -1\r\nEND\r\n", "STAT item_size_max 99999999999999999999999\r\nEND\r\n",
      "STAT \r\nSTAT item_size_max\r\nEND\r\n",
      // A proxy's own limit is not its servers'.
      "STAT item_size_max 16384\r\nSTAT proxy_enabled yes\r\nEND\r\n",
      "STAT proxy_enabled yes\r\nSTAT item_size_max 16384\r\nEND\r\n");
  INFO(answer);
  Storing storing(
      {.settings = answer, .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(OptionsOf(storing.peer.server()));
  for (int i = 0; i < 3; ++i) CHECK(client->Set("k", std::string(20'000, 'x')).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 3);
  CHECK(storing.peer.connections() == 1);
  CHECK(client->Stats()[0].written == 3);
}

TEST_CASE("who hangs up on the question, or has no answer to it, is not asked again", "[client]") {
  const std::string answer =
      GENERATE(as<std::string>(), "", "HD\r\n", "MN\r\nEND\r\n", "END\r\nEND\r\n", "ERROR\r\n",
               "SERVER_ERROR what\r\n", "CLIENT_ERROR no\r\n", std::string(20'000, 'x'),
               "VALUE k 0 1\r\nx\r\nEND\r\n");
  INFO(answer);
  Storing storing({.settings = answer,
                   .hangs_up = answer.empty() ? 1 : 0,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  ClientOptions options = OptionsOf(storing.peer.server());
  options.max_fails = 1;  // it is no failure of the server's
  const auto client = Connect(options);
  const bool first = GENERATE(true, false);
  if (!first) REQUIRE(client->Set("k", "small").ok());
  const std::string large(20'000, 'x');
  const SetItem items[] = {{"k", "x"}, {"k", large}, {"k", "y"}};
  CHECK(client->SetMulti(items).done_count() == 3);
  for (int i = 0; i < 3; ++i) CHECK(client->Set("k", large).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == (first ? 6 : 7));
  CHECK(storing.peer.connections() == 2);
  CHECK(client->Stats()[0].not_reached.total() == 0);
}

TEST_CASE("who says nothing to the question is a server that does not answer", "[client]") {
  Storing storing({.settings = kSixteen, .keeps_silent = 1});
  ClientOptions options = OptionsOf(storing.peer.server());
  options.request_timeout = absl::Milliseconds(500);
  const auto client = Connect(options);
  REQUIRE(client->Set("k", "small").ok());
  const std::string large(20'000, 'x');
  CHECK(absl::IsDeadlineExceeded(client->Set("k", large)));
  CHECK(storing.stored == 1);
  // It is not asked again for a while.
  CHECK(client->Set("k", large).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.peer.connections() == 2);
}

TEST_CASE("a question that was given up is asked again", "[client]") {
  Storing storing({.settings = kSixteen, .keeps_silent = 1});
  const auto client = Connect(OptionsOf(storing.peer.server()));
  const std::string large(20'000, 'x');
  event_base* const base = event_base_new();
  {
    AsyncClient gives_up(client.get(), base);
    gives_up.Set("k", large).Then([](const absl::Status&) {});
    while (storing.asked == 0) event_base_loop(base, EVLOOP_NONBLOCK);
  }
  event_base_free(base);
  CHECK(absl::IsResourceExhausted(client->Set("k", large)));
  CHECK(storing.asked == 2);
  CHECK(storing.stored == 0);
}

TEST_CASE("a server that comes back may have another limit", "[client]") {
  auto storing = std::make_unique<Storing>(Script{.settings = kSixteen});
  const Server server = storing->peer.server();
  const auto client = Connect(OptionsOf(server));
  REQUIRE(client->Set("k", std::string(kLarge, 'x')).ok());
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(20'000, 'x'))));
  storing.reset();
  storing = std::make_unique<Storing>(
      Script{.settings = "STAT item_size_max 65536\r\nEND\r\n", .port = server.port});
  while (!client->Set("k", "small").ok()) std::this_thread::yield();
  CHECK(client->Set("k", std::string(20'000, 'x')).ok());
  CHECK(client->Set("k", std::string(60'000, 'x')).ok());
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(70'000, 'x'))));
  CHECK(storing->asked == 1);
}

TEST_CASE("a connection that was only asked for the limit is made again like any other",
          "[client]") {
  ServerProcess server("cairnd", {"-I", "2k"});
  const auto client = Connect(OptionsOf(server.server()));
  CHECK(absl::IsResourceExhausted(client->Replace("k", std::string(5000, 'x')).status()));
  server.Kill();
  server.Start();
  CHECK(client->Get("k").value() == std::nullopt);
  CHECK(client->Stats()[0].connections_made == 2);
}

TEST_CASE("a limit holds over a UNIX socket, too, also of a server that was started again",
          "[client]") {
  const server::TemporaryFolder folder;
  ServerProcess server("cairnd", {"-I", "2k", "-s", folder.Path("socket")});
  ClientOptions options = OptionsOf(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  for (int starts = 0; starts < 3; ++starts) {
    REQUIRE(client->Set("key", "old").ok());
    CHECK(absl::IsResourceExhausted(client->Set("key", std::string(5000, 'x'))));
    CHECK(client->Get("key").value() == std::nullopt);
    CHECK(Stat(*client, "bytes_read") < 1000);
    server.Kill();
    server.Start();
  }
  CHECK(client->Stats()[0].connections_made == 3);
}

// To a UNIX socket the connection that is made in place of the one that broke is there at once.
TEST_CASE("who hangs up on the question over a UNIX socket loses nothing by it either",
          "[client]") {
  const server::TemporaryFolder folder;
  Storing storing({.settings = kSixteen,
                   .hangs_up = 1000,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion),
                   .path = folder.Path("socket")});
  ClientOptions options = OptionsOf(storing.peer.server());
  // In classic text nothing is asked of a new connection.
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  CHECK(client->Set("key", std::string(5000, 'x')).ok());
  CHECK(client->Set("key", "small").ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 2);
}

TEST_CASE("the question waits for what was asked before, and nothing is lost by it", "[client]") {
  Storing storing({.settings = kSixteen,
                   .hangs_up = GENERATE(0, 1000),
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(OptionsOf(storing.peer.server()));
  const std::string large(10'000, 'x');
  std::vector<SetItem> items(2000, {"k", "small"});
  for (size_t i = 700; i < items.size(); i += 500) items[i].value = large;
  std::vector<std::thread> threads;
  std::atomic<size_t> done{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { done += client->SetMulti(items).done_count(); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == 4 * items.size());
  CHECK(storing.stored == 4 * 2000);
  CHECK(storing.asked == 1);
}

}  // namespace cairn
