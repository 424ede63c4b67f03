#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/client.h"
#include "cairn/server.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
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

/// Servers, a proxy of that kind, and a client that knows only the proxy.
template <typename Proxy>
struct ProxiedPool {
  /// `options`: what the proxy's constructor takes besides the servers.
  template <typename... Options>
  explicit ProxiedPool(size_t size, const Options&... options) {
    for (size_t i = 0; i < size; ++i) servers.push_back(std::make_unique<ServerProcess>());
    proxy = std::make_unique<Proxy>(servers, options...);
    if (!proxy->running()) {
      WARN("skipped: " << Proxy::kProgram << " is not installed");
      return;
    }
    client = std::move(Client::Make(PatientOptions(proxy->server())).value());
    // It listens a moment after it was started.
    while (!client->Get("anything").ok()) std::this_thread::yield();
  }
  std::vector<std::unique_ptr<ServerProcess>> servers;
  std::unique_ptr<Proxy> proxy;
  std::unique_ptr<Client> client;  ///< null: skipped
};

}  // namespace cairn
