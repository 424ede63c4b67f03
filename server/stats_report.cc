#include "server/stats_report.h"

#include <algorithm>
#include <iterator>

#include "fmt/format.h"
#include "server/class_stats.h"
#include "server/connection_table.h"
#include "server/general_stats.h"
#include "server/log_hub.h"
#include "server/prefix_stats.h"
#include "server/settings.h"
#include "server/settings_report.h"
#include "server/size_histogram.h"
#include "server/tls.h"

namespace cairn::server {
namespace {

void ReportConnections(const ServerContext& server, storage::Time now, StatSink sink) {
  server.connections->ForEach([&](const ConnectionRecord& record) {
    const auto line = [&](std::string_view name, std::string_view value) {
      sink(fmt::format("{}:{}", record.fd, name), value);
    };
    if (record.kind == ConnectionRecord::Kind::kUdp) line("UDP", "UDP");
    line("addr", record.Address());
    if (record.kind != ConnectionRecord::Kind::kListener) {
      line("listen_addr", *record.socket_address);
    }
    line("state", record.state.load(std::memory_order_relaxed));
    const int64_t idle_ms = now.ms - record.last_command_ms.load(std::memory_order_relaxed);
    line("secs_since_last_cmd", fmt::to_string(std::max<int64_t>(idle_ms, 0) / 1000));
  });
}

void DescribeConnections(std::string* markdown) {
  *markdown +=
      "| `<fd>:UDP` | on UDP sockets |\n"
      "| `<fd>:addr` | the peer; a listener's own address |\n"
      "| `<fd>:listen_addr` | the address it came in by |\n"
      "| `<fd>:state` | memcached's word for what it is doing |\n"
      "| `<fd>:secs_since_last_cmd` | seconds since its last request |\n";
}

void DescribeSizes(std::string* markdown) {
  *markdown +=
      "| `sizes_status` | `disabled` unless the server runs with `-o track_sizes` |\n"
      "| `<bytes>` | items of up to so many bytes and more than 32 less; the store is walked "
      "when asked |\n";
}

struct Group {
  std::string_view name;
  std::string_view help;
  void (*report)(const ServerContext&, storage::Time, StatSink);
  void (*describe)(std::string* markdown);
};

constexpr Group kGroups[] = {
    {"", "The server as a whole.", ReportGeneralStats, DescribeGeneralStats},
    {"settings", "What the server was told: docs/options.md explains each.",
     [](const ServerContext& server, storage::Time, StatSink sink) {
       ReportSettings(*server.settings, *server.runtime, sink);
     },
     nullptr},
    {"items", "For each slab class that holds items:", ReportItemStats, DescribeItemStats},
    {"slabs", "For each slab class that has pages, and in total:", ReportSlabStats,
     DescribeSlabStats},
    {"sizes", "Items by size.",
     [](const ServerContext& server, storage::Time now, StatSink sink) {
       if (server.settings->track_sizes) {
         ReportSizes(server, now, sink);
       } else {
         sink("sizes_status", "disabled");
       }
     },
     DescribeSizes},
    {"conns", "For each descriptor that serves:", ReportConnections, DescribeConnections},
    {"extstore", "Nothing: there is no external storage.",
     [](const ServerContext&, storage::Time, StatSink) {}, nullptr},
    {"store", "What our store counts, by its own names. memcached has no such group.",
     [](const ServerContext& server, storage::Time, StatSink sink) {
       ReportStoreStats(server, sink);
     },
     DescribeStoreStats},
};

}  // namespace

bool ReportStats(const ServerContext& server, storage::Time now, std::string_view group,
                 StatSink sink) {
  const auto* found = std::find_if(std::begin(kGroups), std::end(kGroups),
                                   [group](const Group& g) { return g.name == group; });
  if (found == std::end(kGroups)) return false;
  found->report(server, now, sink);
  return true;
}

void ResetStats(const ServerContext& server) {
  for (WorkerStats* worker : server.worker_stats) worker->Reset();
  server.store->ResetStats();
  server.log->ResetTotals();
  server.prefix_stats->Clear();
  if (server.tls != nullptr) server.tls->ResetStats();
  ProcessStats& process = *server.process;
  process.total_connections = 0;
  process.rejected_connections = 0;
  process.listen_disabled_count = 0;
  process.time_in_listen_disabled_us = 0;
  process.crawler_starts = 0;
}

std::string DescribeStats() {
  std::string markdown =
      "# Statistics\n\n"
      "<!-- Made by `cairnd --describe=stats`; edit the tables in server/ instead. -->\n\n"
      "`stats` and its groups have memcached's names in memcached's order, so that what reads\n"
      "memcached reads this. Counters count since the start or the last `stats reset`. A line\n"
      "whose subject does not exist here stays, with the value said below.\n";
  for (const Group& group : kGroups) {
    fmt::format_to(std::back_inserter(markdown), "\n## `stats{}{}`\n\n{}\n",
                   group.name.empty() ? "" : " ", group.name, group.help);
    if (group.describe == nullptr) continue;
    markdown += "\n| name | what it says |\n|---|---|\n";
    group.describe(&markdown);
  }
  markdown +=
      "\n## Other words after `stats`\n\n"
      "`stats reset` zeroes the counters. `stats detail on|off|dump` counts by key prefix (-D).\n"
      "`stats cachedump <class> <count>` lists keys, at most 2 MiB of them.\n";
  return markdown;
}

}  // namespace cairn::server
