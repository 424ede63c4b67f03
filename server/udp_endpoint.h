#pragma once

#include <event2/event.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/listener.h"
#include "server/worker.h"

namespace cairn::server {

/// A UDP socket: each datagram is a conversation of its own, answered by one message of as many
/// datagrams as it takes. What a datagram leaves unfinished is forgotten with it.
///
/// One event-loop thread, a worker's. Owns its descriptor.
class UdpEndpoint {
 public:
  UdpEndpoint(Worker* worker, BoundSocket socket);
  ~UdpEndpoint();
  UdpEndpoint(const UdpEndpoint&) = delete;
  UdpEndpoint& operator=(const UdpEndpoint&) = delete;

 private:
  static void OnReadable(evutil_socket_t fd, short what, void* self);
  void ServeWaiting();
  /// Everything that the requests in `payload` are answered with.
  std::string Answer(std::string_view payload);
  void Send(uint16_t request_id, std::string_view answer, const sockaddr_storage& peer,
            socklen_t peer_bytes);

  Worker* const worker_;
  const BoundSocket socket_;
  ConnectionRecord record_;
  EventPtr event_;
  std::vector<char> datagram_;
  Output output_;
};

}  // namespace cairn::server
