// How a Connection comes up: the socket, TLS, authentication, and which protocol the server speaks.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "client/binary_wire.h"
#include "client/connection.h"

namespace cairn {
namespace {

// Of connecting to a UNIX socket.
constexpr std::chrono::milliseconds kBetweenTries{2};

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

// From now on recv() waits, unless it is told not to.
bool WaitInReceive(int fd) {
  // Less than kReceiveWaitMax, since the kernel counts in ticks. Much less costs 2 to 3 us a wait:
  // a timer that is due in a few ticks takes part in how an idle processor sleeps and wakes.
  timeval wait = {};
  wait.tv_usec = 100'000;
  int off = 0;
  return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
         ioctl(fd, FIONBIO, &off) == 0;
}

// The mechanism is the key, "\0name\0password" the value.
std::string SaslPlain(const std::string& username, const std::string& password) {
  constexpr std::string_view kMechanism = "PLAIN";
  BinaryRequestHead head;
  head.opcode = BinaryOpcode::kSaslAuth;
  head.key_bytes = kMechanism.size();
  head.value_bytes = username.size() + password.size() + 2;
  std::string packet = head.Bytes();
  packet.append(kMechanism).append(1, '\0').append(username).append(1, '\0').append(password);
  return packet;
}

}  // namespace

void Connection::Connect(Clock::time_point now) {
  if (server_->troubled() || server_->server().down) {
    HoldBack(now);
    if (queue_.empty()) return;
  }
  absl::StatusOr<AddressBook::Addresses> addresses = server_->addresses().Get();
  // A name that does not resolve is a server that is down.
  if (!addresses.ok()) {
    counters_->failed.Add(1);
    server_->Failed(addresses.status(), now, trial_);
    return FailQueue(addresses.status(), Ending::kNoConnection, now);
  }
  addresses_ = *std::move(addresses);
  ask_version_ = true;
  gave_up_limit_ = false;
  connect_deadline_ = now + connect_timeout_;
  address_ = 0;
  ConnectTo(now);
}

void Connection::ConnectTo(Clock::time_point now) {
  const SocketAddress& address = (*addresses_)[address_];
  const auto addresses_left = static_cast<Clock::rep>(addresses_->size() - address_);
  address_deadline_ = now + (connect_deadline_ - now) / addresses_left;
  fd_ = socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return OnNoSocket(errno, now);
  if (address.bytes.ss_family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  }
  TryToConnect(now);
}

// A lack of this process or host says nothing of the server. That there are no sockets of a family,
// as where IPv6 is off, says nothing of the other addresses.
void Connection::OnNoSocket(int error, Clock::time_point now) {
  const absl::Status why = absl::UnavailableError("no socket: " + ErrorText(error));
  const bool lacking = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
  if (!lacking) return OnAddressFailed(why, now);
  counters_->failed.Add(1);
  FailQueue(About(why), Ending::kNoConnection, now);
}

void Connection::TryToConnect(Clock::time_point now) {
  const SocketAddress& address = (*addresses_)[address_];
  const auto* const raw = reinterpret_cast<const sockaddr*>(&address.bytes);
  if (connect(fd_, raw, address.size) == 0) return OnConnected(now);
  if (errno == EINPROGRESS) {
    state_ = State::kConnecting;
  } else if (errno == EAGAIN && address.bytes.ss_family == AF_UNIX) {
    // More wait to be accepted than may: no event will tell when there is room again.
    state_ = State::kAwaitingRoom;
    next_try_ = now + kBetweenTries;
  } else {
    OnAddressFailed(CannotConnect(errno), now);
  }
}

// The next one has its turn, if there is one.
void Connection::OnAddressFailed(const absl::Status& why, Clock::time_point now) {
  Close();
  if (++address_ < addresses_->size()) return ConnectTo(now);
  Break(why, now);
}

void Connection::OnConnectEnded(Clock::time_point now) {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 ? OnConnected(now) : OnAddressFailed(CannotConnect(error), now);
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
      return ConnectUnasked(now);
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
    if (greeting_left_.front() == 'M' && line != "MN") return ConnectUnasked(now);
    greeting_left_.remove_prefix(1);
  }
  if (input_begin_ != input_end_) {
    return Break(absl::DataLossError("a greeting with something after it"), now);
  }
  if (meta_asked || dialect_ != Dialect::kMeta) return Ready();
  // twemproxy hands on the version of a server behind it, mcrouter has large numbers of its own.
  input_begin_ = input_end_ = 0;
  greeting_left_ = "M";
  SendGreeting("mn\r\n", now);
}

// Proxies hang up on commands that they do not know: twemproxy at once, mcrouter when it has said
// so.
void Connection::ConnectUnasked(Clock::time_point now) {
  Close();
  ask_version_ = false;
  ConnectTo(now);
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
  is_new_ = !queue_.empty();
  awaits_in_receive_ = receives_waiting_ && tls_ == nullptr && WaitInReceive(fd_);
  counters_->made.Add(1);
  if (was_up_) counters_->replaced.Add(1);
  counters_->up.store(was_up_ = true, std::memory_order_relaxed);
  server_->set_dialect(dialect_);
  // What another connection has learned while this one was hung up on is true still.
  if (!std::exchange(gave_up_limit_, false)) server_->ForgetLimit();
}

}  // namespace cairn
