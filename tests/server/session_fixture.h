// A session with everything behind it, in memory: no sockets, no threads, the clock under control.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "server/connection_table.h"
#include "server/context.h"
#include "server/log_hub.h"
#include "server/maintenance.h"
#include "server/output.h"
#include "server/prefix_stats.h"
#include "server/runtime_settings.h"
#include "server/session.h"
#include "server/settings.h"
#include "server/worker_stats.h"
#include "storage/store.h"

namespace cairn::server {

/// The parts that sessions share. The clock stands still unless it is told otherwise.
class ServerFixture {
 public:
  /// Store time at first; no multiple of any unit that times are kept in.
  static constexpr int64_t kStartMs = 10'030;
  static constexpr int64_t kOriginUnixSeconds = 1'700'000'000;

  explicit ServerFixture(Settings with = {})
      : settings(std::move(with)),
        runtime(settings),
        log(settings.watcher_logbuf_bytes),
        prefix_stats(settings.prefix_delimiter, settings.detail_enabled),
        worker_stats(std::make_unique<WorkerStats>()),
        maintenance(&server, settings.lru_crawler) {
    storage::Config config;
    config.memory_limit_bytes = settings.memory_limit_bytes;
    config.max_item_bytes = settings.max_item_bytes;
    config.evict = settings.evict;
    config.use_cas = settings.use_cas;
    config.hash_seed = 1;
    auto made = storage::Store::Create(config);
    if (!made.ok()) std::abort();  // no test framework here: the fuzzers use this too
    store = std::move(*made);
    server.settings = &settings;
    server.runtime = &runtime;
    server.store = store.get();
    server.clock = &clock;
    server.log = &log;
    server.prefix_stats = &prefix_stats;
    server.process = &process;
    server.connections = &connections;
    server.maintenance = &maintenance;
    server.worker_stats.push_back(worker_stats.get());
    server.request_shutdown = [this](bool graceful) { shutdown = graceful ? 2 : 1; };
    worker.server = &server;
    worker.stats = worker_stats.get();
    clock.PauseAt({kStartMs}, kOriginUnixSeconds);
    worker.now = clock.Now();
  }

  void AdvanceSeconds(int64_t seconds) {
    clock.Shift(seconds);
    worker.now = clock.Now();
  }

  Settings settings;
  RuntimeSettings runtime;
  Clock clock;
  LogHub log;
  PrefixStats prefix_stats;
  ProcessStats process;
  ConnectionTable connections;
  ServerContext server;
  std::unique_ptr<WorkerStats> worker_stats;
  std::unique_ptr<storage::Store> store;
  Maintenance maintenance;  // ends its thread before the store goes
  WorkerContext worker;
  int shutdown = 0;  ///< 1 after `shutdown`, 2 after `shutdown graceful`
};

/// One client of a ServerFixture.
class Client {
 public:
  explicit Client(ServerFixture* fixture, const SessionOptions& options = {})
      : session(&fixture->worker, options) {}

  /// Sends `bytes` as one packet; returns everything that came back, and sets closed().
  std::string Send(std::string_view bytes) {
    pending_ += bytes;
    std::string answer;
    Progress progress = session.Process(pending_, &output_, kMaxRequests);
    for (;;) {
      pending_.erase(0, progress.consumed);
      Drain(&answer);
      if (progress.status == SessionStatus::kBlocked) {
        ++blocked_;
        progress = session.Continue(pending_, &output_, kMaxRequests);
      } else if (progress.status == SessionStatus::kYield) {
        progress = session.Process(pending_, &output_, kMaxRequests);
      } else {
        break;
      }
    }
    closed_ = closed_ || progress.status == SessionStatus::kClose;
    return answer;
  }

  bool closed() const { return closed_; }
  /// How often the session waited for its answer to be sent.
  int blocked() const { return blocked_; }

  Session session;

 private:
  static constexpr unsigned kMaxRequests = 20;

  void Drain(std::string* answer) {
    std::array<iovec, 16> vectors;
    while (!output_.empty()) {
      const size_t count = output_.Gather(vectors);
      size_t bytes = 0;
      for (size_t i = 0; i < count; ++i) {
        answer->append(static_cast<const char*>(vectors[i].iov_base), vectors[i].iov_len);
        bytes += vectors[i].iov_len;
      }
      output_.Consume(bytes);
    }
  }

  Output output_;
  std::string pending_;
  bool closed_ = false;
  int blocked_ = 0;
};

}  // namespace cairn::server
