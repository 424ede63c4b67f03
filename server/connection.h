#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/connection_table.h"
#include "server/event_log.h"
#include "server/output.h"
#include "server/session.h"
#include "server/transport.h"
#include "server/watch_stream.h"

namespace cairn::server {

class Worker;

/// One client: its descriptor's events, the session that answers it, and whatever of its input or
/// output is incomplete. At rest it owns no buffer: the worker lends its own.
///
/// One event-loop thread. Owned by its worker, which it tells when it is closed.
class Connection {
 public:
  struct Origin {
    PeerAddress peer;
    std::shared_ptr<const std::string> socket_address;  ///< it came in by
  };

  Connection(Worker* worker, std::unique_ptr<Transport> transport, const SessionOptions& options,
             Origin origin);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Begins to listen to the client. May close at once.
  void Start();

  /// True when it waits for a command and none began or ended since `since`. Not while it watches,
  /// has to send more of a body, or has not taken an answer.
  bool IdleSince(storage::Time since) const;
  void Close(CloseReason reason);
  /// Reads no more: closes when what was read is answered and sent, which may be at once.
  void Finish();

  /// The first key that `input`, just read, asks for; empty when unknown. A hint.
  std::string_view FirstKey(std::string_view input) const;
  /// Goes on where the last turn left off: see Worker::ComeBackTo.
  void ComeBack();
  /// Serves what was handed to Worker::ServeLater. An answer that fits `room` is put there for
  /// SendAnswer instead of being sent, and its length returned; 0: nothing waits to be sent.
  size_t ServeBatched(std::string_view input, std::span<char> room);
  void SendAnswer(std::string_view answer);

  size_t worker_slot = 0;   ///< the worker's: where it keeps this connection
  bool batched = false;     ///< the worker's: input of this connection waits to be served
  bool comes_back = false;  ///< the worker's: ComeBack will be called

 private:
  enum class Turn : uint8_t { kWait, kAgain, kClosed };

  static void OnEvent(evutil_socket_t fd, short what, void* self);
  /// What to register for waiting for `what`.
  short EventsOf(short what) const;
  void Serve();
  Turn ServeEvent();
  /// Ends a turn: comes back when the descriptor may hold more, of which no event will tell.
  void Rest();
  void NoteRead(const IoResult& read, size_t room);
  /// Reads once and serves it.
  Turn ReadAndServe();
  Turn ReadBody(std::span<char> target);
  /// True while the client has to send more of a request's body.
  bool InBody() const {
    return session_.ReceivingBody() || session_.awaits_body || session_.Swallowing();
  }
  /// A command has begun or ended, or its answer has been taken.
  void NoteCommand();
  /// The session's, noting what commands it saw.
  Progress Process(std::string_view input, Output* output);
  /// Serves input that lies in the worker's buffer or in saved_input_.
  Turn ServeInput(std::string_view input, bool continuing);
  /// Sends what `progress` has put into `output`, and serves what is left of the input.
  Turn GoOn(Progress progress, std::string_view input, Output* output);
  /// True while something that was read is not answered, or an answer not sent.
  bool Pending() const { return unsent_ != nullptr || continue_when_sent_ || serve_saved_; }
  void SaveInput(std::string_view rest);
  /// What was saved is the beginning of a long line.
  bool SavedLongLine() const;
  void LengthenSaved(std::string_view input);
  std::string TakeSavedInput();
  /// Sends the worker's output; what the client does not take is kept.
  bool Send(Output* output);
  bool SendUnsent();
  void KeepUnsent(Output* output);
  void WaitFor(short what);
  /// memcached's word for what this connection waits for.
  const char* StateWord() const;
  /// Becomes a watcher if there is a place.
  void StartWatching(Output* output);
  void FillFromWatch();

  Worker* const worker_;
  const std::unique_ptr<Transport> transport_;
  Session session_;
  ConnectionRecord record_;
  event event_;
  short waiting_for_ = 0;
  bool continue_when_sent_ = false;  ///< the session is kBlocked
  bool close_when_sent_ = false;
  bool serve_saved_ = false;  ///< saved_input_ holds whole requests (kYield, kBlocked)
  bool finishing_ = false;
  bool readable_ = false;  ///< the descriptor was not seen empty since it was told to hold some
  bool peer_finished_ = false;  ///< has sent all it will
  bool broken_ = false;
  std::string saved_input_;
  std::unique_ptr<Output> unsent_;
  std::unique_ptr<WatchStream> watch_;
};

}  // namespace cairn::server
