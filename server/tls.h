#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/settings.h"

namespace cairn::server {

/// The server's certificate and what clients must show, for each kind of listener. Thread-safe.
class TlsContexts {
 public:
  /// Reads the files. An error is a line (or more) for stderr in memcached's words, without its
  /// end; memcached exits with 64 then.
  static absl::StatusOr<std::unique_ptr<TlsContexts>> Make(const Settings& settings);
  ~TlsContexts();

  /// A connection's state, ready for SSL_set_fd and SSL_accept; the caller frees it with SSL_free.
  /// Null when memory ran out. `mode` is not kNone.
  SSL* NewSsl(ListenTls mode);

  /// Reads the files again: connections made from now on use them. On failure false, and everything
  /// stays as it was; `error` as with Make.
  bool Reload(std::string* error);

  uint64_t new_sessions() const { return new_sessions_.load(std::memory_order_relaxed); }
  void ResetStats() { new_sessions_.store(0, std::memory_order_relaxed); }
  /// Since the files were last read with success.
  uint64_t SecondsSinceRefresh() const;

 private:
  struct ContextFree {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  using Context = std::unique_ptr<SSL_CTX, ContextFree>;

  explicit TlsContexts(const Settings& settings);
  absl::StatusOr<Context> NewContext(ListenTls mode);
  absl::Status Load();
  static int CountSession(SSL* ssl, SSL_SESSION* session);

  const Settings settings_;
  std::atomic<uint64_t> new_sessions_{0};
  std::atomic<int64_t> refreshed_at_s_{0};  // of the steady clock
  mutable absl::Mutex mutex_;
  Context default_ ABSL_GUARDED_BY(mutex_);
  Context basic_ ABSL_GUARDED_BY(mutex_);
  Context mutual_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
