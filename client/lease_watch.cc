#include "client/lease_watch.h"

#include <functional>
#include <utility>

#include "client/server_state.h"

namespace cairn {
namespace {

// Two keys with one number would have one of them given back early, which costs a computation.
uint64_t NumberOf(std::string_view key, uint64_t lease_id) {
  return std::hash<std::string_view>()(key) ^ (lease_id * 0x9e3779b97f4a7c15);
}

}  // namespace

LeaseWatch::Seen& LeaseWatch::Find(uint64_t number, const Seen& otherwise) {
  const auto found = recent_.find(number);
  if (found != recent_.end()) return found->second;
  const auto earlier = before_.find(number);
  const Seen seen = earlier == before_.end() ? otherwise : earlier->second;
  if (recent_.size() == kLeasesKept) before_ = std::exchange(recent_, {});
  return recent_.emplace(number, seen).first->second;
}

void LeaseWatch::Won(std::string_view key, uint64_t lease_id) {
  MutexLock lock(&mutex_);
  Find(NumberOf(key, lease_id), {}).is_ours = true;
}

bool LeaseWatch::IsOverdue(std::string_view key, uint64_t lease_id, absl::Duration lease,
                           Clock::time_point now) {
  const uint64_t number = NumberOf(key, lease_id);
  MutexLock lock(&mutex_);
  Seen& seen = Find(number, {now, false});
  if (seen.is_ours || now - seen.first < ToClock(lease)) return false;
  seen.first = now;  // others are not to give it back, too
  return true;
}

}  // namespace cairn
