#include "server/tls.h"

#include <memory>
#include <string>

#include "fmt/format.h"
#include "tests/catch.h"
#include "tests/server/certificates.h"
#include "tests/server/temporary_folder.h"

namespace cairn::server {
namespace {

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Ssl = std::unique_ptr<SSL, SslFree>;
using Context = std::unique_ptr<SSL_CTX, SslFree>;

/// Files of a server and what a client of it needs.
struct Fixture {
  TemporaryFolder folder;
  Certificate server{"server"};
  Certificate client{"client"};
  Settings settings;

  Fixture() {
    settings.tls_enabled = true;
    settings.ssl_chain_cert = folder.Path("server.pem");
    settings.ssl_key = folder.Path("server.key");
    server.WriteCertificate(settings.ssl_chain_cert);
    server.WriteKey(settings.ssl_key);
  }

  void TrustClient() {
    settings.ssl_ca_cert = folder.Path("client.pem");
    client.WriteCertificate(settings.ssl_ca_cert);
  }

  std::unique_ptr<TlsContexts> Make() const {
    auto made = TlsContexts::Make(settings);
    if (!made.ok()) FAIL(std::string(made.status().message()));
    return *std::move(made);
  }

  std::string Error() const {
    const auto made = TlsContexts::Make(settings);
    return made.ok() ? "made" : std::string(made.status().message());
  }
};

struct Handshake {
  bool done = false;        ///< and bytes went over it
  std::string server_name;  ///< of the certificate shown
  int version = 0;
};

// Both sides in memory.
Handshake Shake(TlsContexts& contexts, ListenTls mode, const Certificate* certificate = nullptr,
                int max_version = TLS1_3_VERSION) {
  const Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), max_version);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
  if (certificate != nullptr) {
    SSL_CTX_use_certificate(context.get(), certificate->certificate());
    SSL_CTX_use_PrivateKey(context.get(), certificate->key());
  }
  const Ssl client(SSL_new(context.get()));
  const Ssl server(contexts.NewSsl(mode));
  BIO* client_end = nullptr;
  BIO* server_end = nullptr;
  BIO_new_bio_pair(&client_end, 0, &server_end, 0);
  SSL_set_bio(client.get(), client_end, client_end);
  SSL_set_bio(server.get(), server_end, server_end);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());

  Handshake result;
  char byte = 'x';
  bool sent = false;
  for (int turn = 0; turn < 20 && !result.done; ++turn) {
    // With TLS 1.3 the client is done before the server has judged its certificate.
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
    if (SSL_is_init_finished(server.get()) && !sent) sent = SSL_write(server.get(), "y", 1) == 1;
    result.done = sent && SSL_read(client.get(), &byte, 1) == 1 && byte == 'y';
  }
  if (!result.done) return result;
  X509* const shown = SSL_get_peer_certificate(client.get());
  char name[64] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
  X509_free(shown);
  result.server_name = name;
  result.version = SSL_version(client.get());
  return result;
}

TEST_CASE("A client is served by the certificate of the files") {
  const Fixture fixture;
  const auto contexts = fixture.Make();
  const Handshake made = Shake(*contexts, ListenTls::kDefault);
  CHECK(made.done);
  CHECK(made.server_name == "server");
  CHECK(made.version == TLS1_3_VERSION);
  CHECK(contexts->new_sessions() == 0);
}

TEST_CASE("Client certificates are asked for as the mode and the listener say") {
  Fixture fixture;
  fixture.TrustClient();
  const Certificate stranger("stranger");
  const auto accepts = [&](SslVerifyMode verify, ListenTls listener, const Certificate* shown) {
    fixture.settings.ssl_verify_mode = verify;
    // TLS 1.2, where the client learns of a refusal within the handshake.
    return Shake(*fixture.Make(), listener, shown, TLS1_2_VERSION).done;
  };
  for (const SslVerifyMode verify : {SslVerifyMode::kNone, SslVerifyMode::kRequest,
                                     SslVerifyMode::kRequire, SslVerifyMode::kOnce}) {
    CAPTURE(static_cast<int>(verify));
    const bool required = verify == SslVerifyMode::kRequire || verify == SslVerifyMode::kOnce;
    const bool looks = verify != SslVerifyMode::kNone;
    CHECK(accepts(verify, ListenTls::kDefault, nullptr) == !required);
    CHECK(accepts(verify, ListenTls::kDefault, &fixture.client));
    CHECK(accepts(verify, ListenTls::kDefault, &stranger) == !looks);
    CHECK(accepts(verify, ListenTls::kBasic, nullptr));
    CHECK(accepts(verify, ListenTls::kBasic, &stranger));
    CHECK_FALSE(accepts(verify, ListenTls::kMutual, nullptr));
    CHECK(accepts(verify, ListenTls::kMutual, &fixture.client));
    CHECK_FALSE(accepts(verify, ListenTls::kMutual, &stranger));
  }
}

