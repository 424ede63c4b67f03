#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "cairn/client.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"

namespace cairn {

/// Above what servers with small limits take.
inline constexpr size_t kLarge = 5000;

/// For tests of values that may be too large for their server, not for the client.
inline ClientOptions LargeValueOptions(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.value_bytes_max = size_t{8} << 20;
  return options;
}

/// What the server says of itself; -1 when it does not.
inline int64_t Stat(Client& client, std::string_view name) {
  const auto stats = client.Stats(0).value();
  for (const auto& [stat, value] : stats) {
    if (stat == name) return std::stoll(value);
  }
  return -1;
}

/// What a Storing peer says of limits: `settings`, but on its first connections it hangs up on the
/// question, or says nothing any more. While `*waits` it keeps the answer.
struct Script {
  std::string settings;
  int hangs_up = 0;
  uint16_t port = 0;
  int keeps_silent = 0;
  const std::atomic<int>* waits = nullptr;
  std::string version = "1.6.45";
  std::string path = {};  // of a UNIX socket, in place of a port
};

/// A peer that stores everything, in the meta protocol if its version is new enough, and is asked
/// for its limit.
class Storing {
 public:
  explicit Storing(Script script)
      : script_(std::move(script)),
        peer(script_.path.empty() ? ScriptedPeer(Talker(), script_.port)
                                  : ScriptedPeer(Talker(), script_.path)) {}

  std::atomic<int> asked{0};
  std::atomic<int> stored{0};

 private:
  ScriptedPeer::Talk Talker() {
    return [this](Conversation& client, int number) { Serve(client, number); };
  }
  void Serve(Conversation& client, int number) {
    for (std::string line = client.Line(); !line.empty(); line = client.Line()) {
      const bool is_set = line.starts_with("set ");
      if (line == "version") client.Send("VERSION " + script_.version + "\r\n");
      if (line == "mn") client.Send("MN\r\n");
      if (line == "stats settings") {
        ++asked;
        if (number < script_.hangs_up) return;
        while (number < script_.keeps_silent && !client.Line().empty()) continue;
        while (script_.waits != nullptr && *script_.waits != 0) std::this_thread::yield();
        client.Send(script_.settings);
      }
      if (line.starts_with("md ")) client.Send("HD\r\n");
      if (line.starts_with("delete ")) client.Send("DELETED\r\n");
      if (is_set || line.starts_with("ms ")) {
        // "ms <key> <bytes> ...", "set <key> <flags> <exptime> <bytes>"
        client.Skip(std::stoul(line.substr(is_set ? line.rfind(' ') : line.find(' ', 3))) + 2);
        ++stored;
        client.Send(is_set ? "STORED\r\n" : "HD\r\n");
      }
    }
  }

  const Script script_;

 public:
  ScriptedPeer peer;
};

inline constexpr const char* kSixteen = "STAT item_size_max 16384\r\nEND\r\n";
inline constexpr const char* kOldVersion = "1.4.5";

}  // namespace cairn
