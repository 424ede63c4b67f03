#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

[[noreturn]] inline void Die(const std::string& why) {
  fprintf(stderr, "client_benchmark: %s\n", why.c_str());
  exit(1);
}

inline void Check(bool ok, const char* what) {
  if (!ok) Die(what);
}

/// A connection to a server, with the least that can be done about it.
struct BarePeer {
  int fd = -1;
  std::string output;
  std::string input;
  size_t begin = 0;
  size_t end = 0;
  size_t asked = 0;
  size_t answers = 0;

  BarePeer() = default;
  BarePeer(const BarePeer&) = delete;
  ~BarePeer() {
    if (fd >= 0) close(fd);
  }
  void Connect(uint16_t port) {
    fd = socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Check(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "connect");
    input.resize(256 * 1024);
  }
  void Send() {
    std::string_view rest = output;
    while (!rest.empty()) {
      const ssize_t bytes = write(fd, rest.data(), rest.size());
      Check(bytes > 0, "write");
      rest.remove_prefix(static_cast<size_t>(bytes));
    }
    output.clear();
  }
  void Fill() {
    if (begin == end) begin = end = 0;
    if (end == input.size()) {
      memmove(input.data(), input.data() + begin, end - begin);
      end -= begin;
      begin = 0;
    }
    const ssize_t bytes = read(fd, input.data() + end, input.size() - end);
    Check(bytes > 0, "read");
    end += static_cast<size_t>(bytes);
  }
  std::string_view Line() {
    for (;;) {
      const void* found = memchr(input.data() + begin, '\n', end - begin);
      if (found != nullptr) {
        const char* const line = input.data() + begin;
        const auto bytes = static_cast<size_t>(static_cast<const char*>(found) - line);
        begin += bytes + 1;
        return {line, bytes - 1};
      }
      Fill();
    }
  }
  void Skip(size_t bytes) {
    while (end - begin < bytes) {
      bytes -= end - begin;
      begin = end;
      Fill();
    }
    begin += bytes;
  }
};
