// One connection, driven by a test and by a clock of its own: what it makes of time that passes, of
// a server in trouble, and of peers that hang up. What callers see of it is in
// silent_server_test.cc.
#include "client/connection.h"

#include <poll.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/client/scripted_peer.h"

namespace cairn {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using Standing = ServerState::Standing;

// A connection to a peer, and whoever asks over it.
class Driven {
 public:
  explicit Driven(ClientOptions options)
      : options_(std::move(options)),
        state(options_.servers[0], options_, nullptr, &troubled_),
        connection(&state, &options_) {
    state.addresses().BeginLookUp();
    state.addresses().AwaitLookUp(Clock::now() + minutes(1));
  }

  // So many requests of one caller; which, is all the same.
  Part& Ask(int requests = 1) {
    Call& call = *calls_.emplace_back();
    call.answers.resize(1);
    call.parts_left = static_cast<uint32_t>(requests);
    for (int i = 0; i < requests; ++i) {
      Part& part = call.AddPart(0, AnswerShape::kLines, true);
      part.keys.emplace_back();
      part.text.Append("version\r\n");
      call.Ref();
      connection.Submit(&part);
    }
    return call.parts[0];
  }
  void Flush() {
    connection.Flush(now);
    for (Call* call : connection.finished()) call->Unref();
    connection.finished().clear();
  }
  // Until there is something to read.
  void AwaitInput() {
    pollfd one = {connection.fd(), POLLIN, 0};
    REQUIRE(poll(&one, 1, 60'000) == 1);
  }
  void DriveUntil(const std::function<bool()>& reached) {
    for (Flush(); !reached(); Flush()) {
      pollfd one = {connection.fd(), connection.interest(), 0};
      REQUIRE(poll(&one, 1, 60'000) == 1);
      connection.OnEvents(now);
    }
  }
  absl::Status Await(const Part& part) {
    DriveUntil([&part] { return part.done.load(); });
    return part.status;
  }
  // It failed, and its pause is over.
  void MakeTrialDue() {
    state.Failed(absl::UnavailableError("it broke"), now - minutes(1));
    REQUIRE(state.standing(now) == Standing::kTrialDue);
  }
  void Pause() { REQUIRE(state.Failed(absl::UnavailableError("it broke"), now)); }
  bool is_well() const { return state.standing(now) == Standing::kWell; }

 private:
  ClientOptions options_;
  std::atomic<int> troubled_{0};
  std::deque<CallRef> calls_;

 public:
  ServerState state;
  Connection connection;
  Clock::time_point now = Clock::time_point() + hours(1);
};

// By the test's clock, which only it moves.
constexpr milliseconds kConnect(100);
constexpr milliseconds kRequest(200);

ClientOptions OptionsFor(const ScriptedPeer& peer,
                         ClientOptions::Protocol protocol = ClientOptions::Protocol::kText) {
  ClientOptions options;
  options.servers = {peer.server()};
  options.protocol = protocol;
  options.max_fails = 1;
  options.fail_timeout = absl::Seconds(1);
  options.connect_timeout = absl::FromChrono(kConnect);
  options.request_timeout = absl::FromChrono(kRequest);
  return options;
}

constexpr auto kAuto = ClientOptions::Protocol::kAuto;
// Of a server without the meta protocol, so that it is asked for nothing else.
constexpr std::string_view kVersion = "VERSION 1.4.5\r\n";

void AnswerAll(Conversation& client) {
  while (!client.Line().empty()) client.Send(kVersion);
}

void CheckRefused(const Part& part) {
  CHECK(part.done);
  CHECK(absl::IsUnavailable(part.status));
  CHECK_THAT(std::string(part.status.message()), Catch::Matchers::ContainsSubstring(" after: "));
}

void Leave(const Part& part) { part.call->abandoned = true; }

}  // namespace

TEST_CASE("a connection that is made over another one has all of its time to connect", "[client]") {
  ScriptedPeer peer([](Conversation& client, int number) {
    if (number > 0) return client.Hang();
    client.Line();
    client.Send(kVersion);
    client.Line();
    client.Send(kVersion);
    client.Line();
  });
  ClientOptions options = OptionsFor(peer, kAuto);
  options.request_timeout = absl::Hours(100);
  Driven driven(options);
  driven.connection.set_receives_waiting();
  CHECK(driven.Await(driven.Ask()).ok());
  // It is asked once more, though its caller has gone.
  Part& left = driven.Ask();
  driven.Flush();
  REQUIRE(left.sent);
  Leave(left);
  driven.AwaitInput();
  driven.now += hours(10);
  driven.connection.OnEvents(driven.now);
  CHECK(driven.connection.deadline() == driven.now + kConnect);
  const Clock::time_point began = driven.now;
  driven.now += milliseconds(10);
  driven.Ask();
  driven.Flush();
  CHECK(driven.connection.deadline() == began + kConnect);
}

TEST_CASE("only while it is being made does a connection's time stand still", "[client]") {
  ScriptedPeer peer([](Conversation& client, int) {
    client.Line();
    client.Send(kVersion);
    client.Hang();
  });
  Driven driven(OptionsFor(peer, kAuto));
  driven.connection.StandStill(hours(1));
  driven.Ask();
  driven.Flush();
  CHECK(driven.connection.deadline() == driven.now + kConnect);
  driven.connection.StandStill(milliseconds(30));
  driven.now += milliseconds(30);
  CHECK(driven.connection.deadline() == driven.now + kConnect);
  driven.DriveUntil([&] { return driven.connection.ready(); });
  driven.Flush();
  driven.connection.StandStill(hours(1));
  CHECK(driven.connection.deadline() == driven.now + kRequest);
}

TEST_CASE("a trial goes on with the connection that is made over its first", "[client]") {
  SECTION("at the next address") {
    ScriptedPeer peer([](Conversation& client, int) { AnswerAll(client); });
    ClientOptions options = OptionsFor(peer);
    options.servers[0].host = "cache.example";
    options.resolver = [](const std::string&) {
      return std::vector<std::string>{"127.0.0.9", "127.0.0.1"};
    };
    Driven driven(options);
    driven.MakeTrialDue();
    CHECK(driven.Await(driven.Ask()).ok());
    CHECK(driven.is_well());
  }
  SECTION("not asked for its version") {
    ScriptedPeer peer([](Conversation& client, int number) {
      number == 0 ? client.Expect("nothing") : AnswerAll(client);
    });
    Driven driven(OptionsFor(peer, kAuto));
    driven.MakeTrialDue();
    CHECK(driven.Await(driven.Ask()).ok());
    CHECK(driven.is_well());
    CHECK(peer.connections() == 2);
  }
  SECTION("not asked for its limit") {
    ScriptedPeer peer([](Conversation& client, int number) {
      number == 0 ? client.Expect("nothing") : AnswerAll(client);
    });
    Driven driven(OptionsFor(peer));
    driven.MakeTrialDue();
    Part& part = driven.Ask();
    part.stores_large = true;
    CHECK(driven.Await(part).ok());
    CHECK(driven.is_well());
    CHECK(peer.connections() == 2);
  }
  SECTION("after it was idle, or when it is used again") {
    const bool is_noticed = GENERATE(true, false);
    ScriptedPeer peer([is_noticed](Conversation& client, int number) {
      if (number > 0) return AnswerAll(client);
      client.Line();
      client.Send(kVersion);
      if (!is_noticed) client.Line();
    });
    Driven driven(OptionsFor(peer));
    CHECK(driven.Await(driven.Ask()).ok());
    if (is_noticed) driven.AwaitInput();
    driven.MakeTrialDue();
    CHECK(driven.Await(driven.Ask()).ok());
    CHECK(driven.is_well());
    CHECK(peer.connections() == 2);
  }
}

TEST_CASE("nobody waits with another one's request that is a server's trial", "[client]") {
  std::atomic<bool> asked{false};
  std::atomic<bool> answers{false};
  ScriptedPeer peer([&](Conversation& client, int) {
    client.Line();
    client.Send(kVersion);
    while (!client.Line().empty()) {
      asked = true;
      while (!answers) std::this_thread::yield();
      client.Send(kVersion);
    }
  });
  const struct Answering {
    std::atomic<bool>* answers;
    ~Answering() { *answers = true; }
  } at_end = {&answers};
  Driven driven(OptionsFor(peer, kAuto));
  driven.MakeTrialDue();
  Part& trial = driven.Ask(2);
  Part& other = driven.Ask();
  driven.Flush();
  CheckRefused(other);
  Part& while_connecting = driven.Ask();
  driven.Flush();
  CheckRefused(while_connecting);
  CHECK_FALSE(trial.done);
  SECTION("which is over when it was answered") {
    driven.DriveUntil([&] { return driven.connection.ready() && trial.sent; });
    Part& while_asked = driven.Ask();
    driven.Flush();
    CheckRefused(while_asked);
    answers = true;
    CHECK(driven.Await(trial).ok());
    CHECK(driven.Await(trial.call->parts[1]).ok());
    CHECK(driven.is_well());
    Part& next = driven.Ask();
    Part& and_another = driven.Ask();
    CHECK(driven.Await(next).ok());
    CHECK(driven.Await(and_another).ok());
  }
  SECTION("nor with nobody's: the next one takes the place of who went before it was sent") {
    Leave(trial);
    Part& next = driven.Ask();
    Part& and_another = driven.Ask();
    driven.Flush();
    CHECK_FALSE(next.done);
    CheckRefused(and_another);
    answers = true;
    CHECK(driven.Await(next).ok());
    CHECK(driven.is_well());
  }
  SECTION("nor is anybody refused when its answer has come, though its caller went before") {
    driven.DriveUntil([&] { return driven.connection.ready() && trial.sent; });
    Leave(trial);
    answers = true;
    driven.AwaitInput();
    driven.now += milliseconds(10);
    CHECK(driven.Await(driven.Ask()).ok());
    CHECK(driven.is_well());
  }
}

TEST_CASE("whose callers have gone is no trial", "[client]") {
  ScriptedPeer peer([](Conversation& client, int) { AnswerAll(client); });
  Driven driven(OptionsFor(peer));
  const bool was_there = GENERATE(false, true);
  if (was_there) CHECK(driven.Await(driven.Ask()).ok());
  driven.MakeTrialDue();
  Part& left = driven.Ask();
  Leave(left);
  driven.Flush();
  CHECK(left.done);
  CHECK(driven.state.standing(driven.now) == Standing::kTrialDue);
  CHECK(driven.Await(driven.Ask()).ok());
}

TEST_CASE("what a connection was made for does not let it through later", "[client]") {
  ScriptedPeer peer([](Conversation& client, int) {
    client.Line();
    client.Send(kVersion);
    AnswerAll(client);
  });
  Driven driven(OptionsFor(peer, kAuto));
  SECTION("a request, before the pause began") {
    Part& before = driven.Ask();
    driven.Flush();
    CHECK_FALSE(before.done);
    driven.Pause();
    Part& after = driven.Ask();
    driven.Flush();
    CheckRefused(before);
    CheckRefused(after);
  }
  SECTION("a trial that took too long") {
    driven.MakeTrialDue();
    Part& late = driven.Ask();
    driven.Flush();
    CHECK_FALSE(late.done);
    driven.now += kConnect + kRequest;
    CHECK(driven.state.Admit(driven.now).ok());  // another connection
    Part& next = driven.Ask();
    driven.Flush();
    CheckRefused(late);
    CheckRefused(next);
  }
}

TEST_CASE("while a server is well everybody waits for the same connection", "[client]") {
  ScriptedPeer peer([](Conversation& client, int) { AnswerAll(client); });
  Driven driven(OptionsFor(peer, kAuto));
  std::vector<Part*> parts;
  for (int i = 0; i < 10; ++i) {
    parts.push_back(&driven.Ask());
    driven.Flush();
  }
  for (const Part* part : parts) CHECK(driven.Await(*part).ok());
  CHECK(peer.connections() == 1);
}

TEST_CASE("nothing is sent behind an answer that is overdue", "[client]") {
  ScriptedPeer peer(
      [](Conversation& client, int number) { number == 0 ? client.Hang() : AnswerAll(client); });
  ClientOptions options = OptionsFor(peer);
  options.max_fails = 0;
  Driven driven(options);
  Part& silent = driven.Ask();
  driven.DriveUntil([&] { return silent.sent; });
  Leave(silent);
  driven.now += kRequest - milliseconds(1);
  Part& in_time = driven.Ask();
  driven.Flush();
  CHECK(in_time.sent);
  Leave(in_time);
  driven.now += kRequest;
  CHECK(driven.Await(driven.Ask()).ok());
  CHECK(absl::IsDeadlineExceeded(silent.status));
  CHECK(peer.connections() == 2);
}

TEST_CASE("an answer that is overdue failed when it was due", "[client]") {
  ScriptedPeer peer(
      [](Conversation& client, int number) { number == 0 ? client.Hang() : AnswerAll(client); });
  Driven driven(OptionsFor(peer));
  Part& silent = driven.Ask();
  driven.DriveUntil([&] { return silent.sent; });
  Leave(silent);
  SECTION("the pause for it is over") {
    driven.now += minutes(1);
    CHECK(driven.Await(driven.Ask()).ok());
    CHECK(driven.is_well());
  }
  SECTION("it is none of another connection's trial") {
    driven.MakeTrialDue();
    driven.now += kRequest;
    REQUIRE(driven.state.Admit(driven.now).ok());
    Part& late = driven.Ask();
    driven.Flush();
    CheckRefused(late);
    CHECK(driven.state.standing(driven.now) == Standing::kLeftAlone);
    driven.state.Succeeded(driven.now);
    CHECK(driven.is_well());
  }
}

TEST_CASE("a connection on which nothing was asked is made anew when it ended", "[client]") {
  ScriptedPeer peer([](Conversation& client, int number) {
    if (number > 0) AnswerAll(client);
  });
  Driven driven(OptionsFor(peer));
  Leave(driven.Ask());
  driven.DriveUntil([&] { return driven.connection.ready(); });
  driven.AwaitInput();
  CHECK(driven.Await(driven.Ask()).ok());
  CHECK(peer.connections() == 2);
}

TEST_CASE("a peer that hangs up on everybody is not connected to without end", "[client]") {
  ScriptedPeer peer([](Conversation&, int) {});
  Driven driven(OptionsFor(peer));
  Part& part = driven.Ask();
  driven.DriveUntil([&] {
    if (driven.connection.ready()) driven.AwaitInput();
    return part.done.load();
  });
  CHECK(absl::IsUnavailable(part.status));
  CHECK(peer.connections() == 1);
}

}  // namespace cairn
