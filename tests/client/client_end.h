#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cairn/server.h"
#include "tests/catch.h"
#include "tests/client/scripted_peer.h"

namespace cairn {

/// A conversation with a server on the loopback, without a client library.
class ClientEnd {
 public:
  explicit ClientEnd(const Server& server)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), conversation(fd_) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(server.port);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  }
  ~ClientEnd() { close(fd_); }
  ClientEnd(const ClientEnd&) = delete;
  ClientEnd& operator=(const ClientEnd&) = delete;

 private:
  const int fd_;

 public:
  Conversation conversation;
};

}  // namespace cairn
