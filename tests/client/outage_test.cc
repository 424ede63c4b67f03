// Three servers under load while one of them fails and comes back: what it costs is counted and
// bounded, and nothing is ever wrong. CAIRN_OUTAGE_MS=<n> makes outages that long, and prints the
// table that docs/client.md has.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "cairn/namespace.h"
#include "tests/catch.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr int kThreads = 6;
constexpr int kKeysOfThread = 60;
constexpr size_t kVictim = 1;
// Requests of each thread before, during and after an outage.
constexpr int kRequests = 60;

// How the victim fails.
enum class Fault : uint8_t { kKilled, kRestarted, kStopped, kGarbage, kCutAnswers };

const char* NameOf(Fault fault) {
  switch (fault) {
    case Fault::kKilled:
      return "killed, its port refuses; started again later";
    case Fault::kRestarted:
      return "killed and started again at once";
    case Fault::kStopped:
      return "stopped; continued later";
    case Fault::kGarbage:
      return "answers garbage; started again later";
    case Fault::kCutAnswers:
      return "cuts answers short; started again later";
  }
  return "";
}

// What became of requests for the keys of one server.
struct Count {
  std::atomic<int> hits{0};
  std::atomic<int> misses{0};
  std::atomic<int> asked{0};    // errors after the server was asked
  std::atomic<int> unasked{0};  // errors at once, because it is left alone
  std::atomic<int> wrong{0};    // another key's value
  std::atomic<int64_t> slowest_us{0};

  int errors() const { return asked + unasked; }
  int requests() const { return hits + misses + errors(); }
  void Add(const absl::StatusOr<std::optional<std::string>>& got, const std::string& key,
           Clock::duration took) {
    const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
    for (int64_t seen = slowest_us; seen < us && !slowest_us.compare_exchange_weak(seen, us);) {
    }
    if (got.ok() && got->has_value()) {
      ++(**got == "value of " + key ? hits : wrong);
    } else if (got.ok()) {
      ++misses;
    } else {
      const std::string message(got.status().message());
      const bool at_once = message.find(" after: ") != std::string::npos;
      ++(at_once ? unasked : asked);
    }
  }
};

struct Load {
  explicit Load(Client* client) : client_(client) {
    for (int t = 0; t < kThreads; ++t) threads_.emplace_back([this, t] { Run(t); });
  }
  ~Load() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  // Returns when every thread has made `requests` more for the victim's keys.
  void Await(int requests) {
    std::array<int, kThreads> until;
    for (int t = 0; t < kThreads; ++t) until[t] = made_[t] + requests;
    for (int t = 0; t < kThreads; ++t) {
      while (made_[t] < until[t]) std::this_thread::sleep_for(milliseconds(1));
    }
  }

  Count victims;
  Count others;

