#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "client/call.h"
#include "client/mutex.h"

namespace cairn {

/// Since when others have been seen to have the leases of stale values. Servers give those no time
/// of their own, so that who died with one would have it for as long as the value lasts.
/// Thread-safe.
class LeaseWatch {
 public:
  /// Somebody else has the lease of `key` with this id. True when he was seen to have it for
  /// `lease` already, and then for one who asks: that one is to give it back.
  bool IsOverdue(std::string_view key, uint64_t lease_id, absl::Duration lease,
                 Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // With more than these the watch begins anew, and leases are given back later.
  static constexpr size_t kLeasesMax = 4096;

  Mutex mutex_;
  std::unordered_map<uint64_t, Clock::time_point> first_seen_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
