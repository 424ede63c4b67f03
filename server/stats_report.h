#pragma once

#include <string>
#include <string_view>

#include "server/context.h"
#include "server/stat_sink.h"
#include "storage/time.h"

/// `stats` and its groups, for whichever protocol asks. Each line is declared once, in the tables
/// of general_stats.cc and class_stats.cc; they also make docs/stats.md.
namespace cairn::server {

/// Hands the lines of `group` (empty: the general report; settings, items, slabs, sizes, conns,
/// extstore, store) to `sink`, in memcached's order. False when there is no such group; there are
/// no lines then. Thread-safe.
bool ReportStats(const ServerContext& server, storage::Time now, std::string_view group,
                 StatSink sink);

/// `stats reset`: zeroes every counter, no gauge. Thread-safe.
void ResetStats(const ServerContext& server);

/// docs/stats.md: every line of every group, and what it says here.
std::string DescribeStats();

}  // namespace cairn::server
