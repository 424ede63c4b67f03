#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/async.h"
#include "cairn/export.h"
#include "cairn/lock.h"

namespace cairn {

/// HeldLock for event loops and coroutines: the same lock without waiting, so that who waits and
/// who does not contend for it, and neither has it elsewhere while its server is left alone. What
/// is waited for is a timer of the loop. Movable; thread-compatible.
///
///   auto lock = co_await AsyncHeldLock::Acquire(&async, "lock:report",
///                                               {.wait_max = absl::Seconds(5)});
///   if (lock.ok() && lock->has_value()) co_await MakeReport();  // given back at the scope's end
class CAIRN_EXPORT AsyncHeldLock {
 public:
  /// See HeldLock. Cancelled, as any error, may leave it held by nobody until `ttl` has passed.
  /// `async` outlives the call and the lock.
  static AsyncResult<absl::StatusOr<std::optional<AsyncHeldLock>>> Acquire(
      AsyncClient* async, std::string_view key, const LockOptions& options = {});

  AsyncHeldLock(AsyncHeldLock&& other) noexcept;
  AsyncHeldLock& operator=(AsyncHeldLock&& other) noexcept;
  /// Begins to give it back if it still is held, as Release does; nobody hears whether that worked.
  ~AsyncHeldLock();

  const std::string& owner() const { return owner_; }

  /// See HeldLock. The calls do not need this object once they have been prepared; after Release()
  /// it holds nothing, whether that call is ever begun or not.
  AsyncResult<absl::StatusOr<bool>> Extend(absl::Duration ttl);
  AsyncResult<absl::StatusOr<bool>> Release();

 private:
  AsyncHeldLock(AsyncClient* async, std::string key, std::string owner, const CallOptions& call);
  void GiveBack();

  AsyncClient* async_;
  bool held_ = true;
  std::string key_;
  std::string owner_;
  CallOptions call_;
};

}  // namespace cairn
