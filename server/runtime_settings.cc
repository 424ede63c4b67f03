#include "server/runtime_settings.h"

namespace cairn::server {

RuntimeSettings::RuntimeSettings(const Settings& settings)
    : verbosity(settings.verbosity),
      memory_limit_bytes(settings.memory_limit_bytes),
      detail_enabled(settings.detail_enabled),
      lru_crawler(settings.lru_crawler),
      lru_crawler_sleep_us(settings.lru_crawler_sleep_us),
      lru_crawler_tocrawl(settings.lru_crawler_tocrawl),
      slab_automove(settings.slab_automove),
      slab_automove_ratio(settings.slab_automove_ratio),
      slab_automove_free_ratio(settings.slab_automove_free_ratio),
      slab_automove_window(settings.slab_automove_window),
      lru_segmented(settings.lru_segmented),
      hot_lru_pct(settings.hot_lru_pct),
      warm_lru_pct(settings.warm_lru_pct),
      hot_max_factor(settings.hot_max_factor),
      warm_max_factor(settings.warm_max_factor),
      temporary_lru(settings.temporary_lru),
      temporary_ttl_s(settings.temporary_ttl_s) {}

}  // namespace cairn::server
