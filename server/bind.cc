#include "server/bind.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"

namespace cairn::server {
namespace {

/// Closes what was bound unless it is handed on.
class Binder {
 public:
  explicit Binder(const Settings& settings) : settings_(settings) {}
  ~Binder() {
    for (const BoundSocket& socket : bound_) close(socket.fd);
  }
  Binder(const Binder&) = delete;
  Binder& operator=(const Binder&) = delete;

  absl::Status BindInternet(const ListenAddress& address, int port, bool datagram);
  absl::Status BindUnix();
  std::vector<BoundSocket> Take() { return std::exchange(bound_, {}); }

 private:
  absl::Status BindOne(const addrinfo& info, const ListenAddress& address, bool datagram);

  const Settings& settings_;
  std::vector<BoundSocket> bound_;
};

absl::Status Failure(std::string_view what) {
  return absl::UnavailableError(fmt::format("{}: {}", what, std::strerror(errno)));
}

ListenerPolicy PolicyOf(const Settings& settings, const ListenAddress& address) {
  ListenerPolicy policy;
  const BindingProtocol protocol = address.protocol.value_or(settings.binding_protocol);
  if (protocol == BindingProtocol::kAscii) policy.protocol = WireProtocol::kText;
  if (protocol == BindingProtocol::kBinary) policy.protocol = WireProtocol::kBinary;
  policy.tls = settings.tls_enabled ? address.tls : ListenTls::kNone;
  policy.tag = address.tag;
  return policy;
}

void ReadBack(BoundSocket* socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  getsockname(socket->fd, reinterpret_cast<sockaddr*>(&name), &size);
  char text[INET6_ADDRSTRLEN] = "";
  const std::string_view kind = socket->datagram ? "udp" : "tcp";
  if (name.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
    socket->port = ntohs(v6.sin6_port);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    socket->address = fmt::format("{}6:[{}]:{}", kind, text, socket->port);
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    socket->port = ntohs(v4.sin_port);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    socket->address = fmt::format("{}:{}:{}", kind, text, socket->port);
  }
}

absl::Status Binder::BindOne(const addrinfo& info, const ListenAddress& address, bool datagram) {
  const int fd =
      socket(info.ai_family, info.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, info.ai_protocol);
  if (fd < 0) return Failure("socket()");
  BoundSocket bound;
  bound.fd = fd;
  bound.family = info.ai_family;
  bound.datagram = datagram;
  bound.policy = PolicyOf(settings_, address);
  bound_.push_back(std::move(bound));
  const int on = 1;
  if (info.ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (!datagram) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, info.ai_addr, info.ai_addrlen) != 0) return Failure("bind()");
  if (!datagram && listen(fd, settings_.backlog) != 0) return Failure("listen()");
  ReadBack(&bound_.back());
  return absl::OkStatus();
}

absl::Status Binder::BindInternet(const ListenAddress& address, int port, bool datagram) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = datagram ? SOCK_DGRAM : SOCK_STREAM;
  addrinfo* found = nullptr;
  const char* host = address.host.empty() || address.host == "*" ? nullptr : address.host.c_str();
  const std::string service = std::to_string(port < 0 ? 0 : port);
  const int error = getaddrinfo(host, service.c_str(), &hints, &found);
  if (error != 0) {
    return absl::NotFoundError(fmt::format("getaddrinfo(): {}", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  const size_t before = bound_.size();
  absl::Status status;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    status = BindOne(*info, address, datagram);
    if (status.ok()) continue;
    const int reason = errno;
    if (bound_.size() > before && bound_.back().port == 0) {
      close(bound_.back().fd);
      bound_.pop_back();
    }
    // A family that the machine lacks is no reason not to serve the other one.
    if (reason != EAFNOSUPPORT && reason != EADDRNOTAVAIL) return status;
  }
  return bound_.size() > before ? absl::OkStatus() : status;
}

absl::Status Binder::BindUnix() {
  const std::string& path = settings_.unix_socket_path;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) {
    return absl::InvalidArgumentError(fmt::format("the path has {} bytes, at most {} fit",
                                                  path.size(), sizeof name.sun_path - 1));
  }
  path.copy(name.sun_path, path.size());
  // One that an earlier run left; anything else there is not ours to remove.
  struct stat status;
  if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failure("socket()");
  BoundSocket bound;
  bound.fd = fd;
  bound.family = AF_UNIX;
  bound.address = fmt::format("unix:{}", path);
  bound.policy = PolicyOf(settings_, {});
  bound.policy.tls = ListenTls::kNone;
  bound_.push_back(std::move(bound));
  const mode_t old_mask = umask(static_cast<mode_t>(~settings_.unix_socket_mode & 0777));
  const int result = bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name);
  umask(old_mask);
  if (result != 0) return Failure("bind()");
  if (listen(fd, settings_.backlog) != 0) return Failure("listen()");
  return absl::OkStatus();
}

absl::Status About(std::string_view what, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", what, std::string(status.message())));
}

}  // namespace

absl::StatusOr<std::vector<BoundSocket>> BindSockets(const Settings& settings) {
  Binder binder(settings);
  if (!settings.unix_socket_path.empty()) {
    const absl::Status status = binder.BindUnix();
    if (!status.ok()) {
      return About(fmt::format("failed to listen on UNIX socket {}", settings.unix_socket_path),
                   status);
    }
  }
  std::vector<ListenAddress> addresses = settings.listen;
  if (addresses.empty()) addresses.emplace_back();
  for (const ListenAddress& address : addresses) {
    const std::string where = address.host.empty() ? "*" : address.host;
    const int port = address.port.value_or(settings.tcp_port);
    if (settings.ListensOnTcp(address)) {
      const absl::Status status = binder.BindInternet(address, port, false);
      if (!status.ok()) {
        return About(fmt::format("failed to listen on TCP port {} of {}", port, where), status);
      }
    }
    if (!settings.ListensOnUdp()) continue;
    const int udp_port = address.port.value_or(settings.udp_port);
    const absl::Status status = binder.BindInternet(address, udp_port, true);
    if (!status.ok()) {
      return About(fmt::format("failed to listen on UDP port {} of {}", udp_port, where), status);
    }
  }
  return binder.Take();
}

}  // namespace cairn::server
