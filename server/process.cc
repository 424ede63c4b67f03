#include "server/process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "server/option_values.h"

namespace cairn::server {
namespace {

StartError OsError(std::string_view line) {
  return StartError{.code = kExitOsError, .message = fmt::format("{}\n", line)};
}

void Warn(std::string_view what, std::string_view path) {
  fmt::print(stderr, "{} {}: {}\n", what, path, std::strerror(errno));
}

std::optional<StartError> RaiseCoreLimit() {
  rlimit limit{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  if (setrlimit(RLIMIT_CORE, &limit) != 0 && getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
  }
  if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur == 0) {
    return OsError("failed to ensure corefile creation");
  }
  return std::nullopt;
}

std::optional<StartError> RaiseDescriptorLimit(rlim_t needed, rlim_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return OsError("failed to getrlimit number of files");
  }
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= wanted) return std::nullopt;
  // The hard limit stays unless it is too low, which only root may change.
  const rlim_t hard = limit.rlim_max;
  limit = {.rlim_cur = wanted, .rlim_max = std::max(hard, wanted)};
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return std::nullopt;
  limit = {.rlim_cur = hard, .rlim_max = hard};
  if (hard >= needed && setrlimit(RLIMIT_NOFILE, &limit) == 0) return std::nullopt;
  return OsError(
      "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns "
      "value.");
}

// Writes to a temporary neighbour and renames it, so that a reader finds all or nothing.
bool ReplaceFile(const std::string& path, const std::string& temporary, std::string_view text) {
  std::FILE* file = std::fopen(temporary.c_str(), "we");
  if (file == nullptr) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (std::fclose(file) != 0 || !written) return false;
  return std::rename(temporary.c_str(), path.c_str()) == 0;
}

void ChangeSignalMask(int how) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(how, &signals, nullptr);
}

void WarnOfRunningProcess(const std::string& path) {
  std::ifstream file(path);
  unsigned pid = 0;
  if (!(file >> pid) || pid == 0 || pid == static_cast<unsigned>(getpid())) return;
  if (kill(static_cast<pid_t>(pid), 0) != 0) return;
  fmt::print(stderr, "WARNING: The pid file contained the following (running) pid: {}\n", pid);
}

constexpr char kServes = 's';  // what a daemon tells its parent

StartError NoDaemon() {
  return {.code = EXIT_FAILURE, .message = "failed to daemon() in order to daemonize\n"};
}

