#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "client/bell.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/mutex.h"

namespace cairn {

/// A connection to every server, and the thread that drives them: always one of those that wait for
/// an answer. The first to come leads: it sends and reads for all until its own call is done, and
/// then hands over to another. So a lone caller does its own I/O with no switch between threads,
/// many share reads and writes, and no thread waits for the network with a lock in its hand.
///
/// A leader waits in poll(), and is woken from there by who brings something to send. Or, which is
/// cheaper, in recv(), when that serves all who wait: then it lets go of the lead. Who comes
/// meanwhile leads, sends, and waits for it; or, with answers of other connections to wait for,
/// goes on leading without that one.
///
/// Where yielding pays (bell.h), nobody waits in either: all who wait let the others run, and
/// whoever comes back unanswered to find nobody leading looks what has arrived, without waiting,
/// and sends what was brought. With a crowd on a processor that is one switch of threads a call.
/// Who yielded in vain some times leads for good, or sleeps if somebody does. So while anybody
/// waits, somebody leads or receives, or is awake and will look.
///
/// Thread-safe. `mutex_` guards the meeting point of threads; connections are the leader's, but for
/// what the receiving one receives.
class Channel {
 public:
  static absl::StatusOr<std::unique_ptr<Channel>> Make(
      const std::vector<std::unique_ptr<ServerState>>& servers, const ClientOptions* options);
  /// REQUIRES: no Run() is running
  ~Channel();

  /// Runs the next wave of `call` and returns when all of its parts are finished or at `deadline`;
  /// some are not finished then, and the call is to be abandoned.
  void Run(Call& call, Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit Channel(int wake_fd) : wake_fd_(wake_fd) {}

  enum class Awaited : uint8_t {
    kReturn,       ///< Its call is done, or its time up.
    kLead,         ///< It leads now,
    kLeadForGood,  ///< and yielding has just been in vain.
  };
  Awaited Await(Waiter& waiter, Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  void Look() ABSL_LOCKS_EXCLUDED(mutex_);
  void Lead(Call& call, Waiter& waiter, Clock::time_point now, Clock::time_point deadline,
            bool for_good) ABSL_LOCKS_EXCLUDED(mutex_);
  void HandOver() ABSL_LOCKS_EXCLUDED(mutex_);
  void Resume(Clock::time_point now);
  void TakeInbox(Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);
  bool BeginPolling() ABSL_LOCKS_EXCLUDED(mutex_);
  void Poll(Clock::time_point now, Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  void ReceiveWhatIsThere(Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndOverdue(Clock::time_point now);
  void Deliver() ABSL_LOCKS_EXCLUDED(mutex_);
  void RingForSummoned();

  // What a leader does that has something to wait for.
  enum class Next : uint8_t {
    kPoll,
    kGoOn,    ///< There is something to do.
    kAwait,   ///< It does not lead any more, and is to wait.
    kReturn,  ///< The same, and its call is done.
  };
  Next WaitForAnswers(Call& call, Waiter& waiter, Clock::time_point now, Clock::time_point deadline,
                      bool for_good) ABSL_LOCKS_EXCLUDED(mutex_);
  bool OthersAwait(const Connection* one) const;
  bool ReceiverSuffices() const { return receiving_ != nullptr && !OthersAwait(receiving_); }
  Connection* ToReceiveFrom(const Call& call, Clock::time_point now,
                            Clock::time_point deadline) const;
  Next ReceiveFrom(Connection* from, Call& call, Waiter& waiter) ABSL_LOCKS_EXCLUDED(mutex_);
  Next StepBack(Call& call, Waiter& waiter, bool awake) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddWaiter(Waiter& waiter, Call& call, bool awake) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool RemoveWaiter(Waiter* waiter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int wake_fd_;
  Bell bell_;

  // The leader's alone.
  std::vector<std::unique_ptr<Connection>> connections_;
  Clock::time_point driven_until_;
  std::vector<Part*> taken_;
  std::vector<Call*> finished_;
  std::vector<Waiter*> to_summon_;
  uint32_t summoned_bits_ = 0;       // of whom the bell was not rung for yet
  Connection* receiving_ = nullptr;  // from which a thread receives, or has received

  Mutex mutex_;
  bool led_ ABSL_GUARDED_BY(mutex_) = false;
  bool polling_ ABSL_GUARDED_BY(mutex_) = false;        // the leader sleeps, or is about to
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;          // and was told not to
  std::vector<bool> is_quick_ ABSL_GUARDED_BY(mutex_);  // by server, as of when polling began
  std::vector<Part*> inbox_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waiter*> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t awake_ ABSL_GUARDED_BY(mutex_) = 0;  // of `waiting_`
  double crowd_ ABSL_GUARDED_BY(mutex_) = 0;  // the most that waited, lately
  uint32_t next_bit_ ABSL_GUARDED_BY(mutex_) = 1;
  bool has_received_ ABSL_GUARDED_BY(mutex_) = false;  // what receiving_ does not know yet:
  Connection::Received received_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
