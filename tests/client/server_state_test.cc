// When a server is left alone, for how long, and who tries it again; by a clock of the test's own.
#include "client/server_state.h"

#include <atomic>
#include <string>
#include <vector>

#include "tests/catch.h"

namespace cairn {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Standing = ServerState::Standing;

Server SomeServer() {
  Server server;
  server.host = "127.0.0.1";
  return server;
}

ClientOptions SomeOptions() {
  ClientOptions options;
  options.max_fails = 3;
  options.fail_timeout = absl::Seconds(1);
  options.pause_max = absl::Seconds(5);
  options.connect_timeout = absl::Milliseconds(100);
  options.request_timeout = absl::Milliseconds(200);
  return options;
}

struct Watched {
  explicit Watched(const ClientOptions& options = SomeOptions())
      : state(SomeServer(), options, nullptr, &troubled) {
    state.addresses().BeginLookUp();
  }
  bool Fails() { return state.Failed(absl::UnavailableError("it broke"), now); }
  Standing standing() const { return state.standing(now); }
  bool Admits() { return state.Admit(now).ok(); }
  void Pass(Clock::duration time) { now += time; }
  // Pauses it.
  void FailOften() {
    CHECK_FALSE(Fails());
    CHECK_FALSE(Fails());
    CHECK(Fails());
  }

  std::atomic<int> troubled{0};
  Clock::time_point now = Clock::time_point() + std::chrono::hours(1);
  ServerState state;
};

// How long a failure may take to show, and the longest that two may be apart and add up.
constexpr milliseconds kTrial(300);
constexpr milliseconds kApart = seconds(1) + kTrial;

}  // namespace

TEST_CASE("a server is left alone after so many failures in a row", "[client]") {
  Watched server;
  CHECK(server.standing() == Standing::kWell);
  CHECK(server.Admits());
  CHECK_FALSE(server.Fails());
  server.Pass(kApart);
  CHECK_FALSE(server.Fails());
  CHECK(server.Admits());
  CHECK_FALSE(server.state.troubled());
  server.Pass(kApart);
  CHECK(server.Fails());
  CHECK(server.standing() == Standing::kLeftAlone);
  CHECK(server.troubled == 1);
  CHECK(server.state.troubled());
  const absl::Status refused = server.state.Admit(server.now).status();
  CHECK(absl::IsUnavailable(refused));
  CHECK_THAT(std::string(refused.message()),
             Catch::Matchers::ContainsSubstring("left alone for a while after: it broke"));
  CHECK(server.state.Statistics(server.now).pauses == 1);
}

TEST_CASE("failures that are far apart, or have a success between them, do not add up",
          "[client]") {
  Watched server;
  for (int i = 0; i < 20; ++i) {
    CHECK_FALSE(server.Fails());
    server.Pass(kApart + milliseconds(1));
  }
  for (int i = 0; i < 20; ++i) {
    CHECK_FALSE(server.Fails());
    CHECK_FALSE(server.Fails());
    server.state.Succeeded(server.now);
  }
  CHECK(server.standing() == Standing::kWell);
  CHECK(server.troubled == 0);
  server.FailOften();
}

TEST_CASE("pauses double with each failed trial, up to the longest, and begin anew after a success",
          "[client]") {
  Watched server;
  for (int round = 0; round < 2; ++round) {
    server.FailOften();
    for (const seconds pause : {seconds(1), seconds(2), seconds(4), seconds(5), seconds(5)}) {
      server.Pass(pause - milliseconds(1));
      CHECK(server.standing() == Standing::kLeftAlone);
      CHECK_FALSE(server.Admits());
      server.Pass(milliseconds(1));
      CHECK(server.standing() == Standing::kTrialDue);
      CHECK(server.Admits());
      CHECK(server.Fails());  // one is enough on trial
      CHECK(server.troubled == 1);
    }
    server.Pass(seconds(5));
    CHECK(server.Admits());
    server.state.Succeeded(server.now);
    CHECK(server.standing() == Standing::kWell);
    CHECK(server.troubled == 0);
    CHECK(server.Admits());
  }
}

