#pragma once

#include <compare>
#include <cstdint>

namespace cairn::storage {

/// A moment on the store's clock: milliseconds since an origin that the owner of the clock chose.
/// The store never reads a clock; every operation is told what time it is, so that a server reads
/// the clock once a loop and a test moves it as it likes. It may not run backwards by more than a
/// test's whim: going back only makes items live longer.
struct Time {
  int64_t ms = 0;
  friend auto operator<=>(const Time&, const Time&) = default;
};

/// When an item dies. Never is the default. An item is alive while `now < expiry`; the store may
/// keep the moment in coarser units and then rounds it up, by less than 100 ms: an item never
/// dies early.
class Expiry {
 public:
  constexpr Expiry() = default;

  static constexpr Expiry Never() { return Expiry(); }
  /// Dead from its first moment: the item is stored and never found.
  static constexpr Expiry Past() { return Expiry(kPastMs); }
  static constexpr Expiry At(Time t) { return Expiry(t.ms == kNeverMs ? 1 : t.ms); }

  constexpr bool never() const { return ms_ == kNeverMs; }
  constexpr bool Passed(Time now) const { return ms_ != kNeverMs && now.ms >= ms_; }
  /// REQUIRES: !never()
  constexpr Time at() const { return Time{ms_}; }

  friend bool operator==(const Expiry&, const Expiry&) = default;

 private:
  static constexpr int64_t kNeverMs = 0;
  static constexpr int64_t kPastMs = INT64_MIN;
  constexpr explicit Expiry(int64_t ms) : ms_(ms) {}

  int64_t ms_ = kNeverMs;
};

}  // namespace cairn::storage
