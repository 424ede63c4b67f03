#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

/// A server that has every key and says so `late` after it was asked. For reads in the classic text
/// protocol, each connection with a thread of its own until the process ends.
class LatePeer {
 public:
  LatePeer(std::chrono::milliseconds late, std::string value) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0) return;
    if (listen(listener, 16) != 0) return;
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    std::thread([=] {
      for (int fd = 0; (fd = accept(listener, nullptr, nullptr)) >= 0;) {
        std::thread([=] { Serve(fd, late, value); }).detach();
      }
    }).detach();
  }
  /// 0: there is none.
  uint16_t port() const { return port_; }

 private:
  static void Serve(int fd, std::chrono::milliseconds late, const std::string& value) {
    std::string input;
    char buffer[65536];
    for (ssize_t bytes = 0; (bytes = read(fd, buffer, sizeof(buffer))) > 0;) {
      input.append(buffer, static_cast<size_t>(bytes));
      for (size_t end = 0; (end = input.find("\r\n")) != std::string::npos;) {
        const std::string answer = AnswerTo(input.substr(0, end), value);
        input.erase(0, end + 2);
        std::this_thread::sleep_for(late);
        if (write(fd, answer.data(), answer.size()) < 0) break;
      }
    }
    close(fd);
  }
  static std::string AnswerTo(const std::string& line, const std::string& value) {
    if (!line.starts_with("get ")) return "VERSION 1.5.0\r\n";
    std::string answer;
    for (size_t begin = 4; begin < line.size();) {
      const size_t end = std::min(line.find(' ', begin), line.size());
      answer.append("VALUE ").append(line, begin, end - begin).append(" 0 ");
      answer.append(std::to_string(value.size())).append("\r\n").append(value).append("\r\n");
      begin = end + 1;
    }
    return answer + "END\r\n";
  }

  uint16_t port_ = 0;
};
