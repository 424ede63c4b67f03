#include "protocol/binary_codec.h"

#include <set>
#include <string>
#include <vector>

#include "tests/binary_packet.h"
#include "tests/catch.h"

namespace cairn::protocol {
namespace {

using tests::BigEndian;
using tests::BinaryPacket;

std::string ExtrasFor(BinaryExtras extras) {
  switch (extras) {
    case BinaryExtras::kNone:
      return "";
    case BinaryExtras::kExpiry:
    case BinaryExtras::kMaybeExpiry:
      return BigEndian(0x11121314, 4);
    case BinaryExtras::kStore:
      return BigEndian(0x01020304, 4) + BigEndian(0x11121314, 4);
    case BinaryExtras::kArithmetic:
      return BigEndian(0x2122232425262728, 8) + BigEndian(0x3132333435363738, 8) +
             BigEndian(0x11121314, 4);
  }
  return "";
}

/// A packet as full as the row allows.
BinaryPacket FullPacket(const BinaryOpcodeRow& row) {
  BinaryPacket packet;
  packet.opcode = row.opcode;
  packet.extras = ExtrasFor(row.extras);
  if (row.key != BinaryField::kNo) packet.key = "some key";
  if (row.value != BinaryField::kNo) packet.value = "some value";
  packet.cas = 0xfffefdfcfbfaf9f8;
  return packet;
}

BinaryParsed Parse(std::string_view input) { return ParseBinaryRequest(input, true); }

void CheckRefused(std::string_view input, BinaryStatus status) {
  const BinaryParsed parsed = Parse(input);
  CHECK(parsed.result == BinaryParse::kRefused);
  CHECK(parsed.status == status);
}

TEST_CASE("every binary opcode is found under its number and there are no others") {
  std::set<uint8_t> opcodes;
  for (const BinaryOpcodeRow& row : BinaryOpcodes()) {
    CHECK(opcodes.insert(row.opcode).second);
    CHECK(FindBinaryOpcode(row.opcode) == &row);
    CHECK_FALSE(row.name.empty());
    CHECK_FALSE(row.help.empty());
    CHECK(row.quiet == row.name.ends_with('Q'));
  }
  for (int opcode = 0; opcode < 256; ++opcode) {
    const auto code = static_cast<uint8_t>(opcode);
    CHECK((FindBinaryOpcode(code) != nullptr) == opcodes.contains(code));
  }
}

TEST_CASE("a quiet binary opcode takes what the one it is named after takes") {
  for (const BinaryOpcodeRow& quiet : BinaryOpcodes()) {
    if (!quiet.quiet) continue;
    unsigned partners = 0;
    for (const BinaryOpcodeRow& loud : BinaryOpcodes()) {
      if (loud.quiet || loud.command != quiet.command) continue;
      ++partners;
      CHECK(quiet.name == std::string(loud.name) + "Q");
      CHECK(quiet.extras == loud.extras);
      CHECK(quiet.key == loud.key);
      CHECK(quiet.value == loud.value);
      CHECK(quiet.before_auth == loud.before_auth);
    }
    CHECK(partners == 1);
  }
}

TEST_CASE("a binary request is parsed the same whole and cut anywhere") {
  for (const BinaryOpcodeRow& row : BinaryOpcodes()) {
    const BinaryPacket packet = FullPacket(row);
    const std::string bytes = packet.Encode();
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
      const std::string part = bytes.substr(0, cut);
      const BinaryParsed parsed = Parse(part);
      if (cut + packet.value.size() < bytes.size()) {
        REQUIRE(parsed.result == BinaryParse::kNeedMore);
        continue;
      }
      REQUIRE(parsed.result == BinaryParse::kOk);
      const BinaryRequest& request = parsed.request;
      REQUIRE(request.row == &row);
      REQUIRE(request.opcode == packet.opcode);
      REQUIRE(request.opaque == packet.opaque);
      REQUIRE(request.cas == packet.cas);
      REQUIRE(request.key == packet.key);
      REQUIRE(request.value_bytes == packet.value.size());
      REQUIRE(request.packet_bytes() == bytes.size());
      REQUIRE(request.prefix_bytes() == bytes.size() - packet.value.size());
      REQUIRE(request.prefix_bytes() <= kMaxBinaryPrefixBytes);
      REQUIRE(request.exptime == (row.extras == BinaryExtras::kNone ? 0 : 0x11121314));
      REQUIRE(request.client_flags == (row.extras == BinaryExtras::kStore ? 0x01020304 : 0));
      const bool arithmetic = row.extras == BinaryExtras::kArithmetic;
      REQUIRE(request.delta == (arithmetic ? 0x2122232425262728 : 0));
      REQUIRE(request.initial == (arithmetic ? 0x3132333435363738 : 0));
    }
  }
}

TEST_CASE("a binary request with lengths that are not its opcode's ends the connection") {
  for (const BinaryOpcodeRow& row : BinaryOpcodes()) {
    INFO(row.name);
    const BinaryPacket good = FullPacket(row);
    BinaryPacket packet = good;
    packet.extras += 'x';
    CheckRefused(packet.Encode(), BinaryStatus::kInvalidArguments);
    if (!good.extras.empty()) {
      packet = good;
      packet.extras.pop_back();
      CheckRefused(packet.Encode(), BinaryStatus::kInvalidArguments);
    }
    packet = good;
    packet.key = row.key == BinaryField::kNo ? "key" : "";
    if (row.key == BinaryField::kMay) {
      CHECK(Parse(packet.Encode()).result == BinaryParse::kOk);
    } else {
      CheckRefused(packet.Encode(), BinaryStatus::kInvalidArguments);
    }
    packet = good;
    packet.value = "value";
    if (row.value == BinaryField::kNo) {
      CheckRefused(packet.Encode(), BinaryStatus::kInvalidArguments);
    }
    packet.value.clear();
    CHECK(Parse(packet.Encode()).result == BinaryParse::kOk);
    packet = good;
    packet.key = std::string(kMaxBinaryKeyBytes, 'k');
    if (row.key != BinaryField::kNo) CHECK(Parse(packet.Encode()).result == BinaryParse::kOk);
    packet.key += 'k';
    CheckRefused(packet.Encode(), BinaryStatus::kInvalidArguments);
  }
}

TEST_CASE("a flush may go without its expiry") {
  const BinaryParsed parsed = Parse(BinaryPacket{.opcode = 0x08}.Encode());
  CHECK(parsed.result == BinaryParse::kOk);
  CHECK(parsed.request.exptime == 0);
}

TEST_CASE("wrong lengths are told from the header alone, in memcached's order") {
  const BinaryPacket get{.opcode = 0x00};
  CheckRefused(get.Header(3, 0, 2), BinaryStatus::kUnknownCommand);
  CheckRefused(get.Header(0, 3, 2), BinaryStatus::kUnknownCommand);
  CheckRefused(get.Header(65535, 255, 65535), BinaryStatus::kUnknownCommand);
  CheckRefused(get.Header(0, 0, 0xffffffff), BinaryStatus::kInvalidArguments);
  CheckRefused(get.Header(251, 0, 251), BinaryStatus::kInvalidArguments);
  const BinaryPacket set{.opcode = 0x01};
  CHECK(Parse(set.Header(3, 8, kMaxBinaryBodyBytes)).result == BinaryParse::kNeedMore);
  CheckRefused(set.Header(3, 8, kMaxBinaryBodyBytes + 1), BinaryStatus::kInvalidArguments);
  // Unknown opcodes are no exception.
  const BinaryPacket unknown{.opcode = 0x50};
  CheckRefused(unknown.Header(251, 0, 251), BinaryStatus::kInvalidArguments);
  CheckRefused(unknown.Header(3, 0, 2), BinaryStatus::kUnknownCommand);
}

TEST_CASE("an unknown binary opcode tells how much to skip") {
  for (const int opcode : {0x1b, 0x1f, 0x25, 0x30, 0x3c, 0xff}) {
    BinaryPacket packet{
        .opcode = static_cast<uint8_t>(opcode), .extras = "1234", .key = "key", .value = "value"};
    const std::string bytes = packet.Encode();
    const BinaryParsed parsed = Parse(std::string_view(bytes).substr(0, kBinaryHeaderBytes));
    CHECK(parsed.result == BinaryParse::kUnknown);
    CHECK(parsed.status == BinaryStatus::kUnknownCommand);
    CHECK(parsed.request.packet_bytes() == bytes.size());
    CHECK(parsed.request.opaque == packet.opaque);
    CHECK(parsed.request.opcode == opcode);
  }
}

TEST_CASE("a wrong magic is told from the first byte") {
  CHECK(Parse("").result == BinaryParse::kNeedMore);
  CHECK(Parse("\x80").result == BinaryParse::kNeedMore);
  CHECK(Parse("\x81").result == BinaryParse::kBadMagic);
  CHECK(Parse("get a\r\n").result == BinaryParse::kBadMagic);
  CHECK(Parse(BinaryPacket{.magic = 0x81}.Encode()).result == BinaryParse::kBadMagic);
}

TEST_CASE("before authentication only version and SASL are let through") {
  for (int opcode = 0; opcode < 256; ++opcode) {
    BinaryPacket packet;
    const BinaryOpcodeRow* row = FindBinaryOpcode(static_cast<uint8_t>(opcode));
    if (row != nullptr) packet = FullPacket(*row);
    packet.opcode = static_cast<uint8_t>(opcode);
    const BinaryParsed parsed = ParseBinaryRequest(packet.Encode(), false);
    if (opcode == 0x0b || (opcode >= 0x20 && opcode <= 0x22)) {
      CHECK(parsed.result == BinaryParse::kOk);
    } else {
      CHECK(parsed.result == BinaryParse::kRefused);
      CHECK(parsed.status == BinaryStatus::kAuthError);
    }
  }
  // What is wrong before anything else stays wrong; what is wrong after it is not told.
  const BinaryPacket get{.opcode = 0x00};
  CHECK(ParseBinaryRequest(get.Header(3, 0, 2), false).status == BinaryStatus::kUnknownCommand);
  CHECK(ParseBinaryRequest(get.Header(251, 0, 251), false).status == BinaryStatus::kAuthError);
}

TEST_CASE("an answer's header is written big-endian") {
  char out[kBinaryHeaderBytes + 12];
  const BinaryResponse response{.opcode = 0x0d,
                                .status = BinaryStatus::kNonNumeric,
                                .extras_bytes = 4,
                                .key_bytes = 0x0102,
                                .body_bytes = 0x03040506,
                                .opaque = 0xa1a2a3a4,
                                .cas = 0xb1b2b3b4b5b6b7b8};
  char* end = WriteBinaryHeader(response, out);
  REQUIRE(end == out + kBinaryHeaderBytes);
  CHECK(std::string_view(out, kBinaryHeaderBytes) ==
        std::string_view("\x81\x0d\x01\x02\x04\x00\x00\x06\x03\x04\x05\x06\xa1\xa2\xa3\xa4"
                         "\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8",
                         kBinaryHeaderBytes));
  end = WriteBigEndian64(0x0102030405060708, WriteBigEndian32(0xfffefdfc, end));
  CHECK(end == out + sizeof out);
  CHECK(std::string_view(out + kBinaryHeaderBytes, 12) ==
        std::string_view("\xff\xfe\xfd\xfc\x01\x02\x03\x04\x05\x06\x07\x08", 12));
}

TEST_CASE("every binary status has memcached's text") {
  CHECK(BinaryStatusText(BinaryStatus::kOk).empty());
  CHECK(BinaryStatusText(BinaryStatus::kNotFound) == "Not found");
  CHECK(BinaryStatusText(BinaryStatus::kExists) == "Data exists for key.");
  CHECK(BinaryStatusText(BinaryStatus::kTooLarge) == "Too large.");
  CHECK(BinaryStatusText(BinaryStatus::kInvalidArguments) == "Invalid arguments");
  CHECK(BinaryStatusText(BinaryStatus::kNotStored) == "Not stored.");
  CHECK(BinaryStatusText(BinaryStatus::kNonNumeric) ==
        "Non-numeric server-side value for incr or decr");
  CHECK(BinaryStatusText(BinaryStatus::kAuthError) == "Auth failure.");
  CHECK(BinaryStatusText(BinaryStatus::kUnknownCommand) == "Unknown command");
  CHECK(BinaryStatusText(BinaryStatus::kNoMemory) == "Out of memory");
}

}  // namespace
}  // namespace cairn::protocol
