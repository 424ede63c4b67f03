#include "server/class_stats.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "fmt/format.h"
#include "server/runtime_settings.h"

namespace cairn::server {
namespace {

// What a line of one class is computed from.
struct ClassFacts {
  const storage::ClassStats& store;
  const ClassTotals& commands;
};

struct ClassLine {
  enum Shown : uint8_t { kAlways, kSegmented, kTempLru };

  std::string_view name;
  std::string_view help;
  uint64_t (*value)(const ClassFacts&);
  Shown shown = kAlways;
};

uint64_t Zero(const ClassFacts&) { return 0; }

#define CAIRN_STORE_VALUE(field) [](const ClassFacts& c) -> uint64_t { return c.store.field; }
#define CAIRN_COMMAND_VALUE(field) [](const ClassFacts& c) -> uint64_t { return c.commands.field; }

constexpr std::string_view kNoSegments = "always 0: the store has no LRU segments";

constexpr ClassLine kItemLines[] = {
    {"number", "items of the class", CAIRN_STORE_VALUE(items)},
    {"number_hot", kNoSegments, Zero, ClassLine::kSegmented},
    {"number_warm", kNoSegments, Zero, ClassLine::kSegmented},
    {"number_cold", "as number", CAIRN_STORE_VALUE(items), ClassLine::kSegmented},
    {"number_temp", kNoSegments, Zero, ClassLine::kTempLru},
    {"age_hot", kNoSegments, Zero, ClassLine::kSegmented},
    {"age_warm", kNoSegments, Zero, ClassLine::kSegmented},
    {"age", "seconds since the newest write in the class's oldest page",
     CAIRN_STORE_VALUE(age_seconds)},
    {"mem_requested", "bytes of its items as they are stored", CAIRN_STORE_VALUE(mem_requested)},
    {"evicted", "live items removed to make room", CAIRN_STORE_VALUE(evicted)},
    {"evicted_nonzero", "of these, with an expiry", CAIRN_STORE_VALUE(evicted_nonzero)},
    {"evicted_time", "seconds since the last access of the item evicted last",
     CAIRN_STORE_VALUE(evicted_time_seconds)},
    {"outofmemory", "writes refused for lack of memory", CAIRN_STORE_VALUE(outofmemory)},
    {"tailrepairs", "always 0: no reference can be leaked here", Zero},
    {"reclaimed", "expired items whose memory a write reused", CAIRN_STORE_VALUE(reclaimed)},
    {"expired_unfetched", "of the expired items given back, never fetched",
     CAIRN_STORE_VALUE(expired_unfetched)},
    {"evicted_unfetched", "of the evicted, never fetched", CAIRN_STORE_VALUE(evicted_unfetched)},
    {"evicted_active", "of the evicted, fetched since they were written or last spared",
     CAIRN_STORE_VALUE(evicted_active), ClassLine::kSegmented},
    {"crawler_reclaimed", "expired items given back in the background",
     CAIRN_STORE_VALUE(crawler_reclaimed)},
    {"crawler_items_checked", "items the background pass looked at",
     CAIRN_STORE_VALUE(crawler_items_checked)},
    {"lrutail_reflocked", "always 0: an item in use does not stop an eviction", Zero},
    {"moves_to_cold", kNoSegments, Zero, ClassLine::kSegmented},
    {"moves_to_warm", kNoSegments, Zero, ClassLine::kSegmented},
    {"moves_within_lru", "fetched items moved to a new page instead of evicted",
     CAIRN_STORE_VALUE(items_rescued), ClassLine::kSegmented},
    {"direct_reclaims", "always 0: not counted by class, see the general report", Zero,
     ClassLine::kSegmented},
    {"hits_to_hot", kNoSegments, Zero, ClassLine::kSegmented},
    {"hits_to_warm", kNoSegments, Zero, ClassLine::kSegmented},
    {"hits_to_cold", "keys found by get", CAIRN_COMMAND_VALUE(get_hits), ClassLine::kSegmented},
    {"hits_to_temp", kNoSegments, Zero, ClassLine::kSegmented},
};

// A class of values that span pages may have fewer slots in whole pages than it uses.
uint64_t TotalChunks(const ClassFacts& c) {
  return std::max(c.store.total_pages * c.store.chunks_per_page, c.store.used_chunks);
}

constexpr ClassLine kSlabLines[] = {
    {"chunk_size", "bytes of a slot", CAIRN_STORE_VALUE(chunk_size)},
    {"chunks_per_page", "slots of a page, at least 1",
     [](const ClassFacts& c) { return std::max<uint64_t>(c.store.chunks_per_page, 1); }},
    {"total_pages", "pages of the class", CAIRN_STORE_VALUE(total_pages)},
    {"total_chunks", "slots of these pages", TotalChunks},
    {"used_chunks", "slots that hold an item, or a value that is arriving",
     CAIRN_STORE_VALUE(used_chunks)},
    {"free_chunks", "the other slots",
     [](const ClassFacts& c) { return TotalChunks(c) - c.store.used_chunks; }},
    {"free_chunks_end", "always 0, as in memcached", Zero},
    {"get_hits", "keys found by get", CAIRN_COMMAND_VALUE(get_hits)},
    {"cmd_set", "store commands, failed ones included", CAIRN_COMMAND_VALUE(set_cmds)},
    {"delete_hits", "items deleted", CAIRN_COMMAND_VALUE(delete_hits)},
    {"incr_hits", "numbers incremented", CAIRN_COMMAND_VALUE(incr_hits)},
    {"decr_hits", "numbers decremented", CAIRN_COMMAND_VALUE(decr_hits)},
    {"cas_hits", "cas that stored", CAIRN_COMMAND_VALUE(cas_hits)},
    {"cas_badval", "cas that found another unique", CAIRN_COMMAND_VALUE(cas_badval)},
    {"touch_hits", "touch and gat keys found", CAIRN_COMMAND_VALUE(touch_hits)},
};

#undef CAIRN_STORE_VALUE
#undef CAIRN_COMMAND_VALUE

// What the workers counted, by class id.
std::vector<ClassTotals> CommandsByClass(const ServerContext& server) {
  std::vector<ClassTotals> totals(kMaxSlabClasses);
  for (const WorkerStats* worker : server.worker_stats) {
    for (size_t id = 0; id < totals.size(); ++id) totals[id].Add(worker->by_class[id]);
  }
  return totals;
}

template <typename Has>
void ReportClasses(const ServerContext& server, storage::Time now, std::string_view prefix,
                   std::span<const ClassLine> lines, Has has, StatSink sink) {
  const std::vector<storage::ClassStats> classes = server.store->StatsByClass(now);
  const std::vector<ClassTotals> commands = CommandsByClass(server);
  const bool segmented = server.settings->lru_maintainer;
  const bool temp_lru = server.runtime->temporary_lru;
  for (size_t id = 1; id <= classes.size() && id < commands.size(); ++id) {
    const ClassFacts facts{classes[id - 1], commands[id]};
    if (!has(facts.store)) continue;
    for (const ClassLine& line : lines) {
      if (line.shown == ClassLine::kSegmented && !segmented) continue;
      if (line.shown == ClassLine::kTempLru && !(segmented && temp_lru)) continue;
      sink(fmt::format("{}{}:{}", prefix, id, line.name), fmt::to_string(line.value(facts)));
    }
  }
}

void Describe(std::string_view prefix, std::span<const ClassLine> lines, std::string* markdown) {
  for (const ClassLine& line : lines) {
    fmt::format_to(std::back_inserter(*markdown), "| `{}<class>:{}` | {}{} |\n", prefix, line.name,
                   line.help,
                   line.shown == ClassLine::kTempLru ? " (shown with temporary_ttl)" : "");
  }
}

}  // namespace

void ReportItemStats(const ServerContext& server, storage::Time now, StatSink sink) {
  ReportClasses(
      server, now, "items:", kItemLines, [](const storage::ClassStats& c) { return c.items > 0; },
      sink);
}

void ReportSlabStats(const ServerContext& server, storage::Time now, StatSink sink) {
  uint64_t active = 0;
  ReportClasses(
      server, now, "", kSlabLines,
      [&](const storage::ClassStats& c) {
        active += c.total_pages > 0 ? 1 : 0;
        return c.total_pages > 0;
      },
      sink);
  const storage::StoreStats store = server.store->Stats();
  sink("active_slabs", fmt::to_string(active));
  sink("total_malloced", fmt::to_string(store.pages_total * store.page_bytes));
}

void ReportStoreStats(const ServerContext& server, StatSink sink) {
  const storage::StoreStats store = server.store->Stats();
#define X(name, help) sink(#name, fmt::to_string(store.name));
  CAIRN_STORE_COUNTERS(X)
  CAIRN_STORE_GAUGES(X)
#undef X
}

void DescribeItemStats(std::string* markdown) { Describe("items:", kItemLines, markdown); }

void DescribeSlabStats(std::string* markdown) {
  Describe("", kSlabLines, markdown);
  *markdown +=
      "| `active_slabs` | classes that have pages |\n"
      "| `total_malloced` | bytes of all pages |\n";
}

void DescribeStoreStats(std::string* markdown) {
#define X(name, help) *markdown += "| `" #name "` | " help " |\n";
  CAIRN_STORE_COUNTERS(X)
  CAIRN_STORE_GAUGES(X)
#undef X
}

}  // namespace cairn::server
