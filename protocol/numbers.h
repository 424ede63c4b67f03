#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

/// The two ways in which memcached reads numbers on the wire, and how it writes them.
namespace cairn::protocol {

/// Strict: an optional '-' and digits, nothing else, at most 11 characters; nothing on overflow. A
/// '-' alone is 0, as memcached has it.
std::optional<int32_t> ParseStrictInt32(std::string_view token);
/// Strict and without a sign; at most 11 characters.
std::optional<uint32_t> ParseStrictUint32(std::string_view token);
/// Strict and without a sign; at most 22 characters.
std::optional<uint64_t> ParseStrictUint64(std::string_view token);

/// Loose, as strtol reads: blanks before, a '+', anything after a blank ignored; a value beyond 32
/// bits is cut to its low 32. Nothing when there is no number or it passes 64 bits.
std::optional<int32_t> ParseLooseInt32(std::string_view token);
/// Loose and unsigned. A '-' wraps around in 64 bits, as strtoul has it, and makes no number when
/// that gives one above the half of them: -1 is none, -0 is 0, and -18446744073709551615 is 1.
std::optional<uint32_t> ParseLooseUint32(std::string_view token);

/// The longest decimal number of 64 bits.
inline constexpr size_t kMaxDecimalBytes = 20;

/// "000102...99".
inline constexpr std::array<char, 200> kTwoDigits = [] {
  std::array<char, 200> digits{};
  for (size_t i = 0; i < digits.size() / 2; ++i) {
    digits[2 * i] = static_cast<char>('0' + i / 10);
    digits[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return digits;
}();

/// WriteDecimal of any value.
char* WriteLongDecimal(uint64_t value, char* out);

/// Writes `value` in decimal to `out`, which has room for kMaxDecimalBytes; returns the end.
inline char* WriteDecimal(uint64_t value, char* out) {
  if (value >= 1000) return WriteLongDecimal(value, out);
  const auto number = static_cast<unsigned>(value);
  if (number < 10) {  // the flags of nearly every item
    *out = static_cast<char>('0' + number);
    return out + 1;
  }
  const unsigned hundreds = number / 100;
  if (hundreds != 0) *out++ = static_cast<char>('0' + hundreds);
  std::memcpy(out, &kTwoDigits[2 * (number - 100 * hundreds)], 2);
  return out + 2;
}

}  // namespace cairn::protocol