/// The parent of a daemon: ends as the daemon's start did.
[[noreturn]] void WaitAndExit(pid_t child, int from_child) {
  char word = 0;
  ssize_t got = 0;
  do {
    got = read(from_child, &word, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) _exit(EXIT_SUCCESS);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

}  // namespace

std::optional<StartError> RaiseLimits(const Settings& settings, unsigned own_fds) {
  if (settings.lock_memory) {
    // While this is root: who it becomes may lock little. LockMemory tells of a failure.
    const rlimit all{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    setrlimit(RLIMIT_MEMLOCK, &all);
  }
  if (settings.coredumps) {
    if (auto error = RaiseCoreLimit()) return error;
  }
  const auto clients = static_cast<rlim_t>(settings.max_connections);
  return RaiseDescriptorLimit(clients, clients + own_fds);
}

std::optional<StartError> DropPrivileges(const Settings& settings) {
  if (getuid() != 0 && geteuid() != 0) return std::nullopt;
  if (settings.user.empty()) {
    return StartError{.code = kExitUsage, .message = "must add '-u root' to start as root\n"};
  }
  errno = 0;
  const passwd* user = getpwnam(settings.user.c_str());
  if (user == nullptr) {
    return StartError{
        .code = kExitNoUser,
        .message = fmt::format("can't find the user {} to switch to\n", settings.user)};
  }
  // EPERM: in a container that has no such right to begin with, nothing is to be dropped.
  if (setgroups(0, nullptr) < 0) {
    const std::string line =
        fmt::format("failed to drop supplementary groups: {}", std::strerror(errno));
    if (errno != EPERM) return OsError(line);
    fmt::print(stderr, "{}\n", line);
  }
  const std::string& socket = settings.unix_socket_path;
  if (!socket.empty() && lchown(socket.c_str(), user->pw_uid, user->pw_gid) != 0) {
    return OsError(fmt::format("failed to give {} to user {}: {}", socket, settings.user,
                               std::strerror(errno)));
  }
  if (setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0) {
    return OsError(fmt::format("failed to assume identity of user {}", settings.user));
  }
  // The kernel writes no core files of processes that changed their user, unless they ask for it.
  if (settings.coredumps) prctl(PR_SET_DUMPABLE, 1);
  return std::nullopt;
}

Daemon::~Daemon() {
  if (parent_ >= 0) close(parent_);
}

std::optional<StartError> Daemon::Start(const Settings& settings) {
  if (!settings.daemonize) return std::nullopt;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return NoDaemon();
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) return NoDaemon();
  if (child > 0) {
    close(ends[1]);
    WaitAndExit(child, ends[0]);
  }
  close(ends[0]);
  parent_ = ends[1];
  if (setsid() < 0) return NoDaemon();
  if (!settings.coredumps && chdir("/") != 0) return NoDaemon();
  return std::nullopt;
}

std::optional<StartError> Daemon::Ready(const Settings& settings) {
  if (!settings.daemonize) return std::nullopt;
  const int null = settings.verbosity > 0 ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      if (dup2(null, stream) < 0) return NoDaemon();
    }
    if (null > STDERR_FILENO) close(null);
  }
  // A parent that is gone has nobody to tell.
  [[maybe_unused]] const ssize_t told = write(parent_, &kServes, 1);
  close(std::exchange(parent_, -1));
  return std::nullopt;
}

bool LockMemory(const Settings& settings) {
  if (!settings.lock_memory) return false;
  // On fault: what is reserved but never used need not be in memory.
  int result = mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  if (result != 0 && errno == EINVAL) result = mlockall(MCL_CURRENT | MCL_FUTURE);
  if (result == 0) return true;
  fmt::print(stderr, "warning: -k invalid, mlockall() failed: {}\n", std::strerror(errno));
  return false;
}

void HoldSignals() { ChangeSignalMask(SIG_BLOCK); }
void ReleaseSignals() { ChangeSignalMask(SIG_UNBLOCK); }

std::optional<StartError> IgnoreSigPipe() {
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
    return OsError(fmt::format("failed to ignore SIGPIPE; sigaction: {}", std::strerror(errno)));
  }
  return std::nullopt;
}

void WritePortFile(const std::string& path, std::span<const BoundPort> ports) {
  std::string text;
  for (const BoundPort& port : ports) {
    if (port.family != AF_INET && port.family != AF_INET6) continue;
    text += fmt::format("{} {}: {}\n", port.udp ? "UDP" : "TCP",
                        port.family == AF_INET ? "INET" : "INET6", port.port);
  }
  const std::string temporary = path + ".lck";
  if (!ReplaceFile(path, temporary, text)) Warn("Failed to open", temporary);
}

PidFile::PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}

PidFile& PidFile::operator=(PidFile&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

PidFile::~PidFile() {
  if (path_.empty()) return;
  if (unlink(path_.c_str()) != 0) Warn("Could not remove the pid file", path_);
}

PidFile PidFile::Write(const std::string& path, bool remove_at_end) {
  WarnOfRunningProcess(path);
  PidFile file;
  const std::string temporary = path + ".tmp";
  if (!ReplaceFile(path, temporary, fmt::format("{}\n", getpid()))) {
    Warn("Could not open the pid file for writing", temporary);
    return file;
  }
  if (remove_at_end) file.path_ = path;
  return file;
}

}  // namespace cairn::server
