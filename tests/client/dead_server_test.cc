// Real servers that are killed, stopped and started again, cairnd and memcached alike.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/restarts.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

constexpr auto kAuto = ClientOptions::Protocol::kAuto;
constexpr auto kText = ClientOptions::Protocol::kText;

ClientOptions OptionsFor(std::vector<Server> servers, ClientOptions::Protocol protocol) {
  ClientOptions options;
  options.servers = std::move(servers);
  options.protocol = protocol;
  options.max_fails = 0;
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  options.call_timeout = absl::Seconds(60);
  return options;
}

bool IsAbsent(const ServerProcess& server, const std::string& program) {
  if (!server.running()) WARN("skipped: " << program << " is not installed");
  return !server.running();
}

}  // namespace

TEST_CASE("the keys of a server that is left alone go to the others when that is wanted",
          "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess first(program);
  ServerProcess second(program);
  if (IsAbsent(first, program)) return;
  ClientOptions options = OptionsFor({first.server(), second.server()}, kText);
  options.max_fails = 1;
  options.fail_timeout = absl::Seconds(1);
  options.eject = true;
  const auto client = Connect(options);
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 20; ++i) {
    const std::string key = "key:" + std::to_string(i);
    if (client->ServerOf(key) == 0) keys.push_back(key);
  }
  first.Kill();
  while (!client->Set(keys[0], "x").ok()) std::this_thread::yield();
  CHECK(client->ServerOf(keys[0]) == 1);
  first.Start();
  while (client->ServerOf(keys[0]) != 0 || !client->Set(keys[0], "y").ok()) {
    std::this_thread::yield();
  }
  CHECK(client->Get(keys[0]).value() == "y");
}

TEST_CASE("a dead server costs its own keys only, and its return is noticed", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(kAuto, kText);
  ServerProcess servers[3] = {ServerProcess(program), ServerProcess(program),
                              ServerProcess(program)};
  if (IsAbsent(servers[0], program)) return;
  ClientOptions options =
      OptionsFor({servers[0].server(), servers[1].server(), servers[2].server()}, protocol);
  const auto client = Connect(options);
  std::vector<std::string> keys;
  for (int i = 0; i < 100; ++i) keys.push_back("key:" + std::to_string(i));
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  for (const std::string& key : keys) REQUIRE(client->Set(key, key).ok());
  REQUIRE(client->GetMulti(views).hits() == keys.size());

  servers[1].Kill();
  const MultiGetResult without = client->GetMulti(views);
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool dead = client->ServerOf(keys[i]) == 1;
    CHECK(without[i].outcome == (dead ? KeyOutcome::kNotReached : KeyOutcome::kHit));
    if (dead) CHECK(absl::IsUnavailable(without.status(i)));
  }
  servers[1].Start();
  const MultiGetResult again = client->GetMulti(views);
  CHECK(again.not_reached() == 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    CHECK(again[i].hit() == (client->ServerOf(keys[i]) != 1));
  }
}

TEST_CASE("a server that was stopped and goes on loses nothing but time", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(kAuto, kText);
  ServerProcess server(program);
  ServerProcess other(program);
  if (IsAbsent(server, program)) return;
  ClientOptions options = OptionsFor({server.server(), other.server()}, protocol);
  options.request_timeout = absl::Milliseconds(100);
  const auto client = Connect(options);
  std::vector<std::string> keys;
  for (int i = 0; i < 50; ++i) keys.push_back("key:" + std::to_string(i));
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  for (const std::string& key : keys) {
    while (!client->Set(key, key).ok()) std::this_thread::yield();
  }
  server.Stop();
  const MultiGetResult stopped = client->GetMulti(views);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (client->ServerOf(keys[i]) == 0) {
      CHECK(stopped[i].outcome == KeyOutcome::kNotReached);
      CHECK(absl::IsDeadlineExceeded(stopped.status(i)));
    }
  }
  server.Continue();
  while (client->GetMulti(views).not_reached() > 0) std::this_thread::yield();
  const MultiGetResult well = client->GetMulti(views);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (well[i].hit()) CHECK(well[i].value == keys[i]);
  }
}

TEST_CASE("threads on one connection each get their own answers while the server restarts",
          "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(kAuto, kText);
  ServerProcess server(program);
  if (IsAbsent(server, program)) return;
  const auto client = Connect(OptionsFor({server.server()}, protocol));
  CheckOwnAnswersDuringRestarts(server, 8, [&client](const std::string& key) {
    (void)client->Set(key, key);
    return client->Get(key);
  });
}

}  // namespace cairn
