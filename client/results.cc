#include "cairn/results.h"

#include "client/result_impl.h"
#include "client/value_codec.h"

namespace cairn {

void ResultImpl::TimeOutFrom(size_t begin) {
  for (size_t i = begin; i < call->answers.size(); ++i) {
    const uint32_t part = call->answers[i].part;
    const bool is_refused = (part & kRefused) != 0;
    if (!is_refused || absl::IsResourceExhausted(refused[part & ~kRefused])) RefuseOne(i);
  }
  refused.push_back(CallTimedOut());
}

ResultImpl ResultImpl::OutOfTime() && {
  ResultImpl unasked;
  unasked.refused = std::move(refused);
  unasked.call->answers.resize(call->answers.size());
  for (size_t i = 0; i < call->answers.size(); ++i) {
    const uint32_t part = call->answers[i].part;
    if ((part & kRefused) != 0) unasked.call->answers[i].part = part;
  }
  unasked.TimeOutFrom(0);
  return unasked;
}

void ResultImpl::Snapshot() {
  size_t i = 0;
  for (const Part& part : call->parts) {
    const bool done = part.done.load(std::memory_order_acquire);
    if (i < kFewParts) {
      done_of_few_ |= uint64_t{done} << i;
    } else {
      done_.push_back(done);
    }
    ++i;
  }
  if (call->codec != nullptr) Unpack();
}

// Parts that are done are nobody else's any more.
void ResultImpl::Unpack() {
  for (size_t i = 0; i < call->answers.size(); ++i) {
    if (StateOf(i) != AnswerState::kHit) continue;
    Answer& answer = call->answers[i];
    if (!call->codec->is_encoded(answer.flags)) continue;
    size_t bytes = 0;
    std::unique_ptr<char[]> value = call->codec->Decode({answer.data, answer.size}, &bytes);
    if (value == nullptr) {
      std::vector<absl::Status>& errors = call->parts[answer.part].errors;
      errors.push_back(absl::DataLossError("a compressed value that is damaged, or too long"));
      answer.error = static_cast<uint32_t>(errors.size() - 1);
      answer.state = AnswerState::kFailed;
      answer.damaged = true;
      continue;
    }
    answer.data = value.get();
    answer.size = bytes;
    answer.flags = call->codec->Unmarked(answer.flags);
    call->unpacked.push_back(std::move(value));
  }
}

absl::Status ResultImpl::StatusOf(size_t i) const {
  const Answer& answer = call->answers[i];
  if ((answer.part & kRefused) != 0) return refused[answer.part & ~kRefused];
  if (!PartDone(answer.part)) return CallTimedOut();
  const Part& part = call->parts[answer.part];
  if (answer.state == AnswerState::kFailed) return Detached(part.errors[answer.error]);
  return answer.state == AnswerState::kPending ? Detached(part.status) : absl::OkStatus();
}

MultiGetResult::MultiGetResult() = default;
MultiGetResult::MultiGetResult(MultiGetResult&&) noexcept = default;
MultiGetResult& MultiGetResult::operator=(MultiGetResult&&) noexcept = default;
MultiGetResult::~MultiGetResult() = default;

MultiGetResult::MultiGetResult(ResultImpl&& impl)
    : impl_(std::make_unique<ResultImpl>(std::move(impl))), size_(impl_->call->answers.size()) {
  for (size_t i = 0; i < size_; ++i) {
    const AnswerState state = impl_->StateOf(i);
    hits_ += state == AnswerState::kHit ? 1 : 0;
    misses_ += state == AnswerState::kMiss ? 1 : 0;
  }
}

MultiGetResult::Entry MultiGetResult::operator[](size_t i) const {
  const AnswerState state = impl_->StateOf(i);
  if (state == AnswerState::kMiss) return {KeyOutcome::kMiss, {}, 0, 0};
  if (state != AnswerState::kHit) return {};
  const Answer& answer = impl_->call->answers[i];
  return {KeyOutcome::kHit, {answer.data, answer.size}, answer.flags, answer.number};
}

absl::Status MultiGetResult::status(size_t i) const { return impl_->StatusOf(i); }

MultiWriteResult::MultiWriteResult() = default;
MultiWriteResult::MultiWriteResult(MultiWriteResult&&) noexcept = default;
MultiWriteResult& MultiWriteResult::operator=(MultiWriteResult&&) noexcept = default;
MultiWriteResult::~MultiWriteResult() = default;

MultiWriteResult::MultiWriteResult(ResultImpl&& impl)
    : impl_(std::make_unique<ResultImpl>(std::move(impl))), size_(impl_->call->answers.size()) {
  for (size_t i = 0; i < size_; ++i) {
    const AnswerState state = impl_->StateOf(i);
    done_ += state == AnswerState::kHit ? 1 : 0;
    failed_ += state == AnswerState::kPending || state == AnswerState::kFailed ? 1 : 0;
  }
}

bool MultiWriteResult::done(size_t i) const { return impl_->StateOf(i) == AnswerState::kHit; }

absl::Status MultiWriteResult::status(size_t i) const { return impl_->StatusOf(i); }

}  // namespace cairn
