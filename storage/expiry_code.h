#pragma once

#include <cstdint>

#include "storage/time.h"

/// An Expiry in 32 bits. Code 0 is never and 1 always past; codes above count time since 0 in three
/// ranges of growing coarseness, and are ordered as the moments that they mean:
///
///   2 .. kSecondsFrom-1           1/16 s each       up to about 6.4 years
///   kSecondsFrom .. kMinutesFrom-1  1 s each        up to about 36 years
///   kMinutesFrom .. 2^32-1        64 s each         up to about 300 years, and no further
///
/// A moment is rounded up to the next code, so an item never dies early.
namespace cairn::storage {

using ExpiryCode = uint32_t;

inline constexpr ExpiryCode kExpiryNever = 0;
inline constexpr ExpiryCode kExpiryPast = 1;

namespace expiry_internal {
inline constexpr int64_t kSecondsFrom = 0xC0000000;
inline constexpr int64_t kMinutesFrom = 0xF8000000;
inline constexpr int64_t kLast = 0xFFFFFFFF;
// 62.5 ms is not a whole number: codes count sixteenths, ms = code * 1000 / 16.
inline constexpr int64_t kSecondsFromMs = kSecondsFrom * 125 / 2;
inline constexpr int64_t kMinutesFromMs = kSecondsFromMs + (kMinutesFrom - kSecondsFrom) * 1000;
static_assert(kSecondsFromMs % 1000 == 0);
}  // namespace expiry_internal

constexpr ExpiryCode EncodeExpiry(Expiry expiry) {
  using namespace expiry_internal;
  if (expiry.never()) return kExpiryNever;
  const int64_t ms = expiry.at().ms;
  if (ms <= 0) return kExpiryPast;
  int64_t code;
  if (ms < kSecondsFromMs) {
    code = (ms * 2 + 124) / 125;
    if (code < 2) code = 2;
  } else if (ms < kMinutesFromMs) {
    code = kSecondsFrom + (ms - kSecondsFromMs + 999) / 1000;
  } else if (ms - kMinutesFromMs < (kLast - kMinutesFrom) * 64000) {
    code = kMinutesFrom + (ms - kMinutesFromMs + 63999) / 64000;
  } else {
    code = kLast;
  }
  return static_cast<ExpiryCode>(code);
}

/// REQUIRES: code is neither kExpiryNever nor kExpiryPast.
constexpr int64_t ExpiryCodeMs(ExpiryCode code) {
  using namespace expiry_internal;
  const int64_t c = code;
  if (c < kSecondsFrom) return c * 125 / 2;
  if (c < kMinutesFrom) return kSecondsFromMs + (c - kSecondsFrom) * 1000;
  return kMinutesFromMs + (c - kMinutesFrom) * 64000;
}

constexpr Expiry DecodeExpiry(ExpiryCode code) {
  if (code == kExpiryNever) return Expiry::Never();
  if (code == kExpiryPast) return Expiry::Past();
  return Expiry::At(Time{ExpiryCodeMs(code)});
}

/// Codes greater than 0 and not greater than this have passed at `now`.
constexpr ExpiryCode PassedCode(Time now) {
  using namespace expiry_internal;
  if (now.ms < 125) return kExpiryPast;
  int64_t code;
  if (now.ms < kSecondsFromMs) {
    code = (now.ms * 2 + 1) / 125;  // the last code with code * 62.5 rounded down <= now
  } else if (now.ms < kMinutesFromMs) {
    code = kSecondsFrom + (now.ms - kSecondsFromMs) / 1000;
  } else {
    code = kMinutesFrom + (now.ms - kMinutesFromMs) / 64000;
    if (code > kLast) code = kLast;
  }
  return static_cast<ExpiryCode>(code);
}

constexpr bool ExpiryPassed(ExpiryCode code, ExpiryCode passed_code) {
  return code != kExpiryNever && code <= passed_code;
}

}  // namespace cairn::storage
