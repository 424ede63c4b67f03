#include "server/pace.h"

#include "tests/catch.h"

namespace cairn::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Pace::Turn TurnOf(uint64_t checked, uint64_t reclaimed, bool completed = false) {
  return {milliseconds(1), checked, reclaimed, completed};
}

TEST_CASE("A pass takes its share of a core, a larger one while much expires") {
  Pace pace;
  CHECK(pace.After(TurnOf(1000, 0)) == milliseconds(49));
  CHECK(pace.After(TurnOf(1000, 49)) == milliseconds(49));
  CHECK(pace.After(TurnOf(1000, 50)) == milliseconds(9));
}

TEST_CASE("Turns are few even when they cost nothing") {
  Pace pace;
  CHECK(pace.After({}) == Pace::kShortestSleep);
}

TEST_CASE("Passes that find nothing come more seldom, up to a bound") {
  Pace pace;
  CHECK(pace.After(TurnOf(10, 0, true)) == seconds(2));
  CHECK(pace.After(TurnOf(10, 0, true)) == seconds(4));
  CHECK(pace.After(TurnOf(10, 0, true)) == seconds(8));
  CHECK(pace.After(TurnOf(10, 0, true)) == seconds(8));
  // What an earlier turn of the pass found counts.
  pace.After(TurnOf(10, 1));
  CHECK(pace.After(TurnOf(10, 0, true)) == seconds(1));
  CHECK(pace.After(TurnOf(10, 0, true)) == seconds(2));
}

}  // namespace
}  // namespace cairn::server
