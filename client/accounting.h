#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cairn/tracing.h"
#include "client/call.h"
#include "client/counters.h"
#include "client/server_state.h"

namespace cairn {

/// How many keys a part asks for; none, when it asks for something else.
size_t KeysOf(const Part& part);

/// What became of the keys of a part.
struct KeyCounts {
  size_t done = 0;      ///< There, or it was done.
  size_t refused = 0;   ///< An error line.
  size_t answered = 0;  ///< The two before, and what was not there or did not hold.
};
/// Looks at every answer: for parts that did not end well, and for tracers.
KeyCounts CountKeys(const Part& part, bool answered);

/// Counts a part that ended, unless its caller has counted it. Of one that was answered the
/// connection's reader knows `done` and `refused`.
void CountAnswered(Part& part, size_t done, size_t refused, ConnectionCounters* counters);
void CountNotReached(Part& part, Ending why, ConnectionCounters* counters);

/// The call's time is up before its parts are over: its caller goes, and counts what it did not
/// get, unless that has ended in this very moment.
void Abandon(Call& call, const std::vector<std::unique_ptr<ServerState>>& servers);

/// Tells of a part that ended.
struct PartEnd {
  const std::string& address;
  const absl::Status& status;
  bool sent = false;
  size_t bytes_received = 0;
  Clock::time_point now;
};
void Trace(Tracer& tracer, const Part& part, const PartEnd& end);

}  // namespace cairn
