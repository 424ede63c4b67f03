#include "storage/decimal.h"

namespace cairn::storage {
namespace {

constexpr bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<uint64_t> ParseCounter(std::string_view value) {
  size_t i = 0;
  while (i < value.size() && IsBlank(value[i])) ++i;
  bool negative = false;
  if (i < value.size() && (value[i] == '+' || value[i] == '-')) negative = value[i++] == '-';
  if (i == value.size() || !IsDigit(value[i])) return std::nullopt;
  uint64_t number = 0;
  for (; i < value.size() && IsDigit(value[i]); ++i) {
    if (__builtin_mul_overflow(number, uint64_t{10}, &number) ||
        __builtin_add_overflow(number, static_cast<uint64_t>(value[i] - '0'), &number)) {
      return std::nullopt;
    }
  }
  if (i < value.size() && !IsBlank(value[i]) && value[i] != '\0') return std::nullopt;
  if (negative) {
    // What strtoull does with a sign, and memcached accepts of it: "-0", and what wraps around so
    // far that it is positive again.
    number = -number;
    if (static_cast<int64_t>(number) < 0) return std::nullopt;
  }
  return number;
}

}  // namespace cairn::storage