TEST_CASE("Old versions are refused as the setting says") {
  Fixture fixture;
  const auto accepts = [&](SslMinVersion min, int version) {
    fixture.settings.ssl_min_version = min;
    return Shake(*fixture.Make(), ListenTls::kDefault, nullptr, version).done;
  };
  CHECK(accepts(SslMinVersion::kTls12, TLS1_2_VERSION));
  CHECK_FALSE(accepts(SslMinVersion::kTls13, TLS1_2_VERSION));
  CHECK(accepts(SslMinVersion::kTls13, TLS1_3_VERSION));
}

TEST_CASE("New sessions are counted when there is a session cache") {
  Fixture fixture;
  fixture.settings.ssl_session_cache = true;
  const auto contexts = fixture.Make();
  CHECK(Shake(*contexts, ListenTls::kDefault, nullptr, TLS1_2_VERSION).done);
  CHECK(contexts->new_sessions() == 1);
  CHECK(Shake(*contexts, ListenTls::kBasic, nullptr, TLS1_2_VERSION).done);
  CHECK(contexts->new_sessions() == 2);
  contexts->ResetStats();
  CHECK(contexts->new_sessions() == 0);
}

TEST_CASE("A reload serves the new certificate, and a bad one keeps the old") {
  const Fixture fixture;
  const auto contexts = fixture.Make();
  const Ssl before(contexts->NewSsl(ListenTls::kDefault));
  const Certificate renewed("renewed");
  renewed.WriteCertificate(fixture.settings.ssl_chain_cert);

  std::string error;
  CHECK_FALSE(contexts->Reload(&error));  // the key is still the old one
  CHECK(error.starts_with("Error loading the key: " + fixture.settings.ssl_key));
  CHECK(error.find('\n') == std::string::npos);
  CHECK(Shake(*contexts, ListenTls::kDefault).server_name == "server");

  renewed.WriteKey(fixture.settings.ssl_key);
  CHECK(contexts->Reload(&error));
  CHECK(Shake(*contexts, ListenTls::kDefault).server_name == "renewed");
  CHECK(Shake(*contexts, ListenTls::kBasic).server_name == "renewed");
  CHECK(contexts->SecondsSinceRefresh() <= 60);
}

TEST_CASE("Files and lists that cannot be used are named") {
  Fixture fixture;
  const Settings good = fixture.settings;
  fixture.settings.ssl_chain_cert = "";
  CHECK(fixture.Error().starts_with("Error loading the certificate chain: (null) : error:"));
  fixture.settings.ssl_chain_cert = "/no/such/file";
  CHECK(fixture.Error().starts_with("Error loading the certificate chain: /no/such/file : error:"));

  fixture.settings = good;
  fixture.settings.ssl_key = "/no/such/file";
  CHECK(fixture.Error().starts_with("Error loading the key: /no/such/file : error:"));
  fixture.settings.ssl_key = fixture.folder.Path("client.key");
  fixture.client.WriteKey(fixture.settings.ssl_key);
  CHECK(fixture.Error().find("mismatch") != std::string::npos);
  fixture.settings.ssl_keyformat = 9;
  CHECK(fixture.Error().find("bad ssl filetype") != std::string::npos);

  fixture.settings = good;
  fixture.settings.ssl_ca_cert = "/no/such/file";
  CHECK(fixture.Error().starts_with("Error loading the CA certificate: /no/such/file : error:"));
  fixture.settings = good;
  fixture.settings.ssl_ciphers = "nonsense";
  CHECK(fixture.Error() == "Error setting the provided cipher(s): nonsense");
  fixture.settings = good;
  CHECK(fixture.Error() == "made");
}

}  // namespace
}  // namespace cairn::server
