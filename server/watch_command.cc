#include <algorithm>
#include <iterator>

#include "server/admin.h"
#include "server/log_hub.h"
#include "server/settings.h"

namespace cairn::server {
namespace {

struct Kind {
  std::string_view word;
  uint32_t bits;
};

constexpr Kind kKinds[] = {
#define X(kind, word) {word, LogBit(LogKind::kind)},
    CAIRN_LOG_KINDS(X)
#undef X
    // Of memcached's proxy: nothing is ever logged.
    {"proxyreqs", 0},
    {"proxyevents", 0},
    {"proxyuser", 0},
};

}  // namespace

AdminResult ServeWatch(Session& session, Tokens tokens) {
  if (!session.server().settings->watch_enabled) return "CLIENT_ERROR watch commands not allowed";
  if (session.options().datagram) return "ERROR";
  if (!FirstOfPacket(session)) return "ERROR cannot pipeline other commands before watch";
  uint32_t kinds = tokens.size() == 1 ? LogBit(LogKind::kFetchers) : 0;
  for (const std::string_view word : tokens.subspan(1)) {
    const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                    [word](const Kind& k) { return k.word == word; });
    if (kind == std::end(kKinds)) return "ERROR";
    kinds |= kind->bits;
  }
  if (session.server().log->totals().watchers >= LogHub::kMaxWatchers) {
    return "WATCHER_TOO_MANY log watcher limit reached";
  }
  session.watch = std::make_unique<WatchRequest>(WatchRequest{kinds, session.out().mark()});
  return "OK";
}

}  // namespace cairn::server
