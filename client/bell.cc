#include "client/bell.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <limits>

namespace cairn {
namespace {

using std::chrono::microseconds;

constexpr microseconds kHelpedGains(3);
constexpr microseconds kInVainLoses(2);
// A thread that makes a call has the processor for some microseconds, others may for milliseconds.
constexpr microseconds kUsual(300);
constexpr microseconds kUsualEach(20);
constexpr int kPauses = 100;
constexpr std::chrono::milliseconds kPauseMax(500);

}  // namespace

bool Yielding::IsWorthIt(Clock::time_point now) {
  if (credit_.load(std::memory_order_acquire) > Clock::duration::zero()) return true;
  if (now < not_before_.load(std::memory_order_relaxed)) return false;
  credit_.store(trial_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  return true;
}

void Yielding::Learn(bool helped, Clock::time_point now, Clock::duration took, int crowd) {
  const Clock::duration lost = std::max<Clock::duration>(took - kUsual - kUsualEach * crowd, {});
  const Clock::duration before = credit_.load(std::memory_order_relaxed);
  // The whole crowd lost the same time, and all of them will tell.
  const Clock::duration gained = (helped ? kHelpedGains : -kInVainLoses) - lost / (crowd + 1);
  const Clock::duration after = std::clamp<Clock::duration>(before + gained, {}, kMostCredit);
  if (after == Clock::duration::zero()) {
    const Clock::duration trial = kInVainLoses * (2 * crowd + 1);  // two rounds of the crowd
    trial_.store(trial, std::memory_order_relaxed);
    not_before_.store(now + std::min<Clock::duration>((lost + trial) * kPauses, kPauseMax),
                      std::memory_order_relaxed);
  }
  // As a rule nothing changes, and processors go on sharing the cache line. Last, since who sees
  // that no credit is left asks when there will be a trial.
  if (after != before) credit_.store(after, std::memory_order_release);
}

uint32_t Bell::Summon(Waiter& waiter) {
  const uint32_t bit = waiter.bit;
  const Waiter::State before =
      waiter.state.exchange(Waiter::State::kSummoned, std::memory_order_acq_rel);
  return before == Waiter::State::kAsleep ? bit : 0;
}

void Bell::Ring(uint32_t bits) {
  rings_.fetch_add(1, std::memory_order_release);
  syscall(SYS_futex, &rings_, FUTEX_WAKE_BITSET_PRIVATE, std::numeric_limits<int>::max(), nullptr,
          nullptr, bits);
}

void Bell::Yield() { sched_yield(); }

bool Bell::SleepUntil(Waiter& waiter, Clock::time_point deadline) {
  Waiter::State state = Waiter::State::kAwake;
  waiter.state.compare_exchange_strong(state, Waiter::State::kAsleep, std::memory_order_acq_rel);
  // steady_clock is CLOCK_MONOTONIC, which is what this operation's timeout is on.
  const timespec time = ToTimespec(deadline.time_since_epoch());
  for (;;) {
    // In this order: who is summoned after the second line is seen not to be, is rung for after the
    // first.
    const uint32_t rings = rings_.load(std::memory_order_acquire);
    if (waiter.state.load(std::memory_order_acquire) == Waiter::State::kSummoned) return true;
    const long result =
        syscall(SYS_futex, &rings_, FUTEX_WAIT_BITSET_PRIVATE, rings, &time, nullptr, waiter.bit);
    if (result != 0 && errno == ETIMEDOUT) {
      return waiter.state.load(std::memory_order_acquire) == Waiter::State::kSummoned;
    }
  }
}

}  // namespace cairn
