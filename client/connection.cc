#include "client/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client/accounting.h"
#include "client/requests.h"

namespace cairn {
namespace {

// A value with more than this to come is read to where it belongs, without a copy.
constexpr size_t kDirectReadBytes = size_t{16} * 1024;
constexpr size_t kIovMax = 64;
// Since something was sent or came: whoever drives has had the time to look.
constexpr std::chrono::milliseconds kUnattended{1};
// Rounds of reading before others have their turn.
constexpr int kReadsMax = 32;

Ending EndingOf(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return Ending::kTimedOut;
  return absl::IsDataLoss(status) ? Ending::kNoSense : Ending::kBroken;
}

}  // namespace

Connection::Connection(ServerState* server, const ClientOptions* options)
    : server_(server),
      options_(options),
      counters_(server->counters().Take()),
      connect_timeout_(ToClock(options->connect_timeout)),
      request_timeout_(ToClock(options->request_timeout)),
      uses_sasl_(options->auth == ClientOptions::Auth::kSaslPlain) {}

Connection::~Connection() {
  Cancel();
  for (Call* call : finished_) call->Unref();
  server_->counters().GiveBack(counters_);
}

void Connection::Cancel() {
  Close();
  const absl::Status gone = absl::CancelledError("the client is gone");
  sending_.clear();
  batches_ = 0;
  reading_ = false;
  const Clock::time_point now = Clock::now();
  for (const Pending& pending : pending_) Finish(pending.part, gone, Ending::kCancelled, now);
  pending_.clear();
  FailQueue(gone, Ending::kCancelled, now);
}

absl::Status Connection::About(const absl::Status& status) const {
  return absl::Status(status.code(), server_->address() + ": " + std::string(status.message()));
}

// Before anybody hears that it is over, it is counted and traced.
void Connection::Finish(Part* part, const absl::Status& status, Ending ending,
                        Clock::time_point now) {
  Call* const call = part->call;
  if (ending == Ending::kAnswered) {
    CountAnswered(*part, reader_.done(), reader_.refused(), counters_);
  } else {
    CountNotReached(*part, ending, counters_);
  }
  if (options_->tracer != nullptr) {
    Trace(*options_->tracer, *part, {server_->address(), status, part->sent, part_bytes_, now});
  }
  if (call->Finish(*part, status)) {
    finished_.push_back(call);
  } else {
    call->Unref();
  }
}

void Connection::FailQueue(const absl::Status& why, Ending ending, Clock::time_point now) {
  while (!queue_.empty()) {
    Part* const part = queue_.front();
    queue_.pop_front();
    Finish(part, why, ending, now);
  }
}

short Connection::interest() const {
  switch (state_) {
    case State::kClosed:
    case State::kAwaitingRoom:
      return 0;
    case State::kConnecting:
      return POLLOUT;
    case State::kHandshaking:
    case State::kGreeting:
    case State::kAsking:
      return tls_ == nullptr ? short{POLLIN} : tls_->read_interest();
    case State::kReady:
      break;
  }
  const short to_read = tls_ == nullptr ? short{POLLIN} : tls_->read_interest();
  const short to_write = tls_ == nullptr ? short{POLLOUT} : tls_->write_interest();
  const bool reads = !pending_.empty() && !receiving_;
  return static_cast<short>((reads ? to_read : 0) | (sending_.empty() ? 0 : to_write));
}

Clock::time_point Connection::deadline() const {
  if (input_held_) return Clock::time_point();
  if (receiving_) return Clock::time_point::max();
  switch (state_) {
    case State::kClosed:
      break;
    case State::kAwaitingRoom:
      return std::min(next_try_, address_deadline_);
    case State::kConnecting:
    case State::kHandshaking:
    case State::kGreeting:
      return address_deadline_;
    case State::kReady:
      if (!pending_.empty()) return last_progress_ + request_timeout_;
      break;
    case State::kAsking:
      return last_progress_ + request_timeout_;
  }
  return Clock::time_point::max();
}

void Connection::OnDeadline(Clock::time_point now) {
  if (input_held_) return OnEvents(now);
  if (state_ == State::kAwaitingRoom && now < address_deadline_) return TryToConnect(now);
  if (state_ == State::kAsking) server_->FailLimitQuestion(now);
  if (state_ == State::kReady || state_ == State::kAsking) {
    counters_->request_timeouts.Add(1);
    Break(absl::DeadlineExceededError("no answer within the request timeout"), now);
  } else {
    OnAddressFailed(absl::DeadlineExceededError("no connection within the connect timeout"), now);
  }
}

void Connection::RecordLatency(const Part& part, Clock::time_point now) {
  // A call that began while the driver was at work may be later than `now`.
  const Clock::duration took = std::max(now - part.call->begun, Clock::duration::zero());
  counters_->RecordLatency(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
}

// --- Sending

// Nothing is due, so that anything there is to read means that this connection cannot be used: its
// end, or bytes that would be taken for the next answer.
bool Connection::BrokeWhileIdle() const {
  char byte;
  const ssize_t bytes =
      tls_ == nullptr ? recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : tls_->Peek();
  return bytes >= 0 || (errno != EAGAIN && errno != EINTR);
}

void Connection::Flush(Clock::time_point now) {
  if (queue_.empty() && sending_.empty()) return;
  if (state_ == State::kClosed) Connect(now);
  // An answer that nobody waited for may be there, and the connection's end behind it.
  if (state_ == State::kReady && !pending_.empty() && !receiving_ &&
      now - last_progress_ > kUnattended) {
    Read(now);
    if (state_ == State::kReady && is_overdue(now)) EndOverdue();
    if (state_ != State::kReady) return Flush(now);
  }
  // A pause is for connections that were there before it, too.
  if (!queue_.empty() && server_->troubled()) HoldBack(now);
  if (state_ != State::kReady) return;
  // What was just made for those who are queued is believed, or it might be made without end.
  const bool is_new = std::exchange(is_new_, false);
  if (!queue_.empty() && window_open()) {
    if (pending_.empty() && !is_new && BrokeWhileIdle()) {
      // The server was restarted, or dropped idle clients: nothing is lost.
      Close();
      return Flush(now);
    }
    StartBatch(now);
  }
  if (!sending_.empty()) Write(now);
  // It broke, and to a UNIX socket was made again at once: there is nothing that could be awaited.
  if (state_ == State::kReady && pending_.empty() && !queue_.empty()) Flush(now);
}

// The answer never came, and nobody was there to see that: it failed then, not now. Who asks now
// has not waited for it, and goes on with another connection.
void Connection::EndOverdue() {
  std::deque<Part*> queue;
  queue.swap(queue_);
  OnDeadline(last_progress_ + request_timeout_);
  queue.swap(queue_);
}

// Whose request is, or would be, the trial: the first one's that is still waited for. Null: there
// is nobody.
const Call* Connection::TrialCall() const {
  if (trial_begun_ && !pending_.empty()) return pending_.back().part->call;
  for (const Part* part : queue_) {
    if (!part->call->abandoned.load(std::memory_order_relaxed)) return part->call;
  }
  return nullptr;
}

// Of what is queued for a server in trouble only its trial goes on. Others are refused at once,
// instead of waiting with it.
void Connection::HoldBack(Clock::time_point now) {
  const bool is_mine = server_->IsUnderWay(trial_, now);
  if (!is_mine) trial_begun_ = false;
  const Call* const trial = TrialCall();
  if (trial == nullptr) return FailQueue(CallTimedOut(), Ending::kCancelled, now);
  if (!is_mine) {
    const absl::StatusOr<ServerState::Trial> admitted = server_->Admit(now);
    if (!admitted.ok()) return FailQueue(admitted.status(), Ending::kLeftAlone, now);
    trial_ = *admitted;
    if (trial_ == ServerState::kNoTrial) return;  // it is well again
  }
  const auto others = std::stable_partition(
      queue_.begin(), queue_.end(), [trial](const Part* part) { return part->call == trial; });
  if (others == queue_.end()) return;
  const absl::Status refusal = server_->Refusal();
  if (refusal.ok()) return;
  std::for_each(others, queue_.end(),
                [&](Part* part) { Finish(part, refusal, Ending::kLeftAlone, now); });
  queue_.erase(others, queue_.end());
}

void Connection::StartBatch(Clock::time_point now) {
  const bool was_idle = pending_.empty();
  while (!queue_.empty()) {
    Part* const part = queue_.front();
    queue_.pop_front();
    if (part->call->abandoned.load(std::memory_order_relaxed)) {
      // Its caller may be about to look at it.
      Finish(part, CallTimedOut(), Ending::kCancelled, now);
      continue;
    }
    // Requests were written for the dialect that the server spoke last; it may be another program
    // now.
    const bool use_meta = !part->meta.empty() && dialect_ == Dialect::kMeta;
    const ByteBuffer& request = use_meta ? part->meta : part->text;
    if (request.empty()) {
      Finish(part, About(absl::UnavailableError("changed its protocol; ask again")),
             Ending::kBroken, now);
      continue;
    }
    if (part->stores_large) {
      if (server_->limit_question_due(now)) {
        queue_.push_front(part);
        if (pending_.empty()) AskForLimit(now);
        break;
      }
      const Dialect dialect = use_meta || dialect_ == Dialect::kBinary ? dialect_ : Dialect::kText;
      if (server_->Refuses(part->item_bytes) && !Overrule(part, dialect, now)) continue;
    }
    // A part with both forms is read by the one that was sent.
    if (!use_meta) {
      part->meta.clear();
      part->ends_with_mn = false;
    }
    part->sent = true;
    part->spoke_meta = use_meta;
    sending_.push_back({part, request.view()});
    pending_.push_back({part, false});
  }
  if (sending_.empty()) return;
  pending_.back().ends_batch = true;
  ++batches_;
  trial_begun_ = true;
  if (was_idle) last_progress_ = now;
}

ssize_t Connection::Send(iovec* pieces, size_t count) {
  if (tls_ != nullptr) return tls_->Send(pieces, count);
  if (count == 1) {  // the cheaper call, as nearly always where one thread asks for one key
    return send(fd_, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  msghdr message = {};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  return sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Connection::Write(Clock::time_point now) {
  while (!sending_.empty()) {
    iovec pieces[kIovMax];
    const size_t count = std::min(sending_.size(), kIovMax);
    for (size_t i = 0; i < count; ++i) {
      pieces[i].iov_base = const_cast<char*>(sending_[i].bytes.data());
      pieces[i].iov_len = sending_[i].bytes.size();
    }
    const ssize_t sent = Send(pieces, count);
    if (sent < 0) {
      if (errno == EINTR) continue;
      // Whoever receives is about to hear of it, too.
      if (errno == EAGAIN || receiving_) return;
      return OnClosedByPeer(now);
    }
    last_progress_ = now;
    auto left = static_cast<size_t>(sent);
    counters_->bytes_sent.Add(left);
    while (left > 0) {
      std::string_view& bytes = sending_.front().bytes;
      const size_t taken = std::min(left, bytes.size());
      bytes.remove_prefix(taken);
      left -= taken;
      if (bytes.empty()) sending_.pop_front();
    }
  }
}

// --- Reading

void Connection::OnEvents(Clock::time_point now) {
  switch (state_) {
    case State::kClosed:
    case State::kAwaitingRoom:
      return;
    case State::kConnecting:
      return OnConnectEnded(now);
    case State::kHandshaking:
      return OnHandshake(now);
    case State::kGreeting:
      return OnGreeting(now);
    case State::kAsking:
      return OnLimitAnswer(now);
    case State::kReady:
      if (receiving_) return;
      if (pending_.empty()) {
        if (BrokeWhileIdle()) Close();
        return;
      }
      // Read first: what the server owes may be why it takes nothing more.
      return Read(now);
  }
}

ssize_t Connection::Receive(char* to, size_t bytes) {
  return tls_ == nullptr ? recv(fd_, to, bytes, MSG_DONTWAIT) : tls_->Receive(to, bytes);
}

std::span<char> Connection::ReceiveTarget() {
  target_ = {input_.get() + input_end_, kInputBytes - input_end_};
  const std::span<char> value = reading_ ? reader_.AwaitedValue() : std::span<char>();
  is_direct_ = input_begin_ == input_end_ && value.size() >= kDirectReadBytes;
  if (is_direct_) target_ = value;
  return target_;
}

std::span<char> Connection::BeginReceive() {
  receiving_ = true;
  return ReceiveTarget();
}

void Connection::EndReceive(const Received& received, Clock::time_point now) {
  receiving_ = false;
  if (Take(received, now)) Read(now);
}

void Connection::Read(Clock::time_point now) {
  input_held_ = false;
  for (int reads = 0; reads < kReadsMax && state_ == State::kReady && !pending_.empty(); ++reads) {
    const std::span<char> target = ReceiveTarget();
    const ssize_t bytes = Receive(target.data(), target.size());
    if (!Take({bytes, errno}, now)) return;
  }
  input_held_ = tls_ != nullptr && !pending_.empty() && tls_->holds_input();
}

// Takes what was received to target_. False when that was all there is.
bool Connection::Take(const Received& received, Clock::time_point now) {
  const ssize_t bytes = received.bytes;
  if (bytes < 0 && (received.error == EAGAIN || received.error == EINTR)) return false;
  if (bytes <= 0) {
    OnClosedByPeer(now);
    return false;
  }
  last_progress_ = now;
  counters_->bytes_received.Add(static_cast<uint64_t>(bytes));
  if (is_direct_) {
    part_bytes_ += static_cast<size_t>(bytes);
    reader_.ValueArrived(static_cast<size_t>(bytes));
  } else {
    input_end_ += static_cast<size_t>(bytes);
    if (!Parse(now)) return false;
  }
  return tls_ == nullptr ? static_cast<size_t>(bytes) == target_.size() : !tls_->drained();
}

// False when the connection is no more.
bool Connection::Parse(Clock::time_point now) {
  while (input_begin_ < input_end_) {
    if (pending_.empty()) {
      Break(absl::DataLossError("an answer that nobody asked for"), now);
      return false;
    }
    if (!reading_) {
      reader_.Start(pending_.front().part, dialect_);
      reading_ = true;
    }
    std::string_view input(input_.get() + input_begin_, input_end_ - input_begin_);
    const AnswerReader::Result result = reader_.Read(&input);
    part_bytes_ += input_end_ - input_begin_ - input.size();
    input_begin_ = input_end_ - input.size();
    if (result == AnswerReader::Result::kNeedMore) break;
    if (result == AnswerReader::Result::kBroken) {
      Break(reader_.error(), now);
      return false;
    }
    if (!sending_.empty() && sending_.front().part == pending_.front().part) {
      Break(absl::DataLossError("an answer to what was not asked completely"), now);
      return false;
    }
    FinishFront(now);
  }
  // At most a piece of a line is left: it moves to the front, so that there is room for its rest.
  const size_t left = input_end_ - input_begin_;
  if (left > 0 && input_begin_ > 0) {
    std::memmove(input_.get(), input_.get() + input_begin_, left);
  }
  input_begin_ = 0;
  input_end_ = left;
  return true;
}

void Connection::FinishFront(Clock::time_point now) {
  const Pending front = pending_.front();
  pending_.pop_front();
  reading_ = false;
  if (front.ends_batch) --batches_;
  HasAnswered(now);
  RecordLatency(*front.part, now);
  Finish(front.part, front.part->overruled, Ending::kAnswered, now);
  part_bytes_ = 0;
}

void Connection::HasAnswered(Clock::time_point now) {
  if (proven_ && !server_->troubled()) return;
  proven_ = true;
  server_->Succeeded(now);
}

// --- Ends

void Connection::Close() {
  if (fd_ >= 0 && before_close_ != nullptr) before_close_(before_close_with_);
  tls_.reset();  // says goodbye
  input_held_ = false;
  awaits_in_receive_ = false;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  counters_->up.store(false, std::memory_order_relaxed);
  state_ = State::kClosed;
  input_begin_ = input_end_ = 0;
}

// The server went away. Reads it did not begin to answer are asked again on a new connection, once:
// they change nothing. Of writes nobody knows whether they were carried out.
void Connection::OnClosedByPeer(Clock::time_point now) {
  const std::string how =
      tls_ == nullptr || tls_->error().empty() ? "" : " (" + tls_->error() + ")";
  const bool front_begun = reading_ && !reader_.untouched();
  std::deque<Part*> again;
  std::deque<Pending> lost;
  bool may_be_asked_again = proven_ && !front_begun;
  for (const Pending& pending : pending_) {
    Part* const part = pending.part;
    if (may_be_asked_again && part->is_read && !part->sent_again) {
      part->sent_again = true;
      again.push_back(part);
    } else {
      lost.push_back(pending);
    }
    may_be_asked_again = proven_;  // those behind the front were not begun
  }
  if (!again.empty()) {
    counters_->sent_again.Add(again.size());
    if (again.front() == pending_.front().part) reading_ = false;
    pending_.swap(lost);
    if (pending_.empty()) {
      Close();
      sending_.clear();
      batches_ = 0;
    }
    queue_.insert(queue_.begin(), again.begin(), again.end());
  }
  if (state_ == State::kClosed) return Connect(now);
  Break(absl::UnavailableError(
            "the connection was closed before the answer; a write may have been carried out" + how),
        now);
}

// Ends the connection and everything begun on it. What was only queued goes on with a new
// connection, unless the server has just shown that this would mean waiting for nothing.
void Connection::Break(const absl::Status& why, Clock::time_point now) {
  const absl::Status status = About(why);
  const bool was_up = state_ == State::kReady || state_ == State::kAsking;
  const bool server_failed = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  Close();
  sending_.clear();
  batches_ = 0;
  reading_ = false;
  std::deque<Pending> pending;
  pending.swap(pending_);
  // Values stay that were complete when the peer went away: each names its key. Of a stream that
  // made no sense nothing is believed, and of a part that ends with MN nothing before that came.
  if (!pending.empty() && (!server_failed || pending.front().part->ends_with_mn)) {
    Part& front = *pending.front().part;
    for (const Part::Key& key : front.keys)
      front.call->answers[key.answer].state = AnswerState::kPending;
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    // What the stream broke on says why it did; the others only had the same connection.
    const bool own = i == 0 || server_failed;
    RecordLatency(*pending[i].part, now);
    Finish(
        pending[i].part,
        own ? status : About(absl::UnavailableError("closed after an answer that made no sense")),
        own ? EndingOf(status) : Ending::kBroken, now);
    part_bytes_ = 0;  // of those behind it nothing was read
  }
  if (server_failed || absl::IsDataLoss(status)) server_->Failed(status, now, trial_);
  if (!was_up) counters_->failed.Add(1);
  if (!was_up || absl::IsDeadlineExceeded(status)) {
    return FailQueue(status, was_up ? Ending::kTimedOut : Ending::kNoConnection, now);
  }
  if (!queue_.empty()) Connect(now);
}

}  // namespace cairn
