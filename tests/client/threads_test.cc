// Threads that share a client's connections: who waits for one answer keeps nobody from another.
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"

namespace cairn {
namespace {

ClientOptions TextOptions(std::vector<Server> servers) {
  ClientOptions options = PatientOptions(servers[0]);
  options.servers = std::move(servers);
  options.protocol = ClientOptions::Protocol::kText;
  return options;
}

std::string KeyOn(const Client& client, size_t server, int number) {
  for (;; ++number) {
    const std::string key = "key" + std::to_string(number);
    if (client.ServerOf(key) == server) return key;
  }
}

// "get <key>": the key is its value.
void Answer(Conversation& conversation, const std::string& line) {
  const std::string key = line.substr(std::string("get ").size());
  conversation.Send("VALUE " + key + " 0 " + std::to_string(key.size()) + "\r\n" + key +
                    "\r\nEND\r\n");
}

// A peer that answers the first `held` requests together, when the test lets it.
class HoldingPeer {
 public:
  explicit HoldingPeer(int held) : held_(held) {}

  Server server() const { return peer_.server(); }
  void AwaitAsked(int requests) const {
    while (asked_ < requests) std::this_thread::yield();
  }
  void Release() { released_ = true; }

 private:
  void Talk(Conversation& conversation) {
    std::vector<std::string> lines;
    while (asked_ < held_) {
      lines.push_back(conversation.Line());
      if (lines.back().empty()) return;
      ++asked_;
    }
    while (!released_) std::this_thread::yield();
    for (const std::string& line : lines) Answer(conversation, line);
    for (std::string line; !(line = conversation.Line()).empty();) Answer(conversation, line);
  }

