#include "server/worker_stats.h"

namespace cairn::server {

void WorkerStats::Reset() {
#define X(name, help) name.Reset();
  CAIRN_WORKER_COUNTERS(X)
#undef X
  for (ClassCounters& counters : by_class) {
#define X(name, help) counters.name.Reset();
    CAIRN_WORKER_CLASS_COUNTERS(X)
#undef X
  }
}

void ClassTotals::Add(const ClassCounters& counters) {
#define X(name, help) name += counters.name.value();
  CAIRN_WORKER_CLASS_COUNTERS(X)
#undef X
}

void WorkerTotals::Add(const WorkerStats& stats) {
#define X(name, help) name += stats.name.value();
  CAIRN_WORKER_COUNTERS(X)
#undef X
  ClassTotals classes;
  for (const ClassCounters& counters : stats.by_class) classes.Add(counters);
#define X(name, help) name += classes.name;
  CAIRN_WORKER_CLASS_COUNTERS(X)
#undef X
}

}  // namespace cairn::server
