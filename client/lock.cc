// Locks, for threads that wait and for loops.
#include "cairn/lock.h"

#include <algorithm>
#include <utility>

#include "cairn/async_lock.h"
#include "client/at_home.h"
#include "client/random_id.h"
#include "client/sequence.h"

namespace cairn {

CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<AsyncHeldLock>>);

namespace {

constexpr absl::Duration kFirstDelay = absl::Milliseconds(5);
constexpr absl::Duration kDelayMax = absl::Milliseconds(250);

using WhetherOurs = Sequence<absl::StatusOr<bool>>;

// One that has expired already would be anybody's, although its owner was told that it is his.
absl::Status CheckTtl(absl::Duration ttl) {
  if (ttl > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError("a lock's ttl that is not positive");
}

WhetherOurs Acquired(const std::string& key, const std::string& owner, const WriteOptions& write,
                     Clock::time_point deadline, absl::Duration delay = kFirstDelay) {
  if (absl::Status status = CheckTtl(write.ttl); !status.ok()) return WhetherOurs::Over(status);
  return WhetherOurs::Ask(
      [key, owner, write](auto& client) { return AtHome::Add(client, key, owner, write); },
      [=](const absl::StatusOr<bool>& added) {
        // Asking a server that fails again would take as long again.
        if (!added.ok() || *added) return WhetherOurs::Over(added);
        const Clock::duration left = deadline - Clock::now();
        if (left <= Clock::duration::zero()) return WhetherOurs::Over(false);
        return WhetherOurs::Pause(std::min(delay, absl::FromChrono(left)), [=] {
          return Acquired(key, owner, write, deadline, std::min(delay * 2, kDelayMax));
        });
      });
}

// `change` is what is asked of a lock that has this CAS number, if it is ours.
template <typename Change>
WhetherOurs IfOurs(const std::string& key, const std::string& owner, const CallOptions& call,
                   Change change) {
  return WhetherOurs::Ask(
      [key, call](auto& client) { return AtHome::Gets(client, key, call); },
      [owner, change](const absl::StatusOr<std::optional<Item>>& found) {
        if (!found.ok()) return WhetherOurs::Over(found.status());
        if (!found->has_value() || (*found)->value != owner) return WhetherOurs::Over(false);
        return WhetherOurs::Ask(
            [change, cas = (*found)->cas](auto& client) { return change(client, cas); },
            [](const absl::StatusOr<CasOutcome>& changed) {
              if (!changed.ok()) return WhetherOurs::Over(changed.status());
              return WhetherOurs::Over(*changed == CasOutcome::kStored);
            });
      });
}

WhetherOurs Extended(const std::string& key, const std::string& owner, absl::Duration ttl,
                     const CallOptions& call) {
  if (absl::Status status = CheckTtl(ttl); !status.ok()) return WhetherOurs::Over(status);
  return IfOurs(key, owner, call,
                [key, owner, write = StoredFor(call, ttl)](auto& client, uint64_t cas) {
                  return AtHome::CompareAndSwap(client, key, owner, cas, write);
                });
}

WhetherOurs Released(const std::string& key, const std::string& owner, const CallOptions& call) {
  return IfOurs(key, owner, call, [key, call](auto& client, uint64_t cas) {
    return AtHome::DeleteIf(client, key, cas, call);
  });
}

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
  const absl::StatusOr<bool> acquired =
      Ran(*client, Acquired(lock.key_, lock.owner_, StoredFor(options.call, options.ttl),
                            Clock::now() + ToClock(options.wait_max)));
  if (acquired.ok() && *acquired) return std::optional<HeldLock>(std::move(lock));
  lock.client_ = nullptr;
  if (!acquired.ok()) return acquired.status();
  return std::optional<HeldLock>();
}

absl::StatusOr<bool> HeldLock::Extend(absl::Duration ttl) {
  if (client_ == nullptr) return false;
  return Ran(*client_, Extended(key_, owner_, ttl, call_));
}

absl::StatusOr<bool> HeldLock::Release() {
  Client* const client = std::exchange(client_, nullptr);
  if (client == nullptr) return false;
  return Ran(*client, Released(key_, owner_, call_));
}

AsyncHeldLock::AsyncHeldLock(AsyncClient* async, std::string key, std::string owner,
                             const CallOptions& call)
    : async_(async), key_(std::move(key)), owner_(std::move(owner)), call_(call) {}

AsyncHeldLock::AsyncHeldLock(AsyncHeldLock&& other) noexcept
    : async_(other.async_),
      held_(std::exchange(other.held_, false)),
      key_(std::move(other.key_)),
      owner_(std::move(other.owner_)),
      call_(other.call_) {}

AsyncHeldLock& AsyncHeldLock::operator=(AsyncHeldLock&& other) noexcept {
  if (this == &other) return *this;
  GiveBack();
  async_ = other.async_;
  held_ = std::exchange(other.held_, false);
  key_ = std::move(other.key_);
  owner_ = std::move(other.owner_);
  call_ = other.call_;
  return *this;
}

AsyncHeldLock::~AsyncHeldLock() { GiveBack(); }

void AsyncHeldLock::GiveBack() {
  if (held_) Release().Then([](const absl::StatusOr<bool>&) {});
}

AsyncResult<absl::StatusOr<std::optional<AsyncHeldLock>>> AsyncHeldLock::Acquire(
    AsyncClient* async, std::string_view key, const LockOptions& options) {
  using Held = absl::StatusOr<std::optional<AsyncHeldLock>>;
  const std::string own_key(key);
  const std::string owner = RandomId();
  return Prepared<Held, absl::StatusOr<bool>>(
      *async,
      Acquired(own_key, owner, StoredFor(options.call, options.ttl),
               Clock::now() + ToClock(options.wait_max)),
      [async, own_key, owner, call = options.call](const absl::StatusOr<bool>& acquired) -> Held {
        if (!acquired.ok()) return acquired.status();
        if (!*acquired) return std::optional<AsyncHeldLock>();
        return std::optional<AsyncHeldLock>(AsyncHeldLock(async, own_key, owner, call));
      });
}

AsyncResult<absl::StatusOr<bool>> AsyncHeldLock::Extend(absl::Duration ttl) {
  if (!held_) return AsyncBuilder::Known<absl::StatusOr<bool>>(*async_, false);
  return Prepared(*async_, Extended(key_, owner_, ttl, call_));
}

AsyncResult<absl::StatusOr<bool>> AsyncHeldLock::Release() {
  if (!std::exchange(held_, false)) {
    return AsyncBuilder::Known<absl::StatusOr<bool>>(*async_, false);
  }
  return Prepared(*async_, Released(key_, owner_, call_));
}

}  // namespace cairn
