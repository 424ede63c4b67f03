#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "storage/memory_region.h"
#include "storage/page_pool.h"

namespace cairn::storage {

/// Remembers which keys were evicted of late, and from which queue: the ghost lists of ARC (Megiddo
/// and Modha, FAST '03) and S3-FIFO (Yang et al., SOSP '23), as fingerprints of 15 bits in lines
/// of 31, each line a ring of its own. A line forgets its oldest entry for a new one; one look-up
/// in a thousand remembers what never was. Thread-compatible.
class GhostTable {
 public:
  /// Charges its memory, about `bytes`, to `pool`.
  absl::Status Init(PagePool* pool, uint64_t bytes);
  GhostTable() = default;
  GhostTable(const GhostTable&) = delete;
  GhostTable& operator=(const GhostTable&) = delete;
  ~GhostTable();

  void Add(uint64_t hash, PageQueue queue);
  /// The queue that a key of this hash was evicted from, which is then forgotten.
  std::optional<PageQueue> Take(uint64_t hash);
  void Clear();

  uint64_t bytes() const { return memory_.usable_bytes(); }

 private:
  static constexpr unsigned kPerLine = 31;
  struct Line {
    uint16_t next;               ///< the entry that is written next
    uint16_t entries[kPerLine];  ///< fingerprint over a bit for the queue; 0: none
  };
  static_assert(sizeof(Line) == 64);

  Line* LineOf(uint64_t hash) const {
    // The bits above those that choose the shard.
    return &lines_[(hash >> 32) * line_count_ >> 32];
  }

  PagePool* pool_ = nullptr;
  MemoryRegion memory_;
  Line* lines_ = nullptr;
  uint64_t line_count_ = 0;
};

}  // namespace cairn::storage
