#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "cairn/client.h"

namespace cairn::cli {

/// How often, and how long apart.
struct Rounds {
  absl::Duration interval = absl::Seconds(1);
  uint64_t count = 0;  ///< 0: until interrupted.
};

/// What every server does, as a table on the standard output, at the end of each interval: redrawn
/// in place on a terminal, line after line otherwise. False when a server was not reached in the
/// last round.
bool ShowTop(Client& client, const Rounds& rounds);

/// Each server's version, and how long it takes to tell: `rounds.count` times, after one that makes
/// the connection. False when a server was not reached.
bool ShowPing(Client& client, const Rounds& rounds);

}  // namespace cairn::cli
