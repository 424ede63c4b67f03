#include "client/channel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <span>
#include <utility>

namespace cairn {
namespace {

// Of a crowd that goes away half is remembered for some hundreds of waits.
constexpr double kCrowdLasts = 0.998;
// Who comes when this part of the crowd has brought requests sends them, so that the server has
// something to do while the others run.
constexpr double kBatchOfCrowd = 0.66;
// Above it is cheaper to ask first which connections have something.
constexpr size_t kReceivesUnasked = 2;
// Between one who drives and the next; longer is a time in which nobody does.
constexpr std::chrono::milliseconds kHandedOver{1};

}  // namespace

absl::StatusOr<std::unique_ptr<Channel>> Channel::Make(
    const std::vector<std::unique_ptr<ServerState>>& servers, const ClientOptions* options) {
  const int wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd < 0) return absl::ResourceExhaustedError("no file descriptor for an eventfd");
  std::unique_ptr<Channel> channel(new Channel(wake_fd));
  for (const auto& server : servers) {
    channel->connections_.push_back(std::make_unique<Connection>(server.get(), options));
    channel->connections_.back()->set_receives_waiting();
  }
  MutexLock lock(&channel->mutex_);
  channel->is_quick_.resize(servers.size());
  return channel;
}

Channel::~Channel() {
  MutexLock lock(&mutex_);
  // Of callers who have gone; connections end what they were given.
  for (Part* part : inbox_) connections_[part->server]->Submit(part);
  close(wake_fd_);
}

void Channel::Run(Call& call, Clock::time_point deadline) {
  Waiter waiter;
  bool lead = false;
  bool wake = false;
  const bool awake = bell_.IsToLetOthersRun(call.begun);
  {
    MutexLock lock(&mutex_);
    for (const size_t end = call.WaveEnd(); call.submitted < end; ++call.submitted) {
      Part& part = call.parts[call.submitted];
      call.Ref();
      inbox_.push_back(&part);
      if (polling_ && !woken_ && is_quick_[part.server]) wake = woken_ = true;
    }
    const bool others_look = awake && awake_ > 0;
    const bool batch_is_full = static_cast<double>(inbox_.size()) >= crowd_ * kBatchOfCrowd;
    if (led_ || (others_look && !batch_is_full)) {
      AddWaiter(waiter, call, awake);
    } else {
      led_ = lead = true;
    }
  }
  // What it takes to come here is no reason to ask for the time again.
  if (lead) return Lead(call, waiter, call.begun, deadline, false);
  if (wake) eventfd_write(wake_fd_, 1);
  const Awaited awaited = Await(waiter, deadline);
  if (awaited == Awaited::kReturn) return;
  Lead(call, waiter, Clock::now(), deadline, awaited == Awaited::kLeadForGood);
}

void Channel::AddWaiter(Waiter& waiter, Call& call, bool awake) {
  waiter.call = &call;
  waiter.leads = false;
  waiter.bit = next_bit_;
  next_bit_ = std::rotl(next_bit_, 1);
  crowd_ = std::max(static_cast<double>(waiting_.size()), crowd_ * kCrowdLasts);
  waiter.crowd = static_cast<int>(crowd_);
  waiter.awake = awake;
  if (awake) ++awake_;
  Bell::Prepare(waiter);
  call.waiter = &waiter;
  waiting_.push_back(&waiter);
}

Channel::Awaited Channel::Await(Waiter& waiter, Clock::time_point deadline) {
  if (waiter.awake) {
    if (bell_.LetOthersRun(waiter, deadline, [this] { Look(); })) {
      return waiter.leads ? Awaited::kLead : Awaited::kReturn;
    }
    MutexLock lock(&mutex_);
    if (waiter.call->waiter != nullptr) {  // else it is about to be summoned
      if (!led_) {
        RemoveWaiter(&waiter);
        led_ = true;
        return Awaited::kLeadForGood;
      }
      waiter.awake = false;
      --awake_;
    }
  }
  if (!bell_.SleepUntil(waiter, deadline)) {
    Look();  // those who are awake may not have had the processor
    {
      MutexLock lock(&mutex_);
      if (RemoveWaiter(&waiter)) return Awaited::kReturn;
    }
    // Chosen or answered in this very moment: it is about to be summoned.
    bell_.SleepUntil(waiter, Clock::time_point::max());
  }
  return waiter.leads ? Awaited::kLead : Awaited::kReturn;
}

