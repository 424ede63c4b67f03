#include "client/server_state.h"

#include <netdb.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace cairn {

Clock::duration ToClock(absl::Duration duration) {
  const absl::Duration century = absl::Hours(24) * 36525;
  return std::chrono::duration_cast<Clock::duration>(
      absl::ToChronoNanoseconds(std::clamp(duration, absl::ZeroDuration(), century)));
}

ServerState::ServerState(Server server, const ClientOptions& options)
    : server_(std::move(server)),
      address_(server_.Address()),
      max_fails_(options.max_fails),
      fail_timeout_(ToClock(options.fail_timeout)),
      pause_max_(ToClock(options.pause_max)),
      next_pause_(fail_timeout_) {
  if (options.protocol == ClientOptions::Protocol::kText) dialect_ = Dialect::kText;
}

absl::Status ServerState::Resolve() {
  if (server_.IsUnixSocket()) {
    SocketAddress address;
    sockaddr_un path = {};
    path.sun_family = AF_UNIX;
    if (server_.host.size() >= sizeof(path.sun_path)) {
      return resolved_ = absl::InvalidArgumentError(address_ + ": too long for a socket's path");
    }
    std::memcpy(path.sun_path, server_.host.data(), server_.host.size());
    std::memcpy(&address.bytes, &path, sizeof(path));
    address.size = sizeof(path);
    addresses_.push_back(address);
    return absl::OkStatus();
  }
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(server_.host.c_str(), std::to_string(server_.port).c_str(), &hints, &found);
  if (error != 0) {
    return resolved_ = absl::UnavailableError(address_ + ": " + gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress address;
    std::memcpy(&address.bytes, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    addresses_.push_back(address);
  }
  return absl::OkStatus();
}

absl::Status ServerState::Admit(Clock::time_point now) {
  if (addresses_.empty()) return resolved_;
  if (Paused(now)) {
    absl::MutexLock lock(&mutex_);
    return absl::UnavailableError(
        address_ + " is left alone for a while after: " + std::string(last_failure_.message()));
  }
  absl::MutexLock lock(&mutex_);
  if (on_trial_) {
    // One at a time tries, so that a dead server costs one timeout and not one for every thread.
    if (now - trial_began_ < fail_timeout_) {
      return absl::UnavailableError(
          address_ + " is being tried again after: " + std::string(last_failure_.message()));
    }
    trial_began_ = now;
  } else if (paused_until_.load(std::memory_order_relaxed) != 0) {
    on_trial_ = true;
    trial_began_ = now;
  }
  return absl::OkStatus();
}

void ServerState::Succeeded() {
  absl::MutexLock lock(&mutex_);
  fails_ = 0;
  on_trial_ = false;
  next_pause_ = fail_timeout_;
  paused_until_.store(0, std::memory_order_relaxed);
}

bool ServerState::Failed(const absl::Status& why, Clock::time_point now) {
  absl::MutexLock lock(&mutex_);
  last_failure_ = why;
  if (max_fails_ == 0) return false;
  if (fails_ == 0 || now - first_fail_ > fail_timeout_) {
    fails_ = 0;
    first_fail_ = now;
  }
  ++fails_;
  if (fails_ < max_fails_ && !on_trial_) return false;
  paused_until_.store((now + next_pause_).time_since_epoch().count(), std::memory_order_relaxed);
  next_pause_ = std::min(next_pause_ * 2, std::max(pause_max_, fail_timeout_));
  fails_ = 0;
  on_trial_ = false;
  return true;
}

}  // namespace cairn
