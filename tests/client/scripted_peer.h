#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/server.h"

namespace cairn {

/// A conversation as the peer of a test sees it. Reads and writes wait; both end when the client
/// hangs up or the test is over.
class Conversation {
 public:
  explicit Conversation(int fd) : fd_(fd) {}

  /// The next line, without its end; empty at the end of the conversation.
  std::string Line() {
    for (;;) {
      const size_t end = input_.find("\r\n");
      if (end != std::string::npos) {
        std::string line = input_.substr(0, end);
        input_.erase(0, end + 2);
        return line;
      }
      if (!ReadMore()) return "";
    }
  }
  /// Ends the conversation, so that what the test awaits fails, when the next line is another one.
  void Expect(std::string_view line) {
    if (Line() != line) shutdown(fd_, SHUT_RDWR);
  }
  /// How often something has arrived.
  int reads() const { return reads_; }
  void Skip(size_t bytes) {
    while (input_.size() < bytes) {
      if (!ReadMore()) return;
    }
    input_.erase(0, bytes);
  }
  /// As many, or fewer at the end of the conversation.
  std::string Bytes(size_t bytes) {
    while (input_.size() < bytes && ReadMore()) {
    }
    std::string taken = input_.substr(0, bytes);
    input_.erase(0, bytes);
    return taken;
  }
  void Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  /// Says nothing until the client hangs up or the test is over.
  void Hang() {
    while (ReadMore()) {
    }
  }

 private:
  bool ReadMore() {
    char buffer[4096];
    const ssize_t bytes = recv(fd_, buffer, sizeof(buffer), 0);
    if (bytes <= 0) return false;
    ++reads_;
    input_.append(buffer, static_cast<size_t>(bytes));
    return true;
  }

  const int fd_;
  int reads_ = 0;
  std::string input_;
};

inline int Listen(uint16_t port, uint16_t* bound, const char* host = "127.0.0.1") {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, host, &address.sin_addr);
  address.sin_port = htons(port);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(fd, 64) != 0) {
    close(fd);
    return -1;
  }
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  *bound = ntohs(address.sin_port);
  return fd;
}

inline int ListenAt(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(fd, 64) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

/// A port of the loopback where nobody listened a moment ago.
inline uint16_t FreePort() {
  uint16_t port = 0;
  close(Listen(0, &port));
  return port;
}

/// A server that says what a test wants it to say. `talk` is called for each connection, on a
/// thread of its own, with the connection's number from 0; when it returns the connection is
/// closed.
class ScriptedPeer {
 public:
  using Talk = std::function<void(Conversation&, int)>;

  /// On a free port, or on one that a server has left, or has at another address.
  explicit ScriptedPeer(Talk talk, uint16_t port = 0, const char* host = "127.0.0.1")
      : talk_(std::move(talk)) {
    listener_ = Listen(port, &port_, host);
    acceptor_ = std::thread([this] { Accept(); });
  }
  /// On a UNIX socket.
  ScriptedPeer(Talk talk, std::string path) : talk_(std::move(talk)), host_(std::move(path)) {
    listener_ = ListenAt(host_);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~ScriptedPeer() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      shutdown(listener_, SHUT_RDWR);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
    close(listener_);
  }

  Server server() const {
    Server server;
    server.host = host_;
    server.port = port_;
    return server;
  }
  int connections() const { return connections_.load(); }
  /// Those that are not closed yet.
  size_t open_connections() {
    const std::lock_guard lock(mutex_);
    return open_.size();
  }

 private:
  void Accept() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const std::lock_guard lock(mutex_);
      if (stopping_) {
        close(fd);
        return;
      }
      open_.push_back(fd);
      const int number = connections_++;
      threads_.emplace_back([this, fd, number] {
        Conversation conversation(fd);
        talk_(conversation, number);
        const std::lock_guard closing(mutex_);
        std::erase(open_, fd);
        close(fd);
      });
    }
  }

  const Talk talk_;
  const std::string host_ = "127.0.0.1";
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  bool stopping_ = false;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace cairn
