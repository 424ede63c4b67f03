#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::server {

/// Where a client is: kept in the few bytes that it takes, since most connections are never looked
/// at, and written out for who asks.
class PeerAddress {
 public:
  /// A client over a UNIX socket, which has no address of its own.
  PeerAddress() = default;
  /// Local, too, when it is of another family than IPv4 and IPv6.
  explicit PeerAddress(const sockaddr_storage& address);

  bool is_local() const { return family_ == AF_UNSPEC; }
  /// As `stats conns` shows it: "tcp:127.0.0.1:4711" or "tcp6:[::1]:4711". REQUIRES: !is_local()
  std::string Text() const;

  // In the log's words.
  std::string ip() const;  ///< without the port; "unix"
  unsigned port() const { return port_; }
  std::string_view transport() const { return is_local() ? "local" : "tcp"; }

 private:
  std::array<uint8_t, 16> bytes_{};  // the first four, of IPv4
  uint16_t family_ = AF_UNSPEC;
  uint16_t port_ = 0;
};

}  // namespace cairn::server
