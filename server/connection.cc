#include "server/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/worker.h"

namespace cairn::server {
namespace {

constexpr size_t kMaxVectors = 64;
// A line of a get may be long; memcached lets it grow until memory runs out.
constexpr size_t kMaxSavedInputBytes = size_t{64} << 20;
// A line from here on (of a get, of any number of keys) is looked through only once.
constexpr size_t kLongLineBytes = size_t{64} * 1024;
constexpr std::string_view kInputTooLong = "SERVER_ERROR out of memory reading request\r\n";

// An idle client takes half a KiB in all, most of it here: 16 bytes more are 160 KiB with 10,000.
static_assert(sizeof(Connection) <= 400);

std::string_view ReasonWord(CloseReason reason) {
  switch (reason) {
    case CloseReason::kNormal:
      return "normal";
    case CloseReason::kError:
      return "error";
    case CloseReason::kIdle:
      return "idle_timeout";
    case CloseReason::kShutdown:
      return "shutdown";
  }
  return "";
}

}  // namespace

Connection::Connection(Worker* worker, std::unique_ptr<Transport> transport,
                       const SessionOptions& options, Origin origin)
    : worker_(worker), transport_(std::move(transport)), session_(worker->context(), options) {
  record_.fd = transport_->fd();
  record_.peer = origin.peer;
  record_.socket_address = std::move(origin.socket_address);
  NoteCommand();
  worker_->server()->connections->Add(&record_);
  event_assign(&event_, worker_->base(), transport_->fd(), 0, &Connection::OnEvent, this);
}

Connection::~Connection() {
  event_del(&event_);
  worker_->server()->connections->Remove(&record_);
  TakeSavedInput();
  if (unsent_ != nullptr) worker_->ReleaseOutput(unsent_->copied_bytes());
}

void Connection::Start() {
  LogConnectionNew(*worker_->server()->log, record_.peer, transport_->fd());
  WaitFor(EV_READ);
}

bool Connection::IdleSince(storage::Time since) const {
  const bool between_commands = !batched && !Pending() && !InBody();
  return watch_ == nullptr && between_commands &&
         record_.last_command_ms.load(std::memory_order_relaxed) < since.ms;
}

void Connection::Close(CloseReason reason) {
  LogConnectionClosed(*worker_->server()->log, record_.peer, ReasonWord(reason), transport_->fd());
  worker_->Remove(this);  // deletes this
}

void Connection::OnEvent(evutil_socket_t, short what, void* self) {
  auto* connection = static_cast<Connection*>(self);
  connection->worker_->RefreshClockOfTurn();
  if ((what & EV_CLOSED) != 0) connection->peer_finished_ = true;
  if ((what & (EV_READ | EV_CLOSED)) != 0) connection->readable_ = true;
  connection->Serve();
}

short Connection::EventsOf(short what) const {
  // Edge-triggered, a read that empties the descriptor costs no second look at it by the kernel;
  // the price is that nobody reminds us of what was left there: see Rest.
  const bool edge = what == EV_READ && transport_->ShortReadMeansEmpty();
  return static_cast<short>(what | EV_PERSIST | (edge ? EV_ET | EV_CLOSED : 0));
}

void Connection::Rest() {
  if (waiting_for_ == EV_READ && readable_ && transport_->ShortReadMeansEmpty()) {
    worker_->ComeBackTo(this);
  }
}

void Connection::ComeBack() {
  comes_back = false;
  event_active(&event_, EV_READ, 0);
}

void Connection::NoteRead(const IoResult& read, size_t room) {
  if (read.status == IoStatus::kWantRead) readable_ = false;
  // When the peer has finished, its end is there to be read as well, and no event will say so.
  if (read.status == IoStatus::kDone && read.bytes < room && !peer_finished_) readable_ = false;
}

const char* Connection::StateWord() const {
  if (watch_ != nullptr) return "conn_watch";
  if (waiting_for_ == EV_WRITE) return "conn_mwrite";
  if (!InBody()) return "conn_read";
  return session_.Swallowing() ? "conn_swallow" : "conn_nread";
}

void Connection::WaitFor(short what) {
  const bool same = waiting_for_ == what;
  waiting_for_ = what;
  record_.state.store(StateWord(), std::memory_order_relaxed);
  if (same) return;
  event_del(&event_);
  event_assign(&event_, worker_->base(), transport_->fd(), EventsOf(what), &Connection::OnEvent,
               this);
  event_add(&event_, nullptr);
}

std::string_view Connection::FirstKey(std::string_view input) const {
  return session_.FirstKey(input);
}

size_t Connection::ServeBatched(std::string_view input, std::span<char> room) {
  Output& output = worker_->output();
  const Progress progress = Process(input, &output);
  const std::string_view answer = output.Whole();
  const bool waits = !answer.empty() && answer.size() <= room.size() &&
                     progress.status == SessionStatus::kNeedInput &&
                     progress.consumed == input.size() && session_.watch == nullptr;
  if (!waits) {
    if (GoOn(progress, input, &output) != Turn::kClosed) Rest();
    return 0;
  }
  answer.copy(room.data(), answer.size());
  output.Clear();
  return answer.size();
}

void Connection::SendAnswer(std::string_view answer) {
  Output& output = worker_->output();
  output.Append(answer);
  if (GoOn({SessionStatus::kNeedInput, 0}, {}, &output) != Turn::kClosed) Rest();
}

void Connection::Serve() {
  if (batched) return;  // what was read before comes first; then Rest
  if (ServeEvent() != Turn::kClosed && !batched) Rest();
}

Connection::Turn Connection::ServeEvent() {
  record_.state.store("conn_parse_cmd", std::memory_order_relaxed);
  if (unsent_ != nullptr && !SendUnsent()) {
    if (!broken_) return Turn::kWait;
    Close(CloseReason::kError);
    return Turn::kClosed;
  }
  if (close_when_sent_) {
    Close(session_.close_reason);
    return Turn::kClosed;
  }
  if (watch_ != nullptr) FillFromWatch();
  if (unsent_ != nullptr) return Turn::kWait;  // before anything else the watcher has to read

  Turn turn = Turn::kAgain;
  if (continue_when_sent_ || serve_saved_) {
    const bool continuing = std::exchange(continue_when_sent_, false);
    serve_saved_ = false;
    const std::string input = TakeSavedInput();
    turn = ServeInput(input, continuing);
    if (turn == Turn::kClosed) return turn;  // and nothing of this is left
  }
  if (finishing_) {
    if (Pending()) return turn;
    Close(CloseReason::kShutdown);
    return Turn::kClosed;
  }
  // TLS may hold whole requests that the descriptor says nothing of, so it is asked until dry.
  while (turn == Turn::kAgain) {
    turn = ReadAndServe();
    if (turn == Turn::kAgain && !transport_->HoldsInput()) break;
  }
  return turn;
}

Connection::Turn Connection::ReadAndServe() {
  const std::span<char> body = session_.BodyTarget();
  if (!body.empty()) return ReadBody(body);

  const size_t saved = saved_input_.size();
  const bool joins_batch = saved == 0 && watch_ == nullptr;
  // A long line stays where it is: each piece of it would have to be given all of its room.
  const bool lengthens = SavedLongLine();
  const size_t at = lengthens ? 0 : saved;
  const std::span<char> buffer = joins_batch ? worker_->BatchRoom() : worker_->InputBuffer(at);
  const IoResult read = transport_->Read(buffer.subspan(at));
  NoteRead(read, buffer.size() - at);
  switch (read.status) {
    case IoStatus::kDone:
      break;
    case IoStatus::kWantRead:
      WaitFor(EV_READ);
      return Turn::kWait;
    case IoStatus::kWantWrite:
      WaitFor(EV_WRITE);
      return Turn::kWait;
    case IoStatus::kEnd:
      Close(CloseReason::kNormal);
      return Turn::kClosed;
    case IoStatus::kError:
      Close(CloseReason::kError);
      return Turn::kClosed;
  }
  worker_->stats()->bytes_read.Add(read.bytes);
  if (lengthens) {
    const std::string_view piece(buffer.data(), read.bytes);
    LengthenSaved(piece);
    const bool goes_on = piece.find('\n') == std::string_view::npos;
    if (goes_on && saved_input_.size() <= kMaxSavedInputBytes) {
      WaitFor(EV_READ);
      return Turn::kAgain;
    }
    const std::string input = TakeSavedInput();
    return ServeInput(input, false);
  }
  if (saved != 0) {
    const std::string input = TakeSavedInput();
    input.copy(buffer.data(), saved);
  }
  if (watch_ != nullptr) {  // it only receives
    WaitFor(EV_READ);
    return Turn::kAgain;
  }
  const std::string_view input{buffer.data(), saved + read.bytes};
  if (!joins_batch || transport_->HoldsInput()) return ServeInput(input, false);
  worker_->ServeLater(this, input);
  return Turn::kWait;
}

Connection::Turn Connection::ReadBody(std::span<char> target) {
  // A few buffers' worth, then others have their turn.
  for (size_t left = Worker::kInputBufferBytes * 4; left != 0;) {
    const size_t room = std::min(target.size(), left);
    const IoResult read = transport_->Read(target.first(room));
    NoteRead(read, room);
    if (read.status == IoStatus::kEnd || read.status == IoStatus::kError) {
      Close(read.status == IoStatus::kEnd ? CloseReason::kNormal : CloseReason::kError);
      return Turn::kClosed;
    }
    if (read.status != IoStatus::kDone) {
      WaitFor(read.status == IoStatus::kWantWrite ? EV_WRITE : EV_READ);
      return Turn::kWait;
    }
    worker_->stats()->bytes_read.Add(read.bytes);
    left -= std::min(left, read.bytes);
    const bool short_read = read.bytes < target.size();
    const SessionStatus status = session_.BodyReceived(read.bytes, &worker_->output());
    if (status == SessionStatus::kClose || !session_.ReceivingBody()) {
      NoteCommand();
      if (status == SessionStatus::kClose) close_when_sent_ = true;
      return ServeInput({}, false);
    }
    if (short_read && !transport_->HoldsInput()) break;
    target = session_.BodyTarget();
  }
  WaitFor(EV_READ);
  return Turn::kAgain;
}

void Connection::NoteCommand() {
  record_.last_command_ms.store(worker_->context()->now.ms, std::memory_order_relaxed);
}

Progress Connection::Process(std::string_view input, Output* output) {
  const bool in_body = InBody();
  const Progress progress = session_.Process(input, output, worker_->max_requests());
  // Bytes alone are no command: neither those of a line without its end nor those of a body.
  if (InBody() != in_body || (!in_body && progress.consumed != 0)) NoteCommand();
  return progress;
}

Connection::Turn Connection::ServeInput(std::string_view input, bool continuing) {
  Output& output = worker_->output();
  if (!continuing) return GoOn(Process(input, &output), input, &output);
  NoteCommand();
  return GoOn(session_.Continue(input, &output, worker_->max_requests()), input, &output);
}

Connection::Turn Connection::GoOn(Progress progress, std::string_view input, Output* output) {
  for (;; progress = Process(input, output)) {
    input.remove_prefix(progress.consumed);
    if (progress.status == SessionStatus::kClose) close_when_sent_ = true;
    const bool wants_watch = session_.watch != nullptr;
    if (wants_watch) StartWatching(output);
    const bool sent = Send(output);
    if (broken_) {
      Close(CloseReason::kError);
      return Turn::kClosed;
    }
    const bool blocked = progress.status == SessionStatus::kBlocked;
    if (close_when_sent_) {
      if (!sent) return Turn::kWait;
      Close(session_.close_reason);
      return Turn::kClosed;
    }
    if (sent && wants_watch && watch_ == nullptr) continue;
    const bool yielded = progress.status == SessionStatus::kYield;
    if (!blocked && !yielded && input.size() > kMaxSavedInputBytes) {
      output->Append(kInputTooLong);
      close_when_sent_ = true;
      input = {};
      continue;
    }
    SaveInput(input);
    continue_when_sent_ = blocked;
    serve_saved_ = yielded;
    if (!sent) return Turn::kWait;
    WaitFor(EV_READ);
    // What a long answer fills an Output with is sent; before more of it others have their turn.
    if (yielded || blocked) {
      if (yielded) ++worker_->stats()->conn_yields;
      worker_->ComeBackTo(this);
      return Turn::kWait;
    }
    return Turn::kAgain;
  }
}

void Connection::SaveInput(std::string_view rest) {
  if (rest.empty()) return;
  saved_input_.assign(rest);
  worker_->HoldInput(rest.size());
}

bool Connection::SavedLongLine() const {
  return saved_input_.size() >= kLongLineBytes && watch_ == nullptr && !InBody() &&
         !session_.TalksBinary(saved_input_);
}

void Connection::LengthenSaved(std::string_view input) {
  worker_->ReleaseInput(saved_input_.size());
  saved_input_.append(input);
  worker_->HoldInput(saved_input_.size());
}

std::string Connection::TakeSavedInput() {
  if (saved_input_.empty()) return {};
  worker_->ReleaseInput(saved_input_.size());
  return std::exchange(saved_input_, std::string());
}

bool Connection::Send(Output* output) {
  std::array<iovec, kMaxVectors> vectors;
  while (!output->empty()) {
    const size_t count = output->Gather(vectors);
    const IoResult sent = transport_->Send(std::span(vectors).first(count));
    if (sent.status == IoStatus::kDone) {
      worker_->stats()->bytes_written.Add(sent.bytes);
      output->Consume(sent.bytes);
      continue;
    }
    if (sent.status == IoStatus::kError || sent.status == IoStatus::kEnd) {
      broken_ = true;
      output->Clear();
      return false;
    }
    KeepUnsent(output);
    WaitFor(sent.status == IoStatus::kWantRead ? EV_READ : EV_WRITE);
    return false;
  }
  output->Clear();
  return true;
}

void Connection::KeepUnsent(Output* output) {
  if (unsent_.get() == output) return;
  unsent_ = std::make_unique<Output>(output->TakeUnsent());
  worker_->HoldOutput(unsent_->copied_bytes());
}

bool Connection::SendUnsent() {
  const size_t held = unsent_->copied_bytes();
  if (!Send(unsent_.get())) return false;
  worker_->ReleaseOutput(held);
  unsent_.reset();
  NoteCommand();
  WaitFor(EV_READ);
  return true;
}

void Connection::StartWatching(Output* output) {
  const std::unique_ptr<WatchRequest> request = std::move(session_.watch);
  watch_ = WatchStream::Open(
      worker_->server()->log, request->kinds,
      [worker = worker_](WatchStream::Task task) { worker->Post(std::move(task)); },
      [this] {
        if (unsent_ == nullptr) FillFromWatch();
      });
  if (watch_ == nullptr) {  // somebody took the last place since the command looked
    output->TruncateTo(request->answer);
    output->Append(WatchStream::kTooMany);
    return;
  }
  record_.state.store("conn_watch", std::memory_order_relaxed);
}

void Connection::FillFromWatch() {
  Output& output = worker_->output();
  // Once: whatever is published meanwhile wakes this connection again.
  if (watch_->Fill(&output)) Send(&output);
  if (broken_) WaitFor(EV_READ);  // the read will find the connection broken, and close it
}

void Connection::Finish() {
  finishing_ = true;
  if (unsent_ == nullptr && Pending()) {
    Serve();
  } else if (!Pending()) {
    Close(CloseReason::kShutdown);
  }
}

}  // namespace cairn::server
