#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/operations.h"
#include "client/step.h"

namespace cairn {

/// Counts by `delta`, or stores `first` for `ttl` where there is no number. `operations` outlives
/// the steps.
Step<absl::StatusOr<uint64_t>> CountOrStart(Operations* operations, bool increment,
                                            std::string_view key, uint64_t delta, uint64_t first,
                                            absl::Duration ttl);

/// With what a number begins that is counted at once.
inline uint64_t FirstUp(uint64_t delta, uint64_t initial) { return initial + delta; }
inline uint64_t FirstDown(uint64_t delta, uint64_t initial) {
  return initial > delta ? initial - delta : 0;
}

}  // namespace cairn
