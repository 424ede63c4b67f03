#include "protocol/text_parser.h"

#include <random>
#include <string>

#include "tests/catch.h"

namespace cairn::protocol {
namespace {

constexpr std::string_view kBadFormat = "CLIENT_ERROR bad command line format";

TextRequest Parse(std::string_view line) { return ParseTextLine(line, line.size() + 2); }

TEST_CASE("a line ends with a newline, one carriage return before it belongs to the end") {
  const auto found = FindLine("get a\r\nrest");
  CHECK(found.search == LineSearch::kFound);
  CHECK(found.line == "get a");
  CHECK(found.consumed == 7);
  CHECK(FindLine("get a\n").line == "get a");
  CHECK(FindLine("get a\r\r\n").line == "get a\r");
}

TEST_CASE("a line that does not end is waited for up to 2048 bytes, a get without limit") {
  CHECK(FindLine("").search == LineSearch::kNeedMore);
  CHECK(FindLine(std::string(2048, 'x')).search == LineSearch::kNeedMore);
  CHECK(FindLine(std::string(2049, 'x')).search == LineSearch::kOverflow);
  CHECK(FindLine("get " + std::string(100000, 'k')).search == LineSearch::kNeedMore);
  CHECK(FindLine("gets " + std::string(100000, 'k')).search == LineSearch::kNeedMore);
  CHECK(FindLine("gat 0 " + std::string(3000, 'k')).search == LineSearch::kOverflow);
  const std::string blanks(100, ' ');
  CHECK(FindLine(blanks + "get " + std::string(3000, 'k')).search == LineSearch::kNeedMore);
  CHECK(FindLine(" " + blanks + "get " + std::string(3000, 'k')).search == LineSearch::kOverflow);
}

TEST_CASE("a whole line may be as long as memcached's read buffer, a get longer") {
  CHECK(FindLine(std::string(16000, 'x') + "\r\n").search == LineSearch::kFound);
  CHECK(FindLine(std::string(17000, 'x') + "\r\n").search == LineSearch::kOverflow);
  CHECK(FindLine("get " + std::string(17000, 'x') + "\r\n").search == LineSearch::kFound);
}

TEST_CASE("very short lines are badly formatted, unknown words are unknown") {
  CHECK(ParseTextLine("", 2).status == ParseStatus::kBadFormat);
  CHECK(ParseTextLine("mn", 3).status == ParseStatus::kBadFormat);
  CHECK(ParseTextLine("mn", 4).status == ParseStatus::kOk);
  for (const char* line : {"xx", "GET a", " get a", "getx a", "stats", "flush_al"}) {
    INFO(line);
    CHECK(Parse(line).status == ParseStatus::kUnknown);
  }
  CHECK(Parse("foo noreply").noreply);
  CHECK_FALSE(Parse("foo NOREPLY").noreply);
}

TEST_CASE("every verb is found by its word and by no other") {
  for (const CommandRow& row : TextCommands()) {
    const std::optional<Verb> verb = FindVerb(row.word);
    REQUIRE(verb);
    CHECK(RowOf(*verb).word == row.word);
    CHECK_FALSE(FindVerb(std::string(row.word) + "x"));
    CHECK_FALSE(FindVerb(row.word.substr(1)));
  }
}

TEST_CASE("a store's header says how much body follows") {
  const TextRequest request = Parse("set key 7 60 3");
  CHECK(request.status == ParseStatus::kOk);
  CHECK(request.verb == Verb::kSet);
  CHECK(request.key == "key");
  CHECK(request.client_flags == 7);
  CHECK(request.exptime == 60);
  CHECK(request.has_body);
  CHECK(request.body_bytes == 3);
  CHECK_FALSE(request.noreply);
  CHECK(Parse("set key 7 60 3 noreply").noreply);
  CHECK_FALSE(Parse("set key 7 60 3 noreply x").noreply);
  CHECK(Parse("cas key 0 0 1 99 noreply").number == 99);
  CHECK(Parse("set  key   0 0  5  ").body_bytes == 5);
}

TEST_CASE("a body is thrown away when its length is known, and read as commands when it is not") {
  for (const char* line : {"set k x 0 3", "set k 0 x 3", "cas k 0 0 3", "cas k 0 0 3 x"}) {
    INFO(line);
    const TextRequest request = Parse(line);
    CHECK(request.status == ParseStatus::kBadValue);
    CHECK(request.error == kBadFormat);
    CHECK(request.has_body);
    CHECK(request.body_bytes == 3);
  }
  for (const char* line : {"set k 0 0", "set k 0 0 -1", "set k 0 0 +3", "set k 0 0 2147483646",
                           "set", "set k 0 0 x noreply"}) {
    INFO(line);
    const TextRequest request = Parse(line);
    CHECK(request.status == ParseStatus::kBadFormat);
    CHECK_FALSE(request.has_body);
    CHECK_FALSE(request.noreply);
  }
  CHECK(Parse("set k 0 0 2147483645").status == ParseStatus::kOk);
  CHECK(Parse("set " + std::string(251, 'k') + " 0 0 3").status == ParseStatus::kBadValue);
}

TEST_CASE("a get lists its keys, and one that is too long spoils them all") {
  std::string_view keys = Parse("get a  b c ").keys;
  CHECK(NextToken(&keys) == "a");
  CHECK(NextToken(&keys) == "b");
  CHECK(NextToken(&keys) == "c");
  CHECK(NextToken(&keys).empty());
  CHECK(Parse("get").status == ParseStatus::kBadFormat);
  CHECK(Parse("get ").status == ParseStatus::kBadFormat);
  CHECK(Parse("get a " + std::string(250, 'k')).status == ParseStatus::kOk);
  CHECK(Parse("get a " + std::string(251, 'k')).error == kBadFormat);
  CHECK(Parse("gat 0").status == ParseStatus::kBadFormat);
  CHECK(Parse("gat x a").error == "CLIENT_ERROR invalid exptime argument");
  CHECK(Parse("gat -1 a").exptime == -1);
}

TEST_CASE("one key that is too long spoils a get, wherever it stands") {
  std::minstd_rand random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string line = "get";
    bool too_long = false;
    const size_t keys = 1 + random() % 12;
    for (size_t i = 0; i < keys; ++i) {
      const size_t bytes = random() % 4 == 0 ? 249 + random() % 3 : 1 + random() % 60;
      too_long = too_long || bytes > 250;
      line.append(1 + random() % 2, ' ').append(bytes, 'k');
    }
    line.append(random() % 3, ' ');
    CHECK(Parse(line).error == (too_long ? kBadFormat : ""));
  }
}

TEST_CASE("numbers of touch, incr and flush_all are strict") {
  CHECK(Parse("incr k 5").number == 5);
  CHECK(Parse("incr k +5").error == "CLIENT_ERROR invalid numeric delta argument");
  CHECK(Parse("incr k").status == ParseStatus::kBadFormat);
  CHECK(Parse("incr noreply").status == ParseStatus::kBadFormat);
  CHECK(Parse("touch k 99999999999").error == "CLIENT_ERROR invalid exptime argument");
  CHECK(Parse("delete noreply").noreply);
  CHECK(Parse("delete noreply").key == "noreply");
  CHECK(Parse("delete k 10").status == ParseStatus::kOk);
  CHECK(Parse("flush_all").exptime == 0);
  CHECK(Parse("flush_all noreply").noreply);
  CHECK(Parse("flush_all 10 noreply").exptime == 10);
  CHECK(Parse("flush_all x").error == "CLIENT_ERROR invalid exptime argument");
}

TEST_CASE("meta flags keep their order and their arguments") {
  const TextRequest request = Parse("mg key v t T60 Oabc k C5");
  REQUIRE(request.status == ParseStatus::kOk);
  const MetaFlags& meta = request.meta;
  CHECK(meta.value);
  CHECK(meta.ttl == 60);
  CHECK(meta.cas == 5);
  std::string order;
  for (const MetaFlag& flag : meta.in_order()) order.push_back(flag.letter());
  CHECK(order == "vtTOkC");
  CHECK(meta.Precedes('t', 'T'));
  CHECK_FALSE(meta.Precedes('T', 't'));
  CHECK(meta.Precedes('T', 'N'));
}

TEST_CASE("wrong meta flags are answered as memcached answers them") {
  CHECK(Parse("mg k !").status == ParseStatus::kBadFormat);
  CHECK(Parse("mg k Z").error == "CLIENT_ERROR invalid flag");
  CHECK(Parse("mg k v v").error == "CLIENT_ERROR duplicate flag");
  CHECK(Parse("mg k Tx").error == "CLIENT_ERROR bad token in command line format");
  CHECK(Parse("mg k Fx").error == kBadFormat);
  CHECK(Parse("mg k Jx").error == "CLIENT_ERROR invalid numeric initial value");
  CHECK(Parse("mg k Dx").error == "CLIENT_ERROR invalid numeric delta value");
  CHECK(Parse("ma k Dx").error == "CLIENT_ERROR invalid or duplicate flag");
  CHECK(Parse("mg k Tx Dx").error == "CLIENT_ERROR invalid numeric delta value");
  CHECK(Parse("mg k Tx Fx").error == "CLIENT_ERROR bad token in command line format");
  CHECK(Parse("mg k Tx v v").error == "CLIENT_ERROR duplicate flag");
  CHECK(Parse("mg k a b c d e f g h i j k l m n o p q r").status == ParseStatus::kBadValue);
  CHECK(Parse("mg k a b c d e f g h i j k l m n o p q r s").error ==
        "CLIENT_ERROR options flags are too long");
  CHECK(Parse("ms k 1 a b c d e f g h i j k l m n o p q r").error ==
        "CLIENT_ERROR options flags are too long");
}

TEST_CASE("ms says how much body follows even when its flags are wrong") {
  CHECK(Parse("ms k 3 T60").body_bytes == 3);
  CHECK(Parse("ms k 3 Z").has_body);
  CHECK(Parse("ms k S3").status == ParseStatus::kBadFormat);
  CHECK(Parse("ms k -1").status == ParseStatus::kBadFormat);
  CHECK(Parse("ms k").status == ParseStatus::kBadFormat);
  CHECK_FALSE(Parse("ms k 3 ~").has_body);
}

}  // namespace
}  // namespace cairn::protocol
