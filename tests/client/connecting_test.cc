// What a connection meets before it is one: full queues, and what the client's own host lacks.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/client/wait.h"
#include "tests/server/temporary_folder.h"

namespace cairn {
namespace {

using Value = absl::StatusOr<std::optional<std::string>>;

// Connections to a UNIX socket, as many as its queue takes while nobody accepts.
class FullQueue {
 public:
  explicit FullQueue(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    for (int error = 0; error == 0;) {
      fds_.push_back(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const auto* const raw = reinterpret_cast<const sockaddr*>(&address);
      if (connect(fds_.back(), raw, sizeof(address)) != 0) error = errno;
      is_full_ = error == EAGAIN;
    }
  }
  ~FullQueue() {
    for (const int fd : fds_) close(fd);
  }
  FullQueue(const FullQueue&) = delete;
  FullQueue& operator=(const FullQueue&) = delete;
  bool is_full() const { return is_full_; }

 private:
  std::vector<int> fds_;
  bool is_full_ = false;
};

// As long as it is there, this process gets no descriptor but those of the standard streams.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = STDERR_FILENO + 1;
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_ = {};
};

// For the calling thread, and for good, there is no IPv6. False where that cannot be had.
bool ForgetIpv6() {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {std::size(steps), steps};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) return false;
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool forgotten = fd < 0 && errno == EAFNOSUPPORT;
  if (fd >= 0) close(fd);
  return forgotten;
}

// One failure, and a server is left alone until the test is over.
ClientOptions ImpatientOptions(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.max_fails = 1;
  options.fail_timeout = absl::Minutes(5);
  return options;
}

}  // namespace

TEST_CASE("a UNIX socket with a full queue is awaited", "[client]") {
  const server::TemporaryFolder folder;
  ServerProcess process("cairnd", {"-s", folder.Path("socket"), "-b", "2"});
  REQUIRE(process.running());
  const auto client = Connect(ImpatientOptions(process.server()));
  process.Stop();
  const FullQueue queue(folder.Path("socket"));
  REQUIRE(queue.is_full());
  // Each has been tried when its call gives up.
  const CallOptions shortly = {.timeout = absl::Milliseconds(20)};
  CHECK(absl::IsDeadlineExceeded(client->Get("key", shortly).status()));
  CHECK(absl::IsDeadlineExceeded(Wait(client->Async().Get("key", shortly)).status()));
  std::promise<Value> promise;
  client->Async().Get("key").Then([&](Value value) { promise.set_value(std::move(value)); });
  auto waiting = std::async(std::launch::async, [&] { return client->Get("key"); });
  process.Continue();
  CHECK(waiting.get().value() == std::nullopt);
  CHECK(promise.get_future().get().value() == std::nullopt);
  const ServerStatistics statistics = client->Stats().at(0);
  CHECK(statistics.connections == 2);
  CHECK(statistics.connections_failed == 0);
}

TEST_CASE("a UNIX socket is awaited no longer than a connection may take", "[client]") {
  const server::TemporaryFolder folder;
  ServerProcess process("cairnd", {"-s", folder.Path("socket"), "-b", "2"});
  REQUIRE(process.running());
  ClientOptions options = PatientOptions(process.server());
  options.connect_timeout = absl::Milliseconds(50);
  const auto client = Connect(options);
  process.Stop();
  const FullQueue queue(folder.Path("socket"));
  REQUIRE(queue.is_full());
  const bool on_loop = GENERATE(false, true);
  const Value got = on_loop ? Wait(client->Async().Get("key")) : client->Get("key");
  CHECK(absl::IsDeadlineExceeded(got.status()));
  CHECK_THAT(std::string(got.status().message()),
             Catch::Matchers::ContainsSubstring("no connection within the connect timeout"));
  CHECK(client->Stats().at(0).connections_failed == 1);
}

TEST_CASE("that there is no descriptor for a socket is not the server's fault", "[client]") {
  // A process of its own: one of this process could not accept.
  ServerProcess process;
  REQUIRE(process.running());
  const auto client = Connect(ImpatientOptions(process.server()));
  AsyncClient& async = client->Async();
  std::vector<absl::Status> said;
  {
    const NoDescriptors none;
    for (int i = 0; i < 3; ++i) said.push_back(client->Get("key").status());
    said.push_back(Wait(async.Get("key")).status());
  }
  for (const absl::Status& status : said) {
    CHECK(absl::IsUnavailable(status));
    CHECK_THAT(std::string(status.message()), Catch::Matchers::ContainsSubstring("no socket"));
    CHECK_THAT(std::string(status.message()),
               Catch::Matchers::ContainsSubstring(process.server().Address()));
  }
  CHECK(client->Stats().at(0).connections_failed == said.size());
  CHECK(client->Get("key").value() == std::nullopt);
  CHECK(Wait(async.Get("key")).value() == std::nullopt);
  CHECK(client->Stats().at(0).pauses == 0);
}

TEST_CASE("where there is no IPv6 a name's other addresses are tried", "[client][names]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    while (!conversation.Line().empty()) conversation.Send("END\r\n");
  });
  Server server = peer.server();
  server.host = "cache.example";
  ClientOptions options = ImpatientOptions(server);
  options.protocol = ClientOptions::Protocol::kText;
  options.resolver = [](const std::string&) {
    return std::vector<std::string>{"::1", "127.0.0.1"};
  };
  const auto client = Connect(options);
  bool forgotten = false;
  Value got = absl::UnknownError("not asked");
  std::thread([&] {
    forgotten = ForgetIpv6();
    if (forgotten) got = client->Get("key");
  }).join();
  if (!forgotten) {
    WARN("skipped: a thread cannot be kept from IPv6 here");
    return;
  }
  CHECK(got.value() == std::nullopt);
  CHECK(client->Stats().at(0).connections_failed == 0);
}

}  // namespace cairn