  const int held_;
  std::atomic<int> asked_{0};
  std::atomic<bool> released_{false};
  ScriptedPeer peer_{[this](Conversation& conversation, int) { Talk(conversation); }};
};

ScriptedPeer::Talk Answering() {
  return [](Conversation& conversation, int) {
    for (std::string line; !(line = conversation.Line()).empty();) Answer(conversation, line);
  };
}

bool Gets(Client& client, const std::string& key) {
  const auto got = client.Get(key);
  return got.ok() && *got == key;
}

std::future<bool> GetsLater(Client& client, const std::string& key) {
  return std::async(std::launch::async, [&client, key] { return Gets(client, key); });
}

}  // namespace

TEST_CASE("who waits for one server keeps nobody from another", "[client]") {
  HoldingPeer slow(1);
  ScriptedPeer quick(Answering());
  const auto client = Client::Make(TextOptions({slow.server(), quick.server()})).value();
  std::future<bool> waits = GetsLater(*client, KeyOn(*client, 0, 0));
  slow.AwaitAsked(1);
  for (int i = 0; i < 50; ++i) CHECK(Gets(*client, KeyOn(*client, 1, i)));
  // Neither does a second one, who leads meanwhile.
  const std::string keys[] = {KeyOn(*client, 0, 0), KeyOn(*client, 1, 0)};
  auto both = std::async(std::launch::async, [&] {
    const std::string_view views[] = {keys[0], keys[1]};
    return client->GetMulti(views).hits();
  });
  for (int i = 0; i < 50; ++i) CHECK(Gets(*client, KeyOn(*client, 1, i)));
  slow.Release();
  CHECK(waits.get());
  CHECK(both.get() == 2);
  CHECK(Gets(*client, keys[0]));
}

TEST_CASE("what is asked while another one waits is sent at once", "[client]") {
  HoldingPeer peer(2);
  ScriptedPeer other(Answering());
  const auto client = Client::Make(TextOptions({peer.server(), other.server()})).value();
  std::future<bool> first = GetsLater(*client, KeyOn(*client, 0, 0));
  peer.AwaitAsked(1);
  std::future<bool> second = GetsLater(*client, KeyOn(*client, 0, 1000));
  peer.AwaitAsked(2);
  // Two wait now; this one leads for a moment.
  CHECK(Gets(*client, KeyOn(*client, 1, 0)));
  peer.Release();
  CHECK(first.get());
  CHECK(second.get());
}

TEST_CASE("what many threads ask while two requests are unanswered leaves in one write",
          "[client]") {
  constexpr int kThreads = 8;
  Server held;
  held.host = "127.0.0.1";
  const int listener = Listen(0, &held.port);
  REQUIRE(listener >= 0);
  std::atomic<int> held_asked{0};
  std::atomic<int> quick_asked{0};
  int too_early = -1;  // bytes that came before an answer
  int pieces = 0;      // in which what waited for it came
  std::thread peer([&] {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    Conversation conversation(fd);
    const std::string first = conversation.Line();
    ++held_asked;
    const std::string second = conversation.Line();
    ++held_asked;
    while (quick_asked < kThreads) std::this_thread::yield();
    ioctl(fd, FIONREAD, &too_early);
    const int before = conversation.reads();
    Answer(conversation, first);
    for (int i = 0; i < kThreads; ++i) {
      const std::string line = conversation.Line();
      if (i == 0) Answer(conversation, second);
      Answer(conversation, line);
    }
    pieces = conversation.reads() - before;
    conversation.Hang();
    close(fd);
  });
  ScriptedPeer quick([&](Conversation& conversation, int) {
    for (std::string line; !(line = conversation.Line()).empty(); ++quick_asked) {
      Answer(conversation, line);
    }
  });
  {
    const auto client = Client::Make(TextOptions({held, quick.server()})).value();
    std::vector<std::future<bool>> waits;
    for (int i = 0; i < 2; ++i) {
      waits.push_back(GetsLater(*client, KeyOn(*client, 0, 1000 * i)));
      while (held_asked <= i) std::this_thread::yield();
    }
    // Each asks one key of each server, at once: when one was sent, the other waits to be.
    for (int i = 0; i < kThreads; ++i) {
      waits.push_back(std::async(std::launch::async, [&client, i] {
        const std::string keys[] = {KeyOn(*client, 0, 5000 + 1000 * i), KeyOn(*client, 1, 0)};
        const std::string_view views[] = {keys[0], keys[1]};
        const MultiGetResult got = client->GetMulti(views);
        return got[0].value == keys[0] && got[1].value == keys[1];
      }));
    }
    for (std::future<bool>& each : waits) CHECK(each.get());
  }
  peer.join();
  close(listener);
  CHECK(too_early == 0);
  CHECK(pieces == 1);
}

TEST_CASE("a call that gives up leaves the wait of others alone", "[client]") {
  HoldingPeer peer(1);
  ScriptedPeer other(Answering());
  const auto client = Client::Make(TextOptions({peer.server(), other.server()})).value();
  std::future<bool> waits = GetsLater(*client, KeyOn(*client, 0, 0));
  peer.AwaitAsked(1);
  const CallOptions short_call = {.timeout = absl::Milliseconds(5)};
  for (int i = 0; i < 3; ++i) {
    CHECK(absl::IsDeadlineExceeded(client->Get(KeyOn(*client, 0, i), short_call).status()));
    CHECK(Gets(*client, KeyOn(*client, 1, i)));
  }
  peer.Release();
  CHECK(waits.get());
  for (int i = 0; i < 3; ++i) CHECK(Gets(*client, KeyOn(*client, 0, i)));
}

TEST_CASE("threads with calls of every size each get their own answers", "[client]") {
  constexpr int kThreads = 8;
  constexpr int kKeys = 60;
  constexpr int kRounds = 150;
  ServerProcess servers[3];
  ClientOptions options = PatientOptions(servers[0].server());
  options.servers = {servers[0].server(), servers[1].server(), servers[2].server()};
  const auto client = Client::Make(options).value();
  std::vector<std::string> keys;
  // Some are longer than what is read in one piece.
  const auto value_of = [](const std::string& key) {
    return key + std::string(std::hash<std::string>()(key) % 7 == 0 ? 100'000 : 10, key.back());
  };
  for (int i = 0; i < kKeys; ++i) {
    keys.push_back("key" + std::to_string(i));
    REQUIRE(client->Set(keys.back(), value_of(keys.back())).ok());
  }
  std::mutex mutex;
  std::vector<std::string> wrong;
  const auto expect = [&](bool right, auto... what) {
    if (right) return;
    const std::lock_guard lock(mutex);
    wrong.push_back(absl::StrCat(what...));
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const size_t first = static_cast<size_t>(t * 7 + i) % kKeys;
        const std::string& key = keys[first];
        const std::string value = value_of(key);
        switch ((t + i) % 4) {
          case 0: {
            std::vector<std::string_view> some(keys.begin() + static_cast<long>(first), keys.end());
            const MultiGetResult got = client->GetMulti(some);
            for (size_t k = 0; k < some.size(); ++k) {
              expect(got[k].hit() && got[k].value == value_of(keys[first + k]),
                     "many: ", got.status(k).ToString(), ", ", got[k].value.size(), " bytes");
            }
            break;
          }
          case 1: {
            // Its time is often up while others still wait on the same connection.
            const auto got = client->Get(key, {.timeout = absl::Microseconds(50 + 10 * i)});
            expect(got.ok() ? *got == value : absl::IsDeadlineExceeded(got.status()),
                   "in haste: ", got.status().ToString());
            break;
          }
          case 2: {
            const absl::Status set = client->Set(key, value);
            expect(set.ok(), "set: ", set.ToString());
            break;
          }
          default: {
            const auto got = client->Get(key);
            expect(got.ok() && *got == value, "one: ", got.status().ToString());
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<std::string>());
}

}  // namespace cairn
