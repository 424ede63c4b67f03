#pragma once

#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "cairn/server.h"
#include "tests/client/scripted_peer.h"

namespace cairn {

/// A cache server as a process of its own, on a free port of the loopback, or where its option -s
/// says.
class ServerProcess {
 public:
  /// "cairnd" is the one that was built; any other name is looked up in PATH.
  /// `options` are more of its command line, `variables` ("NAME=value") of its environment.
  explicit ServerProcess(std::string program = "cairnd", std::vector<std::string> options = {},
                         std::vector<std::string> variables = {})
      : program_(std::move(program)),
        options_(std::move(options)),
        variables_(std::move(variables)) {
    const auto option = std::find(options_.begin(), options_.end(), "-s");
    if (option != options_.end()) {
      path_ = *std::next(option);
      Start();
      return;
    }
    // Somebody else may take the port before the server does.
    for (int tries = 0; tries < 3 && !running(); ++tries) {
      port_ = FreePort();
      Start();
    }
  }
  ~ServerProcess() { Kill(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  bool running() const { return pid_ > 0; }
  Server server() const {
    Server server;
    server.host = path_.empty() ? "127.0.0.1" : path_;
    server.port = port_;
    return server;
  }

  void Start() {
    const passwd* const user = getpwuid(geteuid());
    std::vector<std::string> words = {program_, "-U", "0", "-m", "256", "-t", "2"};
    if (path_.empty()) {
      words.insert(words.end(), {"-l", "127.0.0.1", "-p", std::to_string(port_)});
    }
    if (user != nullptr) words.insert(words.end(), {"-u", user->pw_name});
    words.insert(words.end(), options_.begin(), options_.end());
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    char** end = environ;
    while (*end != nullptr) ++end;
    std::vector<char*> environment(environ, end);
    for (std::string& variable : variables_) environment.push_back(variable.data());
    environment.push_back(nullptr);
    const std::string path = program_ == "cairnd" ? CAIRN_CAIRND : program_;
    if (posix_spawnp(&pid_, path.c_str(), nullptr, nullptr, arguments.data(), environment.data()) !=
        0) {
      pid_ = -1;
      return;
    }
    AwaitListening();
  }
  void Kill() { Signal(SIGKILL), Reap(); }
  /// All its threads stand still when this returns.
  void Stop() {
    Signal(SIGSTOP);
    if (pid_ > 0) waitpid(pid_, nullptr, WUNTRACED);
  }
  void Continue() { Signal(SIGCONT); }

 private:
  void Signal(int signal) {
    if (pid_ > 0) kill(pid_, signal);
  }
  void Reap() {
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  bool Accepts() const {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port_);
    if (path_.empty()) return Connects(AF_INET, address);
    sockaddr_un path = {};
    path.sun_family = AF_UNIX;
    path_.copy(path.sun_path, sizeof(path.sun_path) - 1);
    return Connects(AF_UNIX, path);
  }
  template <typename Address>
  static bool Connects(int family, const Address& address) {
    const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    close(fd);
    return result == 0;
  }
  void AwaitListening() {
    for (int tries = 0; tries < 2000; ++tries) {
      if (Accepts()) return;
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;  // the program is not there, or did not start
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  const std::string program_;
  const std::vector<std::string> options_;
  std::vector<std::string> variables_;
  std::string path_;  // empty: a port
  uint16_t port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace cairn