// Leads for a moment, without waiting for anything.
void Channel::Look() {
  {
    MutexLock lock(&mutex_);
    if (led_) return;
    led_ = true;
  }
  const Clock::time_point now = Clock::now();
  ReceiveWhatIsThere(now);
  EndOverdue(now);
  TakeInbox(now);
  Deliver();
  HandOver();
}

bool Channel::RemoveWaiter(Waiter* waiter) {
  const auto found = std::find(waiting_.begin(), waiting_.end(), waiter);
  if (found == waiting_.end()) return false;
  if (waiter->awake) --awake_;
  waiter->call->waiter = nullptr;
  *found = waiting_.back();
  waiting_.pop_back();
  return true;
}

void Channel::Lead(Call& call, Waiter& waiter, Clock::time_point now, Clock::time_point deadline,
                   bool for_good) {
  for (;;) {
    TakeInbox(now);
    Deliver();
    if (call.finished() || now >= deadline) break;
    RingForSummoned();
    switch (WaitForAnswers(call, waiter, now, deadline, for_good)) {
      case Next::kReturn:
        return;
      case Next::kAwait: {
        const Awaited awaited = Await(waiter, deadline);
        if (awaited == Awaited::kReturn) return;
        for_good = awaited == Awaited::kLeadForGood;
        now = Clock::now();
        continue;
      }
      case Next::kGoOn:
        for_good = false;
        now = Clock::now();
        continue;
      case Next::kPoll:
        break;
    }
    for_good = false;
    if (BeginPolling()) Poll(now, deadline);
    now = Clock::now();
    EndOverdue(now);
    // What may be sent now that something was answered is sent before this thread leaves.
  }
  HandOver();
}

// The time to connect is that in which somebody drives, or waits for whoever will.
void Channel::Resume(Clock::time_point now) {
  const Clock::duration gap = now - driven_until_;
  if (gap <= Clock::duration::zero()) return;
  driven_until_ = now;
  if (gap <= kHandedOver) return;
  for (const auto& connection : connections_) connection->StandStill(gap);
}

void Channel::TakeInbox(Clock::time_point now) {
  Resume(now);
  Connection::Received received;
  Connection* from = nullptr;
  {
    MutexLock lock(&mutex_);
    taken_.swap(inbox_);
    if (has_received_) {
      has_received_ = false;
      received = received_;
      from = std::exchange(receiving_, nullptr);
    }
  }
  if (from != nullptr) from->EndReceive(received, now);
  for (Part* part : taken_) connections_[part->server]->Submit(part);
  taken_.clear();
  for (const auto& connection : connections_) connection->Flush(now);
}

// --- Waiting in recv()

Channel::Next Channel::WaitForAnswers(Call& call, Waiter& waiter, Clock::time_point now,
                                      Clock::time_point deadline, bool for_good) {
  const bool lets_run = !for_good && bell_.IsToLetOthersRun(now);
  // Who receives will lead again, and has all that is waited for.
  const bool receiver_suffices = ReceiverSuffices();
  if (lets_run || receiver_suffices) {
    MutexLock lock(&mutex_);
    if (has_received_ || !inbox_.empty()) return Next::kGoOn;
    const bool awake = lets_run && !waiting_.empty();
    if (awake || receiver_suffices) return StepBack(call, waiter, awake);
  }
  if (receiving_ != nullptr) return Next::kPoll;
  Connection* const from = ToReceiveFrom(call, now, deadline);
  return from == nullptr ? Next::kPoll : ReceiveFrom(from, call, waiter);
}

// Whether there is something to wait for but answers from `one`.
bool Channel::OthersAwait(const Connection* one) const {
  return std::any_of(connections_.begin(), connections_.end(), [one](const auto& connection) {
    if (connection.get() == one && one->only_awaits()) return false;
    return connection->interest() != 0 || connection->deadline() != Clock::time_point::max();
  });
}

