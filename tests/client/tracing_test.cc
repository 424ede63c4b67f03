// What a tracer hears: each request to a server once, when it is over, whatever came of it.
#include "cairn/tracing.h"

#include <atomic>
#include <future>
#include <map>
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

namespace cairn {
namespace {

struct Heard {
  std::string operation;
  size_t server;
  std::string address;
  size_t keys;
  size_t hits;
  size_t bytes_sent;
  size_t bytes_received;
  absl::Duration duration;
  absl::Status status;
  bool sent_again;
  bool abandoned;
  uint64_t context;
};

class Recorder : public Tracer {
 public:
  uint64_t OnBegin() override { return thread_context; }
  void OnEnd(const RequestTrace& request) override {
    const std::lock_guard lock(mutex_);
    heard_.push_back({std::string(NameOf(request.operation)), request.server,
                      std::string(request.address), request.keys, request.hits, request.bytes_sent,
                      request.bytes_received, request.duration, request.status, request.sent_again,
                      request.abandoned, request.context});
  }
  std::vector<Heard> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(heard_, {});
  }
  Heard TakeOne() {
    const std::vector<Heard> all = Take();
    REQUIRE(all.size() == 1);
    return all[0];
  }

  static thread_local uint64_t thread_context;

 private:
  std::mutex mutex_;
  std::vector<Heard> heard_;
};

thread_local uint64_t Recorder::thread_context = 0;

}  // namespace

