#include "cairn/filling_pool.h"

#include <utility>

namespace cairn {
namespace {

// Copying takes two requests; who copies longer than this has died.
constexpr absl::Duration kCopyingMax = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::optional<std::string>> FillingPool::Get(std::string_view key) {
  return std::move(GetMulti({&key, 1})[0]);
}

std::vector<absl::StatusOr<std::optional<std::string>>> FillingPool::GetMulti(
    std::span<const std::string_view> keys) {
  LeaseOptions lease;
  lease.lease = kCopyingMax;
  lease.timeout = options_.call.timeout;
  std::vector<absl::StatusOr<LeasedItem>> here = to_.GetMultiWithLease(keys, lease);
  std::vector<absl::StatusOr<std::optional<std::string>>> values(keys.size(),
                                                                 std::optional<std::string>());
  std::vector<size_t> asked;
  std::vector<std::string_view> asked_keys;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!here[i].ok()) {
      values[i] = here[i].status();
    } else if (here[i]->stale) {
      // Invalidated since: the old pool's is not better.
      if (here[i]->won) (void)to_.ReleaseLease(keys[i], here[i]->token, options_.call);
      continue;
    } else if (here[i]->value.has_value()) {
      values[i] = std::move(here[i]->value);
      continue;
    }
    asked.push_back(i);
    asked_keys.push_back(keys[i]);
  }
  if (asked.empty()) return values;
  LeaseOptions plain;
  plain.lease = absl::ZeroDuration();
  plain.timeout = options_.call.timeout;
  std::vector<absl::StatusOr<LeasedItem>> there = from_.GetMultiWithLease(asked_keys, plain);
  std::vector<LeasedStore> stores;
  for (size_t n = 0; n < asked.size(); ++n) {
    const size_t i = asked[n];
    const bool found = there[n].ok() && there[n]->value.has_value() && !there[n]->stale;
    if (there[n].ok() && there[n]->won) {
      (void)from_.ReleaseLease(keys[i], there[n]->token, options_.call);
    }
    if (found) values[i] = *there[n]->value;
    if (!there[n].ok() && values[i].ok()) values[i] = there[n].status();
    // Not reached, or on its way by somebody else's hand.
    if (!here[i].ok() || !here[i]->won) continue;
    if (found) {
      stores.push_back({keys[i], *there[n]->value, here[i]->token,
                        there[n]->ttl_left.value_or(options_.ttl), there[n]->flags});
    } else {
      (void)to_.ReleaseLease(keys[i], here[i]->token, options_.call);
    }
  }
  if (!stores.empty()) (void)to_.SetMultiWithLease(stores, options_.call);
  return values;
}

absl::Status FillingPool::Set(std::string_view key, std::string_view value,
                              const WriteOptions& options) {
  // The old value is gone before the new one can be evicted and asked for there.
  const absl::Status deleted = from_.DeleteAndLease(key, options_.call).status();
  if (absl::Status stored = to_.Set(key, value, options); !stored.ok()) return stored;
  return deleted;
}

absl::StatusOr<bool> FillingPool::Delete(std::string_view key) {
  // In this order: who finds it gone in the new pool finds it gone in the old one too.
  const absl::StatusOr<bool> there = from_.DeleteAndLease(key, options_.call);
  const absl::StatusOr<bool> here = to_.DeleteAndLease(key, options_.call);
  if (!there.ok()) return there.status();
  if (!here.ok()) return here.status();
  return *there || *here;
}

}  // namespace cairn
