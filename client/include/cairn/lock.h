#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

struct LockOptions {
  /// After this it is anybody's again, whether its owner is alive or not. Rounded up to seconds.
  /// Zero or negative: InvalidArgument.
  absl::Duration ttl = absl::Seconds(30);
  /// How long to wait for one that somebody else has. Zero: not at all.
  absl::Duration wait_max = absl::ZeroDuration();
  /// For each request.
  CallOptions call = {};
};

/// A lock in the cache: of all processes one has it, until it gives it back or its time is up. For
/// work that should not be done twice, and does no harm if it is: a cache may evict the lock, or
/// lose it with its server, and then another process gets it too. While its server is left alone it
/// has no other place, with ClientOptions::eject and backups neither: all that is asked of it is
/// Unavailable then. Movable; thread-compatible. For event loops and coroutines:
/// cairn/async_lock.h.
///
///   auto lock = HeldLock::Acquire(cache.get(), "lock:report", {.wait_max = absl::Seconds(5)});
///   if (lock.ok() && lock->has_value()) MakeReport();        // given back at the end of the scope
class CAIRN_EXPORT HeldLock {
 public:
  /// Nothing when somebody else has it and kept it for `wait_max`; asks again and again meanwhile,
  /// after 5 ms first and 250 ms at last. An error when the server is not reached: then it may be
  /// held by nobody until `ttl` has passed.
  static absl::StatusOr<std::optional<HeldLock>> Acquire(Client* client, std::string_view key,
                                                         const LockOptions& options = {});

  HeldLock(HeldLock&& other) noexcept;
  HeldLock& operator=(HeldLock&& other) noexcept;
  /// Gives it back if it still is held, as Release does; without saying whether that worked.
  ~HeldLock();

  /// Whose it is: a random name that is this object's alone.
  const std::string& owner() const { return owner_; }

  /// Another `ttl` from now on. False: it is not ours any more, and what it protects is not either.
  /// InvalidArgument when `ttl` is not positive: it stays as it is.
  absl::StatusOr<bool> Extend(absl::Duration ttl);
  /// Gives it back. False: it was not ours any more, and another's lock was left alone. After an
  /// error it may be kept until its time is up.
  absl::StatusOr<bool> Release();

 private:
  HeldLock(Client* client, std::string_view key, const CallOptions& call);

  Client* client_;  // null: nothing is held
  std::string key_;
  std::string owner_;
  CallOptions call_;
};

}  // namespace cairn
