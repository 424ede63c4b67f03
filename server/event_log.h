#pragma once

#include <string>
#include <string_view>

#include "server/log_hub.h"
#include "server/peer_address.h"
#include "storage/store.h"

/// The log lines of `watch` that do not come from requests: connections that open and close, items
/// that are evicted, and what the background does. Each costs a relaxed load while nobody watches.
namespace cairn::server {

void LogConnectionNew(LogHub& hub, const PeerAddress& peer, int fd);
/// `reason` is "error", "normal", "idle_timeout" or "shutdown".
void LogConnectionClosed(LogHub& hub, const PeerAddress& peer, std::string_view reason, int fd);
/// A connection failed outside of a request (`message` in one line), or its TLS did.
void LogConnectionError(LogHub& hub, int fd, std::string_view message);
void LogTlsError(LogHub& hub, int fd, std::string_view message);

/// The end of a pass of the background crawler.
struct CrawlReport {
  uint64_t elapsed_seconds = 0;
  uint64_t examined = 0;
  uint64_t reclaimed = 0;
  uint64_t next_run_seconds = 0;
};
void LogCrawl(LogHub& hub, const CrawlReport& report);

/// Publishes `type=eviction` lines. Installed on the store while somebody watches evictions.
class EvictionLog : public storage::LossObserver {
 public:
  explicit EvictionLog(LogHub* hub) : hub_(hub) {}
  void OnLoss(storage::LossReason reason, const storage::ItemView& item,
              storage::Time now) override;

 private:
  LogHub* const hub_;
};

}  // namespace cairn::server
