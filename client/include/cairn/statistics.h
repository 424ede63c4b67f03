#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "cairn/export.h"

namespace cairn {

/// How often which duration occurred, in 6.7 KB whatever is recorded. Log-linear buckets as in Gil
/// Tene's HdrHistogram: each power of two of nanoseconds is divided into 32. From 1.024 us to 68.7
/// s, what Percentile() says is therefore within 1/64 (1.6 %) of what was recorded; all that is
/// shorter shares a bucket, and all that is longer another. A value type; thread-compatible.
class CAIRN_EXPORT LatencyHistogram {
 public:
  static constexpr size_t kBuckets = 26 * 32 + 2;

  void Record(absl::Duration duration);
  void Merge(const LatencyHistogram& other);
  /// What was recorded after `earlier`, which is an older copy of this one.
  LatencyHistogram Since(const LatencyHistogram& earlier) const;

  uint64_t count() const;
  /// Exact; zero when nothing was recorded.
  absl::Duration Mean() const;
  /// The duration that `percent` of 100 did not exceed, e.g. 50, 99 or 99.9; 0 is the shortest and
  /// 100 the longest one. Zero when nothing was recorded.
  absl::Duration Percentile(double percent) const;

  /// For exporters: what bucket `i` holds is at least LowerBound(i), and less than LowerBound(i+1).
  /// REQUIRES: i < kBuckets
  uint64_t bucket(size_t i) const { return buckets_[i]; }
  static absl::Duration LowerBound(size_t i);
  /// Of all that was recorded.
  absl::Duration Sum() const { return absl::Nanoseconds(sum_nanos_); }

 private:
  friend class CounterSet;  // private to the library
  std::array<uint64_t, kBuckets> buckets_ = {};
  int64_t sum_nanos_ = 0;
};

/// What a Client has seen of one server since it was made, over all its connections, the
/// asynchronous ones included. A copy; counters only grow, so that the difference of two copies is
/// what happened between them. A copy taken while calls are under way has each counter as it was
/// at some moment of the copying.
struct CAIRN_EXPORT ServerStatistics {
  /// Keys of which it is not known whether the server has them, by what was in the way.
  struct NotReached {
    uint64_t left_alone = 0;     ///< The server failed before, or is marked down: nothing was sent.
    uint64_t no_connection = 0;  ///< Refused, timed out, or failed to authenticate.
    uint64_t broken = 0;         ///< The connection was closed before the answer.
    uint64_t timed_out = 0;      ///< The server was silent for request_timeout.
    uint64_t no_sense = 0;       ///< Its answers could not be understood.
    uint64_t call_timeout = 0;   ///< The call's own time was up first.
    uint64_t cancelled = 0;      ///< The AsyncClient was destroyed.

    uint64_t total() const {
      return left_alone + no_connection + broken + timed_out + no_sense + call_timeout + cancelled;
    }
  };
  enum class State : uint8_t {
    kWell,
    kLeftAlone,  ///< It failed (ClientOptions::max_fails); its keys fail at once, or go elsewhere.
    kTrialDue,   ///< It was left alone; the next request will be its trial, if its name resolves.
    kDown,       ///< Server::down.
  };

  std::string address;
  State state = State::kWell;
  std::string last_failure;  ///< What went wrong last, e.g. "10.0.0.1:11211: cannot connect: ..."

  /// A request is what one call asks of this server in one go, for one key or thousands. Those that
  /// were sent and are over, whatever came of them, unless the client went away first.
  uint64_t requests = 0;
  /// How long these took, from when the call began (its keys placed and its request written) until
  /// the last byte of the answer was there, also when the caller had gone by then.
  LatencyHistogram latency;

  /// Each key of a request is one of these in the end: hit, miss, refused or not reached, for keys
  /// that were read; written, refused or not reached, for those that were to be changed.
  uint64_t hits = 0;
  uint64_t misses = 0;
  /// The server said whether it was done: also when the condition of a write did not hold.
  uint64_t written = 0;
  /// The server answered with an error line.
  uint64_t refused = 0;
  NotReached not_reached;
  /// Keys among not_reached.call_timeout whose answers came later, and were thrown away.
  uint64_t late = 0;

  /// Of the protocol; TLS and TCP add theirs.
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;

  uint64_t connections = 0;           ///< That are up now.
  uint64_t connections_made = 0;      ///< Up to greeting and authentication.
  uint64_t connections_failed = 0;    ///< Could not be made.
  uint64_t connections_replaced = 0;  ///< Of connections_made: in place of one that had been up.
  uint64_t request_timeouts = 0;      ///< Times request_timeout ended a connection.
  uint64_t requests_sent_again = 0;   ///< Reads, after the server had closed their connection.
  uint64_t pauses = 0;                ///< Times it was left alone.

  /// Adds what another server's say, e.g. for a sum over a pool. Address, state and last_failure
  /// stay.
  void Merge(const ServerStatistics& other);
};

}  // namespace cairn
