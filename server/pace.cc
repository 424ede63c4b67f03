#include "server/pace.h"

#include <algorithm>

namespace cairn::server {

Pace::Duration Pace::After(const Turn& turn) {
  reclaimed_in_pass_ += turn.reclaimed;
  const bool busy =
      static_cast<double>(turn.reclaimed) >= kBusyPart * static_cast<double>(turn.checked) &&
      turn.reclaimed > 0;
  const double share = busy ? kBusyShare : kShare;
  const auto sleep = std::chrono::duration_cast<Duration>(turn.cpu * (1 / share - 1));
  if (!turn.pass_completed) return std::max(sleep, kShortestSleep);
  rest_ = reclaimed_in_pass_ > 0 ? kShortestRest : std::min(rest_ * 2, kLongestRest);
  reclaimed_in_pass_ = 0;
  return std::max(sleep, rest_);
}

}  // namespace cairn::server
