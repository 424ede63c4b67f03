#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cairn/options.h"
#include "client/call.h"

namespace cairn {

using Clock = std::chrono::steady_clock;

/// An absl::Duration in the clock's terms; infinite and absurd ones become a century.
Clock::duration ToClock(absl::Duration duration);

struct SocketAddress {
  sockaddr_storage bytes = {};
  socklen_t size = 0;
};

/// What is known of a server, for all connections to it. Thread-safe.
class ServerState {
 public:
  ServerState(Server server, const ClientOptions& options);

  const Server& server() const { return server_; }
  const std::string& address() const { return address_; }

  /// Fills addresses(); an error is also what connecting fails with. Before threads share it.
  absl::Status Resolve();
  const std::vector<SocketAddress>& addresses() const { return addresses_; }

  /// Whether it may be connected to now, which after a pause is one trial for one asker. Otherwise
  /// Unavailable, with the last failure in the message.
  absl::Status Admit(Clock::time_point now);
  void Succeeded();
  /// Counts; true when this begins a pause.
  bool Failed(const absl::Status& why, Clock::time_point now);
  /// It is left alone just now.
  bool Paused(Clock::time_point now) const {
    return now.time_since_epoch().count() < paused_until_.load(std::memory_order_relaxed);
  }

  Dialect dialect() const { return dialect_.load(std::memory_order_relaxed); }
  void set_dialect(Dialect dialect) { dialect_.store(dialect, std::memory_order_relaxed); }

 private:
  const Server server_;
  const std::string address_;
  const uint32_t max_fails_;
  const Clock::duration fail_timeout_;
  const Clock::duration pause_max_;
  std::vector<SocketAddress> addresses_;
  absl::Status resolved_;
  std::atomic<Dialect> dialect_{Dialect::kUnknown};
  std::atomic<Clock::rep> paused_until_{0};

  absl::Mutex mutex_;
  uint32_t fails_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point first_fail_ ABSL_GUARDED_BY(mutex_);
  Clock::duration next_pause_ ABSL_GUARDED_BY(mutex_);
  bool on_trial_ ABSL_GUARDED_BY(mutex_) = false;  // it was paused and has not answered since
  Clock::time_point trial_began_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
