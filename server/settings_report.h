#pragma once

#include "server/runtime_settings.h"
#include "server/settings.h"
#include "server/stat_sink.h"

namespace cairn::server {

/// The lines of `stats settings`, in memcached's order and formats. Thread-safe.
void ReportSettings(const Settings& settings, const RuntimeSettings& runtime, StatSink sink);

}  // namespace cairn::server