 private:
  // Look-aside, about once a millisecond.
  void Run(int t) {
    std::vector<std::pair<std::string, bool>> keys;
    for (int i = 0; i < kKeysOfThread; ++i) {
      const std::string key = std::to_string(t) + ":" + std::to_string(i);
      keys.emplace_back(key, client_->ServerOf(key) == kVictim);
    }
    for (size_t i = 0; !stop_; i = (i + 1) % keys.size()) {
      const auto& [key, is_victims] = keys[i];
      const Clock::time_point begin = Clock::now();
      const auto got = client_->Get(key);
      (is_victims ? victims : others).Add(got, key, Clock::now() - begin);
      if (got.ok() && !got->has_value()) (void)client_->Set(key, "value of " + key);
      if (is_victims) ++made_[t];
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  Client* const client_;
  std::atomic<bool> stop_{false};
  std::array<std::atomic<int>, kThreads> made_{};
  std::vector<std::thread> threads_;
};

int OutageMs() {
  const char* const text = getenv("CAIRN_OUTAGE_MS");
  return text == nullptr ? 0 : atoi(text);
}

// Makes the servers whole again when the test is over.
class Outage {
 public:
  Outage(Fault fault, ServerProcess* server) : fault_(fault), server_(server) {
    if (fault == Fault::kStopped) {
      server->Stop();
    } else {
      server->Kill();
    }
    if (fault == Fault::kRestarted) server->Start();
    if (fault == Fault::kGarbage) {
      Replace([](Conversation& conversation, int) {
        while (!conversation.Line().empty()) conversation.Send("VALUE of nothing 0 3\r\nabc\r\n");
      });
    }
    if (fault == Fault::kCutAnswers) {
      Replace([](Conversation& conversation, int) {
        const std::string line = conversation.Line();
        conversation.Send("VALUE " + line.substr(std::min<size_t>(4, line.size())) + " 0 9\r\nval");
      });
    }
  }
  void End() {
    peer_.reset();
    if (fault_ == Fault::kStopped) return server_->Continue();
    if (!server_->running()) server_->Start();
  }

 private:
  void Replace(ScriptedPeer::Talk talk) {
    peer_ = std::make_unique<ScriptedPeer>(std::move(talk), server_->server().port);
    REQUIRE(peer_->server().port == server_->server().port);
  }
  const Fault fault_;
  ServerProcess* const server_;
  std::unique_ptr<ScriptedPeer> peer_;
};

// What is killed, how it is spoken to, and whether its keys have another place meanwhile.
struct Setup {
  const char* program;
  ClientOptions::Protocol protocol;
  bool with_backup;

  std::string Name() const {
    return std::string(program) + (protocol == ClientOptions::Protocol::kText ? ", text" : "") +
           (with_backup ? ", with a backup" : "");
  }
};

void Print(const std::string& what, Fault fault, const Count& victims, const Count& others) {
  printf("%s | %s | %d | %d | %d | %d | %.1f ms | %d of %d | %.1f ms\n", NameOf(fault),
         what.c_str(), victims.requests(), victims.misses.load(), victims.asked.load(),
         victims.unasked.load(), static_cast<double>(victims.slowest_us) / 1000,
         others.errors() + others.misses, others.requests(),
         static_cast<double>(others.slowest_us) / 1000);
}

// How many trials fit into that much time, at most: pauses never get shorter than fail_timeout.
int TrialsWithin(Clock::duration time, absl::Duration fail_timeout) {
  return 1 + static_cast<int>(absl::FromChrono(time) / fail_timeout);
}

void TestOutage(const Setup& setup, Fault fault) {
  INFO(NameOf(fault) << ": " << setup.Name());
  const std::string program = setup.program;
  ServerProcess servers[3] = {ServerProcess(program), ServerProcess(program),
                              ServerProcess(program)};
  ServerProcess backup(program);
  if (!backup.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options;
  for (const ServerProcess& server : servers) options.servers.push_back(server.server());
  if (setup.with_backup) {
    options.servers.push_back(backup.server());
    options.servers.back().backup = true;
    options.backup_ttl_max = absl::Seconds(10);
  }
  options.protocol = setup.protocol;
  const int outage_ms = OutageMs();
  if (outage_ms == 0) {
    // Short pauses, so that the test is; long timeouts where a busy machine is not to look hung.
    options.fail_timeout = absl::Milliseconds(200);
    options.pause_max = absl::Milliseconds(400);
    options.call_timeout = absl::Seconds(60);
    // Connecting to a stopped server is waiting for its version, if that is asked.
    options.connect_timeout = options.request_timeout =
        absl::Seconds(fault == Fault::kStopped ? 1 : 10);
  }
  auto made = Client::Make(options);
  REQUIRE(made.ok());
  Client& client = **made;

  Load load(&client);
  load.Await(kRequests);
  CHECK(load.victims.errors() + load.others.errors() == 0);
  const int misses_before = load.victims.misses;
  const int others_before = load.others.misses;
  Clock::time_point begin = Clock::now();
  Outage outage(fault, &servers[kVictim]);
  if (outage_ms > 0) std::this_thread::sleep_for(milliseconds(outage_ms));
  load.Await(kRequests);
  outage.End();
  // Found again without anybody's doing.
  int errors = 0;
  do {
    errors = load.victims.errors();
    load.Await(50);
  } while (load.victims.errors() != errors);
  const Clock::duration took = Clock::now() - begin;
  load.Await(kRequests);

  if (outage_ms > 0) Print(setup.Name(), fault, load.victims, load.others);
  CHECK(load.victims.wrong == 0);
  CHECK(load.others.wrong == 0);
  // Other servers' keys notice nothing.
  CHECK(load.others.errors() == 0);
  CHECK(load.others.misses == others_before);
  // A server that lost its memory costs each key a miss; a backup, another one.
  const int keys = kThreads * kKeysOfThread;
  CHECK(load.victims.misses <= misses_before + keys * (setup.with_backup ? 2 : 1));
  // Each failure is told to those who waited for it, and after max_fails of them only trials fail.
  const int failures =
      static_cast<int>(options.max_fails) + TrialsWithin(took, options.fail_timeout);
  CHECK(load.victims.asked <= failures * kThreads);
  if (setup.with_backup) CHECK(load.victims.unasked <= failures * kThreads);
}

}  // namespace

TEST_CASE("what an outage costs is bounded: errors, misses, and no other server's keys",
          "[client]") {
  constexpr auto kAuto = ClientOptions::Protocol::kAuto;
  constexpr auto kText = ClientOptions::Protocol::kText;
  const Fault fault = GENERATE(Fault::kKilled, Fault::kRestarted, Fault::kStopped, Fault::kGarbage,
                               Fault::kCutAnswers);
  const Setup setup = GENERATE(Setup{"cairnd", kText, false}, Setup{"cairnd", kText, true},
                               Setup{"cairnd", kAuto, true}, Setup{"memcached", kAuto, false},
                               Setup{"memcached", kAuto, true});
  // A peer that speaks rubbish does not differ by what it stands in for.
  const bool is_real = fault != Fault::kGarbage && fault != Fault::kCutAnswers;
  const bool is_ours = setup.program == std::string("cairnd");
#ifdef CAIRN_SANITIZED
  // What they look for is in the library, and they take long.
  if (!is_ours || (setup.protocol == kText && setup.with_backup)) return;
#endif
  if (is_real || is_ours) TestOutage(setup, fault);
}

TEST_CASE("backups take keys only while a server is left alone", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess first(program);
  ServerProcess second(program);
  ServerProcess backup(program);
  if (!first.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options;
  options.servers = {first.server(), second.server(), backup.server()};
  options.servers[2].backup = true;
  options.backup_ttl_max = absl::Seconds(100);
  options.max_fails = 1;
  options.fail_timeout = absl::Milliseconds(100);
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  options.call_timeout = absl::Seconds(60);
  options.eject = GENERATE(false, true);
  auto made = Client::Make(options);
  REQUIRE(made.ok());
  Client& client = **made;
  std::string key = "0";
  for (int i = 0; client.ServerOf(key) != 0; ++i) key = std::to_string(i);
  for (int i = 0; i < 200; ++i) CHECK(client.ServerOf(std::to_string(i)) != 2);
  REQUIRE(client.Set(key, "home").ok());

  first.Kill();
  while (!client.Set(key, "elsewhere").ok()) std::this_thread::yield();
  if (options.eject) {
    CHECK(client.Get(key).value() == "elsewhere");
    second.Kill();  // and now there is no other primary
    while (!client.Set(key, "elsewhere").ok()) std::this_thread::yield();
  }
  ClientOptions direct;
  direct.servers = {backup.server()};
  direct.servers[0].backup = false;
  const auto at_backup = Client::Make(direct);
  REQUIRE(at_backup.ok());
  REQUIRE((*at_backup)->Get(key).value() == "elsewhere");
  const std::string_view asked[] = {key, "not there"};
  MultiGetResult multi;
  do multi = client.GetMulti(asked);
  while (!multi[0].hit());
  CHECK(multi[0].value == "elsewhere");

  first.Start();
  while (client.ServerOf(key) != 0 || !client.Set(key, "home again").ok()) {
    std::this_thread::yield();
  }
  CHECK(client.Get(key).value() == "home again");
}

TEST_CASE("with modula an outage moves no keys but those of its server", "[client]") {
  std::atomic<int> wrong{0};
  ScriptedPeer down([&wrong](Conversation&, int) { ++wrong; });
  ScriptedPeer backup([&wrong](Conversation&, int) { ++wrong; });
  const auto nobody = [] {
    Server server;
    server.host = "127.0.0.1";
    server.port = FreePort();
    return server;
  };
  ClientOptions options;
  options.servers = {backup.server(), nobody(), down.server(), nobody(), nobody()};
  options.servers[0].backup = true;
  const size_t down_number = 2;
  options.servers[down_number].down = true;
  options.placement = PlacementOptions::For(
      GENERATE(PlacementPreset::kLibmemcachedModula, PlacementPreset::kTwemproxyModula));
  options.eject = GENERATE(true, false);
  options.hash_key_prefix = GENERATE(true, false);
  options.key_prefix = "v7:";
  options.max_fails = 1;
  options.fail_timeout = options.pause_max = absl::Hours(1);
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  auto made = Client::Make(options);
  REQUIRE(made.ok());
  Client& client = **made;
  const auto list = std::span<const Server>(options.servers).subspan(1);
  const Placement homes = Placement::Make(list, options.placement).value();
  std::vector<size_t> before;
  const auto name = [](int i) { return "key:" + std::to_string(i); };
  for (int i = 0; i < 1000; ++i) {
    const std::string prefix = options.hash_key_prefix ? options.key_prefix : std::string();
    const size_t home = homes.Choose(prefix + name(i)) + 1;
    before.push_back(client.ServerOf(name(i)));
    CHECK(before.back() != 0);
    if (home == down_number) {
      CHECK(before.back() != down_number);
    } else {
      CHECK(before.back() == home);
    }
  }

  // Two of the three fail.
  for (const size_t failing : {size_t{1}, size_t{4}}) {
    const auto key = std::find(before.begin(), before.end(), failing) - before.begin();
    if (client.ServerOf(name(static_cast<int>(key))) != failing) continue;
    CHECK(absl::IsUnavailable(client.Get(name(static_cast<int>(key))).status()));
    for (int i = 0; i < 1000; ++i) {
      const size_t now = client.ServerOf(name(i));
      if (before[i] != failing) {
        CHECK(now == before[i]);
      } else if (options.eject) {
        CHECK((now != failing && now != down_number && now != 0));
      } else {
        CHECK(now == 0);
      }
      if (options.eject) before[i] = now;
    }
    if (!options.eject) break;
  }
  CHECK(wrong == 0);
}

TEST_CASE("what is stored on a backup has no longer to live than was said", "[client]") {
  std::string seen;
  std::atomic<int> stored{0};
  ScriptedPeer peer([&](Conversation& conversation, int) {
    for (std::string line = conversation.Line(); !line.empty(); line = conversation.Line()) {
      seen += line + "\n";
      if (line.starts_with("set")) conversation.Skip(3), conversation.Send("STORED\r\n");
      if (line.starts_with("touch")) conversation.Send("TOUCHED\r\n");
      if (line.starts_with("gets")) conversation.Send("VALUE f 0 1\r\nx\r\nEND\r\n");
      ++stored;
    }
  });
  ClientOptions options;
  Server nobody;
  nobody.host = "127.0.0.1";
  nobody.port = FreePort();
  options.servers = {nobody, peer.server()};
  options.servers[1].backup = true;
  options.backup_ttl_max = absl::Seconds(10);
  options.max_fails = 1;
  options.fail_timeout = options.pause_max = absl::Hours(1);
  options.protocol = ClientOptions::Protocol::kText;
  auto made = Client::Make(options);
  REQUIRE(made.ok());
  Client& client = **made;
  CHECK(absl::IsUnavailable(client.Get("key").status()));  // the first to find out
  CHECK(client.Set("a", "x").ok());
  CHECK(client.Set("b", "x", {.ttl = absl::Seconds(9)}).ok());
  CHECK(client.Set("c", "x", {.ttl = absl::Hours(24 * 365)}).ok());
  CHECK(client.Set("d", "x", {.ttl = absl::ZeroDuration()}).ok());
  CHECK(client.Touch("e", absl::Seconds(11)).value());
  CHECK(client.GetAndTouch("f", absl::InfiniteDuration()).value()->value == "x");
  while (stored < 7) std::this_thread::yield();
  CHECK(seen ==
        "set a 0 10 1\nset b 0 9 1\nset c 0 10 1\nset d 0 2592001 1\ntouch e 10\ngets f\n"
        "touch f 10\n");
}

TEST_CASE("a server that is marked down is not there", "[client]") {
  ServerProcess first;
  std::atomic<int> wrong{0};
  ScriptedPeer down([&wrong](Conversation&, int) { ++wrong; });
  ClientOptions options;
  options.servers = {first.server(), down.server()};
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  options.servers[1].down = true;
  options.placement = PlacementOptions::For(
      GENERATE(PlacementPreset::kCairn, PlacementPreset::kLibmemcachedModula));
  auto made = Client::Make(options);
  REQUIRE(made.ok());
  for (int i = 0; i < 100; ++i) {
    CHECK((*made)->ServerOf(std::to_string(i)) == 0);
    CHECK((*made)->Set(std::to_string(i), "x").ok());
    // What has no other place has its home there.
    CHECK(Namespace(made->get(), std::to_string(i)).Key("k").ok());
  }
  CHECK((*made)->FlushAll().ok());
  CHECK(absl::IsUnavailable((*made)->Version(1).status()));
  CHECK(wrong == 0);
  options.servers[0].backup = true;
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  options.servers[0].backup = false;
  options.backup_ttl_max = absl::Hours(24 * 31);
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
}

}  // namespace cairn
