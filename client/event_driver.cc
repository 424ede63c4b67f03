#include "client/event_driver.h"

#include <event2/event.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "client/accounting.h"

namespace cairn {
namespace {

// Rounds of completions that ask for more, before others on the loop have their turn.
constexpr int kRoundsMax = 16;

}  // namespace

void LoopPort::Post(std::function<void()> task) {
  // Held while the loop is told: it is there for that long.
  MutexLock lock(&mutex_);
  if (driver_ != nullptr) driver_->Post(std::move(task));
}

absl::StatusOr<std::unique_ptr<EventDriver>> EventDriver::Make(
    const std::vector<std::unique_ptr<ServerState>>& servers, const ClientOptions* options,
    event_base* base) {
  std::unique_ptr<EventDriver> driver(new EventDriver);
  if (absl::Status status = driver->Init(servers, options, base); !status.ok()) return status;
  return driver;
}

absl::Status EventDriver::Init(const std::vector<std::unique_ptr<ServerState>>& servers,
                               const ClientOptions* options, event_base* base) {
  const absl::Status none = absl::ResourceExhaustedError("no event loop: out of descriptors?");
  servers_ = &servers;
  owns_base_ = base == nullptr;
  base_ = owns_base_ ? event_base_new() : base;
  if (base_ == nullptr) return none;
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd_ < 0) return none;
  wake_ = event_new(
      base_, wake_fd_, EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<EventDriver*>(self)->OnWake(); }, this);
  timer_ = event_new(
      base_, -1, 0,
      [](evutil_socket_t, short, void* self) { static_cast<EventDriver*>(self)->OnTimer(); }, this);
  if (wake_ == nullptr || timer_ == nullptr || event_add(wake_, nullptr) != 0) return none;
  for (const auto& server : servers) {
    auto socket = std::make_unique<Socket>();
    socket->driver = this;
    socket->connection = std::make_unique<Connection>(server.get(), options);
    socket->watcher = event_new(
        base_, -1, 0, [](evutil_socket_t, short, void*) {}, nullptr);
    if (socket->watcher == nullptr) return none;
    socket->connection->set_before_close(
        [](void* which) {
          auto* const closing = static_cast<Socket*>(which);
          if (closing->watched != 0) event_del(closing->watcher);
          closing->watched = 0;
        },
        socket.get());
    sockets_.push_back(std::move(socket));
  }
  {
    MutexLock lock(&port_->mutex_);
    port_->driver_ = this;
  }
  if (!owns_base_) return absl::OkStatus();
  const auto run = [](void* self) -> void* {
    event_base_loop(static_cast<EventDriver*>(self)->base_, EVLOOP_NO_EXIT_ON_EMPTY);
    return nullptr;
  };
  if (pthread_create(&thread_, nullptr, run, this) != 0) {
    return absl::ResourceExhaustedError("no thread for an event loop");
  }
  has_thread_ = true;
  return absl::OkStatus();
}

EventDriver::~EventDriver() {
  stopping_ = true;
  if (has_thread_) {
    eventfd_write(wake_fd_, 1);
    pthread_join(thread_, nullptr);
  }
  Stop();
  {
    MutexLock lock(&port_->mutex_);
    port_->driver_ = nullptr;
  }
  for (const auto& socket : sockets_) {
    if (socket->watcher != nullptr) event_free(socket->watcher);
  }
  if (timer_ != nullptr) event_free(timer_);
  if (wake_ != nullptr) event_free(wake_);
  if (wake_fd_ >= 0) close(wake_fd_);
  if (owns_base_ && base_ != nullptr) event_base_free(base_);
}

// Cancels what is under way, and what completions ask for in turn.
void EventDriver::Stop() {
  do {
    BeginTaken();
    for (const auto& socket : sockets_) socket->connection->Cancel();
    Deliver();
    while (!waits_.empty()) {
      LoopWait* const wait = waits_.begin()->second;
      EndWait(wait);
      wait->OnMoment();
    }
  } while (TakeInbox(false));
}

void EventDriver::Submit(AsyncCall* call) {
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    inbox_.push_back(call);
    wake = !woken_;
    woken_ = true;
  }
  if (wake) eventfd_write(wake_fd_, 1);
}

void EventDriver::Post(std::function<void()> task) {
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
    wake = !woken_;
    woken_ = true;
  }
  if (wake) eventfd_write(wake_fd_, 1);
}

// --- On the loop's thread

void EventDriver::Wait(LoopWait* wait, Clock::time_point until) {
  wait->place_ = waits_.emplace(until, wait);
}

void EventDriver::OnWake() {
  eventfd_t ignored;
  eventfd_read(wake_fd_, &ignored);
  if (stopping_ && has_thread_) {
    event_base_loopbreak(base_);
    return;
  }
  Settle();
}

