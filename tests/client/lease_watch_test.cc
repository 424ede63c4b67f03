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

TEST_CASE("a lease that was won here is never overdue", "[client]") {
  LeaseWatch watch;
  const absl::Duration lease = absl::Seconds(10);
  const Clock::time_point start = Clock::now();
  const Clock::time_point later = start + std::chrono::hours(1);
  watch.Won("key", 7);
  CHECK_FALSE(watch.IsOverdue("key", 7, lease, start));
  CHECK_FALSE(watch.IsOverdue("key", 7, lease, later));
  // Also if another thread has heard of it before the one that won it.
  CHECK_FALSE(watch.IsOverdue("key", 8, lease, start));
  watch.Won("key", 8);
  CHECK_FALSE(watch.IsOverdue("key", 8, lease, later));
}

TEST_CASE("a watch over many leases is bounded, and goes on", "[client]") {
  LeaseWatch watch;
  const absl::Duration lease = absl::Seconds(10);
  const Clock::time_point start = Clock::now();
  const Clock::time_point later = start + std::chrono::seconds(10);
  watch.Won("key", 0);
  // As many as are kept, asked for by turns: all of them become overdue.
  for (uint64_t id = 1; id < LeaseWatch::kLeasesKept; ++id) {
    REQUIRE_FALSE(watch.IsOverdue("key", id, lease, start));
  }
  for (uint64_t id = 10'000; id < 13'000; ++id) {
    REQUIRE_FALSE(watch.IsOverdue("key", id, lease, start));
  }
  for (uint64_t id = 1; id < 1000; ++id) REQUIRE(watch.IsOverdue("key", id, lease, later));
  CHECK_FALSE(watch.IsOverdue("key", 0, lease, later));
  // What was not asked for since is forgotten.
  for (uint64_t id = 20'000; id < 40'000; ++id) {
    REQUIRE_FALSE(watch.IsOverdue("key", id, lease, start));
  }
  CHECK_FALSE(watch.IsOverdue("key", 1, lease, later + std::chrono::seconds(10)));
}

}  // namespace cairn
