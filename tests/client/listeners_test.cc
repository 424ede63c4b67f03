// Real servers that listen at UNIX sockets, or want a password first (-Y).
#include <memory>
#include <string>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"
#include "tests/server/temporary_folder.h"

namespace cairn {
namespace {

// Waiting and not, one key and many, short values and one that takes several reads.
void CheckServes(Client& client) {
  const std::string large(500'000, 'x');
  CHECK(client.Set("key", "value").ok());
  CHECK(client.Get("key").value() == "value");
  CHECK(client.Get("absent").value() == std::nullopt);
  CHECK(Wait(client.Async().Set("large", large)).ok());
  CHECK(Wait(client.Async().Get("key")).value() == "value");
  const SetItem items[] = {{"a", "1"}, {"b", "2"}};
  CHECK(client.SetMulti(items).done_count() == 2);
  const std::string_view keys[] = {"a", "large", "absent", "b"};
  const MultiGetResult got = client.GetMulti(keys);
  CHECK(got[0].value == "1");
  CHECK(got[1].value == large);
  CHECK(got[2].outcome == KeyOutcome::kMiss);
  CHECK(got[3].value == "2");
  CHECK(client.Delete("key").value());
}

}  // namespace

TEST_CASE("servers at UNIX sockets are used like others, and beside them", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const server::TemporaryFolder folder;
  ServerProcess at_path(program, {"-s", folder.Path("socket")});
  if (!at_path.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options = PatientOptions(at_path.server());
  REQUIRE(options.servers[0].IsUnixSocket());
  options.protocol = protocol;
  const auto client = Connect(options);
  CheckServes(*client);
  CHECK(client->Stats().at(0).address == folder.Path("socket"));
  at_path.Kill();
  CHECK(absl::IsUnavailable(client->Get("a").status()));
  CHECK(absl::IsUnavailable(Wait(client->Async().Get("a")).status()));
  at_path.Start();
  CHECK(client->Get("a").value() == std::nullopt);
  CheckServes(*client);

  ServerProcess at_port(program);
  options.servers.push_back(at_port.server());
  const auto both = Connect(options);
  size_t at[2] = {};
  for (int i = 0; i < 100; ++i) {
    const std::string key = "key:" + std::to_string(i);
    ++at[both->ServerOf(key)];
    CHECK(both->Set(key, key).ok());
    CHECK(both->Get(key).value() == key);
  }
  CHECK((at[0] > 0 && at[1] > 0));
}

TEST_CASE("servers that want a name and a password get them on each connection", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const server::TemporaryFolder folder;
  ServerProcess server(program, {"-Y", folder.Write("passwords", "other:more\nuser:secret\n")});
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  ClientOptions options = PatientOptions(server.server());
  options.protocol = protocol;
  options.username = "user";
  options.password = "secret";
  const auto client = Connect(options);
  CheckServes(*client);
  server.Kill();
  CHECK(absl::IsUnavailable(client->Get("a").status()));
  server.Start();
  CHECK(client->Get("a").value() == std::nullopt);
  CheckServes(*client);

  options.password = "guess!";
  const auto wrong = Connect(options);
  CHECK_FALSE(wrong->Set("a", "wrong").ok());
  CHECK_FALSE(Wait(wrong->Async().Get("b")).ok());
  options.username.clear();
  const auto nobody = Connect(options);
  CHECK_FALSE(nobody->Set("a", "nobody's").ok());
  CHECK_FALSE(nobody->Get("b").ok());
  CHECK(client->Get("a").value() == "1");
}

}  // namespace cairn
