#include "cairn/statistics.h"

#include <algorithm>
#include <cmath>

#include "client/counters.h"

namespace cairn {

int64_t LatencyBuckets::LowerBound(size_t bucket) {
  if (bucket == 0) return 0;
  const size_t top = (bucket - 1) >> kSubBits;
  const size_t sub = (bucket - 1) & ((size_t{1} << kSubBits) - 1);
  return static_cast<int64_t>((size_t{1} << kSubBits) + sub) << (top + kFirstBit - kSubBits);
}

absl::Duration LatencyHistogram::LowerBound(size_t i) {
  return absl::Nanoseconds(LatencyBuckets::LowerBound(i));
}

void LatencyHistogram::Record(absl::Duration duration) {
  const int64_t nanos = std::max<int64_t>(absl::ToInt64Nanoseconds(duration), 0);
  ++buckets_[LatencyBuckets::Of(nanos)];
  sum_nanos_ += nanos;
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  sum_nanos_ += other.sum_nanos_;
}

LatencyHistogram LatencyHistogram::Since(const LatencyHistogram& earlier) const {
  LatencyHistogram difference = *this;
  for (size_t i = 0; i < kBuckets; ++i) difference.buckets_[i] -= earlier.buckets_[i];
  difference.sum_nanos_ -= earlier.sum_nanos_;
  return difference;
}

uint64_t LatencyHistogram::count() const {
  uint64_t count = 0;
  for (const uint64_t each : buckets_) count += each;
  return count;
}

absl::Duration LatencyHistogram::Mean() const {
  const uint64_t recorded = count();
  if (recorded == 0) return absl::ZeroDuration();
  return absl::Nanoseconds(sum_nanos_) / static_cast<double>(recorded);
}

absl::Duration LatencyHistogram::Percentile(double percent) const {
  const uint64_t recorded = count();
  if (recorded == 0) return absl::ZeroDuration();
  const double share = std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(recorded);
  // Of ten, 90 percent did not exceed the ninth, however 0.9 is rounded.
  const auto rank =
      std::clamp(static_cast<uint64_t>(std::ceil(share - 1e-9 * share)), uint64_t{1}, recorded);
  uint64_t passed = 0;
  size_t bucket = 0;
  for (; bucket < kBuckets; ++bucket) {
    passed += buckets_[bucket];
    if (passed >= rank) break;
  }
  if (bucket == kBuckets - 1) return LowerBound(bucket);
  return (LowerBound(bucket) + LowerBound(bucket + 1)) / 2;
}

void ServerStatistics::Merge(const ServerStatistics& other) {
  requests += other.requests;
  latency.Merge(other.latency);
  hits += other.hits;
  misses += other.misses;
  written += other.written;
  refused += other.refused;
  not_reached.left_alone += other.not_reached.left_alone;
  not_reached.no_connection += other.not_reached.no_connection;
  not_reached.broken += other.not_reached.broken;
  not_reached.timed_out += other.not_reached.timed_out;
  not_reached.no_sense += other.not_reached.no_sense;
  not_reached.call_timeout += other.not_reached.call_timeout;
  not_reached.cancelled += other.not_reached.cancelled;
  late += other.late;
  bytes_sent += other.bytes_sent;
  bytes_received += other.bytes_received;
  connections += other.connections;
  connections_made += other.connections_made;
  connections_failed += other.connections_failed;
  connections_replaced += other.connections_replaced;
  request_timeouts += other.request_timeouts;
  requests_sent_again += other.requests_sent_again;
  pauses += other.pauses;
}

ConnectionCounters* CounterSet::Take() {
  MutexLock lock(&mutex_);
  if (!free_.empty()) {
    ConnectionCounters* const again = free_.back();
    free_.pop_back();
    return again;
  }
  return all_.emplace_back(std::make_unique<ConnectionCounters>()).get();
}

void CounterSet::GiveBack(ConnectionCounters* counters) {
  MutexLock lock(&mutex_);
  free_.push_back(counters);
}

void CounterSet::AddTo(ServerStatistics* sum) const {
  ServerStatistics::NotReached& not_reached = sum->not_reached;
  not_reached.call_timeout += call_timeouts_.load(std::memory_order_relaxed);
  MutexLock lock(&mutex_);
  for (const auto& each : all_) {
    const auto lost = [&](Ending why) {
      return each->not_reached[static_cast<size_t>(why)].value();
    };
    not_reached.left_alone += lost(Ending::kLeftAlone);
    not_reached.no_connection += lost(Ending::kNoConnection);
    not_reached.broken += lost(Ending::kBroken);
    not_reached.timed_out += lost(Ending::kTimedOut);
    not_reached.no_sense += lost(Ending::kNoSense);
    not_reached.cancelled += lost(Ending::kCancelled);
    sum->hits += each->hits.value();
    sum->misses += each->misses.value();
    sum->written += each->written.value();
    sum->refused += each->refused.value();
    sum->late += each->late.value();
    sum->bytes_sent += each->bytes_sent.value();
    sum->bytes_received += each->bytes_received.value();
    sum->connections += each->up.load(std::memory_order_relaxed) ? 1 : 0;
    sum->connections_made += each->made.value();
    sum->connections_failed += each->failed.value();
    sum->connections_replaced += each->replaced.value();
    sum->request_timeouts += each->request_timeouts.value();
    sum->requests_sent_again += each->sent_again.value();
    for (size_t i = 0; i < LatencyHistogram::kBuckets; ++i) {
      const uint64_t count = each->latency[i].value();
      sum->latency.buckets_[i] += count;
      sum->requests += count;
    }
    sum->latency.sum_nanos_ += static_cast<int64_t>(each->latency_nanos.value());
  }
}

}  // namespace cairn
