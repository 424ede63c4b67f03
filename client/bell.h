#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "client/call.h"
#include "client/server_state.h"

namespace cairn {

/// A thread that waits for its call while another one does the work. Nobody else knows of it once
/// it was summoned.
struct Waiter {
  Call* call = nullptr;
  /// Summoned because it is to do the work now, not because its call is done.
  bool leads = false;
  bool awake = false;  ///< Lets others run, or is about to: the channel's.
  uint32_t bit = 0;    ///< Few waiters have the same.
  int crowd = 0;       ///< About how many wait at a time.

  enum class State : uint8_t { kAwake, kAsleep, kSummoned };
  /// Summoned last of all: from then on it may be gone.
  std::atomic<State> state{State::kAwake};
};

/// Whether threads that have to wait do well to let others run a few times, before they sleep. With
/// many threads to a processor the others bring their requests and the answers meanwhile, and that
/// costs half of what a sleep and a wake-up do. But it is no use where nobody else runs, and does
/// harm where somebody else takes the processor for long. So it is done for as long as it has
/// gained more than it has lost. Else it is tried for a hundredth of the time, by enough threads
/// that all who wait can come to it. Thread-safe.
class Yielding {
 public:
  bool IsWorthIt(Clock::time_point now);
  /// It was tried until `now`, for `took`, while about `crowd` threads waited.
  void Learn(bool helped, Clock::time_point now, Clock::duration took, int crowd);

 private:
  static constexpr Clock::duration kMostCredit = std::chrono::milliseconds(10);

  // Threads may overwrite what another learned: there is more to come.
  std::atomic<Clock::duration> credit_{kMostCredit};
  std::atomic<Clock::time_point> not_before_{Clock::time_point()};
  std::atomic<Clock::duration> trial_{kMostCredit};  // the credit that the next trial has
};

/// What the threads of a channel wait by, awake for a moment and then asleep. It wakes many of them
/// with one system call, which spares more than the calls: a thread that is woken by one of its own
/// may take the processor from who still has others to wake. Thread-safe.
class Bell {
 public:
  /// REQUIRES: nobody summons the waiter before it is known to wait.
  static void Prepare(Waiter& waiter) {
    waiter.state.store(Waiter::State::kAwake, std::memory_order_relaxed);
  }
  /// Ends a wait, and returns the bits to ring with for it: none when it does not sleep. The waiter
  /// may be gone then.
  static uint32_t Summon(Waiter& waiter);
  /// Wakes those who were summoned and have one of `bits`. Others who have sleep on.
  void Ring(uint32_t bits);
  /// Whether who waits should let others run.
  bool IsToLetOthersRun(Clock::time_point now) { return yielding_.IsWorthIt(now); }
  /// Yields a few times, and calls `look` when it was not summoned meanwhile, which may do so. True
  /// as soon as it was; false earlier than else when `deadline` has passed.
  template <typename Look>
  bool LetOthersRun(Waiter& waiter, Clock::time_point deadline, Look look) {
    const Clock::time_point begin = Clock::now();
    Clock::time_point now = begin;
    bool summoned = false;
    for (int i = 0; i < kYields && !summoned && now < deadline; ++i) {
      Yield();
      summoned = IsSummoned(waiter);
      if (!summoned) {
        look();
        summoned = IsSummoned(waiter);
      }
      now = Clock::now();
    }
    yielding_.Learn(summoned, now, now - begin, waiter.crowd);
    return summoned;
  }
  /// Sleeps until it is summoned; false when `deadline` passed first.
  bool SleepUntil(Waiter& waiter, Clock::time_point deadline);

 private:
  // Where it works the answers are there the second time.
  static constexpr int kYields = 4;
  static bool IsSummoned(const Waiter& waiter) {
    return waiter.state.load(std::memory_order_acquire) == Waiter::State::kSummoned;
  }
  static void Yield();

  std::atomic<uint32_t> rings_{0};
  Yielding yielding_;
};

}  // namespace cairn
