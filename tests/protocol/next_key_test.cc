#include "protocol/next_key.h"

#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "protocol/binary_codec.h"
#include "tests/binary_packet.h"
#include "tests/catch.h"

namespace cairn::protocol {
namespace {

using Take = std::string_view (*)(std::string_view*);

std::vector<std::string> Keys(Take take, std::string_view input) {
  std::vector<std::string> keys;
  while (!input.empty()) {
    const size_t before = input.size();
    const std::string_view key = take(&input);
    REQUIRE(input.size() < before);  // or the caller would never end
    if (!key.empty()) keys.emplace_back(key);
  }
  return keys;
}

using Expected = std::vector<std::string>;

TEST_CASE("the first key of each text request", "[next_key]") {
  CHECK(Keys(NextTextKey, "get a\r\nget b c d\r\ngets e\r\n") == Expected{"a", "b", "e"});
  CHECK(Keys(NextTextKey, "gat 60 a b\r\ngats -1 c\r\n") == Expected{"a", "c"});
  CHECK(Keys(NextTextKey, "delete a\nincr b 1\ntouch c 0\n") == Expected{"a", "b", "c"});
  CHECK(Keys(NextTextKey, "mg a v\r\nmd b q\r\nma c\r\nme d\r\nmn\r\nmg e\r\n") ==
        Expected{"a", "b", "c", "d", "e"});
  CHECK(Keys(NextTextKey, "version\r\nflush_all\r\nstats\r\nnonsense x\r\n\r\nget a\r\n") ==
        Expected{"a"});
}

TEST_CASE("bodies are passed over", "[next_key]") {
  CHECK(Keys(NextTextKey, "set a 0 0 7\r\nget x\r\n\r\nget b\r\n") == Expected{"a", "b"});
  CHECK(Keys(NextTextKey, "cas a 1 2 5 99 noreply\r\nget x\r\nms b 6 T0\r\nget x\n\r\nmg c\r\n") ==
        Expected{"a", "b", "c"});
  // No length: what follows are requests, as for the parser.
  CHECK(Keys(NextTextKey, "set a 0 0 x\r\nget b\r\n") == Expected{"a", "b"});
  // The body is not all there.
  CHECK(Keys(NextTextKey, "set a 0 0 100\r\nget b\r\n") == Expected{"a"});
  CHECK(Keys(NextTextKey, "set a 0 0 4294967295\r\nget b\r\n") == Expected{"a"});
}

TEST_CASE("a key that is too long is none", "[next_key]") {
  const std::string key(250, 'k');
  CHECK(Keys(NextTextKey, "get " + key + "\r\nset " + key + "k 0 0 1\r\nx\r\nget " + key +
                              "k\r\nget a\r\n") == Expected{key, "a"});
}

TEST_CASE("an unfinished request ends the look ahead", "[next_key]") {
  CHECK(Keys(NextTextKey, "get a\r\nget b") == Expected{"a"});
  CHECK(Keys(NextTextKey, "\n") == Expected{});
}

TEST_CASE("the key of each binary request", "[next_key]") {
  const std::string get = tests::BinaryPacket{.opcode = 0x00, .key = "first"}.Encode();
  const std::string set =
      tests::BinaryPacket{
          .opcode = 0x01, .extras = std::string(8, '\0'), .key = "second", .value = "value"}
          .Encode();
  const std::string noop = tests::BinaryPacket{.opcode = 0x0a}.Encode();
  CHECK(Keys(NextBinaryKey, get + noop + set + get) == Expected{"first", "second", "first"});
  CHECK(Keys(NextBinaryKey, get + set.substr(0, set.size() - 1)) == Expected{"first", "second"});
  CHECK(Keys(NextBinaryKey, get + set.substr(0, 30)) == Expected{"first"});
  CHECK(Keys(NextBinaryKey, get + "nonsense" + get) == Expected{"first"});
}

TEST_CASE("any bytes are passed in the end", "[next_key]") {
  constexpr std::string_view kWords[] = {"get ", "set ", "ms ",  "a",  " ",        "0 ",
                                         "12 ",  "-",    "\r\n", "\n", "\x80\x01", "gat 1 "};
  std::mt19937 random(20);
  for (int round = 0; round < 2000; ++round) {
    std::string input;
    for (size_t words = random() % 40 + 1; words != 0; --words) {
      input += kWords[random() % std::size(kWords)];
    }
    for (const std::string& key : Keys(NextTextKey, input)) CHECK(key.find(' ') == key.npos);
    Keys(NextBinaryKey, input);
  }
}

}  // namespace
}  // namespace cairn::protocol
