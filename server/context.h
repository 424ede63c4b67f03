#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/clock.h"
#include "server/worker_stats.h"
#include "storage/store.h"

/// What the pieces of the server share, handed to them by constructor instead of globals.
namespace cairn::server {

struct Settings;
class RuntimeSettings;
class LogHub;
class PrefixStats;
class AuthFile;
class SaslMechanisms;
class TlsContexts;
class ConnectionTable;
class Maintenance;

/// Counters of the listeners and of the process, written by several threads.
struct ProcessStats {
  std::atomic<uint64_t> total_connections{0};
  std::atomic<uint64_t> rejected_connections{0};
  std::atomic<uint64_t> curr_connections{0};  ///< clients, UDP sockets and listeners not included
  std::atomic<uint64_t> connection_structures{0};
  std::atomic<uint64_t> listen_disabled_count{0};
  std::atomic<uint64_t> time_in_listen_disabled_us{0};
  std::atomic<bool> accepting{true};
  std::atomic<uint64_t> crawler_starts{0};
  std::atomic<bool> crawler_running{false};
  std::atomic<uint64_t> input_buffer_count{0};  ///< input buffers that connections hold
  std::atomic<uint64_t> input_buffer_bytes{0};
  std::atomic<uint64_t> output_buffer_count{0};  ///< connections that hold unsent output
  std::atomic<uint64_t> output_buffer_bytes{0};
  unsigned reserved_fds = 0;
};

/// The parts that live as long as the server. Pointers are never null unless said so.
struct ServerContext {
  const Settings* settings = nullptr;
  RuntimeSettings* runtime = nullptr;
  storage::Store* store = nullptr;
  Clock* clock = nullptr;
  LogHub* log = nullptr;
  PrefixStats* prefix_stats = nullptr;
  ProcessStats* process = nullptr;
  ConnectionTable* connections = nullptr;
  Maintenance* maintenance = nullptr;
  AuthFile* auth_file = nullptr;   ///< null: no ASCII authentication
  SaslMechanisms* sasl = nullptr;  ///< null: no SASL
  TlsContexts* tls = nullptr;      ///< null: no TLS
  std::vector<WorkerStats*> worker_stats;
  /// Asks the process to end; graceful as SIGUSR1 does. Thread-safe.
  std::function<void(bool graceful)> request_shutdown;
  /// Called on a worker each time a client is gone.
  std::function<void()> on_connection_closed;
};

/// What one worker's sessions use. One event-loop thread.
struct WorkerContext {
  ServerContext* server = nullptr;
  WorkerStats* stats = nullptr;
  /// The loop's one clock reading; refreshed before each event is served.
  storage::Time now;
  unsigned index = 0;
  /// The keys of the requests that the session being served will come to next.
  std::array<storage::Key, storage::Store::kPrefetchedKeys> keys_ahead;
};

}  // namespace cairn::server
