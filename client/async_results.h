#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cairn/async.h"
#include "client/async_impl.h"

// The AsyncResults that async.cc has. Made elsewhere as well they would be hidden, and hide those:
// for every file but that one.
namespace cairn {

extern CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<std::string>>);
extern CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<Item>>);
extern CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<uint64_t>>);
extern CAIRN_ASYNC_RESULT(absl::StatusOr<bool>);
extern CAIRN_ASYNC_RESULT(absl::StatusOr<uint64_t>);
extern CAIRN_ASYNC_RESULT(absl::StatusOr<CasOutcome>);
extern CAIRN_ASYNC_RESULT(absl::StatusOr<LeasedItem>);
extern CAIRN_ASYNC_RESULT(std::vector<absl::StatusOr<LeasedItem>>);
extern CAIRN_ASYNC_RESULT(std::vector<absl::StatusOr<bool>>);
extern CAIRN_ASYNC_RESULT(absl::Status);
extern CAIRN_ASYNC_RESULT(MultiGetResult);
extern CAIRN_ASYNC_RESULT(MultiWriteResult);

}  // namespace cairn