TEST_CASE("a pause is never shorter than the shortest, whatever the longest", "[client]") {
  ClientOptions options = SomeOptions();
  options.pause_max = absl::Milliseconds(10);
  Watched server(options);
  server.FailOften();
  for (int i = 0; i < 3; ++i) {
    server.Pass(milliseconds(999));
    CHECK(server.standing() == Standing::kLeftAlone);
    server.Pass(milliseconds(1));
    CHECK(server.Admits());
    CHECK(server.Fails());
  }
}

TEST_CASE("after a pause one at a time tries", "[client]") {
  Watched server;
  server.FailOften();
  server.Pass(seconds(1));
  CHECK(server.Admits());
  CHECK(server.standing() == Standing::kLeftAlone);
  const absl::Status refused = server.state.Admit(server.now).status();
  CHECK_THAT(std::string(refused.message()),
             Catch::Matchers::ContainsSubstring("being tried again after: it broke"));
  // Of this one nothing is heard.
  server.Pass(kTrial - milliseconds(1));
  CHECK_FALSE(server.Admits());
  server.Pass(milliseconds(1));
  CHECK(server.standing() == Standing::kTrialDue);
  CHECK(server.Admits());
  CHECK_FALSE(server.Admits());
  CHECK(absl::IsUnavailable(server.state.Refusal()));
  server.state.Succeeded(server.now);
  CHECK(server.state.Refusal().ok());
  CHECK(server.Admits());
  CHECK(server.Admits());
}

TEST_CASE("a trial is under way until it ends, in whatever way", "[client]") {
  Watched server;
  const auto is_under_way = [&](ServerState::Trial trial) {
    return server.state.IsUnderWay(trial, server.now);
  };
  CHECK(server.state.Admit(server.now).value() == ServerState::kNoTrial);
  CHECK_FALSE(is_under_way(ServerState::kNoTrial));
  server.FailOften();
  server.Pass(seconds(1));
  const ServerState::Trial silent = server.state.Admit(server.now).value();
  server.Pass(kTrial - milliseconds(1));
  CHECK(is_under_way(silent));
  server.Pass(milliseconds(1));
  CHECK_FALSE(is_under_way(silent));
  const ServerState::Trial failed = server.state.Admit(server.now).value();
  CHECK(is_under_way(failed));
  CHECK_FALSE(is_under_way(silent));
  CHECK(server.Fails());
  CHECK_FALSE(is_under_way(failed));
  server.Pass(seconds(2));
  CHECK(server.state.ClaimTrial(server.now));
  const ServerState::Trial claimed = server.state.Admit(server.now).value();
  server.Pass(milliseconds(60));  // longer than a claim lasts
  CHECK(is_under_way(claimed));
  server.state.Succeeded(server.now);
  CHECK_FALSE(is_under_way(claimed));
}

TEST_CASE("a claim of which nothing comes keeps others away for a moment only", "[client]") {
  Watched server;
  server.FailOften();
  server.Pass(seconds(1));
  CHECK(server.state.ClaimTrial(server.now));
  CHECK_FALSE(server.state.ClaimTrial(server.now));
  server.Pass(milliseconds(50));
  CHECK(server.standing() == Standing::kTrialDue);
  CHECK(server.state.ClaimTrial(server.now));
  CHECK(server.Admits());
  // This one is under way.
  server.Pass(milliseconds(50));
  CHECK(server.standing() == Standing::kLeftAlone);
  CHECK_FALSE(server.state.ClaimTrial(server.now));
  CHECK_FALSE(server.Admits());
}

