#include "client/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "client/accounting.h"
#include "client/binary_wire.h"

namespace cairn {
namespace {

constexpr size_t kInputBytes = size_t{64} * 1024;
// A value with more than this to come is read to where it belongs, without a copy.
constexpr size_t kDirectReadBytes = size_t{16} * 1024;
constexpr size_t kIovMax = 64;
// Rounds of reading before others have their turn.
constexpr int kReadsMax = 32;

std::string ErrorText(int error) { return std::generic_category().message(error); }

absl::Status CannotConnect(int error) {
  return absl::UnavailableError("cannot connect: " + ErrorText(error));
}

// "VERSION 1.6.45": the meta commands as they are today exist since 1.6.12.
Dialect DialectOfVersion(std::string_view line) {
  constexpr std::string_view kWord = "VERSION ";
  if (!line.starts_with(kWord)) return Dialect::kText;
  line.remove_prefix(kWord.size());
  std::array<int, 3> parts = {0, 0, 0};
  for (int& part : parts) {
    while (!line.empty() && line[0] >= '0' && line[0] <= '9' && part < 10000) {
      part = part * 10 + (line[0] - '0');
      line.remove_prefix(1);
    }
    if (!line.starts_with('.')) break;
    line.remove_prefix(1);
  }
  return parts >= std::array<int, 3>{1, 6, 12} ? Dialect::kMeta : Dialect::kText;
}

Ending EndingOf(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return Ending::kTimedOut;
  return absl::IsDataLoss(status) ? Ending::kNoSense : Ending::kBroken;
}

// The mechanism is the key, "\0name\0password" the value.
std::string SaslPlain(const std::string& username, const std::string& password) {
  constexpr std::string_view kMechanism = "PLAIN";
  BinaryRequestHead head;
  head.opcode = BinaryOpcode::kSaslAuth;
  head.key_bytes = kMechanism.size();
  head.value_bytes = username.size() + password.size() + 2;
  char bytes[protocol::kBinaryHeaderBytes];
  head.Write(bytes);
  std::string packet(bytes, sizeof(bytes));
  packet.append(kMechanism).append(1, '\0').append(username).append(1, '\0').append(password);
  return packet;
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
      return 0;
    case State::kConnecting:
      return POLLOUT;
    case State::kHandshaking:
    case State::kGreeting:
      return tls_ == nullptr ? short{POLLIN} : tls_->read_interest();
    case State::kReady:
      break;
  }
  const short to_read = tls_ == nullptr ? short{POLLIN} : tls_->read_interest();
  const short to_write = tls_ == nullptr ? short{POLLOUT} : tls_->write_interest();
  return static_cast<short>((pending_.empty() ? 0 : to_read) | (sending_.empty() ? 0 : to_write));
}

Clock::time_point Connection::deadline() const {
  if (input_held_) return Clock::time_point();
  if (state_ != State::kClosed && state_ != State::kReady) return address_deadline_;
  if (state_ == State::kReady && !pending_.empty()) return last_progress_ + request_timeout_;
  return Clock::time_point::max();
}

void Connection::OnDeadline(Clock::time_point now) {
  if (input_held_) return OnEvents(now);
  if (state_ == State::kReady) {
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

// --- Connecting

void Connection::Connect(Clock::time_point now) {
  absl::StatusOr<AddressBook::Addresses> admitted = server_->Admit(now);
  if (!admitted.ok()) return FailQueue(admitted.status(), Ending::kLeftAlone, now);
  addresses_ = std::move(*admitted);
  connect_deadline_ = now + connect_timeout_;
  address_ = 0;
  ConnectTo(now);
}

void Connection::ConnectTo(Clock::time_point now) {
  const SocketAddress& address = (*addresses_)[address_];
  const auto addresses_left = static_cast<Clock::rep>(addresses_->size() - address_);
  address_deadline_ = now + (connect_deadline_ - now) / addresses_left;
  fd_ = socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) {
    return Break(absl::UnavailableError("no socket: " + ErrorText(errno)), now);
  }
  if (address.bytes.ss_family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  }
  state_ = State::kConnecting;
  const auto* const raw = reinterpret_cast<const sockaddr*>(&address.bytes);
  if (connect(fd_, raw, address.size) == 0) return OnConnected(now);
  if (errno != EINPROGRESS) OnAddressFailed(CannotConnect(errno), now);
}

// The next one has its turn, if there is one.
void Connection::OnAddressFailed(const absl::Status& why, Clock::time_point now) {
  Close();
  if (++address_ < addresses_->size()) return ConnectTo(now);
  Break(why, now);
}

void Connection::OnConnected(Clock::time_point now) {
  proven_ = false;
  input_begin_ = input_end_ = 0;
  if (input_ == nullptr) input_ = std::make_unique_for_overwrite<char[]>(kInputBytes);
  dialect_ = uses_sasl_ ? Dialect::kBinary : Dialect::kText;
  if (server_->tls() == nullptr) return Greet(now);
  tls_ = server_->tls()->NewStream(fd_, server_->server().host);
  if (tls_ == nullptr) return Break(absl::UnavailableError("TLS: no session for it"), now);
  state_ = State::kHandshaking;
  OnHandshake(now);
}

void Connection::OnHandshake(Clock::time_point now) {
  if (tls_->Handshake() == 1) return Greet(now);
  if (errno != EAGAIN) OnAddressFailed(absl::UnavailableError(tls_->error()), now);
}

void Connection::Greet(Clock::time_point now) {
  const bool ask = ask_version_ && options_->protocol == ClientOptions::Protocol::kAuto;
  ask_version_ = true;
  std::string greeting;
  if (uses_sasl_) {
    greeting = SaslPlain(options_->username, options_->password);
  } else if (!options_->username.empty()) {
    const std::string secret = options_->username + " " + options_->password;
    greeting = "set auth 0 0 " + std::to_string(secret.size()) + "\r\n" + secret + "\r\n";
  }
  greeting_left_ = std::string_view("AV").substr(greeting.empty() ? 1 : 0);
  if (uses_sasl_) {
    greeting_left_ = "S";
  } else if (ask) {
    greeting += "version\r\n";
  } else {
    greeting_left_.remove_suffix(1);
  }
  if (greeting.empty()) return Ready();
  state_ = State::kGreeting;
  SendGreeting(std::move(greeting), now);
}

void Connection::SendGreeting(std::string greeting, Clock::time_point now) {
  // A new socket has room for this; one that has not is as good as broken.
  iovec piece = {greeting.data(), greeting.size()};
  if (Send(&piece, 1) != static_cast<ssize_t>(greeting.size())) {
    const std::string why = tls_ == nullptr ? ErrorText(errno) : tls_->error();
    return Break(absl::UnavailableError("cannot send: " + why), now);
  }
  counters_->bytes_sent.Add(greeting.size());
}

void Connection::OnGreeting(Clock::time_point now) {
  const ssize_t bytes = Receive(input_.get() + input_end_, kInputBytes - input_end_);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (bytes <= 0) {
    // With TLS 1.3 it is only now that the server may say no to a client's certificate.
    if (tls_ != nullptr && !tls_->error().empty()) {
      return OnAddressFailed(absl::UnavailableError(tls_->error()), now);
    }
    const bool answers_question = greeting_left_ == "V" || greeting_left_ == "M";
    if (input_end_ == 0 && answers_question && server_->dialect() != Dialect::kMeta) {
      // Some proxies hang up on commands that they do not know.
      Close();
      ask_version_ = false;
      return ConnectTo(now);
    }
    return OnAddressFailed(absl::UnavailableError("closed instead of greeting"), now);
  }
  input_end_ += static_cast<size_t>(bytes);
  counters_->bytes_received.Add(static_cast<uint64_t>(bytes));
  if (greeting_left_ == "S") return OnSaslAnswer(now);
  const bool meta_asked = greeting_left_ == "M";
  while (!greeting_left_.empty()) {
    const std::string_view input(input_.get() + input_begin_, input_end_ - input_begin_);
    const size_t end = input.find("\r\n");
    if (end == std::string_view::npos) {
      if (input.size() < 1024) {
        // Its rest may have arrived as a record of its own.
        if (tls_ != nullptr && tls_->holds_input()) OnGreeting(now);
        return;
      }
      return Break(absl::DataLossError("a greeting without an end"), now);
    }
    const std::string_view line = input.substr(0, end);
    input_begin_ += end + 2;
    if (greeting_left_.front() == 'A' && line != "STORED") {
      return Break(absl::UnavailableError("authentication failed: " + std::string(line)), now);
    }
    if (greeting_left_.front() == 'V') dialect_ = DialectOfVersion(line);
    if (greeting_left_.front() == 'M' && line != "MN") dialect_ = Dialect::kText;
    greeting_left_.remove_prefix(1);
  }
  if (input_begin_ != input_end_) {
    return Break(absl::DataLossError("a greeting with something after it"), now);
  }
  if (meta_asked || dialect_ != Dialect::kMeta) return Ready();
  // twemproxy hands on the version of a server behind it, and hangs up on meta commands.
  input_begin_ = input_end_ = 0;
  greeting_left_ = "M";
  SendGreeting("mn\r\n", now);
}

void Connection::OnSaslAnswer(Clock::time_point now) {
  const std::string_view input(input_.get(), input_end_);
  if (input.size() < protocol::kBinaryHeaderBytes) return;
  const BinaryAnswer answer = BinaryAnswer::Read(input);
  if (!answer.is_answer || answer.opcode != BinaryOpcode::kSaslAuth || !answer.fits() ||
      answer.body_bytes > 1024) {
    return Break(absl::DataLossError("not an answer of SASL"), now);
  }
  const size_t packet = protocol::kBinaryHeaderBytes + answer.body_bytes;
  if (input.size() < packet) return;
  if (answer.status != protocol::BinaryStatus::kOk) {
    const std::string_view text = input.substr(packet - answer.body_bytes, answer.body_bytes);
    return Break(absl::UnavailableError("authentication failed: " + std::string(text)), now);
  }
  if (input.size() > packet) {
    return Break(absl::DataLossError("a greeting with something after it"), now);
  }
  input_begin_ = input_end_ = 0;
  Ready();
}

void Connection::Ready() {
  if (address_ > 0) {
    server_->addresses().Worked((*addresses_)[address_]);
    address_ = 0;
  }
  state_ = State::kReady;
  counters_->made.Add(1);
  if (was_up_) counters_->replaced.Add(1);
  counters_->up.store(was_up_ = true, std::memory_order_relaxed);
  server_->set_dialect(dialect_);
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
  if (state_ != State::kReady) return;
  if (!queue_.empty() && window_open()) {
    if (pending_.empty() && proven_ && BrokeWhileIdle()) {
      // The server was restarted, or dropped idle clients: nothing is lost.
      Close();
      return Flush(now);
    }
    StartBatch(now);
  }
  if (!sending_.empty()) Write(now);
}

void Connection::StartBatch(Clock::time_point now) {
  const bool was_idle = pending_.empty();
  while (!queue_.empty()) {
    Part* const part = queue_.front();
    queue_.pop_front();
    if (part->call->abandoned.load(std::memory_order_relaxed)) {
      Finish(part, absl::CancelledError("its caller has gone"), Ending::kCancelled, now);
      continue;
    }
    // Requests were written for the dialect that the server spoke last; it may be another program
    // now.
    const bool use_meta = !part->meta.empty() && dialect_ == Dialect::kMeta;
    const std::string_view bytes = (use_meta ? part->meta : part->text).view();
    if (bytes.empty()) {
      Finish(part, About(absl::UnavailableError("changed its protocol; ask again")),
             Ending::kBroken, now);
      continue;
    }
    // A part with both forms is read by the one that was sent.
    if (!use_meta) part->meta.clear();
    part->sent = true;
    sending_.push_back({part, bytes});
    pending_.push_back({part, false});
  }
  if (sending_.empty()) return;
  pending_.back().ends_batch = true;
  ++batches_;
  if (was_idle) last_progress_ = now;
}

ssize_t Connection::Send(iovec* pieces, size_t count) {
  if (tls_ != nullptr) return tls_->Send(pieces, count);
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
      if (errno == EAGAIN) return;
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
      return;
    case State::kConnecting: {
      int error = 0;
      socklen_t size = sizeof(error);
      getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
      return error == 0 ? OnConnected(now) : OnAddressFailed(CannotConnect(error), now);
    }
    case State::kHandshaking:
      return OnHandshake(now);
    case State::kGreeting:
      return OnGreeting(now);
    case State::kReady:
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

void Connection::Read(Clock::time_point now) {
  input_held_ = false;
  for (int reads = 0; reads < kReadsMax && state_ == State::kReady && !pending_.empty(); ++reads) {
    std::span<char> target(input_.get() + input_end_, kInputBytes - input_end_);
    const std::span<char> value = reading_ ? reader_.AwaitedValue() : std::span<char>();
    const bool direct = input_begin_ == input_end_ && value.size() >= kDirectReadBytes;
    if (direct) target = value;
    const ssize_t bytes = Receive(target.data(), target.size());
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (bytes <= 0) return OnClosedByPeer(now);
    last_progress_ = now;
    counters_->bytes_received.Add(static_cast<uint64_t>(bytes));
    if (direct) {
      part_bytes_ += static_cast<size_t>(bytes);
      reader_.ValueArrived(static_cast<size_t>(bytes));
    } else {
      input_end_ += static_cast<size_t>(bytes);
      if (!Parse(now)) return;
    }
    const bool all = tls_ == nullptr ? static_cast<size_t>(bytes) < target.size() : tls_->drained();
    if (all) return;  // that was all there is
  }
  input_held_ = tls_ != nullptr && !pending_.empty() && tls_->holds_input();
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
  if (!proven_ || server_->troubled()) {
    proven_ = true;
    server_->Succeeded(now);
  }
  RecordLatency(*front.part, now);
  Finish(front.part, absl::OkStatus(), Ending::kAnswered, now);
  part_bytes_ = 0;
}

// --- Ends

void Connection::Close() {
  if (fd_ >= 0 && before_close_ != nullptr) before_close_(before_close_with_);
  tls_.reset();  // says goodbye
  input_held_ = false;
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
  if (proven_) {
    for (size_t i = front_begun ? 1 : 0; i < pending_.size(); ++i) {
      Part* const part = pending_[i].part;
      if (part->is_read && !part->sent_again) again.push_back(part);
    }
  }
  const auto is_kept = [&](const Pending& pending) {
    return std::find(again.begin(), again.end(), pending.part) != again.end();
  };
  if (!again.empty()) {
    for (Part* part : again) part->sent_again = true;
    counters_->sent_again.Add(again.size());
    const bool front_kept = is_kept(pending_.front());
    std::erase_if(pending_, is_kept);
    if (front_kept) reading_ = false;
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
  const bool was_up = state_ == State::kReady;
  const bool server_failed = absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
  Close();
  sending_.clear();
  batches_ = 0;
  reading_ = false;
  std::deque<Pending> pending;
  pending.swap(pending_);
  // Values stay that were complete when the peer went away: each names its key. Of a stream that
  // made no sense nothing is believed, and of a part that ends with MN nothing before that came.
  if (!pending.empty() && (!server_failed || !pending.front().part->meta.empty())) {
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
  if (server_failed || absl::IsDataLoss(status)) server_->Failed(status, now);
  if (!was_up) counters_->failed.Add(1);
  if (!was_up || absl::IsDeadlineExceeded(status)) {
    return FailQueue(status, was_up ? Ending::kTimedOut : Ending::kNoConnection, now);
  }
  if (!queue_.empty()) Connect(now);
}

}  // namespace cairn
