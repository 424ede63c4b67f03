#include "client/channel.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>
#include <utility>

namespace cairn {
namespace {

timespec ToTimespec(Clock::duration since) {
  const auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
  timespec time = {};
  time.tv_sec = nanos / 1'000'000'000;
  time.tv_nsec = nanos % 1'000'000'000;
  return time;
}

}  // namespace

void Waiter::Signal() {
  word_.store(1, std::memory_order_release);
  syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

bool Waiter::WaitUntil(Clock::time_point deadline) {
  // steady_clock is CLOCK_MONOTONIC, which is what this operation's timeout is on.
  const timespec time = ToTimespec(deadline.time_since_epoch());
  while (word_.load(std::memory_order_acquire) == 0) {
    const long result = syscall(SYS_futex, &word_, FUTEX_WAIT_BITSET_PRIVATE, 0, &time, nullptr,
                                FUTEX_BITSET_MATCH_ANY);
    if (result != 0 && errno == ETIMEDOUT) return word_.load(std::memory_order_acquire) != 0;
  }
  return true;
}

absl::StatusOr<std::unique_ptr<Channel>> Channel::Make(
    const std::vector<std::unique_ptr<ServerState>>& servers, const ClientOptions* options) {
  const int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) return absl::ResourceExhaustedError("no file descriptor for an eventfd");
  std::unique_ptr<Channel> channel(new Channel(wake_fd));
  for (const auto& server : servers) {
    channel->connections_.push_back(std::make_unique<Connection>(server.get(), options));
  }
  MutexLock lock(&channel->mutex_);
  channel->window_open_.resize(servers.size());
  return channel;
}

Channel::~Channel() {
  MutexLock lock(&mutex_);
  // Of callers who have gone; connections end what they were given.
  for (Part* part : inbox_) connections_[part->server]->Submit(part);
  close(wake_fd_);
}

void Channel::Run(Call& call, Clock::time_point deadline) {
  thread_local Waiter waiter;
  bool lead = false;
  bool wake = false;
  {
    MutexLock lock(&mutex_);
    for (; call.submitted < call.parts.size(); ++call.submitted) {
      Part& part = call.parts[call.submitted];
      call.Ref();
      inbox_.push_back(&part);
      if (polling_ && !woken_ && window_open_[part.server]) wake = woken_ = true;
    }
    if (!led_) {
      led_ = lead = true;
    } else {
      waiter.Reset();
      waiter.call = &call;
      waiter.leads = false;
      call.waiter = &waiter;
      waiting_.push_back(&waiter);
    }
  }
  // What it takes to come here is no reason to ask for the time again.
  if (lead) return Lead(call, call.begun, deadline);
  if (wake) eventfd_write(wake_fd_, 1);
  if (!waiter.WaitUntil(deadline)) {
    {
      MutexLock lock(&mutex_);
      if (RemoveWaiter(&waiter)) return;
    }
    // Chosen or answered in this very moment: the signal is on its way.
    waiter.WaitUntil(Clock::time_point::max());
  }
  if (waiter.leads) Lead(call, Clock::now(), deadline);
}

bool Channel::RemoveWaiter(Waiter* waiter) {
  const auto found = std::find(waiting_.begin(), waiting_.end(), waiter);
  if (found == waiting_.end()) return false;
  waiter->call->waiter = nullptr;
  *found = waiting_.back();
  waiting_.pop_back();
  return true;
}

void Channel::Lead(Call& call, Clock::time_point now, Clock::time_point deadline) {
  for (;;) {
    TakeInbox(now);
    Deliver();
    if (call.finished() || now >= deadline) break;
    if (BeginPolling()) Poll(now, deadline);
    now = Clock::now();
    for (const auto& connection : connections_) {
      if (now >= connection->deadline()) connection->OnDeadline(now);
    }
    Deliver();
    if (call.finished()) break;
  }
  HandOver();
}

void Channel::TakeInbox(Clock::time_point now) {
  {
    MutexLock lock(&mutex_);
    taken_.swap(inbox_);
  }
  for (Part* part : taken_) connections_[part->server]->Submit(part);
  taken_.clear();
  for (const auto& connection : connections_) connection->Flush(now);
}

// From here on whoever brings something that could be sent has to wake the leader. False when
// something came in between.
bool Channel::BeginPolling() {
  MutexLock lock(&mutex_);
  if (!inbox_.empty()) return false;
  polling_ = true;
  woken_ = false;
  for (size_t i = 0; i < connections_.size(); ++i) {
    window_open_[i] = connections_[i]->window_open();
  }
  return true;
}

void Channel::Poll(Clock::time_point now, Clock::time_point deadline) {
  constexpr size_t kInlinePolls = 32;
  pollfd inline_polls[kInlinePolls];
  std::vector<pollfd> many;
  pollfd* polls = inline_polls;
  if (connections_.size() >= kInlinePolls) {
    many.resize(connections_.size() + 1);
    polls = many.data();
  }
  size_t count = 0;
  polls[count++] = {wake_fd_, POLLIN, 0};
  for (const auto& connection : connections_) {
    deadline = std::min(deadline, connection->deadline());
    const short interest = connection->interest();
    if (interest != 0) polls[count++] = {connection->fd(), interest, 0};
  }
  const timespec timeout = ToTimespec(std::max(deadline - now, Clock::duration::zero()));
  const int ready = ppoll(polls, count, &timeout, nullptr);
  {
    MutexLock lock(&mutex_);
    polling_ = false;
  }
  if (ready <= 0) return;
  if (polls[0].revents != 0) {
    eventfd_t ignored;
    eventfd_read(wake_fd_, &ignored);
  }
  now = Clock::now();
  size_t next = 1;
  for (const auto& connection : connections_) {
    if (next == count) break;
    if (connection->fd() != polls[next].fd) continue;
    if (polls[next].revents != 0) connection->OnEvents(now);
    ++next;
  }
}

void Channel::Deliver() {
  for (const auto& connection : connections_) {
    std::vector<Call*>& finished = connection->finished();
    if (finished.empty()) continue;
    finished_.insert(finished_.end(), finished.begin(), finished.end());
    finished.clear();
  }
  if (finished_.empty()) return;
  {
    MutexLock lock(&mutex_);
    for (Call* call : finished_) {
      Waiter* const waiter = call->waiter;
      if (waiter != nullptr && RemoveWaiter(waiter)) to_signal_.push_back(waiter);
    }
  }
  for (Waiter* waiter : to_signal_) waiter->Signal();
  to_signal_.clear();
  for (Call* call : finished_) call->Unref();
  finished_.clear();
}

void Channel::HandOver() {
  Waiter* next = nullptr;
  {
    MutexLock lock(&mutex_);
    if (waiting_.empty()) {
      led_ = false;
      return;
    }
    next = waiting_.front();
    RemoveWaiter(next);
    next->leads = true;
  }
  next->Signal();
}

}  // namespace cairn
