#include "protocol/numbers.h"

#include <charconv>
#include <limits>

namespace cairn::protocol {
namespace {

constexpr size_t kMax32Characters = 11;
constexpr size_t kMax64Characters = 22;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

template <typename T>
std::optional<T> ParseWhole(std::string_view token, size_t max_characters) {
  if (token.empty() || token.size() > max_characters) return std::nullopt;
  T value;
  const char* end = token.data() + token.size();
  const auto [stop, error] = std::from_chars(token.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

/// The sign and magnitude of what strtol would read at the start of `token`.
struct LooseNumber {
  bool negative;
  uint64_t magnitude;
};

std::optional<LooseNumber> ParseLoose(std::string_view token) {
  size_t i = 0;
  while (i < token.size() && IsBlank(token[i])) ++i;
  LooseNumber number{false, 0};
  if (i < token.size() && (token[i] == '+' || token[i] == '-')) number.negative = token[i++] == '-';
  if (i == token.size() || !IsDigit(token[i])) return std::nullopt;
  const char* end = token.data() + token.size();
  const auto [stop, error] = std::from_chars(token.data() + i, end, number.magnitude);
  if (error != std::errc() || (stop != end && !IsBlank(*stop))) return std::nullopt;
  return number;
}

}  // namespace

std::optional<int32_t> ParseStrictInt32(std::string_view token) {
  if (token == "-") return 0;
  return ParseWhole<int32_t>(token, kMax32Characters);
}

std::optional<uint32_t> ParseStrictUint32(std::string_view token) {
  return ParseWhole<uint32_t>(token, kMax32Characters);
}

std::optional<uint64_t> ParseStrictUint64(std::string_view token) {
  return ParseWhole<uint64_t>(token, kMax64Characters);
}

std::optional<int32_t> ParseLooseInt32(std::string_view token) {
  const std::optional<LooseNumber> number = ParseLoose(token);
  constexpr uint64_t kMaxMagnitude = uint64_t{1} << 63;
  if (!number || number->magnitude > kMaxMagnitude - (number->negative ? 0 : 1)) {
    return std::nullopt;
  }
  const auto low = static_cast<uint32_t>(number->magnitude);
  return static_cast<int32_t>(number->negative ? 0u - low : low);
}

std::optional<uint32_t> ParseLooseUint32(std::string_view token) {
  const std::optional<LooseNumber> number = ParseLoose(token);
  if (!number) return std::nullopt;
  const uint64_t value = number->negative ? 0 - number->magnitude : number->magnitude;
  // As memcached does: of 64 bits, it looks for the sign only when the highest is set.
  if (number->negative && static_cast<int64_t>(value) < 0) return std::nullopt;
  return static_cast<uint32_t>(value);
}

char* WriteLongDecimal(uint64_t value, char* out) {
  return std::to_chars(out, out + kMaxDecimalBytes, value).ptr;
}

}  // namespace cairn::protocol
