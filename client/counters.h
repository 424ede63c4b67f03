#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "cairn/statistics.h"
#include "client/mutex.h"

namespace cairn {

/// A counter that one thread at a time adds to, with a plain load and store, and others read.
class Tally {
 public:
  void Add(uint64_t count) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

/// The buckets of LatencyHistogram.
struct LatencyBuckets {
  static constexpr int kSubBits = 5;
  static constexpr int kFirstBit = 10;  // 1.024 us
  static constexpr int kEndBit = 36;    // 68.7 s

  static size_t Of(int64_t nanos) {
    if (nanos < int64_t{1} << kFirstBit) return 0;
    if (nanos >= int64_t{1} << kEndBit) return LatencyHistogram::kBuckets - 1;
    const auto value = static_cast<uint64_t>(nanos);
    const int top = static_cast<int>(std::bit_width(value)) - 1;
    const uint64_t sub = (value >> (top - kSubBits)) & ((1u << kSubBits) - 1);
    return 1 + (static_cast<size_t>(top - kFirstBit) << kSubBits) + sub;
  }
  static int64_t LowerBound(size_t bucket);
};
static_assert(LatencyHistogram::kBuckets ==
              2 + ((LatencyBuckets::kEndBit - LatencyBuckets::kFirstBit)
                   << LatencyBuckets::kSubBits));

/// How a part of a call ended.
enum class Ending : uint8_t {
  kAnswered,
  // The reasons of ServerStatistics::NotReached.
  kLeftAlone,
  kNoConnection,
  kBroken,
  kTimedOut,
  kNoSense,
  kCancelled,
};
inline constexpr size_t kEndings = 7;

/// What one connection counts: its driver's alone to write. Not shared between two connections at
/// the same time, so that no key is counted with a locked instruction.
struct alignas(64) ConnectionCounters {
  Tally hits;
  Tally misses;
  Tally written;
  Tally refused;
  Tally late;
  Tally bytes_sent;
  Tally bytes_received;
  Tally latency_nanos;
  std::array<Tally, kEndings> not_reached;  // by Ending
  Tally made;
  Tally failed;
  Tally replaced;
  Tally request_timeouts;
  Tally sent_again;
  std::atomic<bool> up{false};
  std::array<Tally, LatencyHistogram::kBuckets> latency;

  /// REQUIRES: nanos >= 0
  void RecordLatency(int64_t nanos) {
    latency[LatencyBuckets::Of(nanos)].Add(1);
    latency_nanos.Add(static_cast<uint64_t>(nanos));
  }
};

/// The counters of all connections to a server. Thread-safe.
class CounterSet {
 public:
  /// For a new connection, until it gives them back: they go on where the last one left them, so
  /// that nothing is lost and memory is for as many connections as there are at a time.
  ConnectionCounters* Take() ABSL_LOCKS_EXCLUDED(mutex_);
  void GiveBack(ConnectionCounters* counters) ABSL_LOCKS_EXCLUDED(mutex_);

  /// By callers whose time is up.
  void CountCallTimeout(uint64_t keys) {
    call_timeouts_.fetch_add(keys, std::memory_order_relaxed);
  }

  /// Adds everything to `sum`.
  void AddTo(ServerStatistics* sum) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::atomic<uint64_t> call_timeouts_{0};
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<ConnectionCounters>> all_ ABSL_GUARDED_BY(mutex_);
  std::vector<ConnectionCounters*> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
