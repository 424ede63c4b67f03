#include "client/server_state.h"

#include <algorithm>
#include <utility>

namespace cairn {
namespace {

constexpr std::chrono::minutes kLimitBelieved{1};
// Between a claim and its request; a call that was refused or dropped never sends it.
constexpr std::chrono::milliseconds kClaimLasts{50};

}  // namespace

Clock::duration ToClock(absl::Duration duration) {
  // A few of them can be added up.
  const absl::Duration longest = absl::Hours(24) * 18262;
  return std::chrono::duration_cast<Clock::duration>(
      absl::ToChronoNanoseconds(std::clamp(duration, absl::ZeroDuration(), longest)));
}

timespec ToTimespec(Clock::duration duration) {
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
  timespec time = {};
  time.tv_sec = nanos / 1'000'000'000;
  time.tv_nsec = nanos % 1'000'000'000;
  return time;
}

ServerState::ServerState(Server server, const ClientOptions& options, const TlsContext* tls,
                         std::atomic<int>* troubled)
    : server_(std::move(server)),
      address_(server_.Address()),
      max_fails_(options.max_fails),
      fail_timeout_(ToClock(options.fail_timeout)),
      pause_max_(ToClock(options.pause_max)),
      trial_max_(ToClock(options.connect_timeout + options.request_timeout)),
      tls_(tls),
      troubled_(troubled),
      addresses_(server_, options.resolver),
      next_pause_(fail_timeout_) {
  if (options.protocol == ClientOptions::Protocol::kText) dialect_ = Dialect::kText;
  if (options.auth == ClientOptions::Auth::kSaslPlain) dialect_ = Dialect::kBinary;
}

absl::StatusOr<ServerState::Trial> ServerState::Admit(Clock::time_point now) {
  if (server_.down) return absl::UnavailableError(address_ + " is marked down");
  if (!troubled()) return kNoTrial;
  if (!addresses_.known()) addresses_.LookUpAgain(now);  // for when it is tried
  absl::MutexLock lock(&mutex_);
  if (!troubled()) return kNoTrial;  // it has answered in this very moment
  if (std::exchange(claimed_, false)) {
    avoided_until_.store((now + trial_max_).time_since_epoch().count(), std::memory_order_relaxed);
  } else if (!BeginTrial(trial_max_, now)) {
    return RefusalLocked();
  }
  return avoided_until_.load(std::memory_order_relaxed);
}

absl::Status ServerState::Refusal() {
  absl::MutexLock lock(&mutex_);
  return troubled() ? RefusalLocked() : absl::OkStatus();
}

absl::Status ServerState::RefusalLocked() const {
  return absl::UnavailableError(
      address_ +
      (on_trial_ ? " is being tried again after: " : " is left alone for a while after: ") +
      std::string(last_failure_.message()));
}

// One at a time tries, so that a dead server costs one timeout and not one for every thread. A
// trial of which nothing is heard ends by itself.
bool ServerState::BeginTrial(Clock::duration lasts, Clock::time_point now) {
  if (standing(now) != Standing::kTrialDue) return false;
  // Without an address there is nothing to try: it is looked up until there is one.
  if (!addresses_.known()) return false;
  on_trial_ = true;
  avoided_until_.store((now + lasts).time_since_epoch().count(), std::memory_order_relaxed);
  return true;
}

bool ServerState::ClaimTrial(Clock::time_point now) {
  if (!addresses_.known()) addresses_.LookUpAgain(now);
  absl::MutexLock lock(&mutex_);
  if (standing(now) == Standing::kWell) return true;
  // Not to be taken from another one, who has not been admitted yet.
  if (!BeginTrial(kClaimLasts, now)) return false;
  return claimed_ = true;
}

void ServerState::Succeeded(Clock::time_point now) {
  absl::MutexLock lock(&mutex_);
  // What was asked before the pause may still be answered in it, which says nothing of now.
  if (!on_trial_ && standing(now) == Standing::kLeftAlone) return;
  fails_ = 0;
  on_trial_ = claimed_ = false;
  next_pause_ = fail_timeout_;
  if (avoided_until_.exchange(0, std::memory_order_relaxed) != 0) {
    troubled_->fetch_sub(1, std::memory_order_relaxed);
  }
}

bool ServerState::Failed(const absl::Status& why, Clock::time_point now,
                         std::optional<Trial> trial) {
  addresses_.LookUpAgain(now);  // it may have moved
  absl::MutexLock lock(&mutex_);
  last_failure_ = Detached(why);  // the connections of several threads fail here
  if (max_fails_ == 0) return false;
  // Connections that break during a pause were made before it, and so were those that break during
  // a trial that is not theirs.
  const bool is_trial =
      on_trial_ && (!trial.has_value() || *trial == avoided_until_.load(std::memory_order_relaxed));
  if (!is_trial && standing(now) == Standing::kLeftAlone) return false;
  if (now - last_fail_ > fail_timeout_ + trial_max_) fails_ = 0;
  last_fail_ = std::max(last_fail_, now);
  ++fails_;
  if (fails_ < max_fails_ && !on_trial_) return false;
  const Clock::rep until = (now + next_pause_).time_since_epoch().count();
  if (avoided_until_.exchange(until, std::memory_order_relaxed) == 0) {
    troubled_->fetch_add(1, std::memory_order_relaxed);
  }
  ++pauses_;
  next_pause_ = std::min(next_pause_ * 2, std::max(pause_max_, fail_timeout_));
  fails_ = 0;
  on_trial_ = claimed_ = false;
  return true;
}

absl::Status ServerState::TooLarge() const {
  return absl::ResourceExhaustedError(address_ + " takes no item as large; it was not sent");
}

bool ServerState::limit_question_due(Clock::time_point now) const {
  const LimitQuestion question = limit_question_.load(std::memory_order_relaxed);
  if (question != LimitQuestion::kFailed) return question == LimitQuestion::kDue;
  return now.time_since_epoch().count() >= limit_asked_again_.load(std::memory_order_relaxed);
}

void ServerState::FailLimitQuestion(Clock::time_point now) {
  constexpr int kDoublingsMax = 10;
  absl::MutexLock lock(&mutex_);
  if (!limit_question_due(now)) return;  // another connection's is answered, or has failed as well
  const int failures = limit_failures_.fetch_add(1, std::memory_order_relaxed);
  const Clock::duration pause = kLimitBelieved * (1 << std::min(failures, kDoublingsMax));
  limit_asked_again_.store((now + pause).time_since_epoch().count(), std::memory_order_relaxed);
  limit_question_.store(LimitQuestion::kFailed, std::memory_order_relaxed);
}

void ServerState::LearnLimit(std::optional<size_t> item_size_max, Clock::time_point now) {
  size_t bytes_max = std::numeric_limits<size_t>::max();
  if (item_size_max > Part::kItemOverheadMin) bytes_max = *item_size_max - Part::kItemOverheadMin;
  absl::MutexLock lock(&mutex_);
  limit_failures_.store(0, std::memory_order_relaxed);
  limit_learned_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  item_bytes_max_.store(bytes_max, std::memory_order_relaxed);
  limit_question_.store(LimitQuestion::kAnswered, std::memory_order_relaxed);
}

void ServerState::ForgetLimit() {
  if (limit_question_.load(std::memory_order_relaxed) != LimitQuestion::kAnswered) return;
  absl::MutexLock lock(&mutex_);
  if (limit_question_.load(std::memory_order_relaxed) != LimitQuestion::kAnswered) return;
  item_bytes_max_.store(std::numeric_limits<size_t>::max(), std::memory_order_relaxed);
  limit_question_.store(LimitQuestion::kDue, std::memory_order_relaxed);
}

// Who stores nothing but what is refused never notices that the server has become another one. So
// now and then it is asked again, and something sent in vain.
bool ServerState::LimitIsBelieved() {
  if (troubled()) return false;
  const Clock::duration learned(limit_learned_.load(std::memory_order_relaxed));
  if (Clock::now().time_since_epoch() - learned < kLimitBelieved) return true;
  ForgetLimit();
  return false;
}

ServerStatistics ServerState::Statistics(Clock::time_point now) {
  ServerStatistics statistics;
  statistics.address = address_;
  {
    absl::MutexLock lock(&mutex_);
    statistics.last_failure = std::string(last_failure_.message());
    statistics.pauses = pauses_;
  }
  switch (standing(now)) {
    case Standing::kWell:
      statistics.state =
          server_.down ? ServerStatistics::State::kDown : ServerStatistics::State::kWell;
      break;
    case Standing::kTrialDue:
      statistics.state = ServerStatistics::State::kTrialDue;
      break;
    case Standing::kLeftAlone:
      statistics.state = ServerStatistics::State::kLeftAlone;
      break;
  }
  counters_.AddTo(&statistics);
  return statistics;
}

}  // namespace cairn
