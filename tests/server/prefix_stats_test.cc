#include "server/prefix_stats.h"

#include <algorithm>
#include <string>

#include "tests/catch.h"

namespace cairn::server {
namespace {

TEST_CASE("Operations are counted by what stands before the delimiter") {
  PrefixStats stats(':', true);
  stats.RecordSet("user:1");
  stats.RecordGet("user:1", true);
  stats.RecordGet("user:2:x", false);
  stats.RecordDelete("user:1");
  stats.RecordSet("a:1");
  stats.RecordSet(":empty");
  stats.RecordSet("no delimiter");
  CHECK(stats.Dump() ==
        "PREFIX  get 0 hit 0 set 1 del 0\r\n"
        "PREFIX a get 0 hit 0 set 1 del 0\r\n"
        "PREFIX user get 2 hit 1 set 1 del 1\r\n"
        "END\r\n");
  stats.Clear();
  CHECK(stats.Dump() == "END\r\n");
}

TEST_CASE("The number of prefixes is bounded, those known go on counting") {
  PrefixStats stats('/', true);
  for (size_t i = 0; i < PrefixStats::kMaxPrefixes + 10; ++i) {
    stats.RecordSet(std::to_string(i) + "/x");
  }
  stats.RecordSet("0/y");
  const std::string dump = stats.Dump();
  CHECK(static_cast<size_t>(std::count(dump.begin(), dump.end(), '\n')) ==
        PrefixStats::kMaxPrefixes + 1);
  CHECK(dump.starts_with("PREFIX 0 get 0 hit 0 set 2 del 0\r\n"));
}

}  // namespace
}  // namespace cairn::server
