#include "server/event_log.h"

#include "fmt/format.h"
#include "server/clock.h"
#include "server/uri_encode.h"

namespace cairn::server {

void LogConnectionNew(LogHub& hub, const PeerAddress& peer, int fd) {
  if (!hub.Wants(LogKind::kConnEvents)) return;
  hub.Publish(LogKind::kConnEvents, fmt::format("conn_new rip={} rport={} transport={} cfd={}",
                                                peer.ip(), peer.port(), peer.transport(), fd));
}

void LogConnectionClosed(LogHub& hub, const PeerAddress& peer, std::string_view reason, int fd) {
  if (!hub.Wants(LogKind::kConnEvents)) return;
  hub.Publish(LogKind::kConnEvents,
              fmt::format("conn_close rip={} rport={} transport={} reason={} cfd={}", peer.ip(),
                          peer.port(), peer.transport(), reason, fd));
}

void LogConnectionError(LogHub& hub, int fd, std::string_view message) {
  if (!hub.Wants(LogKind::kConnEvents)) return;
  hub.Publish(LogKind::kConnEvents, fmt::format("connerr fd={} msg={}", fd, message));
}

void LogTlsError(LogHub& hub, int fd, std::string_view message) {
  if (!hub.Wants(LogKind::kConnEvents)) return;
  hub.Publish(LogKind::kConnEvents, fmt::format("conntlserr fd={} msg={}", fd, message));
}

void LogCrawl(LogHub& hub, const CrawlReport& report) {
  if (!hub.Wants(LogKind::kSysEvents)) return;
  // memcached reports each of its LRUs; ours is one pass over all memory, hence class 0. low_mark
  // and next_reclaims steer its crawler and have no counterpart.
  hub.Publish(LogKind::kSysEvents,
              fmt::format("lru_crawler crawler=0 lru=cold low_mark=0 next_reclaims=0 since_run={} "
                          "next_run={} elapsed={} examined={} reclaimed={}",
                          report.elapsed_seconds, report.next_run_seconds, report.elapsed_seconds,
                          report.examined, report.reclaimed));
}

void EvictionLog::OnLoss(storage::LossReason reason, const storage::ItemView& item,
                         storage::Time now) {
  if (reason != storage::LossReason::kEvicted || !hub_->Wants(LogKind::kEvictions)) return;
  hub_->Publish(
      LogKind::kEvictions,
      fmt::format("eviction key={} fetch={} ttl={} la={} clsid={} size={}", UriEncoded(item.key),
                  item.fetched_before ? "yes" : "no", Clock::SecondsLeft(item.expiry, now),
                  (now.ms - item.last_access().ms) / 1000, item.class_id, item.value_bytes));
}

}  // namespace cairn::server
