#include "client/flights.h"

#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"

namespace cairn {
namespace {

Flight::Landing Brought(const std::string& value) {
  Flight::Landing landing;
  landing.value = value;
  return landing;
}

}  // namespace

TEST_CASE("one leads a flight and all who join it get what it brings", "[client]") {
  Flights flights;
  bool leads = false;
  const auto flight = flights.Join("key", 7, &leads);
  CHECK(leads);
  std::vector<std::thread> threads;
  std::vector<std::string> got(4);
  for (std::string& each : got) {
    const auto joined = flights.Join("key", 7, &leads);
    CHECK_FALSE(leads);
    CHECK(joined == flight);
    threads.emplace_back([joined, &each] {
      if (joined->Await(absl::Minutes(5)) == Flight::State::kLanded) {
        each = **joined->landing().value;
      }
    });
  }
  flights.Land("key", flight, Brought("v"));
  for (std::thread& thread : threads) thread.join();
  CHECK(got == std::vector<std::string>(4, "v"));
  // It is over: who comes now is about something else, and what comes second is not believed.
  CHECK(flights.Join("key", 7, &leads) != flight);
  CHECK(leads);
  flights.Land("key", flight, Brought("w"));
  CHECK(*flight->landing().value == "v");
}

TEST_CASE("flights of different leases are different, and the later is found", "[client]") {
  Flights flights;
  bool leads = false;
  const auto before = flights.Join("key", 7, &leads);
  const auto after = flights.Join("key", 8, &leads);
  CHECK(leads);
  CHECK(before != after);
  CHECK(flights.Join("other", 7, &leads) != before);
  flights.Land("key", before, Brought("old"));
  CHECK(flights.Join("key", 8, &leads) == after);
  CHECK_FALSE(leads);
  CHECK(after->Await(absl::ZeroDuration()) == Flight::State::kFlying);
  CHECK(before->Await(absl::ZeroDuration()) == Flight::State::kLanded);
}

TEST_CASE("a leader who only waited can give up, one whose flight is computed cannot", "[client]") {
  Flights flights;
  bool leads = false;
  const auto waiting = flights.Join("key", 7, &leads);
  flights.GiveUp("key", waiting);
  CHECK(waiting->Await(absl::Minutes(5)) == Flight::State::kGivenUp);
  const auto led = flights.Join("key", 7, &leads);
  CHECK(leads);
  // The winner of the lease takes over what another thread began to wait for.
  CHECK(flights.Lead("key", 7) == led);
  flights.GiveUp("key", led);
  CHECK(led->Await(absl::ZeroDuration()) == Flight::State::kFlying);
  flights.Land("key", led, Brought("v"));
  CHECK(led->Await(absl::ZeroDuration()) == Flight::State::kLanded);
}

TEST_CASE("who asks to be notified hears of a flight's end once", "[client]") {
  Flights flights;
  bool leads = false;
  int heard = 0;
  const auto landed = flights.Join("a", 7, &leads);
  CHECK(landed->Notify([&] {
    // With no lock held.
    CHECK(landed->Await(absl::ZeroDuration()) == Flight::State::kLanded);
    CHECK(flights.Join("a", 7, &leads) != landed);
    ++heard;
  }));
  flights.Land("a", landed, Brought("v"));
  flights.Land("a", landed, Brought("w"));
  CHECK(heard == 1);
  CHECK_FALSE(landed->Notify([&] { ++heard; }));
  const auto given_up = flights.Join("b", 7, &leads);
  CHECK(given_up->Notify([&] { ++heard; }));
  flights.GiveUp("b", given_up);
  CHECK_FALSE(given_up->Notify([&] { ++heard; }));
  CHECK(heard == 2);
}

}  // namespace cairn
