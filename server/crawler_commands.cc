#include <algorithm>
#include <chrono>
#include <optional>

#include "protocol/numbers.h"
#include "server/admin.h"
#include "server/dumps.h"
#include "server/maintenance.h"
#include "server/runtime_settings.h"

namespace cairn::server {
namespace {

constexpr uint32_t kMaxSleepUs = 1'000'000;
constexpr char kBadClass[] = "BADCLASS invalid class id";
constexpr char kNothing[] = "NOTSTARTED no items to crawl";
constexpr char kDisabled[] = "CLIENT_ERROR lru crawler disabled";

/// "all" or "1,2,3". Nothing when a class is out of range; "," is no class at all.
std::optional<ClassSet> ParseClasses(Session& session, std::string_view text) {
  ClassSet classes;
  if (text == "all") return classes.set();
  const unsigned limit = SlabClassLimit(session);
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view token = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (token.empty()) continue;
    const auto id = protocol::ParseStrictUint32(token);
    if (!id || *id == 0 || *id >= limit) return std::nullopt;
    classes.set(*id);
  }
  return classes;
}

AdminResult ServeCrawl(Session& session, std::string_view which) {
  Maintenance& maintenance = *session.server().maintenance;
  if (!maintenance.crawling()) return kDisabled;
  if (which == "hash") return "ERROR an unknown error happened";
  const std::optional<ClassSet> classes = ParseClasses(session, which);
  if (!classes) return kBadClass;
  if (classes->none()) return kNothing;
  // Classes share the memory that the pass goes through, so it looks at all of them.
  const RuntimeSettings& runtime = *session.server().runtime;
  Maintenance::Crawl crawl;
  crawl.sleep = std::chrono::microseconds(runtime.lru_crawler_sleep_us);
  crawl.max_items = runtime.lru_crawler_tocrawl;
  switch (maintenance.StartCrawl(crawl)) {
    case Maintenance::CrawlStart::kStarted:
      return "OK";
    case Maintenance::CrawlStart::kBusy:
      return "BUSY currently processing crawler request";
    case Maintenance::CrawlStart::kDisabled:
      return kDisabled;
  }
  return "ERROR";
}

AdminResult ServeDump(Session& session, std::string_view word, std::string_view which) {
  const bool meta = word == "metadump";
  if (!session.server().maintenance->crawling()) return kDisabled;
  if (!session.server().settings->dump_enabled) {
    return meta ? "ERROR metadump not allowed" : "ERROR key dump not allowed";
  }
  if (session.options().datagram) return "ERROR";
  if (!FirstOfPacket(session)) {
    return meta ? "ERROR cannot pipeline other commands before metadump"
                : "ERROR cannot pipeline other commands before mgdump";
  }
  const std::optional<ClassSet> classes =
      ParseClasses(session, which == "hash" ? std::string_view("all") : which);
  if (!classes) return kBadClass;
  if (classes->none()) return kNothing;
  session.RunContinuation(meta ? MakeMetadump(*classes) : MakeMgdump(*classes));
  return StepStatus::kDone;
}

AdminResult ServeNumber(Session& session, std::string_view word, std::string_view text) {
  const auto number = protocol::ParseStrictUint32(text);
  if (!number) return kBadCommandFormat;
  RuntimeSettings& runtime = *session.server().runtime;
  if (word == "tocrawl") {
    runtime.lru_crawler_tocrawl = *number;
    return "OK";
  }
  if (*number > kMaxSleepUs) return "CLIENT_ERROR sleep must be one second or less";
  runtime.lru_crawler_sleep_us = *number;
  return "OK";
}

}  // namespace

AdminResult ServeLruCrawler(Session& session, Tokens tokens) {
  const std::string_view word = tokens.size() > 1 ? tokens[1] : "";
  if (tokens.size() == 3) {
    if (word == "crawl") return ServeCrawl(session, tokens[2]);
    if (word == "metadump" || word == "mgdump") return ServeDump(session, word, tokens[2]);
    if (word == "tocrawl" || word == "sleep") return ServeNumber(session, word, tokens[2]);
  }
  if (tokens.size() == 2 && (word == "enable" || word == "disable")) {
    const bool on = word == "enable";
    const bool changed = session.server().maintenance->SetCrawling(on);
    session.server().runtime->lru_crawler = on;
    if (on && !changed) return "ERROR failed to start lru crawler thread";
    return "OK";
  }
  return "ERROR";
}

}  // namespace cairn::server
