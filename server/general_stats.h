#pragma once

#include <string>

#include "server/context.h"
#include "server/stat_sink.h"

namespace cairn::server {

/// The lines of `stats` without a group.
void ReportGeneralStats(const ServerContext& server, storage::Time now, StatSink sink);

/// Appends their rows of docs/stats.md.
void DescribeGeneralStats(std::string* markdown);

}  // namespace cairn::server
