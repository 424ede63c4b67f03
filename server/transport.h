#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "openssl/ssl.h"
#include "server/worker_stats.h"

namespace cairn::server {

enum class IoStatus : uint8_t {
  kDone,       ///< `bytes` were moved
  kWantRead,   ///< nothing now; try again when the descriptor is readable
  kWantWrite,  ///< nothing now; try again when it is writable
  kEnd,        ///< the peer has finished sending
  kError,      ///< the connection is broken
};
struct IoResult {
  IoStatus status;
  size_t bytes = 0;
};

/// A non-blocking byte stream over a descriptor that it owns. One event-loop thread.
class Transport {
 public:
  virtual ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  /// Reads what is there, at most buffer.size() > 0 bytes.
  virtual IoResult Read(std::span<char> buffer) = 0;
  /// Sends a part of the vectors, which are not empty.
  virtual IoResult Send(std::span<iovec> vectors) = 0;
  /// True when bytes that Read would return wait above the descriptor, where no event tells of
  /// them.
  virtual bool HoldsInput() const { return false; }

  /// True when a Read of less than was asked for has emptied the descriptor.
  virtual bool ShortReadMeansEmpty() const { return false; }

  int fd() const { return fd_; }

 protected:
  explicit Transport(int fd) : fd_(fd) {}

 private:
  const int fd_;
};

/// Bytes as they are: TCP or a UNIX socket.
std::unique_ptr<Transport> MakePlainTransport(int fd);

/// TLS as the server's side. Takes `ssl`. The handshake runs in the first reads, on the worker.
std::unique_ptr<Transport> MakeTlsTransport(int fd, SSL* ssl, WorkerStats* stats);

}  // namespace cairn::server
