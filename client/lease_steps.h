#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/operations.h"
#include "client/result_impl.h"
#include "client/step.h"

namespace cairn {

/// What servers count in: rounded up, and no more than they take for a time to live.
inline int64_t WholeSeconds(absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return 0;
  return absl::ToInt64Seconds(absl::Ceil(std::min(duration, absl::Hours(24)), absl::Seconds(1)));
}

/// The part that had a key's request spoke the meta protocol.
inline bool SpokeMeta(const ResultImpl& result, size_t i) {
  return result.call->parts[result.call->answers[i].part].spoke_meta;
}

/// The calls about leases (cairn/lease.h), for whoever drives them. `impl` outlives the steps; what
/// else is given to them needs not.
class CAIRN_HIDDEN Client::Leases {
 public:
  static Step<absl::StatusOr<LeasedItem>> Get(Impl* impl, std::string_view key,
                                              const LeaseOptions& options);
  static Step<absl::StatusOr<bool>> Set(Impl* impl, std::string_view key, std::string_view value,
                                        const LeaseToken& token, const WriteOptions& options);
  static Step<absl::StatusOr<bool>> Release(Impl* impl, std::string_view key,
                                            const LeaseToken& token);
  static Step<absl::StatusOr<bool>> Invalidate(Impl* impl, std::string_view key,
                                               absl::Duration stale_for);

  /// Of many keys, an answer each. `run`, if any, runs the first request, in waves, before these
  /// return: that one is not to be run again, and what was given lasts for the call. Without, the
  /// request is only prepared, and nothing that was given needs to last.
  using Items = std::vector<absl::StatusOr<LeasedItem>>;
  using Outcomes = std::vector<absl::StatusOr<bool>>;
  static Step<Items> GetMulti(Impl* impl, std::span<const std::string_view> keys,
                              const LeaseOptions& options, const Operations::RunWave& run);
  static Step<Outcomes> SetMulti(Impl* impl, std::span<const LeasedStore> stores,
                                 const Operations::RunWave& run);
  static Step<Outcomes> InvalidateMulti(Impl* impl, std::span<const std::string_view> keys,
                                        absl::Duration stale_for, const Operations::RunWave& run);
  static Step<Outcomes> ReleaseMulti(Impl* impl, std::span<const HeldLease> leases);

 private:
  friend class Client;
  struct Asking;
  /// Go on from what was said of keys, some of which may need further questions.
  static Step<Items> OnAsked(const std::shared_ptr<Asking>& asking, const ResultImpl& result);
  static Step<Items> OnAskedOne(Impl* impl, std::string_view key, const LeaseOptions& options,
                                const ResultImpl& result);
  static Step<Items> AskAnew(const std::shared_ptr<Asking>& asking, const ResultImpl& cleared);
  static Step<Items> AskLocks(const std::shared_ptr<Asking>& asking);
  /// Whether an answer says all there is to know.
  static bool IsKnown(const LeaseOptions& options, const ResultImpl& result, size_t i);
  /// The lease is somebody else's, and the server will not take it from him.
  static bool HasNoEnd(const LeaseOptions& options, const absl::StatusOr<LeasedItem>& item);
  /// A stale value's lease that is this client's: nobody is to take it from here.
  static void NoteWin(Impl* impl, std::string_view key, const LeasedItem& item) {
    if (item.won && item.stale) impl->lease_watch().Won(key, item.lease_id);
  }

  // With a lock in place of the server's leases (lease_locks.cc).

  /// A lock, and what it holds while it is ours.
  struct Lock {
    uint16_t server = 0;
    std::string key;
    std::string token;
  };
  static Lock LockOf(Impl* impl, std::string_view key, std::string token);
  struct Contest;
  /// What the server answered to misses: locks decide.
  static Step<Items> ByLocks(Impl* impl, std::vector<std::string> keys, absl::Duration lease);
  /// What the views are of lasts as long as `owner`, or, without one, the steps. At `deadline` no
  /// more values are encoded. REQUIRES: tokens are of locks.
  static Step<Outcomes> SetByLocks(Impl* impl, std::vector<LeasedStore> stores,
                                   std::shared_ptr<const void> owner, Clock::time_point deadline);
  /// Removes those that hold their tokens still, and says which those were.
  static Step<Outcomes> RemoveLocks(Impl* impl, std::vector<Lock> locks);
  struct Storing;
  static Step<Outcomes> TakeBack(Impl* impl, const std::shared_ptr<Storing>& storing,
                                 const std::vector<size_t>& lost);
  /// Answers 2n and 2n + 1 are about key n.
  static ResultImpl DeleteLocksAndKeys(Impl* impl, std::span<const std::string_view> keys);

  static LeasedItem ItemOf(const Answer& answer, AnswerState state, bool meta);
  static StoreRequest RequestFor(const LeasedStore& store);
};

/// Steps about a single key, of those about many.
template <typename T>
Step<T> OnlyOne(Step<std::vector<T>> step) {
  return std::move(step).Followed(
      [](std::vector<T> all) { return Step<T>::Over(std::move(all[0])); });
}

/// What became of a write.
inline absl::StatusOr<bool> OutcomeOf(const ResultImpl& result, size_t i) {
  if (absl::Status status = result.StatusOf(i); !status.ok()) return status;
  return result.StateOf(i) == AnswerState::kHit;
}

}  // namespace cairn
