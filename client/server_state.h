#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "cairn/options.h"
#include "client/address_book.h"
#include "client/call.h"
#include "client/counters.h"
#include "client/tls.h"

namespace cairn {

/// An absl::Duration in the clock's terms; infinite and absurd ones become 50 years.
Clock::duration ToClock(absl::Duration duration);
timespec ToTimespec(Clock::duration duration);

/// What is known of a server, for all connections to it. Thread-safe.
class ServerState {
 public:
  /// `troubled` and `tls` (null: none) outlive it; `troubled` is raised while this server is paused
  /// or on trial.
  ServerState(Server server, const ClientOptions& options, const TlsContext* tls,
              std::atomic<int>* troubled);

  const Server& server() const { return server_; }
  const std::string& address() const { return address_; }
  /// Null: it is spoken to in the clear.
  const TlsContext* tls() const { return server_.IsUnixSocket() ? nullptr : tls_; }

  /// Where it is. A failure has its name looked up again.
  AddressBook& addresses() { return addresses_; }

  /// A trial, told from others by when it ends.
  using Trial = Clock::rep;
  static constexpr Trial kNoTrial = 0;
  /// Whether it may be asked now, which after a pause is one trial for one asker; kNoTrial while it
  /// is well. Otherwise Unavailable, with the last failure in the message.
  absl::StatusOr<Trial> Admit(Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);
  /// Whether `trial` is under way: it has not ended in one way or another, nor lasted too long.
  bool IsUnderWay(Trial trial, Clock::time_point now) const {
    return trial != kNoTrial && trial == avoided_until_.load(std::memory_order_relaxed) &&
           now.time_since_epoch().count() < trial;
  }
  /// What is told to those whose request is not the trial under way; ok: it is well again.
  absl::Status Refusal() ABSL_LOCKS_EXCLUDED(mutex_);
  /// It has answered.
  void Succeeded(Clock::time_point now);
  /// Counts; true when this begins a pause. `trial`: the last one of the connection that failed;
  /// without it, whichever is under way.
  bool Failed(const absl::Status& why, Clock::time_point now,
              std::optional<Trial> trial = std::nullopt);

  enum class Standing : uint8_t {
    kWell,
    kTrialDue,   ///< Its pause is over: whoever claims the trial is to try it.
    kLeftAlone,  ///< It is paused, or being tried by somebody.
  };
  Standing standing(Clock::time_point now) const {
    const Clock::rep until = avoided_until_.load(std::memory_order_relaxed);
    if (until == 0) return Standing::kWell;
    return now.time_since_epoch().count() < until ? Standing::kLeftAlone : Standing::kTrialDue;
  }
  bool troubled() const { return avoided_until_.load(std::memory_order_relaxed) != 0; }
  /// True for one asker, who has then to send it a request. Of who does not, soon, others are not
  /// kept from trying. A server whose name did not resolve is looked up first, and its trial is due
  /// until there is an address.
  bool ClaimTrial(Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);

  CounterSet& counters() { return counters_; }
  ServerStatistics Statistics(Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);

  Dialect dialect() const { return dialect_.load(std::memory_order_relaxed); }
  void set_dialect(Dialect dialect) { dialect_.store(dialect, std::memory_order_relaxed); }

  /// Whether it refuses for certain what has so many bytes of key and value, as it said of itself.
  bool Refuses(size_t item_bytes) {
    return item_bytes > item_bytes_max_.load(std::memory_order_relaxed) && LimitIsBelieved();
  }
  /// Of what it refuses, why.
  absl::Status TooLarge() const;
  /// Nobody has had an answer; or it failed, and that was some time ago.
  bool limit_question_due(Clock::time_point now) const;
  bool limit_question_due() const {
    return limit_question_.load(std::memory_order_relaxed) != LimitQuestion::kAnswered &&
           limit_question_due(Clock::now());
  }
  /// There was no answer, or none that made sense: it is asked again after a minute, then two, ...
  void FailLimitQuestion(Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);
  /// What it said: the most that an item may have, all counted; nullopt: nothing.
  void LearnLimit(std::optional<size_t> item_size_max, Clock::time_point now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  /// What was connected to may be another program.
  void ForgetLimit() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Status RefusalLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool BeginTrial(Clock::duration lasts, Clock::time_point now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool LimitIsBelieved();

  const Server server_;
  const std::string address_;
  const uint32_t max_fails_;
  const Clock::duration fail_timeout_;
  const Clock::duration pause_max_;
  const Clock::duration trial_max_;  // how long a failure may take to show
  const TlsContext* const tls_;
  std::atomic<int>* const troubled_;
  AddressBook addresses_;
  std::atomic<Dialect> dialect_{Dialect::kUnknown};
  // 0 when it is well. Until then others keep away: for the pause, or for the time a trial may
  // take.
  std::atomic<Clock::rep> avoided_until_{0};
  CounterSet counters_;
  // What is known of its limit is written under mutex_, since several connections may have asked.
  enum class LimitQuestion : uint8_t { kDue, kFailed, kAnswered };
  std::atomic<LimitQuestion> limit_question_{LimitQuestion::kDue};
  std::atomic<size_t> item_bytes_max_{std::numeric_limits<size_t>::max()};
  std::atomic<Clock::rep> limit_learned_{0};
  std::atomic<Clock::rep> limit_asked_again_{0};  // with kFailed: not before
  std::atomic<int> limit_failures_{0};

  absl::Mutex mutex_;
  uint32_t fails_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point last_fail_ ABSL_GUARDED_BY(mutex_);
  Clock::duration next_pause_ ABSL_GUARDED_BY(mutex_);
  bool on_trial_ ABSL_GUARDED_BY(mutex_) = false;  // it was paused and has not answered since
  bool claimed_ ABSL_GUARDED_BY(mutex_) = false;   // by one who has not been admitted yet
  absl::Status last_failure_ ABSL_GUARDED_BY(mutex_);
  uint64_t pauses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn
