#include "server/worker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "server/settings.h"
#include "server/udp_endpoint.h"

namespace cairn::server {
namespace {

constexpr timeval kIdleCheckInterval{1, 0};
// While ending, clients that take their answers are waited for: up to ten seconds in all, and up to
// two in which none of them took a byte.
constexpr timeval kDrainCheckInterval{0, 500'000};
constexpr unsigned kMaxDrainChecks = 20;
constexpr unsigned kMaxIdleDrainChecks = 4;
// As many reads as cache lines are fetched at once: more would only make the first ones wait.
constexpr size_t kMaxBatchedReads = 16;
// Answers up to this wait for one another: those of single small values.
constexpr size_t kSmallAnswerBytes = 2048;
// A read that finds less room would cut requests for no reason.
constexpr size_t kLeastBatchRoom = Worker::kInputBufferBytes / 4;
// After a turn of the loop in which more than this was written, which is what one long answer may
// be at a time, only so many go on with theirs: who asks for little has its turn between those who
// ask for much, and not after all of them.
constexpr uint64_t kMuchWrittenBytes = Output::kHighWaterBytes;
// Up to this part of the memory limit answers wait for slow clients; beyond it as few as may be.
constexpr uint64_t kOutputShare = 16;
constexpr size_t kFewComeBacks = 2;
// Past this, the input buffer of a rare large request is given back.
constexpr size_t kKeptInputBytes = Worker::kInputBufferBytes * 4;

unsigned MaxRequests(const Settings& settings) {
  // memcached's default of 20 is there to be fair; one read's worth of requests is as fair and
  // leaves in one answer.
  return settings.max_requests_per_event_given
             ? static_cast<unsigned>(settings.max_requests_per_event)
             : UINT_MAX;
}

// Only its own thread uses a worker's loop while it runs, others write to wake_fd_: locks would be
// taken for nobody, several times a request.
EventBasePtr MakeLoop() {
  event_config* const config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  EventBasePtr base(event_base_new_with_config(config));
  event_config_free(config);
  return base;
}

}  // namespace

Worker::Worker(ServerContext* server, unsigned index)
    : max_requests_(MaxRequests(*server->settings)),
      base_(MakeLoop()),
      wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      input_buffer_(kInputBufferBytes),
      answers_(kMaxBatchedReads * kSmallAnswerBytes) {
  context_.server = server;
  context_.stats = &stats_;
  context_.index = index;
  RefreshClock();
  const auto run_posted = [](evutil_socket_t, short, void* self) {
    static_cast<Worker*>(self)->RunPosted();
  };
  wake_event_.reset(event_new(base_.get(), wake_fd_, EV_READ | EV_PERSIST, run_posted, this));
  event_add(wake_event_.get(), nullptr);
  if (server->settings->idle_timeout_s == 0) return;
  const auto close_idle = [](evutil_socket_t, short, void* self) {
    static_cast<Worker*>(self)->CloseIdle();
  };
  idle_event_.reset(event_new(base_.get(), -1, EV_PERSIST, close_idle, this));
  event_add(idle_event_.get(), &kIdleCheckInterval);
}

Worker::~Worker() {
  Stop();
  connections_.clear();
  udp_endpoints_.clear();
  wake_event_.reset();
  close(wake_fd_);
}

void Worker::ServeDatagrams(BoundSocket socket) {
  udp_endpoints_.push_back(std::make_unique<UdpEndpoint>(this, std::move(socket)));
}

void Worker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Worker::Run() {
  while (event_base_loop(base_.get(), EVLOOP_ONCE) == 0 && !event_base_got_break(base_.get())) {
    ServeBatch();
    HaveThemComeBack();
    clock_is_of_turn_ = false;
  }
}

void Worker::HaveThemComeBack() {
  const uint64_t written = stats_.bytes_written.value();
  const bool much = written - written_at_turn_ > kMuchWrittenBytes;
  written_at_turn_ = written;
  // While there is one who is to come back, the loop does not wait for other events.
  for (size_t left = much ? kFewComeBacks : come_back_.size(); left != 0 && !come_back_.empty();) {
    Connection* const connection = come_back_.front();
    come_back_.pop_front();
    if (connection == nullptr) continue;
    connection->ComeBack();
    --left;
  }
}

void Worker::ComeBackTo(Connection* connection) {
  if (connection->comes_back) return;
  connection->comes_back = true;
  come_back_.push_back(connection);
}

void Worker::TrimInputBuffer() {
  if (input_buffer_.size() <= kKeptInputBytes) return;
  input_buffer_.resize(kKeptInputBytes);
  input_buffer_.shrink_to_fit();
}

std::span<char> Worker::BatchRoom() {
  const bool full = input_buffer_.size() - batch_bytes_ < kLeastBatchRoom;
  if (full || batch_.size() == kMaxBatchedReads) ServeBatch();
  if (batch_.empty()) TrimInputBuffer();
  return std::span(input_buffer_).subspan(batch_bytes_);
}

void Worker::ServeLater(Connection* connection, std::string_view input) {
  connection->batched = true;
  batch_.push_back({connection, input, {}});
  batch_bytes_ += input.size();
}

void Worker::ServeBatch() {
  if (batch_.empty()) return;
  if (batch_.size() > 1) {
    std::array<storage::Key, kMaxBatchedReads> keys;
    size_t count = 0;
    for (const Batched& read : batch_) {
      if (read.connection == nullptr) continue;
      const std::string_view key = read.connection->FirstKey(read.input);
      if (!key.empty()) keys[count++] = server()->store->MakeKey(key);
    }
    server()->store->Prefetch(std::span(keys).first(count));
  }
  // First all are served and then all are answered: a processor does either better in a row, since
  // the kernel's sending takes the nearest caches for itself. Nobody adds to the batch meanwhile:
  // to serve a connection is not to read.
  std::span<char> room = answers_;
  for (Batched& read : batch_) {
    if (read.connection == nullptr) continue;
    const bool last = &read == &batch_.back() && room.size() == answers_.size();
    const size_t bytes = read.connection->ServeBatched(
        read.input, room.first(last ? 0 : std::min(room.size(), kSmallAnswerBytes)));
    read.answer = {room.data(), bytes};
    room = room.subspan(bytes);
    if (bytes == 0 && read.connection != nullptr) read.connection->batched = false;
  }
  for (const Batched& read : batch_) {
    if (read.connection == nullptr || read.answer.empty()) continue;
    read.connection->batched = false;
    read.connection->SendAnswer(read.answer);
  }
  batch_.clear();
  batch_bytes_ = 0;
}

void Worker::Stop() {
  if (!thread_.joinable()) return;
  Post([this] { Drain(); });
  thread_.join();
}

void Worker::Post(std::function<void()> task) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  if (!first) return;
  const uint64_t one = 1;
  // The counter cannot overflow: it is written once for each time the list was found empty.
  (void)!write(wake_fd_, &one, sizeof one);
}

void Worker::RunPosted() {
  uint64_t count = 0;
  (void)!read(wake_fd_, &count, sizeof count);
  std::vector<std::function<void()>> tasks;
  {
    absl::MutexLock lock(&mutex_);
    tasks.swap(posted_);
  }
  RefreshClock();
  for (const std::function<void()>& task : tasks) task();
}

void Worker::Adopt(Arrival arrival) {
  Post([this, shared = std::make_shared<Arrival>(std::move(arrival))] {
    Admit(std::move(*shared));
  });
}

void Worker::Admit(Arrival arrival) {
  std::unique_ptr<Transport> transport = arrival.ssl == nullptr
                                             ? MakePlainTransport(arrival.fd)
                                             : MakeTlsTransport(arrival.fd, arrival.ssl, &stats_);
  arrival.options.fd = arrival.fd;
  auto connection = std::make_unique<Connection>(this, std::move(transport), arrival.options,
                                                 std::move(arrival.origin));
  connection->worker_slot = connections_.size();
  connections_.push_back(std::move(connection));
  server()->process->connection_structures.fetch_add(1, std::memory_order_relaxed);
  connections_.back()->Start();
}

void Worker::Remove(Connection* connection) {
  if (connection->batched) {
    for (Batched& read : batch_) {
      if (read.connection == connection) read.connection = nullptr;
    }
  }
  if (connection->comes_back) {
    std::replace(come_back_.begin(), come_back_.end(), connection,
                 static_cast<Connection*>(nullptr));
  }
  const size_t slot = connection->worker_slot;
  const std::unique_ptr<Connection> removed = std::move(connections_[slot]);
  if (slot + 1 != connections_.size()) {
    connections_[slot] = std::move(connections_.back());
    connections_[slot]->worker_slot = slot;
  }
  connections_.pop_back();
  server()->process->connection_structures.fetch_sub(1, std::memory_order_relaxed);
  if (server()->on_connection_closed) server()->on_connection_closed();
  if (drained_event_ != nullptr && connections_.empty()) {
    event_active(drained_event_.get(), EV_TIMEOUT, 0);
  }
}

std::span<char> Worker::InputBuffer(size_t saved) {
  ServeBatch();
  const size_t wanted = saved + kInputBufferBytes;
  if (input_buffer_.size() < wanted) input_buffer_.resize(wanted);
  if (wanted <= kKeptInputBytes) TrimInputBuffer();
  return std::span(input_buffer_).first(wanted);
}

void Worker::HoldInput(size_t bytes) {
  server()->process->input_buffer_count.fetch_add(1, std::memory_order_relaxed);
  server()->process->input_buffer_bytes.fetch_add(bytes, std::memory_order_relaxed);
  server()->store->ChargeExternal(static_cast<int64_t>(bytes));
}

void Worker::ReleaseInput(size_t bytes) {
  server()->process->input_buffer_count.fetch_sub(1, std::memory_order_relaxed);
  server()->process->input_buffer_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  server()->store->ChargeExternal(-static_cast<int64_t>(bytes));
}

void Worker::HoldOutput(size_t bytes) {
  server()->process->output_buffer_count.fetch_add(1, std::memory_order_relaxed);
  server()->process->output_buffer_bytes.fetch_add(bytes, std::memory_order_relaxed);
  server()->store->ChargeExternal(static_cast<int64_t>(bytes));
  held_output_ += bytes;
  LimitOutput();
}

void Worker::ReleaseOutput(size_t bytes) {
  server()->process->output_buffer_count.fetch_sub(1, std::memory_order_relaxed);
  server()->process->output_buffer_bytes.fetch_sub(bytes, std::memory_order_relaxed);
  server()->store->ChargeExternal(-static_cast<int64_t>(bytes));
  held_output_ -= bytes;
  LimitOutput();
}

// The more is held for clients that do not read, the less is made ready for another: hundreds of
// them are not to push out what the others have stored.
void Worker::LimitOutput() {
  const uint64_t share = server()->store->memory_limit_bytes() / kOutputShare /
                         std::max<size_t>(server()->worker_stats.size(), 1);
  const size_t divisor = held_output_ < share / 2 ? 1 : held_output_ < share ? 4 : 16;
  output_.set_high_water(Output::kHighWaterBytes / divisor);
}

void Worker::CloseIdle() {
  RefreshClock();
  const int64_t timeout_ms = int64_t{server()->settings->idle_timeout_s} * 1000;
  const storage::Time since{context_.now.ms - timeout_ms};
  // Backwards, since closing moves the last connection into the gap.
  for (size_t i = connections_.size(); i-- > 0;) {
    if (!connections_[i]->IdleSince(since)) continue;
    ++stats_.idle_kicks;
    connections_[i]->Close(CloseReason::kIdle);
  }
}

void Worker::Drain() {
  const auto check = [](evutil_socket_t, short, void* self) {
    static_cast<Worker*>(self)->CheckDrained();
  };
  ServeBatch();
  drained_event_.reset(event_new(base_.get(), -1, EV_PERSIST, check, this));
  event_add(drained_event_.get(), &kDrainCheckInterval);
  for (size_t i = connections_.size(); i-- > 0;) connections_[i]->Finish();
  if (connections_.empty()) event_active(drained_event_.get(), EV_TIMEOUT, 0);
}

void Worker::CheckDrained() {
  const uint64_t written = stats_.bytes_written.value();
  idle_drain_checks_ = written == written_at_check_ ? idle_drain_checks_ + 1 : 0;
  written_at_check_ = written;
  const bool patient =
      ++drain_checks_ < kMaxDrainChecks && idle_drain_checks_ < kMaxIdleDrainChecks;
  if (connections_.empty() || !patient) event_base_loopbreak(base_.get());
}

}  // namespace cairn::server
