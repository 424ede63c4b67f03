// Which of several servers a request goes to while one of them was left alone; see also
// placement_test.cc and outage_test.cc.
#include "client/router.h"

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "tests/catch.h"

namespace cairn {
namespace {

using Standing = ServerState::Standing;

ClientOptions TwoServers() {
  ClientOptions options;
  options.eject = true;
  options.max_fails = 1;
  options.fail_timeout = absl::Seconds(1);
  for (const char* host : {"127.0.0.1", "127.0.0.2"}) options.servers.emplace_back().host = host;
  return options;
}

// Where the key lives while all servers are well.
std::string KeyOf(Router& router, uint16_t server, const std::string& begins) {
  for (int i = 0;; ++i) {
    std::string key = begins + std::to_string(i);
    if (router.Look(key) == server) return key;
  }
}

// It failed, and its pause is over.
void MakeTrialDue(ServerState& server) {
  server.Failed(absl::UnavailableError("it broke"), Clock::now() - std::chrono::minutes(1));
}

uint16_t RouteOne(Router& router, std::string_view key) {
  std::array<uint16_t, 1> chosen = {};
  router.Route({&key, 1}, chosen);
  return chosen[0];
}

}  // namespace

TEST_CASE("the first request after a pause is the server's trial, others go elsewhere",
          "[client]") {
  const ClientOptions options = TwoServers();
  Router router(&options);
  REQUIRE(router.Init().ok());
  const std::string key = KeyOf(router, 1, "key");
  ServerState& server = *router.servers()[1];
  MakeTrialDue(server);
  REQUIRE(router.Look(key) == 1);  // a question is no trial
  REQUIRE(server.standing(Clock::now()) == Standing::kTrialDue);
  const bool in_bulk = GENERATE(false, true);
  CHECK((in_bulk ? RouteOne(router, key) : router.Route(key)) == 1);
  // Who is let through is the one who was sent.
  CHECK(server.Admit(Clock::now()).ok());
  CHECK(RouteOne(router, key) == 0);
  CHECK(router.Route(key) == 0);
  CHECK(router.Look(key) == 0);
  server.Succeeded(Clock::now());
  CHECK(RouteOne(router, key) == 1);
  CHECK(router.Route(key) == 1);
}

TEST_CASE("what may not be asked for is no server's trial", "[client]") {
  const ClientOptions options = TwoServers();
  Router router(&options);
  REQUIRE(router.Init().ok());
  const std::string good = KeyOf(router, 1, "good");
  const std::string bad = KeyOf(router, 1, "not a key");
  ServerState& server = *router.servers()[1];
  MakeTrialDue(server);
  CHECK(RouteOne(router, bad) == 1);
  CHECK(server.standing(Clock::now()) == Standing::kTrialDue);
  const std::vector<std::string_view> keys = {bad, good};
  std::vector<uint16_t> chosen(keys.size());
  router.Route(keys, chosen);
  CHECK(chosen == std::vector<uint16_t>{1, 1});
  CHECK(server.standing(Clock::now()) == Standing::kLeftAlone);
}

}  // namespace cairn