void EventDriver::OnTimer() {
  timer_at_ = Clock::time_point::max();
  const Clock::time_point now = Clock::now();
  for (const auto& socket : sockets_) {
    if (now >= socket->connection->deadline()) socket->connection->OnDeadline(now);
  }
  while (!under_way_.empty() && under_way_.begin()->first <= now) {
    Complete(under_way_.begin()->second);
  }
  while (!waits_.empty() && waits_.begin()->first <= now) {
    LoopWait* const wait = waits_.begin()->second;
    EndWait(wait);
    wait->OnMoment();
  }
  Settle();
}

// Until nothing is left to be done but to wait.
void EventDriver::Settle() {
  bool more = TakeInbox(true);
  for (int round = 0; more && round < kRoundsMax; ++round) {
    BeginTaken();
    const Clock::time_point now = Clock::now();
    for (const auto& socket : sockets_) socket->connection->Flush(now);
    Deliver();
    more = TakeInbox(false);
  }
  if (more) {
    BeginTaken();
    eventfd_write(wake_fd_, 1);
  }
  for (const auto& socket : sockets_) Watch(*socket);
  SetTimer();
}

// False when there was nothing: from then on who submits wakes the loop.
bool EventDriver::TakeInbox(bool at_least_look) {
  MutexLock lock(&mutex_);
  woken_ = at_least_look || !inbox_.empty() || !tasks_.empty();
  taken_.swap(inbox_);
  taken_tasks_.swap(tasks_);
  return woken_;
}

void EventDriver::BeginTaken() {
  if (!taken_.empty()) {
    const Clock::time_point now = Clock::now();
    for (AsyncCall* call : taken_) Begin(call, now);
    taken_.clear();
  }
  for (const std::function<void()>& task : taken_tasks_) task();
  taken_tasks_.clear();
}

void EventDriver::Begin(AsyncCall* async, Clock::time_point now) {
  Call& call = *async->result.call;
  async->place_ = under_way_.emplace_hint(under_way_.end(), async->deadline, async);
  call.async = async;
  const size_t end = call.WaveEnd();
  call.parts_left.store(static_cast<uint32_t>(end - call.submitted), std::memory_order_relaxed);
  // None of its keys may be asked for, or it is too late.
  if (call.parts.empty() || now >= async->deadline) {
    call.Ref();
    finished_.push_back(&call);
    return;
  }
  for (; call.submitted < end; ++call.submitted) {
    call.Ref();
    Part& part = call.parts[call.submitted];
    sockets_[part.server]->connection->Submit(&part);
  }
}

void EventDriver::Deliver() {
  for (const auto& socket : sockets_) {
    std::vector<Call*>& finished = socket->connection->finished();
    finished_.insert(finished_.end(), finished.begin(), finished.end());
    finished.clear();
  }
  std::vector<Call*> finished;
  finished.swap(finished_);
  for (Call* call : finished) {
    if (call->async != nullptr) Complete(call->async);
    call->Unref();
  }
  finished.clear();
  finished_.swap(finished);  // keeps its memory
}

void EventDriver::Complete(AsyncCall* async) {
  under_way_.erase(async->place_);
  Call& call = *async->result.call;
  call.async = nullptr;
  if (call.finished() && call.has_more_waves()) {
    const Clock::time_point now = Clock::now();
    if (now < async->deadline) {
      call.ForgetRequests();
      call.begun = now;
      return Submit(async);
    }
  }
  if (!call.finished() || call.has_more_waves()) Abandon(call, *servers_);
  async->result.Snapshot();
  async->Done();
}

void EventDriver::Watch(Socket& socket) {
  const Connection& connection = *socket.connection;
  const short interest = connection.interest();
  short wanted = 0;
  // An idle connection is watched, too: so is its end noticed, and nothing needs to change when a
  // request comes and when it is answered.
  if ((interest & POLLIN) != 0 || connection.ready()) wanted |= EV_READ;
  if ((interest & POLLOUT) != 0) wanted |= EV_WRITE;
  if (wanted == socket.watched) return;
  if (socket.watched != 0) event_del(socket.watcher);
  socket.watched = wanted;
  if (wanted == 0) return;
  event_assign(
      socket.watcher, base_, connection.fd(), static_cast<short>(wanted | EV_PERSIST),
      [](evutil_socket_t, short, void* which) {
        auto* const ready = static_cast<Socket*>(which);
        ready->connection->OnEvents(Clock::now());
        ready->driver->Settle();
      },
      &socket);
  event_add(socket.watcher, nullptr);
}

// A timer that comes too early finds nothing to do, which is cheaper than moving it with every
// call.
void EventDriver::SetTimer() {
  Clock::time_point next = Clock::time_point::max();
  if (!under_way_.empty()) next = under_way_.begin()->first;
  if (!waits_.empty()) next = std::min(next, waits_.begin()->first);
  for (const auto& socket : sockets_) next = std::min(next, socket->connection->deadline());
  if (next >= timer_at_) return;
  timer_at_ = next;
  const auto left = std::max(next - Clock::now(), Clock::duration::zero());
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(left).count() + 1;
  timeval time = {};
  time.tv_sec = micros / 1'000'000;
  time.tv_usec = micros % 1'000'000;
  event_add(timer_, &time);
}

}  // namespace cairn
