#include "server/clock.h"

#include <ctime>

namespace cairn::server {
namespace {

constexpr int64_t kMaxRelativeSeconds = 60 * 60 * 24 * 30;

int64_t ReadMs(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return int64_t{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

}  // namespace

Clock::Clock() {
  const int64_t monotonic = ReadMs(CLOCK_MONOTONIC);
  const int64_t wall_seconds = ReadMs(CLOCK_REALTIME) / 1000;
  monotonic_origin_ms_ = monotonic - kStartMs;
  origin_unix_seconds_ = wall_seconds - kStartMs / 1000;
}

int64_t Clock::RealMs() const { return ReadMs(CLOCK_MONOTONIC) - monotonic_origin_ms_; }

storage::Time Clock::Now() const {
  const int64_t paused = paused_at_ms_.load(std::memory_order_relaxed);
  const int64_t base = paused == kRunning ? RealMs() : paused;
  return storage::Time{base + shift_ms_.load(std::memory_order_relaxed)};
}

storage::Expiry Clock::ExpiryFromWire(int64_t exptime, storage::Time now) const {
  using storage::Expiry;
  using storage::Time;
  if (exptime == 0) return Expiry::Never();
  if (exptime < 0) return Expiry::Past();
  if (exptime <= kMaxRelativeSeconds) return Expiry::At(Time{now.ms + exptime * 1000});
  const int64_t since_origin = exptime - origin_unix_seconds_;
  return since_origin <= 0 ? Expiry::Past() : Expiry::At(Time{since_origin * 1000});
}

int64_t Clock::SecondsLeft(storage::Expiry expiry, storage::Time now) {
  if (expiry.never()) return -1;
  if (expiry.Passed(now)) return 0;
  return (expiry.at().ms - now.ms + 500) / 1000;
}

void Clock::Pause() { paused_at_ms_.store(RealMs(), std::memory_order_relaxed); }

void Clock::Resume() { paused_at_ms_.store(kRunning, std::memory_order_relaxed); }

void Clock::Shift(int64_t seconds) {
  shift_ms_.fetch_add(seconds * 1000, std::memory_order_relaxed);
}

}  // namespace cairn::server
