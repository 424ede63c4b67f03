#pragma once

#include <string>

#include "server/context.h"
#include "server/stat_sink.h"

/// The reports that have lines for every slab class, and the store's own numbers.
namespace cairn::server {

/// `stats items`: classes that hold items.
void ReportItemStats(const ServerContext& server, storage::Time now, StatSink sink);
/// `stats slabs`: classes that have pages.
void ReportSlabStats(const ServerContext& server, storage::Time now, StatSink sink);
/// `stats store`: what our store counts, by its own names (storage/store_stats.h).
void ReportStoreStats(const ServerContext& server, StatSink sink);

/// Append their rows of docs/stats.md.
void DescribeItemStats(std::string* markdown);
void DescribeSlabStats(std::string* markdown);
void DescribeStoreStats(std::string* markdown);

}  // namespace cairn::server
