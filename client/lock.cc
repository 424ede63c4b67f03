#include "cairn/lock.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "client/random_id.h"
#include "client/server_state.h"

namespace cairn {
namespace {

constexpr absl::Duration kFirstDelay = absl::Milliseconds(5);
constexpr absl::Duration kDelayMax = absl::Milliseconds(250);

}  // namespace

HeldLock::HeldLock(Client* client, std::string_view key, const CallOptions& call)
    : client_(client), key_(key), owner_(RandomId()), call_(call) {}

HeldLock::HeldLock(HeldLock&& other) noexcept
    : client_(std::exchange(other.client_, nullptr)),
      key_(std::move(other.key_)),
      owner_(std::move(other.owner_)),
      call_(other.call_) {}

HeldLock& HeldLock::operator=(HeldLock&& other) noexcept {
  if (this == &other) return *this;
  (void)Release();
  client_ = std::exchange(other.client_, nullptr);
  key_ = std::move(other.key_);
  owner_ = std::move(other.owner_);
  call_ = other.call_;
  return *this;
}

HeldLock::~HeldLock() { (void)Release(); }

absl::StatusOr<std::optional<HeldLock>> HeldLock::Acquire(Client* client, std::string_view key,
                                                          const LockOptions& options) {
  HeldLock lock(client, key, options.call);
  WriteOptions write;
  write.ttl = options.ttl;
  write.timeout = options.call.timeout;
  const Clock::time_point deadline = Clock::now() + ToClock(options.wait_max);
  absl::Duration delay = kFirstDelay;
  for (;;) {
    const absl::StatusOr<bool> added = client->Add(key, lock.owner_, write);
    if (!added.ok()) {
      // Asking such a server again would take as long again.
      lock.client_ = nullptr;
      return added.status();
    }
    if (*added) return std::optional<HeldLock>(std::move(lock));
    const Clock::duration left = deadline - Clock::now();
    if (left <= Clock::duration::zero()) break;
    std::this_thread::sleep_for(std::min(ToClock(delay), left));
    delay = std::min(delay * 2, kDelayMax);
  }
  lock.client_ = nullptr;
  return std::optional<HeldLock>();
}

absl::StatusOr<bool> HeldLock::Extend(absl::Duration ttl) {
  if (client_ == nullptr) return false;
  const absl::StatusOr<std::optional<Item>> found = client_->Gets(key_, call_);
  if (!found.ok()) return found.status();
  if (!found->has_value() || (*found)->value != owner_) return false;
  WriteOptions write;
  write.ttl = ttl;
  write.timeout = call_.timeout;
  const absl::StatusOr<CasOutcome> swapped =
      client_->CompareAndSwap(key_, owner_, (*found)->cas, write);
  if (!swapped.ok()) return swapped.status();
  return *swapped == CasOutcome::kStored;
}

absl::StatusOr<bool> HeldLock::Release() {
  Client* const client = std::exchange(client_, nullptr);
  if (client == nullptr) return false;
  const absl::StatusOr<std::optional<Item>> found = client->Gets(key_, call_);
  if (!found.ok()) return found.status();
  if (!found->has_value() || (*found)->value != owner_) return false;
  const absl::StatusOr<CasOutcome> deleted = client->DeleteIf(key_, (*found)->cas, call_);
  if (!deleted.ok()) return deleted.status();
  return *deleted == CasOutcome::kStored;
}

}  // namespace cairn
