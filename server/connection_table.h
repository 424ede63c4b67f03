#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "server/peer_address.h"

namespace cairn::server {

/// What `stats conns` shows of one descriptor. Owned by the listener or connection it describes,
/// which registers it for as long as it lives; the atomics are updated by its thread.
struct ConnectionRecord {
  enum class Kind : uint8_t { kListener, kClient, kUdp };

  /// A client's over TCP; of the others the socket's, all of whose clients share it.
  std::string Address() const { return peer.is_local() ? *socket_address : peer.Text(); }

  int fd = -1;
  Kind kind = Kind::kClient;
  PeerAddress peer;
  /// Where it listens, or came in by: "tcp:127.0.0.1:11211", "unix:/path", "udp:…"
  std::shared_ptr<const std::string> socket_address;
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
