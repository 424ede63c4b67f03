#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/tls.h"

struct bio_method_st;
struct bio_st;
struct ssl_ctx_st;
struct ssl_st;

namespace cairn {

/// TLS as a client's side, over a non-blocking socket that stays the caller's. Calls are those of
/// sockets: a number of bytes, 0 at the end that the peer announced, or -1 with errno, which is
/// EAGAIN when there is something to wait for first and anything else when the stream is broken. An
/// end that was not announced is a broken stream. Raises no SIGPIPE. Thread-compatible.
class TlsStream {
 public:
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  /// 1 when it is done. To be called until then before anything else.
  ssize_t Handshake();
  ssize_t Receive(char* to, size_t bytes);
  /// What was not sent at EAGAIN is to be sent again, with more after it or without.
  ssize_t Send(const iovec* pieces, size_t count);
  /// What Receive would return is there: 1; nothing: -1 with EAGAIN. Answers what the peer has to
  /// say about TLS itself.
  ssize_t Peek();

  /// What to poll for after an EAGAIN: of Receive and Handshake, and of Send.
  short read_interest() const { return read_interest_; }
  short write_interest() const { return write_interest_; }
  /// Some input has been taken from the socket, which tells nobody of it any more.
  bool holds_input() const;
  /// There was nothing more to read a moment ago.
  bool drained() const;

  /// Why it broke.
  const std::string& error() const { return error_; }

 private:
  friend class TlsContext;
  struct Socket {
    int fd = -1;
    bool drained = false;  // the last read took all there was
  };
  struct Free {
    void operator()(ssl_st* ssl) const;
  };

  explicit TlsStream(int fd) { socket_.fd = fd; }
  ssize_t Failure(int result, short* interest);
  static int ReadSocket(bio_st* bio, char* to, int bytes);
  static int WriteSocket(bio_st* bio, const char* from, int bytes);
  static long ControlSocket(bio_st* bio, int command, long number, void* pointer);

  Socket socket_;
  std::unique_ptr<ssl_st, Free> ssl_;
  bool established_ = false;
  bool failed_ = false;
  short read_interest_;
  short write_interest_;
  std::string error_;
};

/// What all connections of a client have in common. Thread-safe.
class TlsContext {
 public:
  /// Unimplemented when the library was built without TLS.
  static absl::StatusOr<std::unique_ptr<TlsContext>> Make(const TlsOptions& options);
  ~TlsContext();

  /// Null when memory ran out.
  std::unique_ptr<TlsStream> NewStream(int fd, const std::string& host) const;

 private:
  explicit TlsContext(const TlsOptions& options) : options_(options) {}
  absl::Status Init();

  const TlsOptions options_;
  ssl_ctx_st* context_ = nullptr;
  bio_method_st* socket_method_ = nullptr;
};

}  // namespace cairn
