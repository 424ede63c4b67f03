#include "client/accounting.h"

#include <algorithm>

namespace cairn {

size_t KeysOf(const Part& part) {
  if (part.operation == Operation::kAskServer || part.operation == Operation::kFlushAll) return 0;
  return part.keys.size() + part.quiet_keys;
}

KeyCounts CountKeys(const Part& part, bool answered) {
  KeyCounts counts;
  const size_t keys = KeysOf(part);
  if (part.quiet_keys > 0) {
    // Nothing was said of those that were stored.
    if (!answered) return counts;
    counts.refused = std::min(keys, part.errors.size());
    counts.answered = keys;
    counts.done = keys - counts.refused;
    return counts;
  }
  for (size_t i = 0; i < keys; ++i) {
    const Answer& answer = part.call->answers[part.keys[i].answer];
    const AnswerState state = answer.state;
    counts.done += state == AnswerState::kHit && IsThere(answer) ? 1 : 0;
    counts.refused += state == AnswerState::kFailed ? 1 : 0;
    counts.answered += state == AnswerState::kPending ? 0 : 1;
  }
  return counts;
}

namespace {

void Count(const Part& part, const KeyCounts& counts, ConnectionCounters* to) {
  to->refused.Add(counts.refused);
  if (part.shape == AnswerShape::kValues || part.shape == AnswerShape::kLease) {
    to->hits.Add(counts.done);
    to->misses.Add(counts.answered - counts.done - counts.refused);
  } else {
    to->written.Add(counts.answered - counts.refused);
  }
}

}  // namespace

void CountAnswered(Part& part, size_t done, size_t refused, ConnectionCounters* counters) {
  const size_t keys = KeysOf(part);
  if (part.counted.exchange(true, std::memory_order_relaxed)) {
    counters->late.Add(keys);
    return;
  }
  if (part.quiet_keys > 0) {
    refused = std::min(keys, part.errors.size());
    done = keys - refused;
  }
  if (keys > 0) Count(part, {done, refused, keys}, counters);
}

void CountNotReached(Part& part, Ending why, ConnectionCounters* counters) {
  if (part.counted.exchange(true, std::memory_order_relaxed)) return;
  const KeyCounts counts = CountKeys(part, false);
  Count(part, counts, counters);
  counters->not_reached[static_cast<size_t>(why)].Add(KeysOf(part) - counts.answered);
}

void Abandon(Call& call, const std::vector<std::unique_ptr<ServerState>>& servers) {
  call.abandoned.store(true, std::memory_order_relaxed);
  for (Part& part : call.parts) {
    if (part.counted.exchange(true, std::memory_order_relaxed)) continue;
    servers[part.server]->counters().CountCallTimeout(KeysOf(part));
  }
}

void Trace(Tracer& tracer, const Part& part, const PartEnd& end) {
  const KeyCounts counts = CountKeys(part, end.status.ok());
  const auto duration = std::max(end.now - part.call->begun, Clock::duration::zero());
  tracer.OnEnd({.operation = part.operation,
                .server = part.server,
                .address = end.address,
                .keys = KeysOf(part),
                .hits = counts.done,
                .bytes_sent = end.sent ? (part.meta.empty() ? part.text : part.meta).size() : 0,
                .bytes_received = end.bytes_received,
                .duration = absl::FromChrono(duration),
                .status = end.status,
                .sent_again = part.sent_again,
                .abandoned = part.call->abandoned.load(std::memory_order_relaxed),
                .context = part.call->trace_context});
}

std::string_view NameOf(Operation operation) {
  switch (operation) {
    case Operation::kGet:
      return "get";
    case Operation::kGetAndTouch:
      return "get_and_touch";
    case Operation::kGetWithLease:
      return "get_with_lease";
    case Operation::kSet:
      return "set";
    case Operation::kAdd:
      return "add";
    case Operation::kReplace:
      return "replace";
    case Operation::kAppend:
      return "append";
    case Operation::kPrepend:
      return "prepend";
    case Operation::kCompareAndSwap:
      return "compare_and_swap";
    case Operation::kDelete:
      return "delete";
    case Operation::kDeleteIf:
      return "delete_if";
    case Operation::kTouch:
      return "touch";
    case Operation::kInvalidate:
      return "invalidate";
    case Operation::kReleaseLease:
      return "release_lease";
    case Operation::kIncrement:
      return "increment";
    case Operation::kDecrement:
      return "decrement";
    case Operation::kFlushAll:
      return "flush_all";
    case Operation::kAskServer:
      return "ask_server";
  }
  return "unknown";
}

}  // namespace cairn
