#include "server/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "server/tls.h"

namespace cairn::server {
namespace {

constexpr std::string_view kTooMany = "ERROR Too many open connections\r\n";
constexpr timeval kRetryInterval{0, 10'000};
// One event takes at most this many clients, so that the loop's timers and signals have a turn.
constexpr int kAcceptsPerEvent = 64;

int64_t MonotonicUs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

}  // namespace

Acceptor::Acceptor(ServerContext* server, event_base* base, std::vector<Worker*> workers)
    : server_(server), base_(base), workers_(std::move(workers)) {
  const auto resume = [](evutil_socket_t, short, void* self) {
    static_cast<Acceptor*>(self)->Resume();
  };
  resume_event_.reset(event_new(base_, -1, 0, resume, this));
}

Acceptor::~Acceptor() { Close(); }

void Acceptor::Listen(BoundSocket socket) {
  auto listener = std::make_unique<Listener>();
  listener->acceptor = this;
  listener->record.fd = socket.fd;
  listener->record.kind = ConnectionRecord::Kind::kListener;
  listener->record.socket_address = std::make_shared<const std::string>(socket.address);
  listener->record.state.store("conn_listening", std::memory_order_relaxed);
  listener->record.last_command_ms.store(server_->clock->Now().ms, std::memory_order_relaxed);
  listener->socket = std::move(socket);
  listener->accept_event.reset(event_new(base_, listener->socket.fd, EV_READ | EV_PERSIST,
                                         &Acceptor::OnAcceptable, listener.get()));
  event_add(listener->accept_event.get(), nullptr);
  server_->connections->Add(&listener->record);
  listeners_.push_back(std::move(listener));
}

void Acceptor::Close() {
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    listener->accept_event.reset();
    server_->connections->Remove(&listener->record);
    close(listener->socket.fd);
  }
  listeners_.clear();
}

void Acceptor::OnAcceptable(evutil_socket_t, short, void* listener) {
  auto* self = static_cast<Listener*>(listener);
  self->acceptor->AcceptFrom(*self);
}

bool Acceptor::AtLimit() const {
  return server_->process->curr_connections.load(std::memory_order_relaxed) >=
         static_cast<uint64_t>(server_->settings->max_connections);
}

void Acceptor::AcceptFrom(Listener& listener) {
  const bool fast = server_->settings->maxconns_fast;
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    if (!fast && AtLimit()) {
      Pause();
      return;
    }
    sockaddr_storage peer{};
    socklen_t peer_bytes = sizeof peer;
    const int fd = accept4(listener.socket.fd, reinterpret_cast<sockaddr*>(&peer), &peer_bytes,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      // Out of descriptors: the client waits in the backlog until one is free.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) Pause();
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    if (AtLimit()) {
      TurnAway(fd);
    } else {
      Place(listener, fd, peer, peer_bytes);
    }
  }
}

void Acceptor::TurnAway(int fd) {
  // Before the client can know of it.
  server_->process->rejected_connections.fetch_add(1, std::memory_order_relaxed);
  (void)send(fd, kTooMany.data(), kTooMany.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  close(fd);
}

void Acceptor::Place(Listener& listener, int fd, const sockaddr_storage& peer, socklen_t) {
  const ListenerPolicy& policy = listener.socket.policy;
  Worker::Arrival arrival;
  arrival.fd = fd;
  if (listener.socket.family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (policy.tls != ListenTls::kNone) {
    arrival.ssl = server_->tls->NewSsl(policy.tls);
    if (arrival.ssl == nullptr) {
      close(fd);
      return;
    }
  }
  arrival.options.protocol = policy.protocol;
  arrival.options.negotiable = policy.protocol == WireProtocol::kNegotiating;
  arrival.options.needs_ascii_auth = server_->auth_file != nullptr;
  arrival.options.needs_sasl = server_->sasl != nullptr;
  arrival.origin = {PeerAddress(peer), listener.record.socket_address};
  server_->process->curr_connections.fetch_add(1, std::memory_order_relaxed);
  server_->process->total_connections.fetch_add(1, std::memory_order_relaxed);
  workers_[next_worker_]->Adopt(std::move(arrival));
  next_worker_ = (next_worker_ + 1) % workers_.size();
}

void Acceptor::OnClientGone() {
  server_->process->curr_connections.fetch_sub(1, std::memory_order_relaxed);
  if (paused_.load(std::memory_order_acquire)) event_active(resume_event_.get(), EV_TIMEOUT, 0);
}

void Acceptor::Pause() {
  if (paused_.exchange(true, std::memory_order_acq_rel)) return;
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    event_del(listener->accept_event.get());
  }
  server_->process->accepting.store(false, std::memory_order_relaxed);
  server_->process->listen_disabled_count.fetch_add(1, std::memory_order_relaxed);
  paused_since_us_ = MonotonicUs();
  // A client may have gone between the test and the pause, and descriptors are freed by others.
  event_add(resume_event_.get(), &kRetryInterval);
}

void Acceptor::Resume() {
  if (!paused_.load(std::memory_order_acquire)) return;
  if (AtLimit()) {
    event_add(resume_event_.get(), &kRetryInterval);
    return;
  }
  paused_.store(false, std::memory_order_release);
  for (const std::unique_ptr<Listener>& listener : listeners_) {
    event_add(listener->accept_event.get(), nullptr);
  }
  server_->process->accepting.store(true, std::memory_order_relaxed);
  server_->process->time_in_listen_disabled_us.fetch_add(
      static_cast<uint64_t>(MonotonicUs() - paused_since_us_), std::memory_order_relaxed);
}

}  // namespace cairn::server
