#pragma once

#include <cstdint>
#include <string>

namespace cairn {

/// How servers are spoken to with TLS (ClientOptions::tls). Files are PEM and read once, in
/// Client::Make: InvalidArgument when one cannot be read, or when key and certificate do not
/// belong together.
struct TlsOptions {
  /// Whose signature a server's certificate has to lead to. Empty: the system's authorities.
  std::string ca_file;
  /// What servers are shown that ask for a client's certificate: the chain, and its key. Both or
  /// neither.
  std::string cert_file;
  std::string key_file;
  /// The name that is asked for (SNI) and that the certificate has to be for, of every server.
  /// Empty: each server's own Server::host. An address has to be in the certificate as an address.
  std::string server_name;
  /// Off: any certificate will do, hence anyone between here and the server can read and change
  /// everything. For tests.
  bool verify = true;

  enum class MinVersion : uint8_t { kTls12, kTls13 };
  MinVersion min_version = MinVersion::kTls12;
};

}  // namespace cairn