TEST_CASE("a tracer hears of every request before its call returns", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  ServerProcess server;
  REQUIRE(server.running());
  const auto recorder = std::make_shared<Recorder>();
  ClientOptions options = PatientOptions(server.server());
  options.protocol = protocol;
  options.tracer = recorder;
  const auto client = Connect(options);
  Recorder::thread_context = 42;

  CHECK(client->Set("key", "value").ok());
  Heard heard = recorder->TakeOne();
  CHECK(heard.operation == "set");
  CHECK(heard.server == 0);
  CHECK(heard.address == server.server().Address());
  CHECK(heard.keys == 1);
  CHECK(heard.hits == 1);
  CHECK(heard.bytes_sent >= std::string("ms key 5\r\nvalue\r\n").size());
  CHECK(heard.bytes_received >= std::string("HD\r\n").size());
  CHECK(heard.duration > absl::ZeroDuration());
  CHECK(heard.status.ok());
  CHECK(heard.context == 42);
  CHECK_FALSE(heard.abandoned);

  const std::string_view keys[] = {"key", "other"};
  CHECK(client->GetMulti(keys).hits() == 1);
  heard = recorder->TakeOne();
  CHECK(heard.operation == "get");
  CHECK(heard.keys == 2);
  CHECK(heard.hits == 1);
  CHECK(heard.bytes_sent == std::string("get key other\r\n").size());
  CHECK(heard.bytes_received == std::string("VALUE key 0 5\r\nvalue\r\nEND\r\n").size());

  const SetItem items[] = {{"x", "1"}, {"y", "2"}};
  CHECK(client->SetAll(items).ok());
  heard = recorder->TakeOne();
  CHECK(heard.operation == "set");
  CHECK(heard.keys == 2);
  CHECK(heard.hits == 2);

  // A value that is received to where it belongs, past the buffer.
  const std::string large(400'000, 'v');
  CHECK(client->Set("large", large).ok());
  CHECK(client->Get("large").value() == large);
  std::vector<Heard> all = recorder->Take();
  REQUIRE(all.size() == 2);
  CHECK(all[1].bytes_received ==
        std::string("VALUE large 0 400000\r\n").size() + large.size() + 2 + 5);

  CHECK(client->Delete("x").ok());
  CHECK(client->Touch("y", absl::Seconds(10)).ok());
  CHECK(client->Add("n", "1").ok());
  CHECK(client->Increment("n").ok());
  CHECK(client->Decrement("n").ok());
  CHECK(client->GetAndTouch("n", absl::Seconds(10)).ok());
  CHECK(client->CompareAndSwap("n", "2", 1).ok());
  CHECK(client->Version(0).ok());
  CHECK(client->FlushAll().ok());
  CHECK_FALSE(client->Get("not a key").ok());  // of which nobody is asked
  std::vector<std::string> names;
  for (const Heard& each : recorder->Take()) names.push_back(each.operation);
  std::vector<std::string> expected = {"delete",    "touch",     "add",
                                       "increment", "decrement", "get_and_touch"};
  // Which is two requests in classic text.
  if (protocol == ClientOptions::Protocol::kText) expected.emplace_back("touch");
  for (const char* name : {"compare_and_swap", "ask_server", "flush_all"}) {
    expected.emplace_back(name);
  }
  CHECK(names == expected);
  Recorder::thread_context = 0;
}

TEST_CASE("each of a call's servers is a request of its own, with the call's context", "[client]") {
  ServerProcess first;
  ServerProcess second;
  REQUIRE((first.running() && second.running()));
  const auto recorder = std::make_shared<Recorder>();
  ClientOptions options = PatientOptions(first.server());
  options.servers.push_back(second.server());
  options.tracer = recorder;
  const auto client = Connect(options);
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("key:" + std::to_string(i));
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (uint64_t t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&, t] {
      Recorder::thread_context = t;
      (void)client->GetMulti(views);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<uint64_t, size_t> keys_of;
  std::map<uint64_t, size_t> servers_of;
  for (const Heard& heard : recorder->Take()) {
    keys_of[heard.context] += heard.keys;
    servers_of[heard.context] |= size_t{1} << heard.server;
  }
  CHECK(keys_of.size() == kThreads);
  for (const auto& [context, count] : keys_of) {
    CHECK(count == keys.size());
    CHECK(servers_of[context] == 3);
  }
}

TEST_CASE("requests that fail are traced with what was wrong", "[client]") {
  const auto recorder = std::make_shared<Recorder>();
  std::atomic<bool> answer{false};
  ScriptedPeer peer([&](Conversation& conversation, int number) {
    if (number == 0) {
      conversation.Line();
      conversation.Send("garbage\r\n");
    } else {
      conversation.Line();
      while (!answer) std::this_thread::yield();
      conversation.Send("END\r\n");
      conversation.Line();
      conversation.Send("END\r\n");
      conversation.Line();  // hangs up
    }
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  options.tracer = recorder;
  const auto client = Connect(options);

  CHECK_FALSE(client->Get("key").ok());
  Heard heard = recorder->TakeOne();
  CHECK(absl::IsDataLoss(heard.status));
  CHECK(heard.bytes_received > 0);

  CHECK_FALSE(client->Get("slow", {absl::Milliseconds(20)}).ok());
  CHECK(recorder->Take().empty());  // not over yet
  answer = true;
  CHECK(client->Get("next").ok());
  std::vector<Heard> all = recorder->Take();
  REQUIRE(all.size() == 2);
  CHECK(all[0].abandoned);
  CHECK(all[0].status.ok());
  CHECK(all[0].duration >= absl::Milliseconds(19));
  CHECK_FALSE(all[1].abandoned);

  CHECK(absl::IsUnavailable(client->Set("key", "value")));
  heard = recorder->TakeOne();
  CHECK(absl::IsUnavailable(heard.status));
  CHECK(heard.bytes_received == 0);
  CHECK(heard.bytes_sent == std::string("set key 0 0 5\r\nvalue\r\n").size());
}

TEST_CASE("of a request that was never sent no bytes are traced", "[client]") {
  const auto recorder = std::make_shared<Recorder>();
  Server nobody;
  nobody.host = "127.0.0.1";
  nobody.port = FreePort();
  ClientOptions options = PatientOptions(nobody);
  options.tracer = recorder;
  const auto client = Connect(options);
  CHECK_FALSE(client->Get("key").ok());
  const Heard heard = recorder->TakeOne();
  CHECK(absl::IsUnavailable(heard.status));
  CHECK(heard.bytes_sent == 0);
}

TEST_CASE("a tracer may begin asynchronous calls, and hears how they are cancelled", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Line();
    conversation.Send("END\r\n");
    conversation.Hang();
  });
  // Stores what it hears of reads where nobody answers.
  class Storing : public Recorder {
   public:
    void OnEnd(const RequestTrace& request) override {
      Recorder::OnEnd(request);
      if (request.operation != Operation::kGet) return;
      client->Async().Set("trace", "x").Then([this](const absl::Status& status) {
        stored.set_value(status);
      });
    }
    Client* client = nullptr;
    std::promise<absl::Status> stored;
  };
  const auto storing = std::make_shared<Storing>();
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  options.tracer = storing;
  auto client = Connect(options);
  storing->client = client.get();
  CHECK(client->Get("key").ok());
  (void)storing->TakeOne();
  client.reset();
  CHECK(absl::IsCancelled(storing->stored.get_future().get()));
  const Heard heard = storing->TakeOne();
  CHECK(heard.operation == "set");
  CHECK(absl::IsCancelled(heard.status));
}

}  // namespace cairn
