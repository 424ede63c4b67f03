#include "server/connection_table.h"

#include <algorithm>
#include <vector>

namespace cairn::server {

void ConnectionTable::Add(const ConnectionRecord* record) {
  absl::MutexLock lock(&mutex_);
  records_.insert(record);
}

void ConnectionTable::Remove(const ConnectionRecord* record) {
  absl::MutexLock lock(&mutex_);
  records_.erase(record);
}

void ConnectionTable::ForEach(absl::FunctionRef<void(const ConnectionRecord&)> visit) const {
  absl::MutexLock lock(&mutex_);
  std::vector<const ConnectionRecord*> sorted(records_.begin(), records_.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const ConnectionRecord* a, const ConnectionRecord* b) { return a->fd < b->fd; });
  for (const ConnectionRecord* record : sorted) visit(*record);
}

}  // namespace cairn::server
