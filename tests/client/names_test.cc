// Host names: several addresses, names that move, and resolvers that take their time.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Texts = absl::StatusOr<std::vector<std::string>>;

// A resolver whose answer a test changes. Copies share it, as threads that look up need.
class Book {
 public:
  explicit Book(Texts said) : shared_(std::make_shared<Shared>()) { Say(std::move(said)); }
  void Say(Texts said) {
    const std::lock_guard lock(shared_->mutex);
    shared_->said = std::move(said);
  }
  int asked() const { return shared_->asked; }
  ClientOptions::Resolver resolver() const {
    return [shared = shared_](const std::string&) -> Texts {
      ++shared->asked;
      const std::lock_guard lock(shared->mutex);
      return shared->said;
    };
  }

 private:
  struct Shared {
    std::mutex mutex;
    Texts said;
    std::atomic<int> asked{0};
  };
  const std::shared_ptr<Shared> shared_;
};

ClientOptions OptionsFor(uint16_t port, const Book& book) {
  Server server;
  server.host = "cache.example";
  server.port = port;
  ClientOptions options = PatientOptions(server);
  options.protocol = ClientOptions::Protocol::kText;
  options.resolver = book.resolver();
  return options;
}

// Answers each get with `value`.
ScriptedPeer::Talk Saying(const std::string& value) {
  return [value](Conversation& conversation, int) {
    while (!conversation.Line().empty()) {
      conversation.Send("VALUE key 0 " + std::to_string(value.size()) + "\r\n" + value +
                        "\r\nEND\r\n");
    }
  };
}

