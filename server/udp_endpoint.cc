#include "server/udp_endpoint.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <utility>

#include "protocol/udp_frame.h"

namespace cairn::server {
namespace {

constexpr size_t kMaxDatagramBytes = 65536;
// One event serves at most this many datagrams: TCP clients of the worker wait meanwhile.
constexpr int kDatagramsPerEvent = 32;

void Drain(Output* output, std::string* to) {
  std::array<iovec, 64> vectors;
  while (!output->empty()) {
    const size_t count = output->Gather(vectors);
    size_t bytes = 0;
    for (const iovec& vector : std::span(vectors).first(count)) {
      to->append(static_cast<const char*>(vector.iov_base), vector.iov_len);
      bytes += vector.iov_len;
    }
    output->Consume(bytes);
  }
}

}  // namespace

UdpEndpoint::UdpEndpoint(Worker* worker, BoundSocket socket)
    : worker_(worker), socket_(std::move(socket)), datagram_(kMaxDatagramBytes) {
  record_.fd = socket_.fd;
  record_.kind = ConnectionRecord::Kind::kUdp;
  record_.socket_address = std::make_shared<const std::string>(socket_.address);
  record_.state.store("conn_read", std::memory_order_relaxed);
  worker_->server()->connections->Add(&record_);
  event_.reset(
      event_new(worker_->base(), socket_.fd, EV_READ | EV_PERSIST, &UdpEndpoint::OnReadable, this));
  event_add(event_.get(), nullptr);
}

UdpEndpoint::~UdpEndpoint() {
  event_.reset();
  worker_->server()->connections->Remove(&record_);
  close(socket_.fd);
}

void UdpEndpoint::OnReadable(evutil_socket_t, short, void* self) {
  auto* endpoint = static_cast<UdpEndpoint*>(self);
  endpoint->worker_->RefreshClock();
  endpoint->ServeWaiting();
}

void UdpEndpoint::ServeWaiting() {
  for (int i = 0; i < kDatagramsPerEvent; ++i) {
    sockaddr_storage peer{};
    socklen_t peer_bytes = sizeof peer;
    const ssize_t n = recvfrom(socket_.fd, datagram_.data(), datagram_.size(), 0,
                               reinterpret_cast<sockaddr*>(&peer), &peer_bytes);
    if (n < 0) return;
    worker_->stats()->bytes_read.Add(static_cast<uint64_t>(n));
    record_.last_command_ms.store(worker_->context()->now.ms, std::memory_order_relaxed);
    const auto request = protocol::ParseUdpRequest({datagram_.data(), static_cast<size_t>(n)});
    if (request) Send(request->request_id, Answer(request->payload), peer, peer_bytes);
  }
}

std::string UdpEndpoint::Answer(std::string_view payload) {
  SessionOptions options;
  options.protocol = socket_.policy.protocol;
  options.datagram = true;
  options.fd = socket_.fd;
  Session session(worker_->context(), options);
  std::string answer;
  bool blocked = false;
  do {
    const Progress progress = blocked ? session.Continue(payload, &output_, UINT_MAX)
                                      : session.Process(payload, &output_, UINT_MAX);
    payload.remove_prefix(progress.consumed);
    blocked = progress.status == SessionStatus::kBlocked;
    Drain(&output_, &answer);
  } while (blocked && answer.size() <= protocol::kMaxUdpAnswerBytes);
  return answer;
}

void UdpEndpoint::Send(uint16_t request_id, std::string_view answer, const sockaddr_storage& peer,
                       socklen_t peer_bytes) {
  const protocol::UdpAnswer cut(request_id, answer.size());
  const size_t datagrams = cut.datagrams();
  for (size_t i = 0; i < datagrams; ++i) {
    std::array<char, protocol::kMaxUdpDatagramBytes> datagram;
    char* const end = protocol::WriteUdpFrame(cut.Frame(i), datagram.data());
    const size_t payload = answer.copy(end, cut.PayloadBytes(i), cut.PayloadOffset(i));
    const size_t bytes = protocol::kUdpHeaderBytes + payload;
    // A full socket buffer loses datagrams, as networks do.
    const ssize_t sent = sendto(socket_.fd, datagram.data(), bytes, MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&peer), peer_bytes);
    if (sent > 0) worker_->stats()->bytes_written.Add(static_cast<uint64_t>(sent));
  }
}

}  // namespace cairn::server
