// Packets in, packets out: a client of the binary protocol for tests in memory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/binary_packet.h"
#include "tests/catch.h"
#include "tests/server/session_fixture.h"

namespace cairn::server {

using tests::BigEndian;
using tests::BinaryPacket;
using tests::FromBigEndian;

/// memcached's opcodes, written down once more on purpose.
enum Op : uint8_t {
  kOpGet = 0x00,
  kOpSet = 0x01,
  kOpAdd = 0x02,
  kOpReplace = 0x03,
  kOpDelete = 0x04,
  kOpIncr = 0x05,
  kOpDecr = 0x06,
  kOpQuit = 0x07,
  kOpFlush = 0x08,
  kOpGetQ = 0x09,
  kOpNoop = 0x0a,
  kOpVersion = 0x0b,
  kOpGetK = 0x0c,
  kOpGetKQ = 0x0d,
  kOpAppend = 0x0e,
  kOpPrepend = 0x0f,
  kOpStat = 0x10,
  kOpSetQ = 0x11,
  kOpAddQ = 0x12,
  kOpReplaceQ = 0x13,
  kOpDeleteQ = 0x14,
  kOpIncrQ = 0x15,
  kOpDecrQ = 0x16,
  kOpQuitQ = 0x17,
  kOpFlushQ = 0x18,
  kOpAppendQ = 0x19,
  kOpPrependQ = 0x1a,
  kOpTouch = 0x1c,
  kOpGat = 0x1d,
  kOpGatQ = 0x1e,
  kOpSaslList = 0x20,
  kOpSaslAuth = 0x21,
  kOpSaslStep = 0x22,
  kOpGatK = 0x23,
  kOpGatKQ = 0x24,
};

inline constexpr uint32_t kDoNotCreate = 0xffffffff;

inline BinaryPacket Request(uint8_t opcode, std::string_view key = {}) {
  BinaryPacket packet;
  packet.opcode = opcode;
  packet.key = key;
  return packet;
}

/// Set, Add, Replace and their quiet forms.
inline BinaryPacket StoreRequest(uint8_t opcode, std::string_view key, std::string_view value,
                                 uint32_t client_flags = 0, uint32_t exptime = 0,
                                 uint64_t cas = 0) {
  BinaryPacket packet = Request(opcode, key);
  packet.extras = BigEndian(client_flags, 4) + BigEndian(exptime, 4);
  packet.value = value;
  packet.cas = cas;
  return packet;
}

/// Append and Prepend.
inline BinaryPacket GrowRequest(uint8_t opcode, std::string_view key, std::string_view value,
                                uint64_t cas = 0) {
  BinaryPacket packet = Request(opcode, key);
  packet.value = value;
  packet.cas = cas;
  return packet;
}

inline BinaryPacket CountRequest(uint8_t opcode, std::string_view key, uint64_t delta,
                                 uint64_t initial, uint32_t exptime, uint64_t cas = 0) {
  BinaryPacket packet = Request(opcode, key);
  packet.extras = BigEndian(delta, 8) + BigEndian(initial, 8) + BigEndian(exptime, 4);
  packet.cas = cas;
  return packet;
}

/// Touch, GAT, GATK.
inline BinaryPacket TouchRequest(uint8_t opcode, std::string_view key, uint32_t exptime) {
  BinaryPacket packet = Request(opcode, key);
  packet.extras = BigEndian(exptime, 4);
  return packet;
}

inline std::vector<BinaryPacket> Packets(std::string_view bytes) {
  std::vector<BinaryPacket> packets;
  BinaryPacket packet;
  while (tests::TakePacket(&bytes, &packet)) {
    REQUIRE(packet.magic == 0x81);
    packets.push_back(packet);
  }
  REQUIRE(bytes.empty());
  return packets;
}

class BinaryClient {
 public:
  explicit BinaryClient(ServerFixture* fixture, const SessionOptions& options = {})
      : client(fixture, options) {}

  /// Every packet that answers `request`, opaques checked.
  std::vector<BinaryPacket> SendAll(const BinaryPacket& request) {
    std::vector<BinaryPacket> answers = Packets(client.Send(request.Encode()));
    for (const BinaryPacket& answer : answers) {
      CHECK(answer.opcode == request.opcode);
      CHECK(answer.opaque == request.opaque);
    }
    return answers;
  }
  /// The one packet that answers `request`.
  BinaryPacket Send(const BinaryPacket& request) {
    std::vector<BinaryPacket> answers = SendAll(request);
    REQUIRE(answers.size() == 1);
    return answers.front();
  }
  uint16_t Status(const BinaryPacket& request) { return Send(request).status; }
  bool Silent(const BinaryPacket& request) { return client.Send(request.Encode()).empty(); }
  /// The value of a key that is there.
  std::string Value(std::string_view key) {
    const BinaryPacket answer = Send(Request(kOpGet, key));
    REQUIRE(answer.status == 0);
    return answer.value;
  }
  bool Has(std::string_view key) { return Status(Request(kOpGet, key)) == 0; }
  bool closed() const { return client.closed(); }

  Client client;
};

}  // namespace cairn::server
