#pragma once

#include <atomic>
#include <cstdint>

#include "server/settings.h"

namespace cairn::server {

/// The settings that commands change while the server runs, and some facts that `stats settings`
/// shows among them. Each is set and read on its own, by any thread.
class RuntimeSettings {
 public:
  explicit RuntimeSettings(const Settings& settings);

  std::atomic<unsigned> verbosity;
  std::atomic<uint64_t> memory_limit_bytes;  ///< cache_memlimit
  std::atomic<uint64_t> oldest_live_s{0};    ///< of the last flush_all: its time, as uptime
  std::atomic<bool> detail_enabled;

  std::atomic<bool> lru_crawler;
  std::atomic<unsigned> lru_crawler_sleep_us;
  std::atomic<uint32_t> lru_crawler_tocrawl;

  std::atomic<int> slab_automove;
  std::atomic<double> slab_automove_ratio;
  std::atomic<double> slab_automove_free_ratio;
  std::atomic<unsigned> slab_automove_window;

  std::atomic<bool> lru_segmented;
  std::atomic<unsigned> hot_lru_pct;
  std::atomic<unsigned> warm_lru_pct;
  std::atomic<double> hot_max_factor;
  std::atomic<double> warm_max_factor;
  std::atomic<bool> temporary_lru;
  std::atomic<unsigned> temporary_ttl_s;
};

}  // namespace cairn::server
