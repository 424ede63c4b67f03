// Calls of many keys: that they wait for all their servers at once, and what memory they need.
#include <malloc.h>

#include <condition_variable>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

std::vector<std::string> Keys(size_t count) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back("key:" + std::to_string(i));
  return keys;
}

std::vector<std::string_view> Views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

// Lets nobody pass before all have come.
class Gate {
 public:
  explicit Gate(int peers) : peers_(peers) {}

  void Pass() {
    std::unique_lock lock(mutex_);
    const int round = came_++ / peers_;
    if (came_ % peers_ == 0) came_all_.notify_all();
    came_all_.wait(lock, [&] { return given_up_ || came_ >= (round + 1) * peers_; });
  }
  // Of a test that has failed, so that its peers can end.
  void GiveUp() {
    const std::lock_guard lock(mutex_);
    given_up_ = true;
    came_all_.notify_all();
  }

 private:
  const int peers_;
  std::mutex mutex_;
  std::condition_variable came_all_;
  int came_ = 0;
  bool given_up_ = false;
};

// Has every key, and answers once the gate is passed.
void AnswerReads(Conversation& conversation, Gate& gate) {
  for (;;) {
    std::string line = conversation.Line();
    if (line.empty()) return;
    gate.Pass();
    if (line == "version") {
      conversation.Send("VERSION 1.6.45\r\n");
      conversation.Expect("mn");
      conversation.Send("MN\r\n");
      continue;
    }
    if (!line.starts_with("get ")) return;
    line.append(" ");
    std::string answer;
    for (size_t begin = 4; begin < line.size();) {
      const size_t end = line.find(' ', begin);
      answer.append("VALUE ").append(line, begin, end - begin).append(" 0 2\r\nok\r\n");
      begin = end + 1;
    }
    conversation.Send(answer + "END\r\n");
  }
}

// A number of kilobytes that the kernel tells of this process.
size_t StatusBytes(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return std::stoul(line.substr(name.size())) * 1024;
  }
  return 0;
}

// The most memory that this process has had from the beginning of a scope on.
class PeakMemory {
 public:
  PeakMemory() {
    malloc_trim(0);  // what earlier tests have freed must not pay for this one
    std::ofstream("/proc/self/clear_refs") << "5" << std::flush;  // the peak is what is now
    begin_ = StatusBytes("VmRSS:");
    known_ = begin_ > 0 && StatusBytes("VmHWM:") < begin_ + (size_t{1} << 20);
  }
  // Where the kernel does not let a process forget its peak, nothing can be said.
  bool known() const { return known_; }
  size_t growth() const { return StatusBytes("VmHWM:") - begin_; }

 private:
  size_t begin_ = 0;
  bool known_ = false;
};

}  // namespace

TEST_CASE("a multi-get has asked all its servers before it waits for one", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kText, ClientOptions::Protocol::kAuto);
  const bool on_a_loop = GENERATE(false, true);
  INFO((protocol == ClientOptions::Protocol::kText ? "text" : "auto")
       << (on_a_loop ? ", on a loop" : ""));
  // So that a call over servers that all answer late takes as long as one of them, and twice as
  // long when it is the first and asks for the version before.
  Gate gate(3);
  std::vector<std::unique_ptr<ScriptedPeer>> peers;
  ClientOptions options = PatientOptions({});
  options.servers.clear();
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<ScriptedPeer>(
        [&gate](Conversation& conversation, int) { AnswerReads(conversation, gate); }));
    options.servers.push_back(peers.back()->server());
    options.servers.back().alias = std::to_string(i);  // so that each has keys, whatever its port
  }
  options.protocol = protocol;
  const auto client = Client::Make(options).value();
  const std::vector<std::string> keys = Keys(100);
  for (int call = 0; call < 3; ++call) {
    const MultiGetResult got =
        on_a_loop ? Wait(client->Async().GetMulti(Views(keys))) : client->GetMulti(Views(keys));
    CHECK(got.hits() == keys.size());
    if (got.hits() != keys.size()) break;
  }
  gate.GiveUp();
  for (const auto& peer : peers) CHECK(peer->connections() == 1);
}

