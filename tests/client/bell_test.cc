#include "client/bell.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/catch.h"

namespace cairn {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Clock::time_point kBegin(seconds(1000));
constexpr microseconds kQuick(50);
constexpr milliseconds kSlice(3);
constexpr Clock::time_point kEver = Clock::time_point::max();

}  // namespace

TEST_CASE("other threads are let run for as long as that helps", "[client]") {
  Yielding yielding;
  Clock::time_point now = kBegin;
  int times = 0;
  for (; yielding.IsWorthIt(now) && times < 100'000; ++times) {
    yielding.Learn(false, now += kQuick, kQuick, 8);
  }
  CHECK(times > 1);
  CHECK(times < 100'000);
  // Now and then it is tried again, and one time in two is enough.
  CHECK_FALSE(yielding.IsWorthIt(now + kQuick));
  now += milliseconds(10);
  REQUIRE(yielding.IsWorthIt(now));
  for (int i = 0; i < 1000; ++i) {
    yielding.Learn(i % 2 == 0, now += kQuick, kQuick, 8);
    REQUIRE(yielding.IsWorthIt(now));
  }
}

TEST_CASE("who is kept from the processor for long sleeps at once from then on", "[client]") {
  Yielding yielding;
  Clock::time_point now = kBegin;
  for (int i = 0; i < 100'000; ++i) yielding.Learn(true, now += kQuick, kQuick, 4);
  // A few times are no more than was gained; and what many threads take is not somebody else's.
  yielding.Learn(true, now += kSlice, kSlice, 4);
  CHECK(yielding.IsWorthIt(now));
  for (int i = 0; i < 100; ++i) yielding.Learn(true, now += kSlice, kSlice, 1000);
  CHECK(yielding.IsWorthIt(now));
  Clock::duration lost = Clock::duration::zero();
  const Clock::time_point then = now + seconds(10);
  while (now < then) {
    if (yielding.IsWorthIt(now)) {
      yielding.Learn(true, now += kSlice, kSlice, 4);
      lost += kSlice;
    } else {
      now += kQuick;
    }
  }
  CHECK(lost > kSlice);
  CHECK(lost < milliseconds(200));
  now += seconds(1);
  REQUIRE(yielding.IsWorthIt(now));
  yielding.Learn(true, now, kQuick, 4);
  CHECK(yielding.IsWorthIt(now));
}

TEST_CASE("where a crowd yields in vain, all of it can come to the next trial", "[client]") {
  constexpr int kCrowd = 100;
  Yielding yielding;
  Clock::time_point now = kBegin;
  while (yielding.IsWorthIt(now)) yielding.Learn(false, now += kQuick, kQuick, kCrowd);
  now += milliseconds(100);
  int times = 0;
  for (; yielding.IsWorthIt(now); ++times) yielding.Learn(false, now, kQuick, kCrowd);
  CHECK(times >= kCrowd);
  CHECK(times <= 10 * kCrowd);
  // However much was lost, the next one is not far.
  now += seconds(1);
  REQUIRE(yielding.IsWorthIt(now));
  yielding.Learn(true, now += seconds(10), seconds(10), kCrowd);
  CHECK_FALSE(yielding.IsWorthIt(now));
  CHECK(yielding.IsWorthIt(now + seconds(1)));
}

TEST_CASE("the bell need not be rung for who does not sleep yet", "[client]") {
  Bell bell;
  Waiter waiter;
  waiter.bit = 4;
  Bell::Prepare(waiter);
  CHECK_FALSE(bell.SleepUntil(waiter, Clock::now()));
  CHECK(Bell::Summon(waiter) == 4);
  CHECK(bell.SleepUntil(waiter, Clock::time_point::max()));
  Bell::Prepare(waiter);
  CHECK(Bell::Summon(waiter) == 0);
  CHECK(bell.SleepUntil(waiter, Clock::time_point::max()));
}

TEST_CASE("who lets others run looks each time it was not summoned", "[client]") {
  Bell bell;
  Waiter waiter;
  Bell::Prepare(waiter);
  int looks = 0;
  CHECK_FALSE(bell.LetOthersRun(waiter, kEver, [&looks] { ++looks; }));
  CHECK(looks > 1);
  // Whose time is up meanwhile has no time for more.
  looks = 0;
  const Clock::time_point soon = Clock::now() + milliseconds(1);
  CHECK_FALSE(bell.LetOthersRun(waiter, soon, [&looks, soon] {
    while (Clock::now() < soon) continue;
    ++looks;
  }));
  CHECK(looks <= 1);
  looks = 0;
  CHECK(bell.LetOthersRun(waiter, kEver, [&looks, &waiter] {
    if (++looks == 2) Bell::Summon(waiter);
  }));
  CHECK(looks == 2);
  CHECK(bell.LetOthersRun(waiter, kEver, [&looks] { ++looks; }));
  CHECK(looks == 2);
}

TEST_CASE("all who are summoned wake up, however they wait", "[client]") {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  Bell bell;
  std::vector<Waiter> waiters(kThreads);
  std::vector<std::atomic<int>> begun(kThreads);
  std::atomic<int> woken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    waiters[t].bit = 1U << (t % 2);  // some share one
    threads.emplace_back([&bell, &woken, &waiter = waiters[t], &mine = begun[t]] {
      for (int round = 1; round <= kRounds; ++round) {
        Bell::Prepare(waiter);
        mine.store(round, std::memory_order_release);
        if (round % 3 == 2 && bell.LetOthersRun(waiter, kEver, [] {})) {
          ++woken;
        } else {
          woken += bell.SleepUntil(waiter, Clock::time_point::max()) ? 1 : 0;
        }
      }
    });
  }
  for (int round = 1; round <= kRounds; ++round) {
    for (const std::atomic<int>& each : begun) {
      while (each.load(std::memory_order_acquire) < round) std::this_thread::yield();
    }
    uint32_t bits = 0;
    for (Waiter& waiter : waiters) bits |= Bell::Summon(waiter);
    if (bits != 0) bell.Ring(bits);
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(woken == kThreads * kRounds);
}

}  // namespace cairn
