#pragma once

#include <event2/event.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/connection.h"
#include "server/context.h"
#include "server/output.h"

namespace cairn::server {

struct EventBaseFree {
  void operator()(event_base* base) const { event_base_free(base); }
};
struct EventFree {
  void operator()(event* e) const { event_free(e); }
};
using EventBasePtr = std::unique_ptr<event_base, EventBaseFree>;
using EventPtr = std::unique_ptr<event, EventFree>;

struct BoundSocket;
class UdpEndpoint;

/// A thread with an event loop and the connections that it serves. Connections stay where they were
/// put; nothing on the way of a request is shared between workers but the store.
///
/// Post, Adopt, Start, Stop and the constructor are for other threads; all else is for the loop.
class Worker {
 public:
  /// One read takes at most this much of a client's input.
  static constexpr size_t kInputBufferBytes = size_t{64} << 10;

  Worker(ServerContext* server, unsigned index);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Starts the thread: not in the constructor, since threads do not survive a fork.
  void Start();
  /// Answers what was read, closes every connection and ends the thread. Clients that do not take
  /// their answers are waited for a little, not for ever.
  void Stop();

  /// Runs `task` in the loop, soon. Thread-safe.
  void Post(std::function<void()> task);

  /// A client that was accepted.
  struct Arrival {
    int fd = -1;
    SessionOptions options;
    Connection::Origin origin;
    SSL* ssl = nullptr;  ///< null: no TLS; owned
  };
  /// Takes a client over. Thread-safe.
  void Adopt(Arrival arrival);
  /// Serves a UDP socket until the end. Before Start().
  void ServeDatagrams(BoundSocket socket);

  WorkerContext* context() { return &context_; }
  ServerContext* server() { return context_.server; }
  WorkerStats* stats() { return &stats_; }
  event_base* base() { return base_.get(); }
  unsigned max_requests() const { return max_requests_; }
  void RefreshClock() { context_.now = context_.server->clock->Now(); }
  /// One reading serves all that is ready in one turn of the loop.
  void RefreshClockOfTurn() {
    if (!clock_is_of_turn_) RefreshClock();
    clock_is_of_turn_ = true;
  }

  /// The buffer that is lent to whoever is served, with room for one read behind `saved` bytes.
  /// Serves what was read for later before.
  std::span<char> InputBuffer(size_t saved);

  /// Room to read into for ServeLater, until the next call of a function of this group.
  std::span<char> BatchRoom();
  /// Serves `input`, which lies at the start of BatchRoom(), when the turn of the loop ends, along
  /// with what other connections have sent: so the memory that all of them ask for is fetched at
  /// once. Until then the connection is `batched`.
  void ServeLater(Connection* connection, std::string_view input);
  Output& output() { return output_; }

  // What connections hold because it is incomplete counts against the memory limit.
  void HoldInput(size_t bytes);
  void ReleaseInput(size_t bytes);
  void HoldOutput(size_t bytes);
  void ReleaseOutput(size_t bytes);

  /// Calls connection->ComeBack() in the next turn of the loop, which looks for other clients
  /// before; in a later one when many with long answers are to come back.
  void ComeBackTo(Connection* connection);

  /// Deletes `connection`.
  void Remove(Connection* connection);

 private:
  void LimitOutput();
  void Run();
  void ServeBatch();
  /// Those of come_back_, or, when there is much to write, the first of them.
  void HaveThemComeBack();
  /// Gives back what a rare large request has made of the input buffer.
  void TrimInputBuffer();
  void Admit(Arrival arrival);
  void RunPosted();
  void CloseIdle();
  void Drain();
  void CheckDrained();

  WorkerContext context_;
  WorkerStats stats_;
  const unsigned max_requests_;
  const EventBasePtr base_;
  int wake_fd_ = -1;
  EventPtr wake_event_;
  EventPtr idle_event_;
  EventPtr drained_event_;  ///< made when draining
  unsigned drain_checks_ = 0;
  unsigned idle_drain_checks_ = 0;
  uint64_t written_at_check_ = 0;
  uint64_t written_at_turn_ = 0;
  std::thread thread_;
  std::vector<char> input_buffer_;
  struct Batched {
    Connection* connection;  ///< null: gone
    std::string_view input;
    std::string_view answer;  ///< in answers_
  };
  std::vector<Batched> batch_;
  std::vector<char> answers_;
  size_t batch_bytes_ = 0;             ///< of input_buffer_
  std::deque<Connection*> come_back_;  ///< null: gone
  bool clock_is_of_turn_ = false;
  Output output_;
  size_t held_output_ = 0;  ///< by connections
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<UdpEndpoint>> udp_endpoints_;

  absl::Mutex mutex_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
