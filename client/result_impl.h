#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/call.h"

namespace cairn {

/// Answer::part of a key that was not asked for as it should be has this, and the place of the
/// reason in ResultImpl::refused.
inline constexpr uint32_t kRefused = 0x80000000;

/// A call's answers as they were when it returned. Parts that end later, because the call's time
/// was up first, are swallowed by their connection and never looked at here.
struct ResultImpl {
  CallRef call;
  std::vector<absl::Status> refused;  ///< Why.
  /// What of the call's time was gone before its request was ready: StoreRequest::encoding, or how
  /// long it took to prepare a bulk call whole.
  Clock::duration encoding = Clock::duration::zero();

  /// Says why answer i is not asked for; and all from `begin` on.
  void Refuse(size_t i, absl::Status why) {
    RefuseOne(i);
    refused.push_back(std::move(why));
  }
  void RefuseFrom(size_t begin, absl::Status why) {
    for (size_t i = begin; i < call->answers.size(); ++i) RefuseOne(i);
    refused.push_back(std::move(why));
  }
  /// There is no time to ask for the answers from `begin` on. What was too large to be stored is
  /// not what that says, since the value that it was to replace stays.
  void TimeOutFrom(size_t begin);
  /// One that asks nobody for that reason, in place of one that was not run.
  ResultImpl OutOfTime() &&;

  /// Once, when the call has returned. Unpacks values.
  void Snapshot();
  AnswerState StateOf(size_t i) const {
    const Answer& answer = call->answers[i];
    return PartDone(answer.part) ? answer.state : AnswerState::kPending;
  }
  /// Ok when the server answered.
  absl::Status StatusOf(size_t i) const;

 private:
  void Unpack();
  void RefuseOne(size_t i) {
    call->answers[i].part = kRefused | static_cast<uint32_t>(refused.size());
  }
  bool PartDone(uint32_t part) const {
    if ((part & kRefused) != 0) return false;
    return part < kFewParts ? (done_of_few_ >> part & 1) != 0 : done_[part - kFewParts];
  }
  // Most calls have few parts, and need no memory to remember them.
  static constexpr uint32_t kFewParts = 64;
  uint64_t done_of_few_ = 0;
  std::vector<bool> done_;  // of the others
};

}  // namespace cairn
