#include "client/lease_watch.h"

#include <string>

#include "tests/catch.h"

namespace cairn {

TEST_CASE("a lease is overdue once, when it was seen for its time", "[client]") {
  LeaseWatch watch;
  const absl::Duration lease = absl::Seconds(10);
  const Clock::time_point start = Clock::now();
  const auto at = [&](int seconds) { return start + std::chrono::seconds(seconds); };
  CHECK_FALSE(watch.IsOverdue("key", 7, lease, at(0)));
  CHECK_FALSE(watch.IsOverdue("key", 7, lease, at(9)));
  // Others are others.
  CHECK_FALSE(watch.IsOverdue("yek", 7, lease, at(10)));
  CHECK_FALSE(watch.IsOverdue("key", 8, lease, at(10)));
  CHECK(watch.IsOverdue("key", 7, lease, at(10)));
  // Given back by one: if it is still there, it is watched anew.
  CHECK_FALSE(watch.IsOverdue("key", 7, lease, at(10)));
  CHECK_FALSE(watch.IsOverdue("key", 7, lease, at(19)));
  CHECK(watch.IsOverdue("key", 7, lease, at(20)));
  CHECK(watch.IsOverdue("key", 8, absl::Seconds(1), at(11)));
  CHECK_FALSE(watch.IsOverdue("yek", 7, absl::InfiniteDuration(), at(100)));
}

TEST_CASE("a watch over many leases is bounded, and goes on", "[client]") {
  LeaseWatch watch;
  const absl::Duration lease = absl::Seconds(10);
  const Clock::time_point start = Clock::now();
  for (uint64_t i = 0; i < 10'000; ++i) CHECK_FALSE(watch.IsOverdue("key", i, lease, start));
  // The last ones are known still, the first are not any more.
  const Clock::time_point later = start + std::chrono::seconds(10);
  CHECK(watch.IsOverdue("key", 9'999, lease, later));
  CHECK_FALSE(watch.IsOverdue("key", 0, lease, later));
}

}  // namespace cairn
