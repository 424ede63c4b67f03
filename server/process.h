#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/settings.h"

/// The life of the process outside its event loops. Everything here but Daemon::Ready is called
/// before there are threads (or when they are gone), in this order: HoldSignals, RaiseLimits,
/// DropPrivileges, Daemon::Start, LockMemory, IgnoreSigPipe, WritePortFile and PidFile::Write once
/// the listeners stand, ReleaseSignals when signals have handlers, and Daemon::Ready.
namespace cairn::server {

/// Why the start stops: a line for stderr and memcached's exit code for it.
struct StartError {
  int code = 0;
  std::string message;  ///< with its newline
};

/// Core files when -r was given, locked memory when -k was, and enough descriptors for -c clients
/// and `own_fds` more; where the system allows -c descriptors but not more, that is enough, as it
/// is for memcached. The descriptor limit is never lowered.
std::optional<StartError> RaiseLimits(const Settings& settings, unsigned own_fds);

/// Becomes the user of -u when started as root, and gives him the UNIX socket, which has been bound
/// by then; does nothing otherwise.
std::optional<StartError> DropPrivileges(const Settings& settings);

/// With -d: goes on in a child that has left the terminal. The parent never returns: it waits until
/// the child serves (Daemon::Ready) and exits with 0, or ends with the child's exit code when that
/// could not start, whose reason has reached stderr by then.
class Daemon {
 public:
  Daemon() = default;
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Forks when `settings` ask for it; the child changes to / (unless -r, so that core files land
  /// where the server was started).
  std::optional<StartError> Start(const Settings& settings);
  /// The server serves: points the standard streams to /dev/null (unless -v) and lets the parent
  /// go.
  std::optional<StartError> Ready(const Settings& settings);

 private:
  int parent_ = -1;  ///< the writing end of a pipe
};

/// With -k: locks all present and future memory, and says whether it is so. A refusal is a warning
/// on stderr, not an error: the server goes on with all of -m, unlocked.
bool LockMemory(const Settings& settings);

/// Writing to a connection that has gone must be an error, not a signal.
std::optional<StartError> IgnoreSigPipe();

/// Between these the signals that end the server or have it read files again wait, so that one that
/// comes before there is a handler neither kills nor is lost. Threads made in between never get
/// them.
void HoldSignals();
void ReleaseSignals();

/// A socket that listens.
struct BoundPort {
  bool udp = false;
  sa_family_t family = 0;  ///< AF_INET or AF_INET6; others are left out of the file
  int port = 0;
};

/// Writes "TCP INET: 11211" lines to `path`.lck, then renames that to `path`, so that who waits
/// for the file finds all of it. `path` is $MEMCACHED_PORT_FILENAME. A failure is told on stderr.
void WritePortFile(const std::string& path, std::span<const BoundPort> ports);

/// The file of -P for as long as this lives. Warns on stderr when the file names a process that
/// runs, and about every failure; none of them stops the server.
class PidFile {
 public:
  PidFile() = default;
  PidFile(PidFile&& other) noexcept;
  PidFile& operator=(PidFile&& other) noexcept;
  ~PidFile();

  /// Writes this process's id to `path` by way of a temporary file. `remove_at_end`: memcached
  /// removes the file only with -d.
  static PidFile Write(const std::string& path, bool remove_at_end);

 private:
  std::string path_;  // empty: nothing to remove
};

}  // namespace cairn::server
