#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cairn/server.h"
#include "tests/client/scripted_peer.h"

namespace cairn {

/// A proxy in front of servers, as a process of its own on a free port of the loopback, with a
/// folder for what it writes.
class ProxyProcess {
 public:
  ProxyProcess() {
    char folder[] = "/tmp/cairn-test-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~ProxyProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }
  ProxyProcess(const ProxyProcess&) = delete;
  ProxyProcess& operator=(const ProxyProcess&) = delete;

  /// `words`: the program, which is looked up in PATH, and its arguments. It may not listen yet
  /// when this returns, and does not run where there is no such program.
  void Start(std::vector<std::string> words) {
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    if (posix_spawnp(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0) {
      pid_ = -1;
    }
  }
  bool running() const { return pid_ > 0; }
  const std::string& folder() const { return folder_; }
  uint16_t port() const { return port_; }
  Server server() const {
    Server server;
    server.host = "127.0.0.1";
    server.port = port_;
    return server;
  }

 private:
  const uint16_t port_ = FreePort();
  std::string folder_;
  pid_t pid_ = -1;
};

}  // namespace cairn