// Null unless all there is to do is to receive, from one connection: while one of several keeps
// silent the others' answers are to be read, of which their servers may have more than fits into
// sockets.
Connection* Channel::ToReceiveFrom(const Call& call, Clock::time_point now,
                                   Clock::time_point deadline) const {
  const Clock::time_point until = now + Connection::kReceiveWaitMax;
  if (deadline < until) return nullptr;
  for (const auto& connection : connections_) {
    if (connection->deadline() < until) return nullptr;
    if (connection->interest() != 0 && !connection->only_awaits()) return nullptr;
  }
  Connection* from = nullptr;
  for (size_t i = 0; i < call.submitted; ++i) {  // not those of waves to come
    const Part& part = call.parts[i];
    if (part.done.load(std::memory_order_relaxed)) continue;
    Connection* const connection = connections_[part.server].get();
    if (!connection->only_awaits() || (from != nullptr && from != connection)) return nullptr;
    from = connection;
  }
  return from;
}

// Lets go of the lead while it receives.
Channel::Next Channel::ReceiveFrom(Connection* from, Call& call, Waiter& waiter) {
  std::span<char> to;
  {
    MutexLock lock(&mutex_);
    if (!inbox_.empty()) return Next::kGoOn;
    // Others may wait for others.
    if (!waiting_.empty() && OthersAwait(from)) return Next::kPoll;
    receiving_ = from;
    to = from->BeginReceive();
    led_ = false;
  }
  Connection::Received received;
  received.bytes = recv(from->fd(), to.data(), to.size(), 0);
  received.error = errno;
  const Clock::time_point now = Clock::now();
  bool wake = false;
  Next next = Next::kGoOn;
  {
    MutexLock lock(&mutex_);
    received_ = received;
    has_received_ = true;
    if (!led_) {
      led_ = true;
    } else {
      if (polling_ && !woken_) wake = woken_ = true;
      next = Next::kReturn;
      if (!call.finished()) {
        AddWaiter(waiter, call, bell_.IsToLetOthersRun(now));
        next = Next::kAwait;
      }
    }
  }
  if (wake) eventfd_write(wake_fd_, 1);
  return next;
}

Channel::Next Channel::StepBack(Call& call, Waiter& waiter, bool awake) {
  AddWaiter(waiter, call, awake);
  led_ = false;
  return Next::kAwait;
}

// --- Waiting in poll()

// From here on whoever brings something that could be sent has to wake the leader. False when
// something came in between.
bool Channel::BeginPolling() {
  MutexLock lock(&mutex_);
  if (!inbox_.empty() || has_received_) return false;
  polling_ = true;
  woken_ = false;
  for (size_t i = 0; i < connections_.size(); ++i) {
    is_quick_[i] = connections_[i]->is_quick();
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

// Without waiting.
void Channel::ReceiveWhatIsThere(Clock::time_point now) {
  size_t awaited = 0;
  bool all_await_answers = true;
  for (const auto& connection : connections_) {
    const short interest = connection->interest();
    if (interest == 0) continue;
    ++awaited;
    all_await_answers = all_await_answers && connection->ready() && interest == POLLIN;
  }
  if (awaited > kReceivesUnasked || !all_await_answers) return Poll(now, now);
  for (const auto& connection : connections_) {
    if (connection->interest() != 0) connection->OnEvents(now);
  }
}

void Channel::EndOverdue(Clock::time_point now) {
  driven_until_ = now;
  for (const auto& connection : connections_) {
    if (now >= connection->deadline()) connection->OnDeadline(now);
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
      if (waiter != nullptr && RemoveWaiter(waiter)) to_summon_.push_back(waiter);
    }
  }
  for (Waiter* waiter : to_summon_) {
    summoned_bits_ |= Bell::Summon(*waiter);
  }
  to_summon_.clear();
  for (Call* call : finished_) call->Unref();
  finished_.clear();
}

void Channel::RingForSummoned() {
  if (summoned_bits_ != 0) bell_.Ring(std::exchange(summoned_bits_, 0));
}

void Channel::HandOver() {
  const bool receiver_suffices = ReceiverSuffices();
  uint32_t bits = std::exchange(summoned_bits_, 0);
  {
    MutexLock lock(&mutex_);
    const bool nothing_new = inbox_.empty() && !has_received_;
    if (waiting_.empty() || awake_ > 0 || (receiver_suffices && nothing_new)) {
      led_ = false;
    } else {
      Waiter* const next = waiting_.front();
      RemoveWaiter(next);
      next->leads = true;
      // From here on the leader's things are no longer this thread's.
      bits |= Bell::Summon(*next);
    }
  }
  if (bits != 0) bell_.Ring(bits);
}

}  // namespace cairn
