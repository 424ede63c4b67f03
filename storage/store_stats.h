#pragma once

#include <cstdint>

/// The store's statistics, each declared once. Counters count since the start or the last
/// ResetStats(); gauges say what is now.
namespace cairn::storage {

// name, what it counts
#define CAIRN_STORE_COUNTERS(X)                                                 \
  X(total_items, "items stored")                                                \
  X(evictions, "live items removed to make room")                               \
  X(evicted_unfetched, "of these, never fetched")                               \
  X(evicted_active, "of these, fetched since they were written or last spared") \
  X(evicted_nonzero, "of these, with an expiry")                                \
  X(reclaimed, "expired items whose memory a write reused")                     \
  X(expired_unfetched, "expired items reclaimed that were never fetched")       \
  X(crawler_reclaimed, "expired items given back in the background")            \
  X(crawler_items_checked, "items the background pass looked at")               \
  X(direct_reclaims, "pages a writer had to clear itself")                      \
  X(outofmemory, "writes refused for lack of memory")                           \
  X(items_rescued, "fetched items moved to a new page instead of evicted")      \
  X(pages_moved, "pages that went from one slab class to another")              \
  X(flushed_items, "items removed by a flush")

// name, what it says
#define CAIRN_STORE_GAUGES(X)                                              \
  X(curr_items, "items in the store, expired ones not yet met included")   \
  X(bytes, "bytes of items: headers, keys and values, without free slots") \
  X(index_bytes, "bytes of the hash index")                                \
  X(index_power, "log2 of the number of index entries")                    \
  X(index_growing, "shards whose index is growing")                        \
  X(page_bytes, "size of a slab page")                                     \
  X(pages_total, "pages taken from the system")                            \
  X(pages_free, "of these, belonging to no slab class")                    \
  X(external_bytes, "memory charged by others")

struct StoreStats {
#define X(name, help) uint64_t name = 0;
  CAIRN_STORE_COUNTERS(X)
  CAIRN_STORE_GAUGES(X)
#undef X
};

// name, what it is; counters first
#define CAIRN_CLASS_COUNTERS(X)                                           \
  X(evicted, "live items removed to make room")                           \
  X(evicted_nonzero, "of these, with an expiry")                          \
  X(evicted_unfetched, "of these, never fetched")                         \
  X(evicted_active, "of these, fetched since written or spared")          \
  X(outofmemory, "writes refused")                                        \
  X(reclaimed, "expired items whose memory a write reused")               \
  X(expired_unfetched, "expired items reclaimed that were never fetched") \
  X(crawler_reclaimed, "expired items given back in the background")      \
  X(crawler_items_checked, "items the background pass looked at")         \
  X(items_rescued, "fetched items moved instead of evicted")

#define CAIRN_CLASS_GAUGES(X)                               \
  X(chunk_size, "bytes of a slot")                          \
  X(chunks_per_page, "slots of a page")                     \
  X(total_pages, "pages of this class")                     \
  X(used_chunks, "slots that hold an item or are reserved") \
  X(items, "items of this class")                           \
  X(mem_requested, "bytes of its items")                    \
  X(age_seconds, "age of the oldest page's newest write")   \
  X(evicted_time_seconds, "seconds since last access of the item evicted last")

struct ClassStats {
#define X(name, help) uint64_t name = 0;
  CAIRN_CLASS_COUNTERS(X)
  CAIRN_CLASS_GAUGES(X)
#undef X
};

}  // namespace cairn::storage
