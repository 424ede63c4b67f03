// TLS between a client and its servers: who is believed to be a server, and that bytes arrive.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/tls_fixture.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Catch::Matchers::ContainsSubstring;

// True, and said, when there is no TLS to test.
bool Skipped() {
  ClientOptions options;
  options.servers = {Server::Parse("127.0.0.1:1").value()};
  options.tls = TlsOptions();
  if (!absl::IsUnimplemented(Client::Make(options).status())) return false;
  WARN("skipped: libcairn was built without TLS");
  return true;
}

void CheckFails(const ClientOptions& options, const std::string& why) {
  const auto client = Connect(options);
  const auto got = client->Get("key");
  CHECK(absl::IsUnavailable(got.status()));
  CHECK_THAT(std::string(got.status().message()), ContainsSubstring(why));
  CHECK(absl::IsUnavailable(Wait(client->Async().Get("key")).status()));
}

}  // namespace

TEST_CASE("a server is believed that has the right certificate", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1,DNS:cache.example");
  ServerProcess process("cairnd", files.ServerOptions("server"));
  ClientOptions options = files.OptionsFor(process.server());

  SECTION("by its address") {}
  SECTION("by a name") { options.tls->server_name = "cache.example"; }
  SECTION("with classic text") { options.protocol = ClientOptions::Protocol::kText; }
  SECTION("with TLS 1.3 only") { options.tls->min_version = TlsOptions::MinVersion::kTls13; }
  SECTION("unverified") {
    options.tls->verify = false;
    options.tls->ca_file.clear();
  }
  const auto client = Connect(options);
  CHECK(client->Set("key", "value").ok());
  CHECK(client->Get("key").value() == "value");
  CHECK(client->Get("none").value() == std::nullopt);
  CHECK(client->Increment("none").value() == std::nullopt);
  CHECK(Wait(client->Async().Get("key")).value() == "value");
  CHECK(Wait(client->Async().Set("other", "more")).ok());
  const std::string_view keys[] = {"key", "none", "other"};
  const MultiGetResult multi = client->GetMulti(keys);
  CHECK(multi.hits() == 2);
  CHECK(multi[2].value == "more");
}

