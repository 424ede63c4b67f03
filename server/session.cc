#include "server/session.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "protocol/next_key.h"
#include "server/commands.h"
#include "server/sasl.h"

namespace cairn::server {
namespace {

constexpr char kBinaryRequestMagic = '\x80';

}  // namespace

Session::Session(WorkerContext* worker, const SessionOptions& options)
    : worker_(worker), options_(options) {}

Session::~Session() = default;

Progress Session::Process(std::string_view input, Output* out, unsigned max_requests) {
  out_ = out;
  size_t consumed = 0;
  size_t ahead = 0;
  unsigned requests = 0;
  const auto stop = [&](SessionStatus status) {
    ahead_ = {};  // the input is going to be another
    return Progress{status, consumed};
  };
  for (;;) {
    if (out->over_high_water()) return stop(SessionStatus::kBlocked);
    std::string_view left = input.substr(consumed);
    if (swallowed_ != nullptr) {
      const uint64_t drop = std::min<uint64_t>(swallowed_->bytes_left, left.size());
      swallowed_->bytes_left -= drop;
      consumed += static_cast<size_t>(drop);
      if (swallowed_->bytes_left != 0) return stop(SessionStatus::kNeedInput);
      out->Append(swallowed_->answer);
      swallowed_.reset();
      continue;
    }
    if (transfer_ != nullptr) {
      consumed += ReceiveTransfer(left);
      if (transfer_ != nullptr) return stop(SessionStatus::kNeedInput);
      if (close_) return stop(SessionStatus::kClose);
      continue;
    }
    if (left.empty()) return stop(SessionStatus::kNeedInput);
    if (requests == max_requests) return stop(SessionStatus::kYield);
    if (options_.protocol == WireProtocol::kNegotiating) {
      options_.protocol = TalksBinary(left) ? WireProtocol::kBinary : WireProtocol::kText;
    }
    if (consumed >= ahead) ahead = consumed + PrefetchAhead(left, max_requests - requests);
    first_of_input = consumed == 0;
    follows_noop = std::exchange(is_noop, false);
    awaits_body = false;
    const Step step = options_.protocol == WireProtocol::kBinary ? ProcessBinary(*this, left)
                                                                 : ProcessText(*this, left);
    consumed += step.consumed;
    ++requests;
    if (step.status == StepStatus::kNeedMore) return stop(SessionStatus::kNeedInput);
    if (step.status == StepStatus::kClose) {
      close_ = true;
      return stop(SessionStatus::kClose);
    }
    if (watch != nullptr) return stop(SessionStatus::kNeedInput);
    if (continuation_ != nullptr) return stop(SessionStatus::kBlocked);
  }
}

Progress Session::Continue(std::string_view input, Output* out, unsigned max_requests) {
  out_ = out;
  if (continuation_ != nullptr) {
    if (!continuation_->Continue(*this)) return {SessionStatus::kBlocked, 0};
    continuation_.reset();
  }
  return Process(input, out, max_requests);
}

bool Session::TalksBinary(std::string_view input) const {
  if (options_.protocol != WireProtocol::kNegotiating) {
    return options_.protocol == WireProtocol::kBinary;
  }
  return input.front() == kBinaryRequestMagic;
}

std::string_view Session::FirstKey(std::string_view input) const {
  return at_rest() ? TakeKey(&input) : std::string_view();
}

std::string_view Session::TakeKey(std::string_view* input) const {
  return TalksBinary(*input) ? protocol::NextBinaryKey(input) : protocol::NextTextKey(input);
}

storage::Key Session::KeyOf(std::string_view bytes) {
  const auto is_before = std::less<const char*>();
  // Not all of them were what they seemed to be.
  while (!ahead_.empty() && is_before(ahead_.front().bytes.data(), bytes.data())) {
    ahead_ = ahead_.subspan(1);
  }
  if (!ahead_.empty()) {
    const storage::Key& made = ahead_.front();
    if (made.bytes.data() == bytes.data() && made.bytes.size() == bytes.size()) return made;
  }
  return store().MakeKey(bytes);
}

size_t Session::PrefetchAhead(std::string_view input, unsigned max_requests) {
  // One alone has nothing to overlap with; a short one is seen to be alone without looking into it.
  if (!TalksBinary(input) && input.find('\n') == input.size() - 1) return input.size();
  std::string_view rest = input;
  std::string_view key = TakeKey(&rest);
  if (rest.empty()) return input.size();
  const std::span<storage::Key> keys = worker_->keys_ahead;
  const size_t most = std::min<size_t>(keys.size(), max_requests);
  size_t count = 0;
  for (size_t requests = 1;; ++requests) {
    if (!key.empty()) keys[count++] = store().MakeKey(key);
    if (requests == most || rest.empty()) break;
    key = TakeKey(&rest);
  }
  store().Prefetch(keys.first(count));
  ahead_ = keys.first(count);
  return input.size() - rest.size();
}

size_t Session::ReceiveTransfer(std::string_view input) {
  size_t consumed = 0;
  while (consumed < input.size() && transfer_ != nullptr) {
    const std::span<char> target = BodyTarget();
    const size_t n = std::min(target.size(), input.size() - consumed);
    std::memcpy(target.data(), input.data() + consumed, n);
    consumed += n;
    AdvanceTransfer(n);
  }
  return consumed;
}

std::span<char> Session::BodyTarget() {
  if (transfer_ == nullptr) return {};
  Transfer& transfer = *transfer_;
  if (transfer.received < transfer.body_bytes) {
    return transfer.reservation.WritableAt(transfer.received);
  }
  const auto at = static_cast<size_t>(transfer.received - transfer.body_bytes);
  return std::span(transfer.terminator).subspan(at, transfer.terminator_bytes - at);
}

SessionStatus Session::BodyReceived(size_t n, Output* out) {
  out_ = out;
  AdvanceTransfer(n);
  return close_ ? SessionStatus::kClose : SessionStatus::kNeedInput;
}

void Session::AdvanceTransfer(size_t n) {
  transfer_->received += n;
  if (transfer_->received < transfer_->body_bytes + transfer_->terminator_bytes) return;
  const std::unique_ptr<Transfer> done = std::move(transfer_);
  const bool terminator_ok =
      done->terminator_bytes == 0 || std::memcmp(done->terminator, "\r\n", 2) == 0;
  done->finish(*this, *done, terminator_ok);
}

void Session::Swallow(uint64_t bytes, std::string answer) {
  if (bytes == 0) {
    out_->Append(answer);
  } else {
    swallowed_ = std::make_unique<Swallowed>(Swallowed{bytes, std::move(answer)});
  }
}

void Session::RunContinuation(std::unique_ptr<Continuation> continuation) {
  if (!continuation->Continue(*this)) continuation_ = std::move(continuation);
}

}  // namespace cairn::server
