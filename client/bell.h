#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "client/call.h"
#include "client/server_state.h"

namespace cairn {

/// A thread that waits for its call while another one does the work. One a thread, for its life.
struct Waiter {
  Call* call = nullptr;
  /// Summoned because it is to do the work now, not because its call is done.
  bool leads = false;
  uint32_t bit = 0;  ///< Few waiters have the same.
  int crowd = 0;     ///< About how many wait at a time.

  enum class State : uint8_t { kAwake, kAsleep, kSummoned };
  /// Summoned last of all: from then on the thread may be gone.
  std::atomic<State> state{State::kAwake};
};

/// Whether threads that have to wait do well to let others run a few times, before they sleep. With
/// many threads to a processor the others bring their requests and the answers meanwhile, and that
/// costs half of what a sleep and a wake-up do. But it is no use where nobody else runs, and does
/// harm where somebody else takes the processor for long. So it is done for as long as it has
/// gained more than it has lost, and else for a hundredth of the time, to see. Thread-safe.
class Yielding {
 public:
  bool IsWorthIt(Clock::time_point now) const;
  /// It was tried until `now`, for `took`, while about `crowd` threads waited.
  void Learn(bool helped, Clock::time_point now, Clock::duration took, int crowd);

 private:
  static constexpr Clock::duration kMostCredit = std::chrono::milliseconds(10);

  // Threads may overwrite what another learned: there is more to come.
  std::atomic<Clock::duration> credit_{kMostCredit};
  std::atomic<Clock::time_point> not_before_{Clock::time_point()};
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
  /// Until it is summoned; false when `deadline` passed first.
  bool WaitUntil(Waiter& waiter, Clock::time_point deadline);

 private:
  bool LetOthersRun(Waiter& waiter);
  bool SleepUntil(const Waiter& waiter, Clock::time_point deadline);

  std::atomic<uint32_t> rings_{0};
  Yielding yielding_;
};

}  // namespace cairn
