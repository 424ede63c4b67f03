#include "protocol/numbers.h"

#include <string>

#include "tests/catch.h"

namespace cairn::protocol {
namespace {

TEST_CASE("strict numbers are digits and nothing else") {
  CHECK(ParseStrictInt32("0") == 0);
  CHECK(ParseStrictInt32("-1") == -1);
  CHECK(ParseStrictInt32("003") == 3);
  CHECK(ParseStrictInt32("2147483647") == 2147483647);
  CHECK(ParseStrictUint64("18446744073709551615") == UINT64_MAX);
  CHECK(ParseStrictInt32("-") == 0);
  CHECK_FALSE(ParseStrictUint32("-"));
  CHECK_FALSE(ParseStrictUint64("-"));
  for (const char* bad : {"", "+1", " 1", "1 ", "1x", "0x1", "5.5"}) {
    INFO(bad);
    CHECK_FALSE(ParseStrictInt32(bad));
    CHECK_FALSE(ParseStrictUint32(bad));
    CHECK_FALSE(ParseStrictUint64(bad));
  }
}

TEST_CASE("strict numbers that do not fit are none") {
  CHECK_FALSE(ParseStrictInt32("2147483648"));
  CHECK_FALSE(ParseStrictUint32("-1"));
  CHECK_FALSE(ParseStrictUint32("4294967296"));
  CHECK_FALSE(ParseStrictUint64("18446744073709551616"));
}

TEST_CASE("strict numbers have a length limit, leading zeros or not") {
  CHECK(ParseStrictInt32(std::string(11, '0')) == 0);
  CHECK_FALSE(ParseStrictInt32(std::string(12, '0')));
  CHECK(ParseStrictUint64(std::string(22, '0')) == 0u);
  CHECK_FALSE(ParseStrictUint64(std::string(23, '0')));
}

TEST_CASE("loose numbers are read as strtol reads them and cut to 32 bits") {
  CHECK(ParseLooseInt32("+5") == 5);
  CHECK(ParseLooseInt32("-1") == -1);
  CHECK(ParseLooseInt32("\t7") == 7);
  CHECK(ParseLooseInt32("7\tx") == 7);
  CHECK(ParseLooseInt32("2147483648") == INT32_MIN);
  CHECK(ParseLooseInt32("4294967301") == 5);
  CHECK(ParseLooseUint32("4294967295") == UINT32_MAX);
  CHECK(ParseLooseUint32("4294967296") == 0u);
  for (const char* bad : {"", "x", "5x", "5.5", "-", "99999999999999999999"}) {
    INFO(bad);
    CHECK_FALSE(ParseLooseInt32(bad));
    CHECK_FALSE(ParseLooseUint32(bad));
  }
}

TEST_CASE("a loose unsigned number wraps around, but into the lower half of 64 bits only") {
  CHECK(ParseLooseUint32("-0") == 0u);
  CHECK(ParseLooseUint32("\t-00\tx") == 0u);
  CHECK(ParseLooseUint32("-18446744073709551615") == 1u);
  CHECK(ParseLooseUint32("-9223372036854775809") == UINT32_MAX);
  for (const char* bad : {"-1", "-9223372036854775808", "-18446744073709551616", "+-0", "-+0"}) {
    INFO(bad);
    CHECK_FALSE(ParseLooseUint32(bad));
  }
}

TEST_CASE("decimals are written without padding") {
  char buffer[kMaxDecimalBytes];
  const auto text = [&](uint64_t value) {
    return std::string(buffer, WriteDecimal(value, buffer));
  };
  for (const uint64_t value : {0, 1, 9, 10, 11, 99, 100, 101, 110, 999, 1000, 1001, 9999}) {
    CHECK(text(value) == std::to_string(value));
  }
  CHECK(text(1048576) == "1048576");
  CHECK(text(UINT64_MAX) == "18446744073709551615");
}

}  // namespace
}  // namespace cairn::protocol
