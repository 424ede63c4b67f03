#include "server/transport.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "openssl/err.h"

namespace cairn::server {
namespace {

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// The C library's own functions are points where a thread may be cancelled, which costs them four
// atomic operations a request; nobody cancels threads here.
ssize_t Receive(int fd, std::span<char> buffer) {
  return syscall(SYS_recvfrom, fd, buffer.data(), buffer.size(), 0, nullptr, nullptr);
}
ssize_t SendOne(int fd, const iovec& bytes) {
  return syscall(SYS_sendto, fd, bytes.iov_base, bytes.iov_len, MSG_NOSIGNAL, nullptr, 0);
}
ssize_t SendAll(int fd, const msghdr& message) {
  return syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
}

class PlainTransport : public Transport {
 public:
  explicit PlainTransport(int fd) : Transport(fd) {}

  bool ShortReadMeansEmpty() const override { return true; }

  IoResult Read(std::span<char> buffer) override {
    for (;;) {
      const ssize_t n = Receive(fd(), buffer);
      if (n > 0) return {IoStatus::kDone, static_cast<size_t>(n)};
      if (n == 0) return {IoStatus::kEnd};
      if (errno == EINTR) continue;
      return {WouldBlock(errno) ? IoStatus::kWantRead : IoStatus::kError};
    }
  }

  IoResult Send(std::span<iovec> vectors) override {
    for (;;) {
      ssize_t n = 0;
      if (vectors.size() == 1) {
        n = SendOne(fd(), vectors[0]);
      } else {
        msghdr message{};
        message.msg_iov = vectors.data();
        message.msg_iovlen = vectors.size();
        n = SendAll(fd(), message);
      }
      if (n >= 0) return {IoStatus::kDone, static_cast<size_t>(n)};
      if (errno == EINTR) continue;
      return {WouldBlock(errno) ? IoStatus::kWantWrite : IoStatus::kError};
    }
  }
};

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class TlsTransport : public Transport {
 public:
  TlsTransport(int fd, SSL* ssl, WorkerStats* stats) : Transport(fd), ssl_(ssl), stats_(stats) {
    SSL_set_fd(ssl, fd);
    SSL_set_accept_state(ssl);
    // What is sent again after a kWantWrite may have moved in memory.
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
  }

  ~TlsTransport() override {
    if (established_ && !failed_) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

  IoResult Read(std::span<char> buffer) override {
    if (!established_) {
      const IoResult handshake = Handshake();
      if (handshake.status != IoStatus::kDone) return handshake;
    }
    size_t n = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &n);
    return result == 1 ? IoResult{IoStatus::kDone, n} : Failure(result);
  }

  IoResult Send(std::span<iovec> vectors) override {
    // Small pieces go into one record: a record each would cost a header and a MAC each.
    std::span<const char> piece(static_cast<const char*>(vectors[0].iov_base), vectors[0].iov_len);
    char record[kRecordBytes];
    if (vectors.size() > 1 && piece.size() < kRecordBytes) {
      size_t filled = 0;
      for (const iovec& vector : vectors) {
        const size_t n = std::min(vector.iov_len, kRecordBytes - filled);
        std::memcpy(record + filled, vector.iov_base, n);
        filled += n;
        if (filled == kRecordBytes) break;
      }
      piece = std::span<const char>(record, filled);
    }
    size_t n = 0;
    ERR_clear_error();
    const int result = SSL_write_ex(ssl_.get(), piece.data(), piece.size(), &n);
    return result == 1 ? IoResult{IoStatus::kDone, n} : Failure(result);
  }

  bool HoldsInput() const override { return SSL_has_pending(ssl_.get()) == 1; }

 private:
  static constexpr size_t kRecordBytes = 16 << 10;

  IoResult Handshake() {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) {
      const IoResult failure = Failure(result);
      if (failure.status == IoStatus::kError) ++stats_->ssl_handshake_errors;
      return failure;
    }
    established_ = true;
    return {IoStatus::kDone};
  }

  IoResult Failure(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return {IoStatus::kWantRead};
      case SSL_ERROR_WANT_WRITE:
        return {IoStatus::kWantWrite};
      case SSL_ERROR_ZERO_RETURN:
        return {IoStatus::kEnd};
      default:
        if (established_ && !failed_) ++stats_->ssl_proto_errors;
        failed_ = true;
        return {IoStatus::kError};
    }
  }

  const std::unique_ptr<SSL, SslFree> ssl_;
  WorkerStats* const stats_;
  bool established_ = false;
  bool failed_ = false;
};

}  // namespace

Transport::~Transport() { close(fd_); }

std::unique_ptr<Transport> MakePlainTransport(int fd) {
  return std::make_unique<PlainTransport>(fd);
}

std::unique_ptr<Transport> MakeTlsTransport(int fd, SSL* ssl, WorkerStats* stats) {
  return std::make_unique<TlsTransport>(fd, ssl, stats);
}

}  // namespace cairn::server
