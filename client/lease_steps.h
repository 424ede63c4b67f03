#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/operations.h"
#include "client/step.h"

namespace cairn {

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

 private:
  friend class Client;
  static Step<absl::StatusOr<LeasedItem>> ByLock(Impl* impl, std::string_view key,
                                                 absl::Duration lease);
  static Step<absl::StatusOr<LeasedItem>> TakenBy(ResultImpl read);
  static LeasedItem ItemOf(const Answer& answer, AnswerState state, bool meta);
  static StoreRequest RequestFor(const LeasedStore& store);
  static ResultImpl AskMany(Impl& impl, std::span<const std::string_view> keys, AnswerShape shape,
                            bool is_read, absl::Duration timeout,
                            const std::function<absl::Status(size_t)>& check,
                            const std::function<size_t(RequestWriter&, uint32_t)>& write);
};

}  // namespace cairn
