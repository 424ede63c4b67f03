#pragma once

#include <cstdint>

#include "server/session.h"

namespace cairn::server {

/// What flush_all means in either protocol: everything that is there at the time that `exptime`
/// stands for (0 or negative: now) is gone from then on. A time before the server started finds
/// nothing to flush; it takes a pending flush back.
void FlushFromWire(Session& session, int64_t exptime);

}  // namespace cairn::server
