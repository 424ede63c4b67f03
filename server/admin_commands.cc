#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "protocol/numbers.h"
#include "protocol/text_parser.h"
#include "server/admin.h"
#include "server/commands.h"
#include "server/maintenance.h"
#include "server/runtime_settings.h"
#include "server/text_commands.h"
#include "server/tls.h"

namespace cairn::server {
namespace {

constexpr uint32_t kMaxVerbosity = 2;
constexpr uint32_t kMinMemoryMegabytes = 8;
constexpr uint32_t kMaxMemoryMegabytes = 1'000'000'000;
// memcached has 63 slab classes.
constexpr unsigned kMinSlabClassLimit = 64;

AdminResult ServeVerbosity(Session& session, Tokens tokens) {
  const auto level = tokens.size() > 1 ? protocol::ParseStrictUint32(tokens[1]) : std::nullopt;
  if (!level) return kBadCommandFormat;
  session.server().runtime->verbosity = std::min(*level, kMaxVerbosity);
  return "OK";
}

AdminResult ServeCacheMemlimit(Session& session, Tokens tokens) {
  const auto megabytes = tokens.size() > 1 ? protocol::ParseStrictUint32(tokens[1]) : std::nullopt;
  if (!megabytes) return "ERROR";
  if (*megabytes < kMinMemoryMegabytes) {
    return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m";
  }
  if (*megabytes > kMaxMemoryMegabytes) {
    return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes";
  }
  if (!session.store().SetMemoryLimit(uint64_t{*megabytes} << 20, session.now())) {
    return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust";
  }
  session.server().runtime->memory_limit_bytes = uint64_t{*megabytes} << 20;
  session.server().maintenance->Hurry();
  if (session.server().runtime->verbosity > 0) {
    fmt::print(stderr, "maxbytes adjusted to {}m\n", *megabytes);
  }
  return "OK";
}

AdminResult ServeShutdown(Session& session, Tokens tokens) {
  if (!session.server().settings->enable_shutdown) return "SERVER_ERROR: shutdown not enabled";
  const bool graceful = tokens.size() == 2 && tokens[1] == "graceful";
  if (tokens.size() != 1 && !graceful) return "CLIENT_ERROR invalid shutdown mode";
  session.server().request_shutdown(graceful);
  session.close_reason = CloseReason::kShutdown;
  return StepStatus::kClose;
}

AdminResult ServeRefreshCerts(Session& session, Tokens) {
  if (session.server().tls == nullptr) return "Error TLS not enabled";
  std::string error;
  if (session.server().tls->Reload(&error)) return "OK";
  return error;
}

struct Row {
  std::string_view verb;
  AdminHandler handler;
  bool takes_noreply;
  std::string_view usage;
  std::string_view help;
};

// In place of a help text: docs/ are of the server that people run, whichever build writes them.
[[maybe_unused]] constexpr std::string_view kForTestsOnly;

constexpr Row kRows[] = {
    {"stats", ServeStats, false, "stats [<group> ...]", "statistics: see docs/stats.md"},
    {"slabs", ServeSlabs, true,
     "slabs reassign <source> <destination> \\| automove <0\\|1\\|2> \\| automove "
     "ratio\\|freeratio\\|window <number>",
     "checked and reported by `stats settings`; pages change their class by themselves here"},
    {"lru", ServeLru, true,
     "lru tune <hot %> <warm %> <hot factor> <warm factor> \\| mode flat\\|segmented \\| "
     "temp_ttl <seconds>",
     "checked and reported by `stats settings`; the store has no LRU segments to tune"},
    {"lru_crawler", ServeLruCrawler, true,
     "lru_crawler enable \\| disable \\| sleep <µs> \\| tocrawl <items> \\| crawl <classes>\\|all "
     "\\| metadump <classes>\\|all\\|hash \\| mgdump <classes>\\|all\\|hash",
     "the background pass that gives expired memory back, and the listings of keys"},
    {"watch", ServeWatch, false, "watch [<kind> ...]",
     "turns the connection into a log: fetchers (default), mutations, evictions, deletions, "
     "connevents, sysevents; fetchers are the commands that ask for items, not the look-ups of "
     "set, add, incr, delete and others, which memcached logs as item_get too"},
    {"verbosity", ServeVerbosity, true, "verbosity <level> [noreply]", "sets what goes to stderr"},
    {"cache_memlimit", ServeCacheMemlimit, true, "cache_memlimit <MB> [noreply]",
     "changes the memory limit; refused, where memcached accepts it, below twice -I and above what "
     "addresses were reserved for at start: 64 GiB or twice -m, whichever is more, less 2 MiB, or "
     "what part of that the system gave"},
    {"refresh_certs", ServeRefreshCerts, false, "refresh_certs",
     "reads the TLS certificates again"},
    {"shutdown", ServeShutdown, true, "shutdown [graceful]", "ends the server; needs -A"},
    {"extstore", ServeExtstore, true, "extstore <setting> <number>",
     "checked; there is no external storage to tune"},
#if CAIRN_DEBUG_COMMANDS
    {"debugtime", ServeDebugTime, true, "debugtime p \\| r \\| <±seconds>", kForTestsOnly},
    {"debugitem", ServeDebugItem, true, "debugitem lock\\|unlock\\|ref\\|unref <key>",
     kForTestsOnly},
    {"misbehave", ServeMisbehave, true, "misbehave", kForTestsOnly},
#endif
};

std::vector<std::string_view> Tokenize(std::string_view line) {
  std::vector<std::string_view> tokens;
  for (;;) {
    const std::string_view token = protocol::NextToken(&line);
    if (token.empty()) return tokens;
    tokens.push_back(token);
  }
}

}  // namespace

bool ProcessAdmin(Session& session, std::string_view line, StepStatus* status) {
  std::string_view rest = line;
  const std::string_view verb = line.starts_with(' ') ? "" : protocol::NextToken(&rest);
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows),
                                 [verb](const Row& r) { return r.verb == verb; });
  if (row == std::end(kRows)) return false;
  const std::vector<std::string_view> tokens = Tokenize(line);
  const bool noreply = row->takes_noreply && tokens.back() == "noreply";
  const AdminResult result = row->handler(session, tokens);
  *status = result.status;
  if (!result.reply.empty()) ReplyUnless(session, noreply, result.reply);
  return true;
}

unsigned SlabClassLimit(Session& session) {
  const size_t classes = session.store().StatsByClass(session.now()).size();
  return static_cast<unsigned>(
      std::clamp<size_t>(classes + 1, kMinSlabClassLimit, kMaxSlabClasses));
}

bool FirstOfPacket(Session& session) {
  return session.follows_noop || (session.first_of_input && session.out().empty());
}

std::string DescribeAdminCommands() {
  std::string rows;
  for (const Row& row : kRows) {
    if (row.help == kForTestsOnly) continue;
    fmt::format_to(std::back_inserter(rows), "| `{}` | {} |\n", row.usage, row.help);
  }
  return rows;
}

}  // namespace cairn::server
