#include "fmt/format.h"
#include "protocol/numbers.h"
#include "server/admin.h"
#include "server/dumps.h"
#include "server/prefix_stats.h"
#include "server/runtime_settings.h"
#include "server/size_histogram.h"
#include "server/stats_report.h"

namespace cairn::server {
namespace {

constexpr uint32_t kMemcachedSlabClasses = 64;

AdminResult ServeDetail(Session& session, Tokens tokens) {
  if (!session.server().settings->dump_enabled) return "CLIENT_ERROR stats detail not allowed";
  PrefixStats& prefixes = *session.server().prefix_stats;
  const std::string_view word = tokens.size() > 2 ? tokens[2] : "";
  if (word == "on" || word == "off") {
    prefixes.set_enabled(word == "on");
    session.server().runtime->detail_enabled = word == "on";
    return "OK";
  }
  if (word != "dump") return "CLIENT_ERROR usage: stats detail on|off|dump";
  session.out().Append(prefixes.Dump());
  return StepStatus::kDone;
}

AdminResult ServeCachedump(Session& session, Tokens tokens) {
  if (!session.server().settings->dump_enabled) return "CLIENT_ERROR stats cachedump not allowed";
  if (session.options().datagram) return "ERROR";
  if (tokens.size() < 4) return "CLIENT_ERROR bad command line";
  const auto class_id = protocol::ParseStrictUint32(tokens[2]);
  const auto limit = protocol::ParseStrictUint32(tokens[3]);
  if (!class_id || !limit) return kBadCommandFormat;
  // memcached's limit whatever classes there are here: it is what clients know.
  if (*class_id >= kMemcachedSlabClasses) return "CLIENT_ERROR Illegal slab id";
  session.RunContinuation(MakeCachedump(*class_id, *limit));
  return StepStatus::kDone;
}

}  // namespace

AdminResult ServeStats(Session& session, Tokens tokens) {
  const std::string_view group = tokens.size() > 1 ? tokens[1] : "";
  if (group == "reset") {
    ResetStats(session.server());
    return "RESET";
  }
  if (group == "detail") return ServeDetail(session, tokens);
  if (group == "cachedump") return ServeCachedump(session, tokens);
  if (group == "sizes" && session.server().settings->track_sizes && !session.options().datagram) {
    session.RunContinuation(MakeSizesReport());
    return StepStatus::kDone;
  }
  const bool known = ReportStats(session.server(), session.now(), group,
                                 [&](std::string_view name, std::string_view value) {
                                   session.out().Append(fmt::format("STAT {} {}\r\n", name, value));
                                 });
  return known ? "END" : "ERROR";
}

}  // namespace cairn::server
