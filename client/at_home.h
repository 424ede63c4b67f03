#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// Calls of a Client, or of an AsyncClient, about a key that has no other place while the server
/// where it lives is left alone: what others go by must not be in two places. They say what their
/// namesakes do; Unavailable meanwhile.
class CAIRN_HIDDEN AtHome {
 public:
  static absl::StatusOr<std::optional<std::string>> Get(Client& client, std::string_view key,
                                                        const CallOptions& options);
  static absl::Status Set(Client& client, std::string_view key, std::string_view value,
                          const WriteOptions& options);
  static absl::StatusOr<bool> Add(Client& client, std::string_view key, std::string_view value,
                                  const WriteOptions& options);
  static absl::StatusOr<std::optional<Item>> Gets(Client& client, std::string_view key,
                                                  const CallOptions& options);
  static absl::StatusOr<CasOutcome> CompareAndSwap(Client& client, std::string_view key,
                                                   std::string_view value, uint64_t cas,
                                                   const WriteOptions& options);
  static absl::StatusOr<CasOutcome> DeleteIf(Client& client, std::string_view key, uint64_t cas,
                                             const CallOptions& options);

  static AsyncResult<absl::StatusOr<std::optional<std::string>>> Get(AsyncClient& client,
                                                                     std::string_view key,
                                                                     const CallOptions& options);
  static AsyncResult<absl::Status> Set(AsyncClient& client, std::string_view key,
                                       std::string_view value, const WriteOptions& options);
  static AsyncResult<absl::StatusOr<bool>> Add(AsyncClient& client, std::string_view key,
                                               std::string_view value, const WriteOptions& options);
  static AsyncResult<absl::StatusOr<std::optional<Item>>> Gets(AsyncClient& client,
                                                               std::string_view key,
                                                               const CallOptions& options);
  static AsyncResult<absl::StatusOr<CasOutcome>> CompareAndSwap(AsyncClient& client,
                                                                std::string_view key,
                                                                std::string_view value,
                                                                uint64_t cas,
                                                                const WriteOptions& options);
  static AsyncResult<absl::StatusOr<CasOutcome>> DeleteIf(AsyncClient& client, std::string_view key,
                                                          uint64_t cas, const CallOptions& options);
};

}  // namespace cairn
