#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/operations.h"
#include "client/step.h"

namespace cairn {

/// A value, and a new time to live for it: one question, or, in classic text, another one to touch
/// what was there. `operations` outlives the steps.
Step<absl::StatusOr<std::optional<Item>>> ReadThenTouch(Operations* operations,
                                                        std::string_view key, absl::Duration ttl);

}  // namespace cairn
