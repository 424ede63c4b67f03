#include "client/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace cairn {
namespace {

constexpr size_t kRecordBytes = size_t{16} * 1024;

// The first error of this thread's queue, which is emptied.
std::string TakeError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  const char* const reason = ERR_reason_error_string(code);
  if (reason != nullptr) return reason;
  char text[256];
  ERR_error_string_n(code, text, sizeof(text));
  return text;
}

bool IsAddress(const std::string& name) {
  char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

absl::Status Unusable(const std::string& what, const std::string& file) {
  return absl::InvalidArgumentError("tls: " + what + " \"" + file + "\": " + TakeError());
}

int Clamped(size_t bytes) {
  return static_cast<int>(std::min<size_t>(bytes, std::numeric_limits<int>::max()));
}

}  // namespace

// --- The socket. OpenSSL's own would raise SIGPIPE, which is the application's.

int TlsStream::ReadSocket(bio_st* bio, char* to, int bytes) {
  auto* const socket = static_cast<Socket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const ssize_t got = recv(socket->fd, to, static_cast<size_t>(bytes), MSG_DONTWAIT);
  socket->drained = got < bytes;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got);
}

int TlsStream::WriteSocket(bio_st* bio, const char* from, int bytes) {
  const auto* const socket = static_cast<const Socket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const ssize_t sent =
      send(socket->fd, from, static_cast<size_t>(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long TlsStream::ControlSocket(bio_st*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// --- The stream

void TlsStream::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

TlsStream::~TlsStream() {
  if (established_ && !failed_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

ssize_t TlsStream::Failure(int result, short* interest) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    *interest = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    errno = EAGAIN;
    return -1;
  }
  if (error == SSL_ERROR_ZERO_RETURN) return 0;
  failed_ = true;
  const long verified = SSL_get_verify_result(ssl_.get());
  if (!established_ && verified != X509_V_OK) {
    error_ = "TLS: the server's certificate: ";
    error_ += X509_verify_cert_error_string(verified);
    ERR_clear_error();
  } else if (ERR_peek_error() != 0) {
    error_ = "TLS: " + TakeError();
  } else {
    error_ = "TLS: the connection was cut off";
  }
  errno = EPROTO;
  return -1;
}

ssize_t TlsStream::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    established_ = true;
    read_interest_ = POLLIN;
    return 1;
  }
  const ssize_t failure = Failure(result, &read_interest_);
  if (failure != 0) return failure;
  error_ = "TLS: closed instead of a handshake";
  errno = EPROTO;
  return -1;
}

ssize_t TlsStream::Receive(char* to, size_t bytes) {
  ERR_clear_error();
  read_interest_ = POLLIN;
  const int result = SSL_read(ssl_.get(), to, Clamped(bytes));
  return result > 0 ? result : Failure(result, &read_interest_);
}

ssize_t TlsStream::Peek() {
  char byte;
  ERR_clear_error();
  read_interest_ = POLLIN;
  const int result = SSL_peek(ssl_.get(), &byte, 1);
  return result > 0 ? result : Failure(result, &read_interest_);
}

ssize_t TlsStream::Send(const iovec* pieces, size_t count) {
  const char* data = static_cast<const char*>(pieces[0].iov_base);
  size_t bytes = pieces[0].iov_len;
  // Small pieces share a record, and so a write.
  char record[kRecordBytes];
  if (count > 1 && bytes < kRecordBytes) {
    bytes = 0;
    for (size_t i = 0; i < count && bytes < kRecordBytes; ++i) {
      const size_t taken = std::min(pieces[i].iov_len, kRecordBytes - bytes);
      std::memcpy(record + bytes, pieces[i].iov_base, taken);
      bytes += taken;
    }
    data = record;
  }
  ERR_clear_error();
  write_interest_ = POLLOUT;
  const int result = SSL_write(ssl_.get(), data, Clamped(bytes));
  if (result > 0) return result;
  const ssize_t failure = Failure(result, &write_interest_);
  if (failure != 0) return failure;
  errno = EPIPE;
  return -1;
}

bool TlsStream::holds_input() const { return SSL_has_pending(ssl_.get()) == 1; }

bool TlsStream::drained() const { return socket_.drained && !holds_input(); }

// --- The context

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Make(const TlsOptions& options) {
  std::unique_ptr<TlsContext> context(new TlsContext(options));
  if (absl::Status status = context->Init(); !status.ok()) return status;
  return context;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
  BIO_meth_free(socket_method_);
}

absl::Status TlsContext::Init() {
  ERR_clear_error();
  context_ = SSL_CTX_new(TLS_client_method());
  socket_method_ = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cairn");
  if (context_ == nullptr || socket_method_ == nullptr) {
    return absl::ResourceExhaustedError("tls: " + TakeError());
  }
  BIO_meth_set_read(socket_method_, &TlsStream::ReadSocket);
  BIO_meth_set_write(socket_method_, &TlsStream::WriteSocket);
  BIO_meth_set_ctrl(socket_method_, &TlsStream::ControlSocket);

  const bool newest_only = options_.min_version == TlsOptions::MinVersion::kTls13;
  SSL_CTX_set_min_proto_version(context_, newest_only ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // What is sent again after an EAGAIN may have moved in memory.
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A record's head and body in one read.
  SSL_CTX_set_read_ahead(context_, 1);
  // Connections are few and stay: sessions are not worth remembering.
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);

  if (options_.cert_file.empty() != options_.key_file.empty()) {
    return absl::InvalidArgumentError("tls: cert_file and key_file go together");
  }
  if (!options_.cert_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context_, options_.cert_file.c_str()) != 1) {
      return Unusable("cert_file", options_.cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(context_, options_.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context_) != 1) {
      return Unusable("key_file", options_.key_file);
    }
  }
  if (options_.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context_);
  } else if (SSL_CTX_load_verify_locations(context_, options_.ca_file.c_str(), nullptr) != 1) {
    return Unusable("ca_file", options_.ca_file);
  }
  SSL_CTX_set_verify(context_, options_.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  return absl::OkStatus();
}

std::unique_ptr<TlsStream> TlsContext::NewStream(int fd, const std::string& host) const {
  const std::string& name = options_.server_name.empty() ? host : options_.server_name;
  std::unique_ptr<TlsStream> stream(new TlsStream(fd));
  stream->ssl_.reset(SSL_new(context_));
  BIO* const bio = BIO_new(socket_method_);
  SSL* const ssl = stream->ssl_.get();
  if (ssl == nullptr || bio == nullptr) {
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, &stream->socket_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_connect_state(ssl);
  const bool is_address = IsAddress(name);
  bool named = true;
  if (!is_address) {
    // What SSL_set_tlsext_host_name() is, less its cast.
    named = SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                     const_cast<char*>(name.c_str())) == 1;
  }
  X509_VERIFY_PARAM* const checks = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  named = named && (is_address ? X509_VERIFY_PARAM_set1_ip_asc(checks, name.c_str()) == 1
                               : SSL_set1_host(ssl, name.c_str()) == 1);
  stream->read_interest_ = POLLIN;
  stream->write_interest_ = POLLOUT;
  // A name that cannot be checked is not left unchecked.
  if (!named && options_.verify) return nullptr;
  return stream;
}

}  // namespace cairn
