#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Packets of the binary protocol as tests write and read them, apart from the code under test.
namespace cairn::tests {

inline std::string BigEndian(uint64_t number, size_t bytes) {
  std::string out;
  for (size_t i = bytes; i > 0; --i) out += static_cast<char>(number >> (8 * (i - 1)) & 0xff);
  return out;
}

inline uint64_t FromBigEndian(std::string_view bytes) {
  uint64_t number = 0;
  for (const char c : bytes) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

/// A request or an answer.
struct BinaryPacket {
  uint8_t opcode = 0;
  std::string extras = {};
  std::string key = {};
  std::string value = {};
  uint64_t cas = 0;
  uint32_t opaque = 0x01020304;
  uint16_t status = 0;
  uint8_t magic = 0x80;

  std::string Encode() const {
    return Header(key.size(), extras.size(), extras.size() + key.size() + value.size()) + extras +
           key + value;
  }
  /// The header alone, with whatever lengths.
  std::string Header(size_t key_bytes, size_t extras_bytes, size_t body_bytes) const {
    return BigEndian(magic, 1) + BigEndian(opcode, 1) + BigEndian(key_bytes, 2) +
           BigEndian(extras_bytes, 1) + BigEndian(0, 1) + BigEndian(status, 2) +
           BigEndian(body_bytes, 4) + BigEndian(opaque, 4) + BigEndian(cas, 8);
  }
};

/// Takes the first packet from `bytes`; false when there is no whole one.
inline bool TakePacket(std::string_view* bytes, BinaryPacket* packet) {
  if (bytes->size() < 24) return false;
  const auto number = [bytes](size_t at, size_t n) { return FromBigEndian(bytes->substr(at, n)); };
  const size_t key_bytes = number(2, 2);
  const size_t extras_bytes = number(4, 1);
  const size_t body_bytes = number(8, 4);
  if (bytes->size() < 24 + body_bytes || key_bytes + extras_bytes > body_bytes) return false;
  packet->magic = static_cast<uint8_t>(number(0, 1));
  packet->opcode = static_cast<uint8_t>(number(1, 1));
  packet->status = static_cast<uint16_t>(number(6, 2));
  packet->opaque = static_cast<uint32_t>(number(12, 4));
  packet->cas = number(16, 8);
  packet->extras = bytes->substr(24, extras_bytes);
  packet->key = bytes->substr(24 + extras_bytes, key_bytes);
  packet->value =
      bytes->substr(24 + extras_bytes + key_bytes, body_bytes - extras_bytes - key_bytes);
  bytes->remove_prefix(24 + body_bytes);
  return true;
}

}  // namespace cairn::tests
