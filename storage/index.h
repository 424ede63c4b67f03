#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "storage/memory_region.h"
#include "storage/page_pool.h"

namespace cairn::storage {

/// A shard's hash table from keys to places: linear hashing (Litwin, 1980) over cache lines.
///
/// A line is 64 bytes: a control word (the number of the next overflow line) and seven entries of a
/// tag, the low 28 bits of the hash, over a place. The table grows by one line each few
/// insertions, when one line's entries are split over two, and shrinks the same way: its memory
/// follows the number of items, and no operation ever moves more than two lines. Because the tag
/// includes the bits that split, growth never looks at an item.
///
/// Thread-compatible, but for Prefetch and bytes(), which are thread-safe.
class Index {
 public:
  struct Line {
    uint64_t next;  ///< overflow line number; 0: none
    uint64_t entries[7];
  };
  static_assert(sizeof(Line) == 64);

  /// Charges its memory to `pool`. `max_bytes`: address space to reserve.
  static absl::StatusOr<std::unique_ptr<Index>> Create(PagePool* pool, uint64_t max_bytes,
                                                       bool lock_memory);
  ~Index();

  void Prefetch(uint64_t hash) const {
    __builtin_prefetch(&lines_[BucketOf(hash, buckets_.load(std::memory_order_relaxed))]);
  }

  /// The entry of `hash` whose place `matches`, or null. Valid until the next change.
  template <typename Matches>
  uint64_t* Find(uint64_t hash, const Matches& matches) {
    const uint64_t tag = TagOf(hash);
    for (Line* line = &lines_[BucketOf(hash, bucket_count())];;) {
      for (uint64_t& entry : line->entries) {
        if (entry >> kPlaceBits == tag && entry != 0 && matches(PlaceIn(entry))) return &entry;
      }
      if (line->next == 0) return nullptr;
      line = &overflow_[line->next];
    }
  }

  /// Makes sure that the next Insert succeeds. False when there is no memory; `force` overdraws.
  bool PrepareInsert(uint64_t hash, bool force);
  /// REQUIRES: PrepareInsert of the same hash was the last change; the place is not there yet.
  void Insert(uint64_t hash, Place place);
  /// REQUIRES: `entry` is what Find returned for `hash`.
  void Erase(uint64_t hash, uint64_t* entry);
  static void SetPlace(uint64_t* entry, Place place) { *entry = (*entry & ~kPlaceMask) | place; }

  static Place PlaceIn(uint64_t entry) { return entry & kPlaceMask; }

  /// Calls `visit` for the places of one step of a walk and moves `cursor` on, which starts and
  /// ends at 0. Places that stay in the index during the whole walk are visited at least once,
  /// however it grows and shrinks meanwhile (the reverse-binary cursor of Pieter Noordhuis).
  void WalkStep(uint64_t* cursor, absl::FunctionRef<void(Place)> visit) const;

  /// Removes everything and gives the memory back.
  void Reset();

  uint64_t size() const { return size_; }
  uint64_t bucket_count() const { return buckets_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;
  static constexpr int kTagBits = 64 - kPlaceBits;
  static constexpr uint64_t kLeastBuckets = 64;
  static constexpr uint64_t kMostBuckets = uint64_t{1} << kTagBits;

  Index() = default;
  static uint64_t TagOf(uint64_t hash) { return hash & ((uint64_t{1} << kTagBits) - 1); }
  static uint64_t BucketOf(uint64_t hash, uint64_t buckets);

  bool AddBucket(bool force);
  void RemoveBucket();
  void Refill(uint64_t bucket, const uint64_t* entries, size_t count);
  uint64_t NewOverflowLine();
  void FreeOverflowLine(uint64_t line);
  bool EnsureOverflowSpace(uint64_t lines, bool force);
  bool Grow(MemoryRegion* region, uint64_t bytes, bool force);
  void UpdateBytes();

  PagePool* pool_ = nullptr;
  MemoryRegion main_memory_;
  MemoryRegion overflow_memory_;
  Line* lines_ = nullptr;
  Line* overflow_ = nullptr;
  std::atomic<uint64_t> buckets_{0};
  std::atomic<uint64_t> bytes_{0};
  uint64_t size_ = 0;
  uint64_t overflow_high_ = 0;  // overflow lines ever used, 1-based
  uint64_t overflow_free_ = 0;  // head of the free ones, linked by `next`
  uint64_t overflow_free_count_ = 0;
};

}  // namespace cairn::storage
