#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "server/context.h"
#include "server/output.h"
#include "storage/store.h"

/// A client's conversation, free of sockets: bytes in, answers out. A connection feeds it what it
/// read; a UDP socket makes one for each datagram; tests and fuzzers drive it from memory.
namespace cairn::server {

enum class WireProtocol : uint8_t { kNegotiating, kText, kBinary };

/// What a session is told of the transport it talks over.
struct SessionOptions {
  WireProtocol protocol = WireProtocol::kNegotiating;
  bool negotiable = true;  ///< false: the listener fixed the protocol
  bool datagram = false;   ///< UDP: no watch, no dumps, no authentication
  bool needs_ascii_auth = false;
  bool needs_sasl = false;
  int fd = -1;  ///< as shown in logs
};

/// Why a connection ends, in the log's words.
enum class CloseReason : uint8_t { kNormal, kError, kIdle, kShutdown };

/// What the connection must do after a call.
enum class SessionStatus : uint8_t {
  kNeedInput,  ///< everything complete was answered
  kBlocked,    ///< output is past the high water mark: send some, then call Continue()
  kClose,      ///< send what is there, then close
  kYield,      ///< enough requests for this turn: send, serve others, then call Process() again
};

struct Progress {
  SessionStatus status;
  size_t consumed;  ///< bytes of the input that need not be shown again
};

/// One step of a protocol: what became of the request at the start of the input.
enum class StepStatus : uint8_t {
  kDone,      ///< answered (or begun: a transfer or a continuation is pending)
  kNeedMore,  ///< the request is incomplete; nothing was done
  kClose,
};
struct Step {
  StepStatus status;
  size_t consumed = 0;
};

class Session;

/// A value that is too large to wait for in the input buffer: received into memory that the store
/// reserved. Text values end with CRLF. (One that cannot be stored is swallowed instead.)
struct Transfer {
  storage::Reservation reservation;  ///< held, for all of the body
  uint64_t body_bytes = 0;           ///< without the terminator
  uint64_t received = 0;             ///< terminator included
  unsigned terminator_bytes = 0;     ///< 2 for text, 0 for binary
  char terminator[2] = {0, 0};       ///< as received
  std::string key;
  /// Called once, when all has arrived (`terminator_ok` says whether CRLF stood where it must).
  /// It answers the client.
  std::function<void(Session&, Transfer&, bool terminator_ok)> finish;
};

/// An answer produced piecemeal because it may be larger than the client takes at once: a get of
/// many keys, a dump.
class Continuation {
 public:
  virtual ~Continuation() = default;
  /// Appends to session.out() until done (true) or the output is past its high water mark (false).
  virtual bool Continue(Session& session) = 0;
};

/// Takes over a connection that has said `watch`: see log_hub.h.
struct WatchRequest {
  uint32_t kinds = 0;
  Output::Mark answer{};  ///< where that of `watch` begins
};

/// One event-loop thread.
class Session {
 public:
  Session(WorkerContext* worker, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Serves the complete requests in `input`, appending answers to `out`, at most `max_requests`.
  /// Unconsumed bytes must be shown again with more behind them.
  Progress Process(std::string_view input, Output* out, unsigned max_requests);

  /// Goes on after kBlocked, when the output has drained; then as Process.
  Progress Continue(std::string_view input, Output* out, unsigned max_requests);

  /// The key of the first request in `input`, which follows what was served; empty when it has none
  /// or when that cannot be told. A hint.
  std::string_view FirstKey(std::string_view input) const;

  /// While a large value is arriving: where its next bytes go; empty otherwise. What was written
  /// there is reported by BodyReceived, which may answer.
  std::span<char> BodyTarget();
  SessionStatus BodyReceived(size_t n, Output* out);

  bool ReceivingBody() const { return transfer_ != nullptr; }
  bool Swallowing() const { return swallowed_ != nullptr; }

  /// True when not even a part of a request is held here: the connection is idle.
  bool at_rest() const {
    return transfer_ == nullptr && continuation_ == nullptr && swallowed_ == nullptr;
  }

  // --- for the protocol code --------------------------------------------------------------------
  WorkerContext& worker() { return *worker_; }
  ServerContext& server() { return *worker_->server; }
  storage::Store& store() { return *worker_->server->store; }
  WorkerStats& stats() { return *worker_->stats; }
  storage::Time now() const { return worker_->now; }
  Output& out() { return *out_; }
  /// The key of a request in the input that Process was given; as a rule it is made already.
  storage::Key KeyOf(std::string_view bytes);
  const SessionOptions& options() const { return options_; }

  void BeginTransfer(std::unique_ptr<Transfer> transfer) { transfer_ = std::move(transfer); }
  /// Throws `bytes` of input away, then appends `answer`.
  void Swallow(uint64_t bytes, std::string answer);
  /// After the answer that a transfer's `finish` gives, the connection closes.
  void CloseAfterAnswer() { close_ = true; }
  /// Runs `continuation` until it is done, before the next request is looked at.
  void RunContinuation(std::unique_ptr<Continuation> continuation);

  /// A store's body is waited for in the input buffer.
  bool awaits_body = false;
  /// Why kClose was returned. As for memcached, what no client asks for is an error.
  CloseReason close_reason = CloseReason::kError;
  bool authenticated = false;
  /// The input that Process was given begins here: the request is the first of what one read
  /// brought (metadump and watch must be).
  bool first_of_input = false;
  /// `mn` sends what waits: the request that follows is the first of a packet as well.
  bool follows_noop = false;
  /// The request is an `mn`.
  bool is_noop = false;
  std::unique_ptr<class SaslSession> sasl;
  /// Set by `watch`: the connection becomes a watcher when the answer is out.
  std::unique_ptr<WatchRequest> watch;
  /// Whether `input`, not empty, is of the binary protocol.
  bool TalksBinary(std::string_view input) const;

 private:
  /// Takes a request off the front of `input`, not empty: see protocol/next_key.h.
  std::string_view TakeKey(std::string_view* input) const;
  /// Asks for the memory that the next requests of `input`, some dozens but not more than
  /// `max_requests`, will touch, so that its latencies overlap. Returns how much of the input that
  /// was.
  size_t PrefetchAhead(std::string_view input, unsigned max_requests);
  /// Copies input into the pending transfer; returns how much it took.
  size_t ReceiveTransfer(std::string_view input);
  void AdvanceTransfer(size_t n);

  WorkerContext* worker_;
  SessionOptions options_;
  Output* out_ = nullptr;
  std::span<const storage::Key> ahead_;  // of what PrefetchAhead has made: those not yet asked for
  bool close_ = false;
  std::unique_ptr<Transfer> transfer_;
  std::unique_ptr<Continuation> continuation_;
  struct Swallowed {
    uint64_t bytes_left;
    std::string answer;
  };
  std::unique_ptr<Swallowed> swallowed_;  // null: nothing is
};

}  // namespace cairn::server
