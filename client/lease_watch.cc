#include "client/lease_watch.h"

#include <functional>

#include "client/server_state.h"

namespace cairn {

bool LeaseWatch::IsOverdue(std::string_view key, uint64_t lease_id, absl::Duration lease,
                           Clock::time_point now) {
  // Two keys with one number would have one of them given back early, which costs a computation.
  const uint64_t number = std::hash<std::string_view>()(key) ^ (lease_id * 0x9e3779b97f4a7c15);
  MutexLock lock(&mutex_);
  if (first_seen_.size() == kLeasesMax && !first_seen_.contains(number)) first_seen_.clear();
  const auto [seen, is_new] = first_seen_.try_emplace(number, now);
  if (is_new || now - seen->second < ToClock(lease)) return false;
  first_seen_.erase(seen);
  return true;
}

}  // namespace cairn
