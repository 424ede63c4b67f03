#include "server/peer_address.h"

#include "tests/catch.h"
#include "tests/server/socket_addresses.h"

namespace cairn::server {
namespace {

TEST_CASE("A client's address is written as memcached does") {
  const PeerAddress v4(Inet(0xc0000201, 4711));
  CHECK(v4.Text() == "tcp:192.0.2.1:4711");
  CHECK(v4.ip() == "192.0.2.1");
  CHECK(v4.port() == 4711);
  CHECK(v4.transport() == "tcp");
  CHECK_FALSE(v4.is_local());
  const PeerAddress v6(Inet6(in6addr_loopback, 65535));
  CHECK(v6.Text() == "tcp6:[::1]:65535");
  CHECK(v6.ip() == "::1");
  CHECK(v6.port() == 65535);
  CHECK(v6.transport() == "tcp");
}

TEST_CASE("A client over a UNIX socket is known by the socket") {
  sockaddr_storage unnamed{};
  unnamed.ss_family = AF_UNIX;
  for (const PeerAddress& peer : {PeerAddress(), PeerAddress(unnamed)}) {
    CHECK(peer.is_local());
    CHECK(peer.ip() == "unix");
    CHECK(peer.port() == 0);
    CHECK(peer.transport() == "local");
  }
}

}  // namespace
}  // namespace cairn::server
