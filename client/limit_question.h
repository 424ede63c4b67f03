#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "client/call.h"

namespace cairn {

/// What asks a server how large its items may be: statistics of its settings, which memcached has
/// had since 1.4. Whoever does not know them says an error, or hangs up, as proxies do.
std::string_view LimitQuestion(Dialect dialect);

struct LimitAnswer {
  enum class State : uint8_t {
    kPartial,   ///< It may go on.
    kComplete,  ///< This is all.
    kNone,      ///< An error, or what makes no sense. Who says so may be about to hang up.
  };
  State state = State::kPartial;
  size_t bytes = 0;  ///< With kComplete, what of the input it was.
  /// With kComplete: the most that an item may have, all counted. Nullopt where nothing is said of
  /// it, or what does not bind: memcached's proxy hands on what is larger than its own limit.
  std::optional<size_t> item_size_max = std::nullopt;
};

/// Reads what came, from its beginning, as often as more has come.
LimitAnswer ReadLimitAnswer(std::string_view input, Dialect dialect);

}  // namespace cairn
