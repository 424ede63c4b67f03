#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

namespace cairn::server {

/// What accept() says of a client at `ip`, in the host's byte order.
inline sockaddr_storage Inet(uint32_t ip, uint16_t port) {
  sockaddr_storage address{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(address);
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(ip);
  v4.sin_port = htons(port);
  return address;
}

inline sockaddr_storage Inet6(const in6_addr& ip, uint16_t port) {
  sockaddr_storage address{};
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = ip;
  v6.sin6_port = htons(port);
  return address;
}

}  // namespace cairn::server
