// What memcached's debug build answers: for tests, never in a release.
#if CAIRN_DEBUG_COMMANDS

#include <sys/socket.h>
#include <unistd.h>

#include "protocol/numbers.h"
#include "server/admin.h"

namespace cairn::server {

AdminResult ServeDebugTime(Session& session, Tokens tokens) {
  if (tokens.size() < 2) return "ERROR";
  Clock& clock = *session.server().clock;
  if (tokens[1] == "p") {
    clock.Pause();
  } else if (tokens[1] == "r") {
    clock.Resume();
  } else {
    const std::string_view text = tokens[1].starts_with('+') ? tokens[1].substr(1) : tokens[1];
    const auto seconds = protocol::ParseStrictInt32(text);
    if (!seconds) return "ERROR";
    clock.Shift(*seconds);
  }
  // The rest of what this client sent is served at the new time.
  session.worker().now = clock.Now();
  return "OK";
}

AdminResult ServeDebugItem(Session& session, Tokens tokens) {
  if (tokens.size() < 3) return "ERROR";
  const std::string_view word = tokens[1];
  const std::string_view key = tokens[2];
  if (word == "lock" || word == "unlock") return "OK";
  if (word != "ref" && word != "unref") return "ERROR";
  if (key.size() > storage::kMaxKeyBytes) return "MISS";
  storage::FetchOptions options;
  options.count_access = false;
  const storage::FetchStatus status = session.store().Fetch(
      session.store().MakeKey(key), options, session.now(), [](const storage::ItemView&) {});
  return status == storage::FetchStatus::kHit ? "OK" : "MISS";
}

AdminResult ServeMisbehave(Session&, Tokens) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd == -1) return "OK";
  close(fd);
  return "ERROR";
}

}  // namespace cairn::server

#endif  // CAIRN_DEBUG_COMMANDS
