#pragma once

#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/client.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/server/certificates.h"
#include "tests/server/temporary_folder.h"

namespace cairn {

/// An authority, and certificates that it signed, as files.
class TlsFiles {
 public:
  TlsFiles() { authority_.WriteCertificate(path("ca.crt")); }

  std::string path(const std::string& name) const { return folder_.Path(name); }
  /// Writes <name>.crt and <name>.key; self-signed, and not the authority's, unless `is_ours`.
  void Issue(const std::string& name, const server::CertificateTerms& terms, bool is_ours = true) {
    const server::Certificate certificate(name, terms, is_ours ? &authority_ : nullptr);
    certificate.WriteCertificate(path(name + ".crt"));
    certificate.WriteKey(path(name + ".key"));
  }
  /// The same for some hosts.
  void Issue(const std::string& name, const char* alternatives, bool is_ours = true) {
    server::CertificateTerms terms;
    terms.alternatives = alternatives;
    Issue(name, terms, is_ours);
  }
  /// A server's words for that certificate; `more` of -o, each with a comma before it.
  std::vector<std::string> ServerOptions(const std::string& name,
                                         const std::string& more = "") const {
    return {"-Z", "-o",
            "ssl_chain_cert=" + path(name + ".crt") + ",ssl_key=" + path(name + ".key") + more};
  }
  /// A client that trusts the authority.
  ClientOptions OptionsFor(const Server& server) const {
    ClientOptions options = PatientOptions(server);
    options.tls.emplace().ca_file = path("ca.crt");
    return options;
  }

 private:
  static server::CertificateTerms Authority() {
    server::CertificateTerms terms;
    terms.is_authority = true;
    return terms;
  }

  const server::TemporaryFolder folder_;
  const server::Certificate authority_{"an authority", Authority()};
};

/// A server that says over TLS what a test wants it to say. `talk` is called for one connection
/// after the other, with a blocking SSL whose handshake is not done; when it returns, the socket is
/// closed, without a goodbye but for what `talk` said.
class TlsPeer {
 public:
  using Talk = std::function<void(SSL*, int)>;

  TlsPeer(const TlsFiles& files, const std::string& certificate, Talk talk)
      : talk_(std::move(talk)), context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_use_certificate_chain_file(context_, files.path(certificate + ".crt").c_str());
    SSL_CTX_use_PrivateKey_file(context_, files.path(certificate + ".key").c_str(),
                                SSL_FILETYPE_PEM);
    listener_ = Listen(0, &port_);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TlsPeer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    SSL_CTX_free(context_);
  }
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;

  SSL_CTX* context() const { return context_; }
  Server server() const {
    Server server;
    server.host = "127.0.0.1";
    server.port = port_;
    return server;
  }

  /// The next line without its end; empty at the end of the conversation.
  static std::string Line(SSL* ssl) {
    std::string line;
    for (char c; SSL_read(ssl, &c, 1) == 1;) {
      line += c;
      if (line.ends_with("\r\n")) return line.substr(0, line.size() - 2);
    }
    return "";
  }
  static void Send(SSL* ssl, std::string_view text) {
    SSL_write(ssl, text.data(), static_cast<int>(text.size()));
  }

 private:
  void Serve() {
    for (int number = 0;; ++number) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      SSL* const ssl = SSL_new(context_);
      SSL_set_fd(ssl, fd);
      SSL_set_accept_state(ssl);
      talk_(ssl, number);
      SSL_free(ssl);
      close(fd);
    }
  }

  const Talk talk_;
  SSL_CTX* const context_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace cairn
