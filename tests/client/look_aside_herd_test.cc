// Callers of one missing key in several processes; and what happens when the one that computes
// dies.
#include <fcntl.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cairn/look_aside.h"
#include "tests/catch.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

/// herd.cc as a process.
class Herd {
 public:
  Herd(const Server& server, const std::string& protocol, const std::string& key, int threads,
       int lease_seconds) {
    int to[2] = {-1, -1};
    int from[2] = {-1, -1};
    REQUIRE(pipe2(to, O_CLOEXEC) == 0);
    REQUIRE(pipe2(from, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    std::vector<std::string> words = {
        CAIRN_HERD, server.Address(),        protocol,
        key,        std::to_string(threads), std::to_string(lease_seconds)};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    REQUIRE(posix_spawn(&pid_, CAIRN_HERD, &actions, nullptr, arguments.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    in_ = to[1];
    out_ = from[0];
  }
  ~Herd() {
    Kill();
    close(in_);
    close(out_);
  }
  Herd(const Herd&) = delete;
  Herd& operator=(const Herd&) = delete;

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void Tell(const std::string& line) const {
    const std::string text = line + "\n";
    // One that is gone needs not be told.
    (void)!write(in_, text.data(), text.size());
  }
  int out() const { return out_; }
  /// The next line; empty when the process ended.
  std::string Line() {
    for (;;) {
      const size_t end = input_.find('\n');
      if (end != std::string::npos) {
        std::string line = input_.substr(0, end);
        input_.erase(0, end + 1);
        return line;
      }
      char buffer[256];
      const ssize_t bytes = read(out_, buffer, sizeof(buffer));
      if (bytes <= 0) return "";
      input_.append(buffer, static_cast<size_t>(bytes));
    }
  }
  /// Skips "computing" while it waits for `line`, and counts it.
  bool Await(const std::string& line) {
    for (;;) {
      const std::string got = Line();
      if (got == line) return true;
      if (got == "computing") {
        ++computing_;
      } else {
        return false;
      }
    }
  }
  /// The last line's numbers.
  void AwaitEnd(int* computed, int* right) {
    std::string line = Line();
    while (line == "computing") line = Line();
    int c = 0;
    int r = 0;
    CHECK(sscanf(line.c_str(), "computed %d right %d", &c, &r) == 2);
    *computed += c;
    *right += r;
  }

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  int computing_ = 0;
  std::string input_;
};

std::vector<std::unique_ptr<Herd>> Herds(int count, const Server& server,
                                         const std::string& protocol, int threads, int lease) {
  std::vector<std::unique_ptr<Herd>> herds;
  for (int i = 0; i < count; ++i) {
    herds.push_back(std::make_unique<Herd>(server, protocol, "page", threads, lease));
  }
  for (const auto& herd : herds) REQUIRE(herd->Await("ready"));
  return herds;
}

}  // namespace

TEST_CASE("a thousand callers in four processes cost one computation", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const std::string protocol = GENERATE("auto", "text");
  ServerProcess server(program);
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  INFO(program << ", " << protocol);
  const auto herds = Herds(4, server.server(), protocol, 250, 300);
  for (const auto& herd : herds) herd->Tell("go");
  for (const auto& herd : herds) CHECK(herd->Await("begun"));
  // The one that computes hears it, the others have no use for it.
  for (const auto& herd : herds) herd->Tell("finish");
  int computed = 0;
  int right = 0;
  for (const auto& herd : herds) herd->AwaitEnd(&computed, &right);
  CHECK(computed == 1);
  CHECK(right == 1000);
}

TEST_CASE("another process takes over from one that was killed while it computed", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const std::string protocol = GENERATE("auto", "text");
  ServerProcess server(program);
  if (!server.running()) return;
  INFO(program << ", " << protocol);
  const int lease_seconds = 1;
  const auto doomed = Herds(1, server.server(), protocol, 10, lease_seconds);
  doomed[0]->Tell("go");
  std::string line = doomed[0]->Line();
  while (line == "begun") line = doomed[0]->Line();
  REQUIRE(line == "computing");
  doomed[0]->Kill();
  // Only the lease of the one that died is short: theirs has to outlast a slow machine.
  const auto herds = Herds(2, server.server(), protocol, 20, 300);
  for (const auto& herd : herds) herd->Tell("go");
  for (const auto& herd : herds) CHECK(herd->Await("begun"));
  for (const auto& herd : herds) herd->Tell("finish");
  int computed = 0;
  int right = 0;
  for (const auto& herd : herds) herd->AwaitEnd(&computed, &right);
  CHECK(computed == 1);
  CHECK(right == 40);
}

}  // namespace cairn