TEST_CASE("over TLS, too, nothing is sent that is larger than the server takes", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  std::vector<std::string> words = files.ServerOptions("server");
  words.insert(words.end(), {"-I", "512k"});
  ServerProcess process("cairnd", words);
  ClientOptions options = files.OptionsFor(process.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  const std::string smaller(400'000, 'x');
  CHECK(absl::IsResourceExhausted(client->Set("key", std::string(600'000, 'x'))));
  CHECK(client->Stats()[0].bytes_sent < 1000);
  CHECK(client->Set("key", smaller).ok());
  CHECK(client->Get("key").value() == smaller);
  CHECK(client->Stats()[0].connections_made == 1);
}

TEST_CASE("a server is not believed whose certificate is not for it", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  SECTION("but for another host") {
    files.Issue("server", "DNS:cache.example,IP:127.0.0.2");
    ServerProcess process("cairnd", files.ServerOptions("server"));
    ClientOptions options = files.OptionsFor(process.server());
    CheckFails(options, "IP address mismatch");
    options.tls->server_name = "other.example";
    CheckFails(options, "ostname mismatch");
    options.tls->server_name = "cache.example";
    CHECK(Connect(options)->Set("key", "value").ok());
  }
  SECTION("but signed by somebody else") {
    files.Issue("server", "IP:127.0.0.1", false);
    ServerProcess process("cairnd", files.ServerOptions("server"));
    ClientOptions options = files.OptionsFor(process.server());
    CheckFails(options, "certificate");
    options.tls->ca_file.clear();  // nor do the system's authorities know it
    CheckFails(options, "certificate");
  }
  SECTION("any more") {
    server::CertificateTerms past;
    past.alternatives = "IP:127.0.0.1";
    past.valid_from_s = -7200;
    past.valid_to_s = -3600;
    files.Issue("server", past);
    ServerProcess process("cairnd", files.ServerOptions("server"));
    CheckFails(files.OptionsFor(process.server()), "expired");
  }
}

TEST_CASE("one side with TLS and one without do not understand each other", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  {
    ServerProcess plain;
    ClientOptions options = files.OptionsFor(plain.server());
    options.connect_timeout = absl::Milliseconds(200);
    CHECK_FALSE(Connect(options)->Get("key").ok());
    CHECK_FALSE(Wait(Connect(options)->Async().Set("key", "value")).ok());
  }
  ServerProcess process("cairnd", files.ServerOptions("server"));
  ClientOptions options = PatientOptions(process.server());
  CHECK_FALSE(Connect(options)->Get("key").ok());
}

TEST_CASE("a server that says nothing costs the connect timeout", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  ScriptedPeer peer([](Conversation& conversation, int) { conversation.Hang(); });
  ClientOptions options = files.OptionsFor(peer.server());
  options.connect_timeout = absl::Milliseconds(50);
  const auto client = Connect(options);
  CHECK(absl::IsDeadlineExceeded(client->Get("key").status()));
  CHECK(absl::IsDeadlineExceeded(Wait(client->Async().Get("key")).status()));
}

TEST_CASE("a client shows its certificate", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  files.Issue("client", "");
  files.Issue("stranger", "", false);
  ServerProcess process("cairnd", files.ServerOptions("server", ",ssl_verify_mode=2,ssl_ca_cert=" +
                                                                    files.path("ca.crt")));
  ClientOptions options = files.OptionsFor(process.server());
  CheckFails(options, "TLS: ");
  options.protocol = ClientOptions::Protocol::kText;  // the first to be told is a request then
  CHECK(absl::IsUnavailable(Connect(options)->Get("key").status()));
  options.tls->cert_file = files.path("stranger.crt");
  options.tls->key_file = files.path("stranger.key");
  CHECK(absl::IsUnavailable(Connect(options)->Get("key").status()));
  options.tls->cert_file = files.path("client.crt");
  options.tls->key_file = files.path("client.key");
  const auto client = Connect(options);
  CHECK(client->Set("key", "value").ok());
  process.Kill();
  process.Start();
  CHECK(client->Set("key", "value").ok());  // nor is a second connection in need of anything else
}

TEST_CASE("files that cannot be used are said at once", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("one", "");
  files.Issue("two", "");
  ClientOptions options = files.OptionsFor(Server::Parse("127.0.0.1").value());
  const auto fails = [&] { return absl::IsInvalidArgument(Client::Make(options).status()); };
  CHECK_FALSE(fails());
  options.tls->ca_file = files.path("none");
  CHECK(fails());
  options.tls->ca_file = files.path("one.key");
  CHECK(fails());
  options.tls->ca_file.clear();
  options.tls->cert_file = files.path("one.crt");
  CHECK(fails());
  options.tls->key_file = files.path("two.key");
  CHECK(fails());
  options.tls->key_file = files.path("one.key");
  CHECK_FALSE(fails());
}

TEST_CASE("large values and large calls go through TLS", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  ServerProcess process("cairnd", files.ServerOptions("server"));
  const auto client = Connect(files.OptionsFor(process.server()));
  std::vector<std::string> names;
  std::vector<std::string> values;
  for (size_t i = 0; i < 400; ++i) {
    names.push_back("key" + std::to_string(i));
    const size_t bytes = i < 4 ? 1000 * 1000 + i : i < 100 ? 16384 * (i % 5) + i : i;
    values.emplace_back(bytes, static_cast<char>('a' + i % 26));
  }
  std::vector<SetItem> items;
  for (size_t i = 0; i < names.size(); ++i) items.push_back({names[i], values[i]});
  CHECK(client->SetMulti(items).done_count() == items.size());
  CHECK(client->SetAll(items).ok());
  const std::vector<std::string_view> keys(names.begin(), names.end());
  const MultiGetResult waited = client->GetMulti(keys);
  const MultiGetResult called = Wait(client->Async().GetMulti(keys));
  REQUIRE(waited.hits() == keys.size());
  REQUIRE(called.hits() == keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    CHECK((waited[i].value == values[i] && called[i].value == values[i]));
  }
}

TEST_CASE("many threads share a connection with TLS, also when the server dies", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  ServerProcess process("cairnd", files.ServerOptions("server"));
  const auto client = Connect(files.OptionsFor(process.server()));
  std::atomic<int> wrong{0};
  std::atomic<int> done{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const std::string key = "key" + std::to_string(t);
      for (size_t i = 0; !stop; ++i) {
        const std::string value(i * 977 % 40000, static_cast<char>('a' + t));
        if (!client->Set(key, value).ok()) continue;
        const auto got = client->Get(key);
        if (got.ok() && got->has_value() && **got != value) ++wrong;
        if (got.ok()) ++done;
      }
    });
  }
  const auto await_more = [&] {
    const int before = done;
    for (int tries = 0; done < before + 200 && tries < 12000; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return done >= before + 200;
  };
  CHECK(await_more());
  process.Kill();  // in the middle of whatever they are saying: a SIGPIPE would end the test
  process.Start();
  CHECK(await_more());
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("an end without a goodbye is a broken connection", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  TlsPeer peer(files, "server", [](SSL* ssl, int number) {
    TlsPeer::Line(ssl);
    if (number == 0) {
      TlsPeer::Send(ssl, "VALUE key 0 1\r\n1\r\nEND\r\n");
      TlsPeer::Line(ssl);
      TlsPeer::Send(ssl, "VALUE key 0 10\r\nhalf ");
    } else {
      TlsPeer::Send(ssl, "VALUE key 0 1\r\n2\r\nEND\r\n");
      TlsPeer::Line(ssl);
    }
  });
  ClientOptions options = files.OptionsFor(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = Connect(options);
  CHECK(client->Get("key").value() == "1");
  const auto cut = client->Get("key");
  CHECK(absl::IsUnavailable(cut.status()));
  CHECK(client->Get("key").value() == "2");
}

TEST_CASE("what TLS has to say between answers is no answer", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  std::atomic<int> connections{0};
  const auto talk = [&connections](SSL* ssl, int number) {
    connections = number + 1;
    for (std::string line; !(line = TlsPeer::Line(ssl)).empty();) {
      const std::string answer = "VALUE key 0 5\r\nvalue\r\nEND\r\n";
      for (const char c : answer) {  // a record each, with new keys in between
        if (SSL_version(ssl) == TLS1_3_VERSION && (c == 'a' || c == 'D')) {
          SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        }
        TlsPeer::Send(ssl, {&c, 1});
      }
      if (SSL_version(ssl) == TLS1_3_VERSION) {
        // While nothing is due: new keys and a session that can be resumed.
        SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        SSL_do_handshake(ssl);
        SSL_new_session_ticket(ssl);
        SSL_do_handshake(ssl);
      }
    }
  };
  TlsPeer peer(files, "server", talk);
  SECTION("1.3") {}
  SECTION("1.2") { SSL_CTX_set_max_proto_version(peer.context(), TLS1_2_VERSION); }
  ClientOptions options = files.OptionsFor(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  {
    const auto client = Connect(options);
    for (int i = 0; i < 20; ++i) CHECK(client->Get("key").value() == "value");
  }
  CHECK(connections == 1);
  const auto client = Connect(options);
  for (int i = 0; i < 20; ++i) CHECK(Wait(client->Async().Get("key")).value() == "value");
  CHECK(connections == 2);
}

TEST_CASE("bytes that nobody asked for end a connection with TLS, too", "[client][tls]") {
  if (Skipped()) return;
  TlsFiles files;
  files.Issue("server", "IP:127.0.0.1");
  TlsPeer peer(files, "server", [](SSL* ssl, int number) {
    TlsPeer::Line(ssl);
    // In one record: nothing of it stays in the socket.
    TlsPeer::Send(ssl, number == 0 ? "VALUE key 0 1\r\n1\r\nEND\r\nVALUE key 0 1\r\n3\r\nEND\r\n"
                                   : "VALUE key 0 1\r\n2\r\nEND\r\n");
    TlsPeer::Line(ssl);
  });
  ClientOptions options = files.OptionsFor(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = Connect(options);
  (void)client->Get("key");
  CHECK(client->Get("key").value() == "2");
}

}  // namespace cairn