TEST_CASE("who claims a trial is the one who is let through", "[client]") {
  Watched server;
  CHECK(server.state.ClaimTrial(server.now));  // there is none, hence no need to wait for it
  CHECK(server.state.ClaimTrial(server.now));
  server.FailOften();
  CHECK_FALSE(server.state.ClaimTrial(server.now));
  server.Pass(seconds(1));
  CHECK(server.state.ClaimTrial(server.now));
  CHECK_FALSE(server.state.ClaimTrial(server.now));
  CHECK(server.standing() == Standing::kLeftAlone);
  CHECK(server.Admits());
  CHECK_FALSE(server.Admits());
  CHECK(server.Fails());
  CHECK(server.standing() == Standing::kLeftAlone);
  server.Pass(seconds(2));
  CHECK(server.state.ClaimTrial(server.now));
  CHECK(server.Admits());
  server.state.Succeeded(server.now);
  CHECK(server.standing() == Standing::kWell);
}

TEST_CASE("what comes of requests from before a pause says nothing of the server", "[client]") {
  Watched server;
  server.FailOften();
  server.Pass(milliseconds(500));
  server.state.Succeeded(server.now);
  CHECK(server.standing() == Standing::kLeftAlone);
  CHECK_FALSE(server.Fails());
  server.Pass(milliseconds(500));
  CHECK(server.standing() == Standing::kTrialDue);  // no later than without that failure
  CHECK(server.Admits());
  CHECK(server.Fails());
  server.Pass(seconds(2));
  CHECK(server.standing() == Standing::kTrialDue);  // nor is the next pause longer for it
}

TEST_CASE("without max_fails a server is never left alone", "[client]") {
  ClientOptions options = SomeOptions();
  options.max_fails = 0;
  Watched server(options);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(server.Fails());
  CHECK(server.standing() == Standing::kWell);
  CHECK(server.Admits());
  CHECK(server.state.Statistics(server.now).last_failure == "it broke");
}

TEST_CASE("a server's limit is asked for until it is known, and believed for a while", "[client]") {
  Watched server;
  ServerState& state = server.state;
  const auto due = [&state] { return state.limit_question_due(Clock::now()); };
  CHECK_FALSE(state.Refuses(size_t{1} << 40));
  CHECK(due());
  state.LearnLimit(16384, Clock::now());
  CHECK(state.Refuses(16384 - 33));
  CHECK_FALSE(state.Refuses(16384 - 34));
  CHECK_FALSE(due());

  // A connection was made.
  state.ForgetLimit();
  CHECK_FALSE(state.Refuses(size_t{1} << 20));
  CHECK(due());
  // Of long ago: what is sent next asks again.
  state.LearnLimit(16384, Clock::now() - std::chrono::hours(1));
  CHECK_FALSE(state.Refuses(size_t{1} << 20));
  CHECK(due());
  state.LearnLimit(16384, Clock::now());
  CHECK(state.Refuses(size_t{1} << 20));
  // Whoever answers when it is back may be another one.
  server.FailOften();
  CHECK_FALSE(state.Refuses(size_t{1} << 20));
}

TEST_CASE("a question for the limit that failed is asked again after some time", "[client]") {
  Watched watched;
  ServerState& state = watched.state;
  Clock::time_point now = Clock::now();
  const auto fails_for = [&](seconds pause) {
    REQUIRE(state.limit_question_due(now));
    state.FailLimitQuestion(now);
    CHECK_FALSE(state.limit_question_due(now + pause - seconds(1)));
    state.FailLimitQuestion(now + seconds(1));  // another connection's, asked before
    now += pause;
    CHECK(state.limit_question_due(now));
  };
  fails_for(seconds(60));
  state.ForgetLimit();  // which is made again over it
  fails_for(seconds(120));
  fails_for(seconds(240));
  state.LearnLimit(16384, now);
  CHECK(state.Refuses(20'000));
  // One that was under way changes nothing.
  state.FailLimitQuestion(now);
  CHECK(state.Refuses(20'000));
  // Its failures are forgotten.
  state.ForgetLimit();
  fails_for(seconds(60));
}

}  // namespace cairn
