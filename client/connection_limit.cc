// What a Connection does about values that its server may not take.
#include <cerrno>
#include <string_view>
#include <utility>

#include "client/connection.h"
#include "client/limit_question.h"
#include "client/requests.h"

namespace cairn {

// What may be too large is kept back until the server has said how much it takes, once after each
// time that a connection was made. It is asked when nothing else is awaited here, so that nothing
// is lost with a peer that hangs up on the question: proxies do. While another connection asks,
// this one asks, too: that is simpler than to wait for it.
void Connection::AskForLimit(Clock::time_point now) {
  const std::string_view question = LimitQuestion(dialect_);
  iovec piece = {const_cast<char*>(question.data()), question.size()};
  // Nothing is unsent, so that there is room; a socket that has none is as good as broken.
  if (Send(&piece, 1) != static_cast<ssize_t>(question.size())) return GiveUpLimit(now);
  counters_->bytes_sent.Add(question.size());
  state_ = State::kAsking;
  last_progress_ = now;
  input_begin_ = input_end_ = 0;
}

void Connection::OnLimitAnswer(Clock::time_point now) {
  LimitAnswer answer;
  do {
    const ssize_t bytes = Receive(input_.get() + input_end_, kInputBytes - input_end_);
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (bytes <= 0) return GiveUpLimit(now);
    input_end_ += static_cast<size_t>(bytes);
    counters_->bytes_received.Add(static_cast<uint64_t>(bytes));
    answer = ReadLimitAnswer({input_.get(), input_end_}, dialect_);
  } while (answer.state == LimitAnswer::State::kPartial);
  if (answer.state == LimitAnswer::State::kNone || answer.bytes != input_end_) {
    return GiveUpLimit(now);
  }
  input_end_ = 0;
  state_ = State::kReady;
  server_->LearnLimit(answer.item_size_max, now);
  HasAnswered(now);  // of a server in trouble no limit is believed
}

// Goes on with another connection, on which this is not asked. Who hung up has just been there, so
// that nobody needs to be asked whether it may be tried.
void Connection::GiveUpLimit(Clock::time_point now) {
  server_->FailLimitQuestion(now);
  ask_version_ = dialect_ != Dialect::kText;  // what it speaks is known, and it may hang up on that
  gave_up_limit_ = true;
  Close();
  if (auto known = server_->addresses().Get(); known.ok()) addresses_ = *std::move(known);
  address_ = 0;
  connect_deadline_ = now + connect_timeout_;
  ConnectTo(now);
}

// A value that the server would refuse is not sent, and what a set was to replace deleted. False
// when that leaves nothing to send, and the part is over.
bool Connection::Overrule(Part* part, Dialect dialect, Clock::time_point now) {
  if (part->operation == Operation::kSet) {
    part->overruled = server_->TooLarge();
    BecomeDelete(part, dialect);
    return true;
  }
  proven_ = true;  // the server has answered the question, and may be asked for no more for long
  part->counted.store(true, std::memory_order_relaxed);  // as little as what is refused before
  Finish(part, server_->TooLarge(), Ending::kCancelled, now);
  return false;
}

}  // namespace cairn