// Asks until the answer is `value`; false after a minute.
template <typename Get>
bool Becomes(const std::string& value, const Get& get) {
  for (int tries = 0; tries < 6000; ++tries) {
    const absl::StatusOr<std::optional<std::string>> got = get();
    if (got.ok() && *got == value) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// Asks in vain until `done`; false after a minute, or when an answer came.
template <typename Done>
bool AwaitFailing(Client& client, std::string_view key, const Done& done) {
  for (int tries = 0; !done() && tries < 6000; ++tries) {
    if (client.Get(key).ok()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return done();
}

}  // namespace

TEST_CASE("a name that has moved is looked up again", "[client][names]") {
  Book book(std::vector<std::string>{"127.0.0.1"});
  auto old_place = std::make_unique<ScriptedPeer>(Saying("old"));
  const uint16_t port = old_place->server().port;
  const auto client = Connect(OptionsFor(port, book));
  CHECK(client->Get("key").value() == "old");
  CHECK(Wait(client->Async().Get("key")).value() == "old");
  CHECK(book.asked() == 1);
  ScriptedPeer new_place(Saying("new"), port, "127.0.0.2");
  book.Say(std::vector<std::string>{"127.0.0.2"});
  CHECK(client->Get("key").value() == "old");  // as long as that goes well
  old_place.reset();
  CHECK(Becomes("new", [&] { return client->Get("key"); }));
  CHECK(Becomes("new", [&] { return Wait(client->Async().Get("key")); }));
}

TEST_CASE("a name that is not known yet is looked up again", "[client][names]") {
  Book book(absl::UnavailableError("nobody knows"));
  ScriptedPeer peer(Saying("here"));
  const auto client = Connect(OptionsFor(peer.server().port, book));
  const auto got = client->Get("key");
  CHECK(absl::IsUnavailable(got.status()));
  CHECK_THAT(std::string(got.status().message()),
             Catch::Matchers::ContainsSubstring("nobody knows"));
  SECTION("it becomes known") {}
  SECTION("after nothing, and nonsense") {
    book.Say(std::vector<std::string>{});
    CHECK(AwaitFailing(*client, "key", [&] { return !(book.asked() < 2); }));
    book.Say(std::vector<std::string>{"not an address"});
    CHECK(AwaitFailing(*client, "key", [&] { return !(book.asked() < 3); }));
  }
  book.Say(std::vector<std::string>{"127.0.0.1"});
  CHECK(Becomes("here", [&] { return client->Get("key"); }));
}

TEST_CASE("names are looked up all at once, and making a client ends", "[client][names]") {
  ScriptedPeer peer(Saying("here"));
  struct Shared {
    std::atomic<int> asked{0};
    std::atomic<bool> released{false};
  };
  const auto shared = std::make_shared<Shared>();
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  options.servers.clear();
  for (int i = 0; i < 4; ++i) {
    Server server = peer.server();
    server.host = "cache" + std::to_string(i) + ".example";
    options.servers.push_back(server);
  }
  SECTION("none answers before all were asked") {
    options.resolver = [shared](const std::string&) -> Texts {
      ++shared->asked;
      while (shared->asked < 4) std::this_thread::yield();
      return std::vector<std::string>{"127.0.0.1"};
    };
    const auto client = Connect(options);
    CHECK(client->Get("key").value() == "here");
  }
  SECTION("one does not answer") {
    options.call_timeout = absl::Milliseconds(200);
    options.resolver = [shared](const std::string&) -> Texts {
      while (!shared->released) std::this_thread::yield();
      return std::vector<std::string>{"127.0.0.1"};
    };
    const auto client = Connect(options);
    const auto got = client->Get("key");
    CHECK(absl::IsUnavailable(got.status()));
    CHECK_THAT(std::string(got.status().message()),
               Catch::Matchers::ContainsSubstring("still being looked up"));
    shared->released = true;
    CHECK(Becomes("here", [&] { return client->Get("key"); }));
  }
}

TEST_CASE("what was known is kept when a name is not found any more", "[client][names]") {
  Book book(std::vector<std::string>{"127.0.0.1"});
  auto peer = std::make_unique<ScriptedPeer>(Saying("first"));
  const uint16_t port = peer->server().port;
  const auto client = Connect(OptionsFor(port, book));
  CHECK(client->Get("key").value() == "first");
  book.Say(absl::UnavailableError("nobody knows"));
  peer.reset();
  CHECK(AwaitFailing(*client, "key", [&] { return !(book.asked() < 2); }));
  peer = std::make_unique<ScriptedPeer>(Saying("second"), port);
  CHECK(Becomes("second", [&] { return client->Get("key"); }));
}

TEST_CASE("all addresses of a name are tried, and the good one first", "[client][names]") {
  ScriptedPeer good([](Conversation& conversation, int) {  // a connection for each answer
    conversation.Line();
    conversation.Send("VERSION 1.4.0\r\n");
    conversation.Line();
    conversation.Send("VALUE key 0 4\r\ngood\r\nEND\r\n");
  });
  const uint16_t port = good.server().port;
  ScriptedPeer silent([](Conversation& conversation, int) { conversation.Hang(); }, port,
                      "127.0.0.2");
  // Nobody listens on the first.
  Book book(std::vector<std::string>{"127.0.0.3", "127.0.0.2", "127.0.0.1"});
  ClientOptions options = OptionsFor(port, book);
  options.protocol = ClientOptions::Protocol::kAuto;
  options.connect_timeout = absl::Seconds(1);
  const auto client = Connect(options);
  const auto blocking = [&] { return client->Get("key"); };
  const auto on_loop = [&] { return Wait(client->Async().Get("key")); };
  CHECK(Becomes("good", blocking));
  CHECK(silent.connections() == 1);
  CHECK(Becomes("good", on_loop));
  CHECK(Becomes("good", blocking));
  CHECK(silent.connections() == 1);
  CHECK(good.connections() >= 3);
}

TEST_CASE("a resolver that hangs holds up nobody", "[client][names]") {
  struct Gate {
    std::promise<void> open;
    std::shared_future<void> opened{open.get_future()};
    std::atomic<int> asked{0};
    std::atomic<int> left{0};
  };
  const auto gate = std::make_shared<Gate>();
  ScriptedPeer peer(Saying("here"));
  Server gone;
  gone.host = "cache.example";
  gone.port = FreePort();
  ClientOptions options = PatientOptions(peer.server());
  options.servers.push_back(gone);
  options.protocol = ClientOptions::Protocol::kText;
  options.resolver = [gate](const std::string&) -> Texts {
    if (++gate->asked > 1) gate->opened.wait();
    ++gate->left;
    return std::vector<std::string>{"127.0.0.1"};
  };
  auto client = Connect(options);
  std::string far = "a";
  while (client->ServerOf(far) != 1) far += "a";
  CHECK(AwaitFailing(*client, far, [&] { return gate->asked == 2; }));
  // Its lookup is under way, and stays so.
  std::string near = "a";
  while (client->ServerOf(near) != 0) near += "a";
  CHECK(absl::IsUnavailable(client->Get(far).status()));
  CHECK(absl::IsUnavailable(Wait(client->Async().Get(far)).status()));
  CHECK(client->Get("key").ok() == (client->ServerOf("key") == 0));
  CHECK(gate->asked == 2);
  client.reset();  // nor does the end wait for it
  gate->open.set_value();
  while (gate->left < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_CASE("a name of the system finds its server again", "[client][names]") {
  ServerProcess process;
  Server server = process.server();
  server.host = "localhost";
  const auto client = Connect(PatientOptions(server));
  CHECK(client->Set("key", "value").ok());
  process.Kill();
  CHECK_FALSE(client->Get("key").ok());
  process.Start();
  CHECK(client->Set("key", "value").ok());
  CHECK(Becomes("value", [&] { return client->Get("key"); }));
}

TEST_CASE("keys of a server whose name does not resolve go elsewhere", "[client][names]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    while (!conversation.Line().empty()) conversation.Send("END\r\n");
  });
  const Book book(absl::UnavailableError("nobody knows"));
  ClientOptions options = OptionsFor(peer.server().port, book);
  options.servers.push_back(peer.server());
  options.servers[1].backup = GENERATE(false, true);
  options.eject = !options.servers[1].backup;
  options.max_fails = 3;
  options.fail_timeout = absl::Minutes(5);
  const auto client = Connect(options);
  std::string key = "k";
  while (client->ServerOf(key) != 0) key += "k";
  for (uint32_t i = 0; i < options.max_fails; ++i) {
    CHECK(absl::IsUnavailable(client->Get(key).status()));
  }
  CHECK(client->Get(key).value() == std::nullopt);
  CHECK(Wait(client->Async().Get(key)).value() == std::nullopt);
}

TEST_CASE("a server whose name did not resolve is tried as soon as it does", "[client][names]") {
  const std::string instead = GENERATE("eject", "backup", "nothing");
  std::string key = "k";
  ScriptedPeer peer([&](Conversation& conversation, int) {
    while (!conversation.Line().empty()) {
      conversation.Send("VALUE " + key + " 0 4\r\nhere\r\nEND\r\n");
    }
  });
  ScriptedPeer other([](Conversation& conversation, int) {
    while (!conversation.Line().empty()) conversation.Send("END\r\n");
  });
  Book book(absl::UnavailableError("nobody knows"));
  ClientOptions options = OptionsFor(peer.server().port, book);
  options.servers.push_back(other.server());
  options.servers[1].backup = instead == "backup";
  options.eject = instead == "eject";
  options.max_fails = 1;
  options.fail_timeout = absl::Milliseconds(10);
  const auto client = Connect(options);
  while (client->ServerOf(key) != 0) key += "k";
  CHECK(absl::IsUnavailable(client->Get(key).status()));
  // Its pause is over long before it is looked up again.
  for (int tries = 0; book.asked() < 2 && tries < 6000; ++tries) {
    const auto got = client->Get(key);
    REQUIRE((instead == "nothing" ? !got.ok() : got.ok() && !got->has_value()));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(book.asked() == 2);
  book.Say(std::vector<std::string>{"127.0.0.1"});
  CHECK(Becomes("here", [&] { return client->Get(key); }));
  CHECK(Wait(client->Async().Get(key)).value() == "here");
  CHECK(client->Stats().at(0).pauses == 1);
}

}  // namespace cairn
