#include "server/sasl.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "server/settings.h"
#include "tests/catch.h"
#include "tests/server/temporary_folder.h"

#ifdef CAIRN_HAVE_SASL
#include <sasl/sasl.h>
#endif

namespace cairn::server {
namespace {

using namespace std::string_literals;

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

std::string Plain(const std::string& identity, const std::string& user,
                  const std::string& password) {
  return identity + '\0' + user + '\0' + password;
}

std::unique_ptr<SaslMechanisms> FromFile(const std::string& path) {
  const Variable variable("MEMCACHED_SASL_PWDB", path);
  auto made = MakeSaslMechanisms(Settings());
  REQUIRE(made.ok());
  return *std::move(made);
}

SaslResult StartPlain(const SaslMechanisms& mechanisms, const std::string& data) {
  return mechanisms.NewSession()->Start("PLAIN", data).result;
}

TEST_CASE("PLAIN is checked against the file of MEMCACHED_SASL_PWDB") {
  const TemporaryFolder folder;
  const auto mechanisms = FromFile(folder.Write("users", "alice:secret\nbob:a:b\n"));
  CHECK(mechanisms->List() == "PLAIN");
  CHECK(StartPlain(*mechanisms, Plain("", "alice", "secret")) == SaslResult::kOk);
  CHECK(StartPlain(*mechanisms, Plain("alice", "alice", "secret")) == SaslResult::kOk);
  CHECK(StartPlain(*mechanisms, Plain("", "bob", "a:b")) == SaslResult::kOk);
  CHECK(StartPlain(*mechanisms, Plain("bob", "alice", "secret")) == SaslResult::kFail);
  CHECK(StartPlain(*mechanisms, Plain("", "alice", "wrong")) == SaslResult::kFail);
  CHECK(StartPlain(*mechanisms, Plain("", "alice", "secret\0"s)) == SaslResult::kFail);
  CHECK(StartPlain(*mechanisms, Plain("", "", "")) == SaslResult::kFail);
  CHECK(StartPlain(*mechanisms, "alice secret") == SaslResult::kFail);
  CHECK(StartPlain(*mechanisms, "\0alice"s) == SaslResult::kFail);
}

TEST_CASE("A client that sends nothing along is asked for it") {
  const TemporaryFolder folder;
  const auto mechanisms = FromFile(folder.Write("users", "alice:secret\n"));
  const auto session = mechanisms->NewSession();
  CHECK(session->Step(Plain("", "alice", "secret")).result == SaslResult::kFail);
  const SaslOutcome asked = session->Start("plain", "");
  CHECK(asked.result == SaslResult::kContinue);
  CHECK(asked.challenge.empty());
  CHECK(session->Step(Plain("", "alice", "secret")).result == SaslResult::kOk);
  CHECK(session->Step(Plain("", "alice", "secret")).result == SaslResult::kFail);
  CHECK(session->Start("CRAM-MD5", "").result == SaslResult::kFail);
  CHECK(session->Step(Plain("", "alice", "secret")).result == SaslResult::kFail);
}

TEST_CASE("A changed password file counts at once, and a bad one not at all") {
  const TemporaryFolder folder;
  const auto mechanisms = FromFile(folder.Write("users", "alice:secret\n"));
  folder.Write("users", "bob:longer secret\n");
  CHECK(StartPlain(*mechanisms, Plain("", "bob", "longer secret")) == SaslResult::kOk);
  CHECK(StartPlain(*mechanisms, Plain("", "alice", "secret")) == SaslResult::kFail);
  folder.Write("users", "malformed");
  CHECK(StartPlain(*mechanisms, Plain("", "bob", "longer secret")) == SaslResult::kOk);
  std::string error;
  CHECK_FALSE(mechanisms->Reload(&error));
  CHECK(error.find("malformed entry") != std::string::npos);
}

TEST_CASE("A password file that cannot be read stops the start") {
  const Variable variable("MEMCACHED_SASL_PWDB", "/no/such/file");
  const auto made = MakeSaslMechanisms(Settings());
  REQUIRE_FALSE(made.ok());
  CHECK(std::string(made.status().message()).find("/no/such/file") != std::string::npos);
}

TEST_CASE("Several clients authenticate at once") {
  const TemporaryFolder folder;
  const auto mechanisms = FromFile(folder.Write("users", "alice:secret\n"));
  std::atomic<int> right{0};
  std::vector<std::thread> clients;
  clients.reserve(4);
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      for (int j = 0; j < 100; ++j) {
        const bool good = (i + j) % 2 == 0;
        const SaslResult wanted = good ? SaslResult::kOk : SaslResult::kFail;
        right += StartPlain(*mechanisms, Plain("", "alice", good ? "secret" : "wrong")) == wanted;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  CHECK(right == 400);
}

#ifdef CAIRN_HAVE_SASL

// Cyrus has one set of globals in a process: all of it is tested in one case.
TEST_CASE("Cyrus is used as it is set up") {
  const TemporaryFolder folder;
  folder.Write("memcached.conf", fmt::format("mech_list: plain cram-md5\n"
                                             "pwcheck_method: auxprop\n"
                                             "auxprop_plugin: sasldb\n"
                                             "sasldb_path: {}\n",
                                             folder.Path("sasldb2")));
  const Variable variable("SASL_CONF_PATH", folder.Path(""));
  auto made = MakeSaslMechanisms(Settings());
  REQUIRE(made.ok());
  const SaslMechanisms& mechanisms = **made;
  const std::string list = mechanisms.List();
  if (list.find("PLAIN") == std::string::npos) {
    WARN("Cyrus has no PLAIN here: " << list);
    return;
  }
  CHECK(mechanisms.NewSession()->Start("no such", "").result == SaslResult::kFail);
  CHECK(mechanisms.NewSession()->Step("x").result == SaslResult::kFail);
  CHECK(StartPlain(mechanisms, Plain("", "alice", "secret")) == SaslResult::kFail);

  sasl_conn_t* connection = nullptr;
  REQUIRE(sasl_server_new("memcached", nullptr, nullptr, nullptr, nullptr, nullptr, 0,
                          &connection) == SASL_OK);
  const int added = sasl_setpass(connection, "alice", "secret", 6, nullptr, 0, SASL_SET_CREATE);
  sasl_dispose(&connection);
  if (added != SASL_OK) {
    WARN("Cyrus has no sasldb here: " << sasl_errstring(added, nullptr, nullptr));
    return;
  }
  CHECK(StartPlain(mechanisms, Plain("", "alice", "secret")) == SaslResult::kOk);
  CHECK(StartPlain(mechanisms, Plain("", "alice", "wrong")) == SaslResult::kFail);
  const auto session = mechanisms.NewSession();
  const SaslOutcome asked = session->Start("CRAM-MD5", "");
  CHECK(asked.result == SaslResult::kContinue);
  CHECK(asked.challenge.starts_with("<"));
  CHECK(session->Step("alice 00000000000000000000000000000000").result == SaslResult::kFail);
  // A failed try does not end the conversation.
  CHECK(session->Start("PLAIN", Plain("", "alice", "secret")).result == SaslResult::kOk);
}

TEST_CASE("Without a set-up of Cyrus the start stops and says so") {
  if (std::filesystem::exists("/etc/sasl2/memcached.conf") ||
      std::filesystem::exists("/etc/sasl/memcached.conf")) {
    WARN("This machine has a set-up");
    return;
  }
  const auto made = MakeSaslMechanisms(Settings());
  REQUIRE_FALSE(made.ok());
  CHECK(std::string(made.status().message()).starts_with("Error initializing sasl."));
}

#endif

}  // namespace
}  // namespace cairn::server
