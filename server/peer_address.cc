#include "server/peer_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "fmt/format.h"

namespace cairn::server {

PeerAddress::PeerAddress(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    std::memcpy(bytes_.data(), &v4.sin_addr, sizeof v4.sin_addr);
    port_ = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    std::memcpy(bytes_.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
    port_ = ntohs(v6.sin6_port);
  } else {
    return;
  }
  family_ = address.ss_family;
}

std::string PeerAddress::Text() const {
  return family_ == AF_INET6 ? fmt::format("tcp6:[{}]:{}", ip(), port_)
                             : fmt::format("tcp:{}:{}", ip(), port_);
}

std::string PeerAddress::ip() const {
  if (is_local()) return "unix";
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family_, bytes_.data(), text, sizeof text);
  return text;
}

}  // namespace cairn::server
