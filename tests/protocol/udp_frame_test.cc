#include "protocol/udp_frame.h"

#include <string>

#include "tests/catch.h"

namespace cairn::protocol {
namespace {

std::string Datagram(std::string_view header, std::string_view payload) {
  std::string datagram(header);
  datagram += payload;
  return datagram;
}

constexpr std::string_view kHeader{"\x12\x34\x00\x00\x00\x01\x00\x00", 8};

TEST_CASE("a UDP request is its id and what stands behind the header") {
  const std::string datagram = Datagram(kHeader, "get a\r\n");
  const auto request = ParseUdpRequest(datagram);
  REQUIRE(request.has_value());
  CHECK(request->request_id == 0x1234);
  CHECK(request->payload == "get a\r\n");
}

TEST_CASE("a UDP request's sequence and reserved fields are not looked at") {
  const std::string datagram =
      Datagram(std::string_view("\xff\xff\x00\x07\x00\x01\xab\xcd", 8), "x");
  const auto request = ParseUdpRequest(datagram);
  REQUIRE(request.has_value());
  CHECK(request->request_id == 0xffff);
}

TEST_CASE("UDP datagrams without payload or of a longer request are dropped") {
  for (size_t length = 0; length <= kHeader.size(); ++length) {
    CHECK_FALSE(ParseUdpRequest(kHeader.substr(0, length)).has_value());
  }
  CHECK_FALSE(ParseUdpRequest(Datagram({"\0\1\0\0\0\0\0\0", 8}, "mn\r\n")).has_value());
  CHECK_FALSE(ParseUdpRequest(Datagram({"\0\1\0\0\0\2\0\0", 8}, "mn\r\n")).has_value());
  CHECK_FALSE(ParseUdpRequest(Datagram({"\0\1\0\0\1\1\0\0", 8}, "mn\r\n")).has_value());
}

TEST_CASE("a UDP frame is written big-endian with its reserved field zero") {
  char out[kUdpHeaderBytes];
  CHECK(WriteUdpFrame({0x1234, 0x0102, 0xfffe}, out) == out + kUdpHeaderBytes);
  CHECK(std::string_view(out, sizeof out) ==
        std::string_view("\x12\x34\x01\x02\xff\xfe\x00\x00", 8));
}

TEST_CASE("a UDP answer is cut into numbered datagrams that cover it exactly") {
  const size_t bytes =
      GENERATE(as<size_t>{}, 1, 1391, 1392, 1393, 2784, 2785, 1000000, kMaxUdpAnswerBytes);
  const UdpAnswer answer(7, bytes);
  size_t covered = 0;
  for (size_t i = 0; i < answer.datagrams(); ++i) {
    REQUIRE(answer.PayloadOffset(i) == covered);
    const size_t payload = answer.PayloadBytes(i);
    REQUIRE(payload >= 1);
    REQUIRE(payload + kUdpHeaderBytes <= kMaxUdpDatagramBytes);
    if (i + 1 < answer.datagrams()) REQUIRE(payload == kMaxUdpPayloadBytes);
    REQUIRE(answer.Frame(i) ==
            UdpFrame{7, static_cast<uint16_t>(i), static_cast<uint16_t>(answer.datagrams())});
    covered += payload;
  }
  CHECK(covered == bytes);
}

TEST_CASE("no answer and one that frames cannot number make no datagram") {
  CHECK(UdpAnswer(1, 0).datagrams() == 0);
  CHECK(UdpAnswer(1, kMaxUdpAnswerBytes).datagrams() == 65535);
  CHECK(UdpAnswer(1, kMaxUdpAnswerBytes + 1).datagrams() == 0);
}

}  // namespace
}  // namespace cairn::protocol
