// A server that says nothing, or nothing yet: what that costs whom.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

// What one thread of a test tells another.
class Signal {
 public:
  void Give() {
    const std::lock_guard lock(mutex_);
    given_ = true;
    changed_.notify_all();
  }
  /// False when it was not given for so long.
  bool Await(std::chrono::seconds longest = std::chrono::seconds(60)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, longest, [this] { return given_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool given_ = false;
};

std::string KeyOn(const Client& client, size_t server) {
  std::string key = "k";
  while (client.ServerOf(key) != server) key += "k";
  return key;
}

ClientOptions TextOptions(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.protocol = ClientOptions::Protocol::kText;
  return options;
}

}  // namespace

TEST_CASE("while one server is silent the answers of another are read", "[client]") {
  // More than sockets hold, so that it is sent only when it is read.
  const std::string large(size_t{48} << 20, 'x');
  Signal sent;
  std::string other;
  ScriptedPeer full([&](Conversation& client, int) {
    client.Line();
    client.Send("VALUE " + other + " 0 " + std::to_string(large.size()) + "\r\n" + large +
                "\r\nEND\r\n");
    sent.Give();
    client.Hang();
  });
  std::string key;
  ScriptedPeer silent([&](Conversation& client, int) {
    client.Line();
    // It gives up before the client does.
    const bool in_time = sent.Await(std::chrono::seconds(15));
    client.Send(in_time ? "VALUE " + key + " 0 1\r\nx\r\nEND\r\n" : "END\r\n");
    client.Hang();
  });
  ClientOptions options = TextOptions(silent.server());
  options.servers.push_back(full.server());
  options.value_bytes_max = large.size();
  const auto client = Connect(options);
  key = KeyOn(*client, 0);
  other = KeyOn(*client, 1);
  const std::string_view keys[] = {key, other};
  CHECK(client->GetMulti(keys).hits() == 2);
}

TEST_CASE("of a server that is left alone no connection waits for an answer", "[client]") {
  std::atomic<bool> answers{true};
  ScriptedPeer peer([&](Conversation& client, int) {
    while (!client.Line().empty()) {
      if (answers) client.Send("END\r\n");
    }
  });
  ClientOptions options = TextOptions(peer.server());
  options.connections_per_server = 4;
  options.max_fails = 1;
  options.fail_timeout = absl::Minutes(5);
  options.request_timeout = absl::Milliseconds(500);
  const auto client = Connect(options);
  // Threads take turns with the connections.
  const auto get_from_each = [&] {
    std::vector<absl::StatusCode> said(4);
    for (absl::StatusCode& code : said) {
      std::thread([&] {
        code = client->Get("key", {.timeout = absl::Seconds(50)}).status().code();
      }).join();
    }
    return said;
  };
  CHECK(get_from_each() == std::vector(4, absl::StatusCode::kOk));
  CHECK(Wait(client->Async().Get("key")).ok());
  CHECK(peer.connections() == 5);
  answers = false;
  const std::vector<absl::StatusCode> said = get_from_each();
  CHECK(said[0] == absl::StatusCode::kDeadlineExceeded);
  CHECK(std::vector(said.begin() + 1, said.end()) ==
        std::vector(3, absl::StatusCode::kUnavailable));
  CHECK(absl::IsUnavailable(Wait(client->Async().Get("key")).status()));
}

TEST_CASE("the time to connect stands still while nobody waits for it", "[client]") {
  Signal left;
  std::string key;
  ScriptedPeer slow([&](Conversation& client, int) {
    client.Line();
    left.Await();
    client.Send("VERSION 1.6.45\r\n");
    client.Expect("mn");
    client.Send("MN\r\n");
    while (!client.Line().empty()) client.Send("VALUE " + key + " 0 5\r\nvalue\r\nEND\r\n");
  });
  ScriptedPeer quick([](Conversation& client, int) {
    client.Line();
    client.Send("VERSION 1.4.5\r\n");
    while (!client.Line().empty()) client.Send("END\r\n");
  });
  ClientOptions options = PatientOptions(slow.server());
  options.servers.push_back(quick.server());
  options.max_fails = 1;
  options.connect_timeout = absl::Seconds(1);
  const auto client = Connect(options);
  key = KeyOn(*client, 0);
  const std::string other = KeyOn(*client, 1);
  CHECK(client->Get(other).ok());
  CHECK(absl::IsDeadlineExceeded(client->Get(key, {.timeout = absl::Milliseconds(20)}).status()));
  left.Give();
  // Nothing to await but time itself.
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  const bool another_is_asked_first = GENERATE(false, true);
  if (another_is_asked_first) CHECK(client->Get(other).ok());
  CHECK(client->Get(key).value() == "value");
  CHECK(slow.connections() == 1);
}

TEST_CASE("a server's trial keeps nobody waiting but who asked", "[client]") {
  const bool greets = GENERATE(false, true);
  const bool on_loop = GENERATE(false, true);
  Signal tried;
  Signal refused;
  ScriptedPeer peer([&](Conversation& client, int number) {
    client.Line();
    client.Line();
    if (number == 0) return;
    if (!greets) {
      tried.Give();
      refused.Await();
    }
    client.Send("STORED\r\n");
    while (!client.Line().empty()) {
      tried.Give();
      refused.Await();
      client.Send("END\r\n");
    }
  });
  ClientOptions options = TextOptions(peer.server());
  options.username = "name";
  options.password = "password";
  options.max_fails = 1;
  options.fail_timeout = absl::Milliseconds(1);
  const auto client = Connect(options);
  const auto get = [&] {
    return (on_loop ? Wait(client->Async().Get("key")) : client->Get("key")).status();
  };
  CHECK(absl::IsUnavailable(client->Get("key").status()));
  while (client->Stats()[0].state != ServerStatistics::State::kTrialDue) {
    std::this_thread::yield();
  }
  absl::Status said;
  std::thread trial([&] { said = get(); });
  CHECK(tried.Await());
  CHECK_THAT(std::string(get().message()),
             Catch::Matchers::ContainsSubstring("is being tried again"));
  refused.Give();
  trial.join();
  CHECK(said.ok());
  CHECK(get().ok());
  CHECK(peer.connections() == 2);
}

TEST_CASE("nor does a trial that its server does not read", "[client]") {
  const std::string large(size_t{48} << 20, 'x');  // more than sockets hold
  Signal tried;
  Signal refused;
  ScriptedPeer peer([&](Conversation& client, int number) {
    const std::string line = client.Line();
    if (number == 0 || number == 2) return;  // it hangs up on the question for its limit
    if (number == 3) {
      tried.Give();
      refused.Await();
    }
    client.Skip((number == 3 ? large.size() : 2000) + 2);
    client.Send("STORED\r\n");
    client.Line();
  });
  ClientOptions options = TextOptions(peer.server());
  options.value_bytes_max = large.size();
  options.max_fails = 1;
  options.fail_timeout = absl::Milliseconds(1);
  const auto client = Connect(options);
  CHECK(client->Set("key", large.substr(0, 2000)).ok());
  CHECK(absl::IsUnavailable(client->Get("key").status()));
  while (client->Stats()[0].state != ServerStatistics::State::kTrialDue) {
    std::this_thread::yield();
  }
  absl::Status said;
  std::thread trial([&] { said = client->Set("key", large); });
  CHECK(tried.Await());
  CHECK_THAT(std::string(client->Get("key").status().message()),
             Catch::Matchers::ContainsSubstring("is being tried again"));
  refused.Give();
  trial.join();
  CHECK(said.ok());
}

TEST_CASE("a connection that ended behind an answer nobody waited for is made anew", "[client]") {
  Signal late;
  ScriptedPeer peer([&](Conversation& client, int number) {
    if (number == 0) {
      client.Line();
      late.Await();
      client.Send("END\r\n");
      return;
    }
    client.Line();
    client.Line();
    client.Send("STORED\r\n");
    client.Hang();
  });
  const auto client = Connect(TextOptions(peer.server()));
  CHECK(absl::IsDeadlineExceeded(client->Get("key", {.timeout = absl::Milliseconds(50)}).status()));
  CHECK(peer.connections() == 1);
  late.Give();
  while (peer.open_connections() > 0) std::this_thread::yield();
  CHECK(client->Set("key", "value").ok());
}

}  // namespace cairn
