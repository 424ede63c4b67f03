#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

namespace cairn::server {

/// What `stats conns` shows of one descriptor. Owned by the listener or connection it describes,
/// which registers it for as long as it lives; the atomics are updated by its thread.
struct ConnectionRecord {
  int fd = -1;
  std::string address;         ///< "tcp:127.0.0.1:4711", "unix:/path", "udp:…"
  std::string listen_address;  ///< empty for listeners
  bool udp = false;
  std::atomic<const char*> state{"conn_new_cmd"};  ///< memcached's word, static storage
  std::atomic<int64_t> last_command_ms{0};         ///< store time
};

/// All descriptors that serve. Thread-safe.
class ConnectionTable {
 public:
  void Add(const ConnectionRecord* record);
  void Remove(const ConnectionRecord* record);
  /// In order of descriptor. Opening and closing wait meanwhile.
  void ForEach(absl::FunctionRef<void(const ConnectionRecord&)> visit) const;

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_set<const ConnectionRecord*> records_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