TEST_CASE("a multi-get needs memory for its values and little besides", "[client]") {
#ifdef CAIRN_SANITIZED
  constexpr size_t kCount = 20'000;
#else
  constexpr size_t kCount = 200'000;
#endif
  constexpr size_t kValueBytes = 1000;
  const ServerProcess server("cairnd", {"-m", "512"});
  const auto client = Client::Make(PatientOptions(server.server())).value();
  const std::vector<std::string> keys = Keys(kCount);
  const std::vector<std::string_view> views = Views(keys);
  const std::string tail(kValueBytes, 'v');
  auto value_of = [&tail](const std::string& key) {
    return key + tail.substr(0, kValueBytes - key.size());
  };
  constexpr size_t kAtOnce = 10'000;
  for (size_t begin = 0; begin < kCount; begin += kAtOnce) {
    std::vector<std::string> values;
    std::vector<SetItem> items;
    for (size_t i = begin; i < begin + kAtOnce; ++i) values.push_back(value_of(keys[i]));
    for (size_t i = begin; i < begin + kAtOnce; ++i) items.push_back({keys[i], values[i - begin]});
    REQUIRE(client->SetAll(items).ok());
  }

  for (const bool on_a_loop : {false, true}) {
    INFO((on_a_loop ? "on a loop" : "waiting"));
    const PeakMemory peak;
    const MultiGetResult got =
        on_a_loop ? Wait(client->Async().GetMulti(views)) : client->GetMulti(views);
    [[maybe_unused]] const size_t growth = peak.growth();
    CHECK(got.hits() == kCount);
    size_t right = 0;
    for (size_t i = 0; i < got.size(); ++i) right += got[i].value == value_of(keys[i]) ? 1 : 0;
    CHECK(right == kCount);
#ifndef CAIRN_SANITIZED
    if (!peak.known()) {
      WARN("memory is not looked at: the peak of this process cannot be set back");
      continue;
    }
    // 48 bytes a key for its answer, what is left over in chunks that values did not fill, and a
    // wave's requests and buffers: 16 MB when this was written.
    constexpr size_t kBesides = 32'000'000;
    CHECK(growth > kCount * kValueBytes / 2);
    CHECK(growth < kCount * kValueBytes + kBesides);
#endif
  }
}

TEST_CASE("a bulk store needs memory for a wave, or for a copy of what it is given", "[client]") {
#ifdef CAIRN_SANITIZED
  constexpr size_t kCount = 20'000;
#else
  constexpr size_t kCount = 200'000;
#endif
  const ServerProcess server("cairnd", {"-m", "512"});
  const auto client = Client::Make(PatientOptions(server.server())).value();
  // To a server that was not spoken to yet, requests are written in both forms.
  REQUIRE(client->Get("key:0").ok());
  const std::vector<std::string> keys = Keys(kCount);
  const std::string value(1000, 'v');
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, value});
  for (const bool on_a_loop : {false, true}) {
    INFO((on_a_loop ? "on a loop" : "waiting"));
    const PeakMemory peak;
    const MultiWriteResult set =
        on_a_loop ? Wait(client->Async().SetMulti(items)) : client->SetMulti(items);
    [[maybe_unused]] const size_t growth = peak.growth();
    CHECK(set.done_count() == kCount);
#ifndef CAIRN_SANITIZED
    if (!peak.known()) {
      WARN("memory is not looked at: the peak of this process cannot be set back");
      continue;
    }
    // On a loop nothing that was given needs to last. Else the same for each key as above.
    constexpr size_t kBesides = 32'000'000;
    CHECK(growth < (on_a_loop ? kCount * (value.size() + 50) : 0) + kBesides);
#endif
  }
}

}  // namespace cairn
