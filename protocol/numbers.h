#pragma once

#include <cstddef>
#include <cstdint>
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
/// Loose and unsigned: a '-' makes it no number.
std::optional<uint32_t> ParseLooseUint32(std::string_view token);

/// The longest decimal number of 64 bits.
inline constexpr size_t kMaxDecimalBytes = 20;

/// WriteDecimal of a value of two digits or more.
char* WriteLongDecimal(uint64_t value, char* out);

/// Writes `value` in decimal to `out`, which has room for kMaxDecimalBytes; returns the end.
inline char* WriteDecimal(uint64_t value, char* out) {
  if (value >= 10) return WriteLongDecimal(value, out);
  *out = static_cast<char>('0' + value);  // the flags of nearly every item
  return out + 1;
}

}  // namespace cairn::protocol
