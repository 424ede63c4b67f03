#include "protocol/tokens.h"

#include <string>
#include <vector>

#include "tests/catch.h"

namespace cairn::protocol {
namespace {

TEST_CASE("The first blank is found wherever it is, and nothing behind the end") {
  for (size_t length = 0; length <= 40; ++length) {
    for (size_t before = 0; before < 4; ++before) {
      const std::string text(length, 'k');
      const std::string around = std::string(before, 'k') + text + ' ';
      const char* const begin = around.data() + before;
      CHECK(FindBlank(begin, begin + length) == begin + length);
      // Of its very size, so that AddressSanitizer sees what is read behind it.
      const std::vector<char> exact(text.begin(), text.end());
      CHECK(FindBlank(exact.data(), exact.data() + length) == exact.data() + length);
      for (size_t at = 0; at < length; ++at) {
        std::string with_blanks = around;
        with_blanks[before + at] = ' ';
        if (at + 2 < length) with_blanks[before + at + 2] = ' ';
        const char* const start = with_blanks.data() + before;
        CHECK(FindBlank(start, start + length) == start + at);
      }
    }
  }
}

TEST_CASE("Tokens are taken one after the other") {
  std::string_view rest = "  a bc   a-token-of-more-than-sixteen-bytes d  ";
  CHECK(NextToken(&rest) == "a");
  CHECK(NextToken(&rest) == "bc");
  CHECK(NextToken(&rest) == "a-token-of-more-than-sixteen-bytes");
  CHECK(NextToken(&rest) == "d");
  CHECK(NextToken(&rest).empty());
  CHECK(NextToken(&rest).empty());
  rest = {};
  CHECK(NextToken(&rest).empty());
}

}  // namespace
}  // namespace cairn::protocol
