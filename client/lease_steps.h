#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/operations.h"
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
  static ResultImpl DeleteIf(Impl* impl, std::string_view key, uint64_t cas);

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

 private:
  friend class Client;
  static Step<absl::StatusOr<LeasedItem>> ByLock(Impl* impl, std::string_view key,
                                                 absl::Duration lease);
  static Step<absl::StatusOr<LeasedItem>> TakenBy(ResultImpl read);
  /// Whether a value is there that nobody can read. Without a lease nothing is done about it.
  static bool IsSpoilt(const Answer& answer, const LeaseOptions& options);
  /// Takes it away, if it still is the one with that CAS number, and asks for the key again.
  static Step<absl::StatusOr<LeasedItem>> GetAnew(Impl* impl, std::string_view key, uint64_t cas,
                                                  const LeaseOptions& options);
  static Step<absl::StatusOr<LeasedItem>> Got(Impl* impl, std::string_view key,
                                              const LeaseOptions& options,
                                              const ResultImpl& result);
  static ResultImpl Ask(Impl* impl, std::string_view key, const LeaseOptions& options);
  static LeasedItem ItemOf(const Answer& answer, AnswerState state, bool meta);
  static StoreRequest RequestFor(const LeasedStore& store);
  static ResultImpl DeleteLock(Impl* impl, std::string_view key);
};

}  // namespace cairn
