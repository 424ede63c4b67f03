// What servers say of how large their items may be.
#include "client/limit_question.h"

#include <string>

#include "tests/binary_packet.h"
#include "tests/catch.h"

namespace cairn {
namespace {

using State = LimitAnswer::State;
using tests::BinaryPacket;

std::string Setting(const std::string& name, const std::string& value) {
  BinaryPacket packet;
  packet.magic = 0x81;
  packet.opcode = 0x10;
  packet.key = name;
  packet.value = value;
  return packet.Encode();
}

std::string BinaryAnswerOf(const std::string& limit) {
  return Setting("maxbytes", "1024") + Setting("item_size_max", limit) + Setting("verbosity", "0") +
         Setting("", "");
}

void CheckPieces(const std::string& answer, Dialect dialect, std::optional<size_t> limit) {
  for (size_t bytes = 0; bytes < answer.size(); ++bytes) {
    REQUIRE(ReadLimitAnswer(answer.substr(0, bytes), dialect).state == State::kPartial);
  }
  const LimitAnswer read = ReadLimitAnswer(answer + "more", dialect);
  CHECK(read.state == State::kComplete);
  CHECK(read.bytes == answer.size());
  CHECK(read.item_size_max == limit);
}

}  // namespace

TEST_CASE("a limit is found among settings, however they arrive", "[client]") {
  CheckPieces("STAT maxbytes 1024\r\nSTAT item_size_max 4096\r\nSTAT x y\r\nEND\r\n",
              Dialect::kText, 4096);
  CheckPieces("STAT item_size_max 4096\r\nEND\r\n", Dialect::kMeta, 4096);
  CheckPieces("END\r\n", Dialect::kText, std::nullopt);
  CheckPieces(BinaryAnswerOf("4096"), Dialect::kBinary, 4096);
  CheckPieces(BinaryAnswerOf("much"), Dialect::kBinary, std::nullopt);
  CheckPieces(Setting("", ""), Dialect::kBinary, std::nullopt);
}

TEST_CASE("what cannot be an answer about a limit is none", "[client]") {
  for (const char* const answer : {"ERROR\r\n", "CLIENT_ERROR no\r\n", "STATE 1\r\n", "\r\n"}) {
    CHECK(ReadLimitAnswer(answer, Dialect::kText).state == State::kNone);
  }
  CHECK(ReadLimitAnswer(std::string(20'000, 'x'), Dialect::kText).state == State::kNone);

  BinaryPacket packet;
  packet.magic = 0x81;
  packet.opcode = 0x10;
  packet.key = "item_size_max";
  packet.value = "4096";
  SECTION("a request") { packet.magic = 0x80; }
  SECTION("of another command") { packet.opcode = 0x0a; }
  SECTION("an error") { packet.status = 0x81; }
  SECTION("without an end") { packet.value = std::string(20'000, '1'); }
  CHECK(ReadLimitAnswer(packet.Encode(), Dialect::kBinary).state == State::kNone);
}

}  // namespace cairn
