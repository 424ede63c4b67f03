#include "page_cache/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace example {
namespace {

constexpr size_t kRequestBytesMax = 1 << 20;

// False when the request is none, or the visitor went away.
bool Receive(int fd, Request* request) {
  std::string input;
  size_t end = std::string::npos;
  size_t length = 0;
  for (;;) {
    if (end == std::string::npos && (end = input.find("\r\n\r\n")) != std::string::npos) {
      end += 4;
      const size_t header = input.find("Content-Length: ");
      if (header < end) length = std::strtoul(input.c_str() + header + 16, nullptr, 10);
    }
    if (end != std::string::npos && input.size() >= end + length) break;
    if (input.size() > kRequestBytesMax || length > kRequestBytesMax) return false;
    char buffer[4096];
    const ssize_t bytes = recv(fd, buffer, sizeof(buffer), 0);
    if (bytes <= 0) return false;
    input.append(buffer, static_cast<size_t>(bytes));
  }
  const size_t first = input.find(' ');
  const size_t second = input.find(' ', first + 1);
  if (second == std::string::npos) return false;
  request->method = input.substr(0, first);
  request->path = input.substr(first + 1, second - first - 1);
  request->body = input.substr(end, length);
  return true;
}

void Send(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t bytes = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (bytes <= 0) return;
    text.remove_prefix(static_cast<size_t>(bytes));
  }
}

}  // namespace

bool Serve(uint16_t port, int threads, const std::function<Response(const Request&)>& handle) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  socklen_t size = sizeof(address);
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, raw, size) != 0 || listen(listener, 1024) != 0 ||
      getsockname(listener, raw, &size) != 0) {
    perror("listen");
    return false;
  }
  printf("http://127.0.0.1:%d/\n", ntohs(address.sin_port));
  fflush(stdout);
  const auto work = [&] {
    for (;;) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      Request request;
      if (Receive(fd, &request)) {
        const Response response = handle(request);
        Send(fd, "HTTP/1.1 " + std::to_string(response.status) +
                     " -\r\nConnection: close\r\nContent-Type: text/html; charset=utf-8\r\n" +
                     "Content-Length: " + std::to_string(response.body.size()) + "\r\n" +
                     response.headers + "\r\n" + response.body);
      }
      close(fd);
    }
  };
  std::vector<std::thread> workers;
  for (int i = 1; i < threads; ++i) workers.emplace_back(work);
  work();
  return true;
}

}  // namespace example
