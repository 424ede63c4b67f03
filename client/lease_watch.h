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
/// of their own, so that who died with one would have it for as long as the value lasts. Remembers
/// those that were asked for last, kLeasesKept at least. Thread-safe.
class LeaseWatch {
 public:
  static constexpr size_t kLeasesKept = 4096;

  /// It was won here: whoever has it is alive, however long it takes.
  void Won(std::string_view key, uint64_t lease_id) ABSL_LOCKS_EXCLUDED(mutex_);
  /// Somebody has the lease of `key` with this id. True when he was seen to have it for `lease`
  /// already, and is not here, and then for one who asks: that one is to give it back.
  bool IsOverdue(std::string_view key, uint64_t lease_id, absl::Duration lease,
                 Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Seen {
    Clock::time_point first;
    bool is_ours = false;
  };
  using Leases = std::unordered_map<uint64_t, Seen>;
  Seen& Find(uint64_t number, const Seen& otherwise) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Mutex mutex_;
  // When there are many, those that were not asked for since the others are forgotten.
  Leases recent_ ABSL_GUARDED_BY(mutex_);
  Leases before_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
