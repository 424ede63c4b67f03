#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/binary_codec.h"

/// The binary protocol as its client sees it. protocol/binary_codec.h has the picture of a packet.
namespace cairn {

enum class BinaryOpcode : uint8_t {
  kSet = 0x01,
  kAdd = 0x02,
  kReplace = 0x03,
  kDelete = 0x04,
  kIncrement = 0x05,
  kDecrement = 0x06,
  kFlush = 0x08,
  kNoop = 0x0a,
  kVersion = 0x0b,
  kGetKeyQuietly = 0x0d,
  kAppend = 0x0e,
  kPrepend = 0x0f,
  kStat = 0x10,
  kSetQuietly = 0x11,
  kTouch = 0x1c,
  kSaslAuth = 0x21,
  kGetKeyAndTouchQuietly = 0x24,
};

/// For Increment and Decrement: a number that is not there is not made.
inline constexpr uint32_t kMakeNoNumber = 0xffffffff;

template <typename Number>
char* PutBigEndian(Number number, char* at) {
  for (size_t i = sizeof(number); i > 0; --i) {
    at[i - 1] = static_cast<char>(number & 0xff);
    if constexpr (sizeof(number) > 1) number = static_cast<Number>(number >> 8);
  }
  return at + sizeof(number);
}

template <typename Number>
Number GetBigEndian(const char* at) {
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof(Number); ++i) number = number << 8 | static_cast<uint8_t>(at[i]);
  return static_cast<Number>(number);
}

/// The head of an answer.
struct BinaryAnswer {
  bool is_answer = false;
  BinaryOpcode opcode = BinaryOpcode::kNoop;
  uint16_t key_bytes = 0;
  uint8_t extras_bytes = 0;
  protocol::BinaryStatus status = protocol::BinaryStatus::kOk;
  uint32_t body_bytes = 0;
  uint32_t opaque = 0;
  uint64_t cas = 0;

  /// REQUIRES: bytes.size() >= protocol::kBinaryHeaderBytes
  static BinaryAnswer Read(std::string_view bytes) {
    const char* const at = bytes.data();
    BinaryAnswer answer;
    answer.is_answer = static_cast<uint8_t>(at[0]) == protocol::kBinaryResponseMagic;
    answer.opcode = static_cast<BinaryOpcode>(at[1]);
    answer.key_bytes = GetBigEndian<uint16_t>(at + 2);
    answer.extras_bytes = static_cast<uint8_t>(at[4]);
    answer.status = static_cast<protocol::BinaryStatus>(GetBigEndian<uint16_t>(at + 6));
    answer.body_bytes = GetBigEndian<uint32_t>(at + 8);
    answer.opaque = GetBigEndian<uint32_t>(at + 12);
    answer.cas = GetBigEndian<uint64_t>(at + 16);
    return answer;
  }
  /// The lengths can be true together.
  bool fits() const { return size_t{key_bytes} + extras_bytes <= body_bytes; }
};

/// A request's head, to be followed by its extras, its key, and its value.
struct BinaryRequestHead {
  BinaryOpcode opcode = BinaryOpcode::kNoop;
  size_t key_bytes = 0;
  size_t extras_bytes = 0;
  size_t value_bytes = 0;
  uint32_t opaque = 0;
  uint64_t cas = 0;

  /// Writes protocol::kBinaryHeaderBytes; returns their end.
  char* Write(char* at) const {
    at = PutBigEndian(protocol::kBinaryRequestMagic, at);
    at = PutBigEndian(static_cast<uint8_t>(opcode), at);
    at = PutBigEndian(static_cast<uint16_t>(key_bytes), at);
    at = PutBigEndian(static_cast<uint8_t>(extras_bytes), at);
    at = PutBigEndian(uint8_t{0}, at);
    at = PutBigEndian(uint16_t{0}, at);
    at = PutBigEndian(static_cast<uint32_t>(extras_bytes + key_bytes + value_bytes), at);
    at = PutBigEndian(opaque, at);
    return PutBigEndian(cas, at);
  }
  std::string Bytes() const {
    std::string bytes(protocol::kBinaryHeaderBytes, '\0');
    Write(bytes.data());
    return bytes;
  }
};

}  // namespace cairn
