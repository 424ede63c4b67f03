#pragma once

#include <string_view>

#include "server/session.h"

/// Where the session hands a request to: one entry a protocol, and one for the operator's commands
/// of the text protocol.
namespace cairn::server {

/// Serves the text request (classic or meta) at the start of `input`.
Step ProcessText(Session& session, std::string_view input);

/// Serves the binary request at the start of `input`.
Step ProcessBinary(Session& session, std::string_view input);

/// Serves an operator's command: stats, slabs, lru, lru_crawler, watch, verbosity, cache_memlimit,
/// refresh_certs, shutdown, extstore, debugtime and the like. `line` is the whole line without its
/// end. False when the verb is none of these.
bool ProcessAdmin(Session& session, std::string_view line, StepStatus* status);

}  // namespace cairn::server
