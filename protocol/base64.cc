#include "protocol/base64.h"

#include <array>
#include <cstdint>

namespace cairn::protocol {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint8_t kInvalid = 0xff;

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values{};
  for (uint8_t& value : values) value = kInvalid;
  for (uint8_t i = 0; i < 64; ++i) values[static_cast<uint8_t>(kAlphabet[i])] = i;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = MakeValues();

}  // namespace

std::optional<size_t> Base64Decode(std::string_view text, char* out) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const size_t padding = text.back() != '=' ? 0 : text[text.size() - 2] != '=' ? 1 : 2;
  char* write = out;
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    uint32_t bits = 0;
    for (size_t j = 0; j < 4; ++j) {
      const uint8_t value = j < digits ? kValues[static_cast<uint8_t>(text[i + j])] : 0;
      if (value == kInvalid) return std::nullopt;
      bits = bits << 6 | value;
    }
    for (size_t j = 0; j + 1 < digits; ++j) *write++ = static_cast<char>(bits >> (16 - 8 * j));
  }
  return static_cast<size_t>(write - out);
}

char* Base64Encode(std::string_view raw, char* out) {
  for (size_t i = 0; i < raw.size(); i += 3) {
    const size_t left = raw.size() - i < 3 ? raw.size() - i : 3;
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < left ? static_cast<uint8_t>(raw[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      *out++ = j <= left ? kAlphabet[bits >> (18 - 6 * j) & 63] : '=';
    }
  }
  return out;
}

}  // namespace cairn::protocol
