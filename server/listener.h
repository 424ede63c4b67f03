#pragma once

#include <event2/event.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/connection_table.h"
#include "server/context.h"
#include "server/settings.h"
#include "server/worker.h"

namespace cairn::server {

/// How clients of one listening socket are served.
struct ListenerPolicy {
  WireProtocol protocol = WireProtocol::kNegotiating;
  ListenTls tls = ListenTls::kNone;
  std::string tag;
};

/// A bound socket, not yet served. Owns its descriptor.
struct BoundSocket {
  int fd = -1;
  int family = AF_UNSPEC;
  bool datagram = false;
  uint16_t port = 0;    ///< as bound; 0 for a UNIX socket
  std::string address;  ///< "tcp:0.0.0.0:11211", "unix:/path"
  ListenerPolicy policy;
};

/// Hands accepted clients to the workers in turn, and minds the limit on their number.
///
/// Lives on the main loop; OnClientGone is for any thread.
class Acceptor {
 public:
  Acceptor(ServerContext* server, event_base* base, std::vector<Worker*> workers);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  /// Accepts clients of `socket` from now on.
  void Listen(BoundSocket socket);
  /// Takes no more clients; closes the listening sockets.
  void Close();
  /// A client's place is free again.
  void OnClientGone();

 private:
  struct Listener {
    Acceptor* acceptor;
    BoundSocket socket;
    ConnectionRecord record;
    EventPtr accept_event;
  };

  static void OnAcceptable(evutil_socket_t fd, short what, void* listener);
  void AcceptFrom(Listener& listener);
  void Place(Listener& listener, int fd, const sockaddr_storage& peer, socklen_t peer_bytes);
  bool AtLimit() const;
  void TurnAway(int fd);
  void Pause();
  void Resume();

  ServerContext* const server_;
  event_base* const base_;
  const std::vector<Worker*> workers_;
  size_t next_worker_ = 0;
  std::vector<std::unique_ptr<Listener>> listeners_;
  EventPtr resume_event_;  // a client is gone, or it is time to try again
  std::atomic<bool> paused_{false};
  int64_t paused_since_us_ = 0;
};

}  // namespace cairn::server
