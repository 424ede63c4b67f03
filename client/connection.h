#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cairn/options.h"
#include "client/answer_reader.h"
#include "client/call.h"
#include "client/counters.h"
#include "client/server_state.h"
#include "client/tls.h"

namespace cairn {

/// One connection to one server, made when it is first needed and again after it broke. It never
/// waits: whoever drives it (a Channel) polls fd() for interest() and tells what came.
/// Thread-compatible; no lock is needed since one thread at a time drives it.
///
///   Submit -> queue_ -> Flush -> sending_ and pending_ -> answers -> Call::Finish
///
/// A request leaves at once unless kBatchesMax batches are unanswered; then it joins the next
/// batch. Answers come in the order of requests, so it could not have been answered before those
/// anyway; and what many threads ask in the meantime leaves in one write.
class Connection {
 public:
  /// Both outlive it.
  Connection(ServerState* server, const ClientOptions* options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Takes a part, and with it the caller's reference to its call.
  void Submit(Part* part) { queue_.push_back(part); }
  /// Nobody drove it for so long. Of one that is being made not the server was late then.
  void StandStill(Clock::duration gap) {
    if (state_ == State::kReady || state_ == State::kClosed) return;
    connect_deadline_ += gap;
    address_deadline_ += gap;
    last_progress_ += gap;
  }
  /// Sends or connects as far as it goes. Call it after Submit, and after OnEvents.
  void Flush(Clock::time_point now);

  /// -1 when there is nothing to poll for.
  int fd() const { return fd_; }
  /// Called before a socket is closed, as long as its descriptor's number is nobody else's.
  void set_before_close(void (*call)(void*), void* with) {
    before_close_ = call;
    before_close_with_ = with;
  }
  bool ready() const { return state_ == State::kReady; }
  short interest() const;
  void OnEvents(Clock::time_point now);

  /// When OnDeadline is due; time_point::max() when nothing is awaited.
  Clock::time_point deadline() const;
  void OnDeadline(Clock::time_point now);

  /// Lets its driver wait in recv() itself, which is cheaper than to poll first. Before it
  /// connects.
  void set_receives_waiting() { receives_waiting_ = true; }
  /// Longer than any such recv() waits: for what has to happen sooner, poll.
  static constexpr std::chrono::milliseconds kReceiveWaitMax{140};
  /// Answers are due and nothing else is: waiting for them is all there is to do.
  bool only_awaits() const {
    return awaits_in_receive_ && !receiving_ && !pending_.empty() && sending_.empty();
  }
  /// Where the next bytes belong. Until the driver says what recv() brought, it may only Submit()
  /// and Flush() and ask; `interest` is then in sending, and no deadline is kept.
  /// REQUIRES: only_awaits()
  std::span<char> BeginReceive();
  struct Received {
    ssize_t bytes = 0;
    int error = 0;  ///< errno of recv()
  };
  void EndReceive(const Received& received, Clock::time_point now);

  /// A part submitted now would leave at once, or be refused.
  bool is_quick() const { return window_open() || server_->troubled(); }

  /// Ends everything that was submitted, as cancelled.
  void Cancel();

  /// Calls whose last part was finished, each with the reference of that part. The driver empties
  /// it.
  std::vector<Call*>& finished() { return finished_; }

 private:
  enum class State : uint8_t {
    kClosed,
    kAwaitingRoom,  // to connect, at a UNIX socket
    kConnecting,
    kHandshaking,
    kGreeting,
    kReady,
    kAsking,
  };
  static constexpr int kBatchesMax = 2;
  static constexpr size_t kInputBytes = size_t{64} * 1024;

  struct Pending {
    Part* part;
    bool ends_batch;
  };
  struct Unsent {
    Part* part;
    std::string_view bytes;
  };

  // connection_setup.cc
  void Connect(Clock::time_point now);
  void ConnectTo(Clock::time_point now);
  void OnNoSocket(int error, Clock::time_point now);
  void TryToConnect(Clock::time_point now);
  void OnConnectEnded(Clock::time_point now);
  void OnConnected(Clock::time_point now);
  void OnAddressFailed(const absl::Status& why, Clock::time_point now);
  void OnHandshake(Clock::time_point now);
  void Greet(Clock::time_point now);
  void SendGreeting(std::string greeting, Clock::time_point now);
  void OnGreeting(Clock::time_point now);
  void ConnectUnasked(Clock::time_point now);
  void OnSaslAnswer(Clock::time_point now);
  void Ready();

  // connection_limit.cc
  void AskForLimit(Clock::time_point now);
  void OnLimitAnswer(Clock::time_point now);
  void GiveUpLimit(Clock::time_point now);
  bool Overrule(Part* part, Dialect dialect, Clock::time_point now);

  // connection.cc
  bool window_open() const { return batches_ < kBatchesMax && sending_.empty(); }
  bool is_overdue(Clock::time_point now) const {
    return !pending_.empty() && now - last_progress_ >= request_timeout_;
  }
  void EndOverdue();
  const Call* TrialCall() const;
  void HoldBack(Clock::time_point now);
  ssize_t Receive(char* to, size_t bytes);
  ssize_t Send(iovec* pieces, size_t count);
  bool BrokeWhileIdle() const;
  void StartBatch(Clock::time_point now);
  void Write(Clock::time_point now);
  std::span<char> ReceiveTarget();
  void Read(Clock::time_point now);
  bool Take(const Received& received, Clock::time_point now);
  bool Parse(Clock::time_point now);
  void FinishFront(Clock::time_point now);
  void HasAnswered(Clock::time_point now);
  void Finish(Part* part, const absl::Status& status, Ending ending, Clock::time_point now);
  void OnClosedByPeer(Clock::time_point now);
  void Close();
  void Break(const absl::Status& why, Clock::time_point now);
  void FailQueue(const absl::Status& why, Ending ending, Clock::time_point now);
  void RecordLatency(const Part& part, Clock::time_point now);
  absl::Status About(const absl::Status& status) const;

  ServerState* const server_;
  const ClientOptions* const options_;
  ConnectionCounters* const counters_;
  const Clock::duration connect_timeout_;
  const Clock::duration request_timeout_;
  const bool uses_sasl_;

  State state_ = State::kClosed;
  int fd_ = -1;
  std::unique_ptr<TlsStream> tls_;  // null: plain
  bool input_held_ = false;         // by tls_, and nothing to poll for would tell of it
  void (*before_close_)(void*) = nullptr;
  void* before_close_with_ = nullptr;
  AddressBook::Addresses addresses_;  // of the server, as of when connecting began
  size_t address_ = 0;                // which of them is being tried
  bool was_up_ = false;               // some time before
  bool proven_ = false;               // it has answered something since it was made
  bool is_new_ = false;               // made for what is queued, and not flushed yet
  // After a peer that hung up on a question, for the connection that is made over it.
  bool ask_version_ = true;
  bool gave_up_limit_ = false;
  // Answers of the greeting still due: 'A'uthentication, 'V'ersion, then perhaps 'M'N; or
  // SASL's alone, 'S'.
  std::string_view greeting_left_;
  Dialect dialect_ = Dialect::kText;
  Clock::time_point connect_deadline_;
  Clock::time_point address_deadline_;  // when the next one has its turn
  Clock::time_point next_try_;          // of this one, in kAwaitingRoom
  Clock::time_point last_progress_;
  // While its server is in trouble: the last trial that was this connection's.
  ServerState::Trial trial_ = ServerState::kNoTrial;
  bool trial_begun_ = false;  // it was sent, and is the last of pending_

  std::deque<Part*> queue_;      // not begun
  std::deque<Unsent> sending_;   // begun: what of it the socket has not taken
  std::deque<Pending> pending_;  // begun: whose answers are due, in order
  int batches_ = 0;              // unanswered
  AnswerReader reader_;
  bool reading_ = false;    // reader_ is at pending_.front()
  size_t part_bytes_ = 0;   // that it has read of this part
  std::span<char> target_;  // where recv() is to put what comes
  bool is_direct_ = false;  // which is in the value's place, not in input_
  bool receives_waiting_ = false;
  bool awaits_in_receive_ = false;  // this socket waits in recv()
  bool receiving_ = false;          // and its driver does
  std::unique_ptr<char[]> input_;
  size_t input_begin_ = 0;
  size_t input_end_ = 0;
  std::vector<Call*> finished_;
};

}  // namespace cairn
