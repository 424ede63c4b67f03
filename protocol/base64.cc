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
  size_t characters = 0;
  for (const char c : text) {
    if (c == '=' || kValues[static_cast<uint8_t>(c)] != kInvalid) ++characters;
  }
  if (characters == 0 || characters % 4 != 0) return std::nullopt;
  char* write = out;
  uint32_t bits = 0;
  unsigned in_block = 0;
  unsigned padding = 0;
  for (const char c : text) {
    const uint8_t value = c == '=' ? 0 : kValues[static_cast<uint8_t>(c)];
    if (value == kInvalid) continue;
    if (c == '=') ++padding;
    bits = bits << 6 | value;
    if (++in_block < 4) continue;
    if (padding > 2) return std::nullopt;
    for (unsigned i = 0; i < 3 - padding; ++i) *write++ = static_cast<char>(bits >> (16 - 8 * i));
    if (padding != 0) break;
    bits = 0;
    in_block = 0;
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
