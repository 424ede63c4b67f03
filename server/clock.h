#pragma once

#include <atomic>
#include <cstdint>

#include "storage/time.h"

namespace cairn::server {

/// The server's clock: monotonic, so that a step of the wall clock neither kills items nor revives
/// them, with the Unix time of its origin for absolute expiries. Tests move it by the debug
/// commands. Thread-safe.
class Clock {
 public:
  Clock();

  /// Reads the system's clock; once a loop is enough.
  storage::Time Now() const;

  /// Unix time of store time 0, in whole seconds.
  int64_t origin_unix_seconds() const { return origin_unix_seconds_; }
  int64_t UnixSeconds(storage::Time t) const { return origin_unix_seconds_ + t.ms / 1000; }
  /// Since the server started.
  int64_t UptimeSeconds(storage::Time now) const { return (now.ms - kStartMs) / 1000; }

  /// The meaning of an expiry time on the wire: 0 never, negative already past, up to 30 days
  /// relative, more an absolute Unix time.
  storage::Expiry ExpiryFromWire(int64_t exptime, storage::Time now) const;
  /// What a report shows of an expiry: seconds left, rounded to the nearest, or -1 for never.
  static int64_t SecondsLeft(storage::Expiry expiry, storage::Time now);

  /// Debug only: stops, resumes and shifts the clock.
  void Pause();
  /// Stops it at a time of the test's choice, so that what depends on the time repeats. Before
  /// others use it.
  void PauseAt(storage::Time when, int64_t origin_unix_seconds) {
    paused_at_ms_.store(when.ms, std::memory_order_relaxed);
    origin_unix_seconds_ = origin_unix_seconds;
  }
  void Resume();
  void Shift(int64_t seconds);

 private:
  // The origin lies a little before the start, so that no time of a living item is 0.
  static constexpr int64_t kStartMs = 2000;
  static constexpr int64_t kRunning = INT64_MIN;

  int64_t RealMs() const;

  int64_t monotonic_origin_ms_;
  int64_t origin_unix_seconds_;
  std::atomic<int64_t> shift_ms_{0};
  std::atomic<int64_t> paused_at_ms_{kRunning};
};

}  // namespace cairn::server
