#pragma once

#include <chrono>
#include <cstdint>

namespace cairn::server {

/// How fast the background pass over the store goes: slowly enough that nobody notices it, faster
/// while it finds much to give back, and seldom where nothing expires. Pure arithmetic.
class Pace {
 public:
  using Duration = std::chrono::nanoseconds;

  /// Shares of a core that a pass takes: ordinarily, and while much is expiring.
  static constexpr double kShare = 0.02;
  static constexpr double kBusyShare = 0.10;
  /// "Much" is at least this part of the items looked at.
  static constexpr double kBusyPart = 0.05;
  /// Rest between passes: the shortest, doubled after each pass that found nothing up to the
  /// longest.
  static constexpr Duration kShortestRest = std::chrono::seconds(1);
  static constexpr Duration kLongestRest = std::chrono::seconds(8);
  /// Between turns of one pass at least, so that turns are few.
  static constexpr Duration kShortestSleep = std::chrono::milliseconds(2);

  /// What a turn of work cost and found.
  struct Turn {
    Duration cpu{0};
    uint64_t checked = 0;
    uint64_t reclaimed = 0;
    bool pass_completed = false;
  };

  /// How long to leave the store alone after `turn`.
  Duration After(const Turn& turn);

 private:
  uint64_t reclaimed_in_pass_ = 0;
  Duration rest_ = kShortestRest;
};

}  // namespace cairn::server
