#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "storage/item.h"
#include "storage/memory_region.h"
#include "storage/page_pool.h"
#include "storage/prefetch.h"
#include "storage/version.h"

namespace cairn::storage {

/// An index entry: a tag, the low 28 bits of the key's hash, over the item's place. 0 is none.
namespace index_entry {

inline constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;
inline constexpr int kTagBits = 64 - kPlaceBits;
inline constexpr uint64_t kMostBuckets = uint64_t{1} << kTagBits;
inline constexpr size_t kPerLine = 7;

inline uint64_t TagOf(uint64_t hash) { return hash & ((uint64_t{1} << kTagBits) - 1); }
inline uint64_t Make(uint64_t hash, Place place) { return hash << kPlaceBits | place; }
inline uint64_t Tag(uint64_t entry) { return entry >> kPlaceBits; }
inline Place PlaceIn(uint64_t entry) { return entry & kPlaceMask; }

/// The greatest power of two that is not above n. REQUIRES: n > 0.
inline uint64_t LowerPower(uint64_t n) { return uint64_t{1} << (63 - __builtin_clzll(n)); }

/// Linear hashing: which of `buckets` a hash or tag belongs to.
inline uint64_t BucketOf(uint64_t hash, uint64_t buckets) {
  const uint64_t mask = LowerPower(buckets) * 2 - 1;
  const uint64_t bucket = hash & mask;
  return bucket < buckets ? bucket : bucket & (mask >> 1);
}

// Some read lines while they change. What is in one is therefore stored by Set alone, whole, and
// loaded by Peek where nothing keeps it from changing.
template <typename T>
void Set(T* field, T value) {
  __atomic_store_n(field, value, __ATOMIC_RELAXED);
}
template <typename T>
T Peek(const T& field) {
  return __atomic_load_n(&field, __ATOMIC_RELAXED);
}

/// A bit for each of the entries that have the tag. A hint where they may change meanwhile.
inline unsigned WithTag(const uint64_t* entries, uint64_t tag) {
#if defined(__SSE2__) && !defined(CAIRN_THREAD_SANITIZER)
  // Tags are in the upper halves: two pairs of entries make one vector of four.
  const auto pair = [entries](int at) {
    return _mm_castsi128_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(entries + at)));
  };
  const __m128 last =
      _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(entries + 6)));
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
  const auto equal = [wanted](__m128 low, __m128 high) {
    const __m128i upper = _mm_castps_si128(_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
    const __m128i tags = _mm_srli_epi32(upper, kPlaceBits - 32);
    return _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(tags, wanted)));
  };
  const int found = equal(pair(0), pair(2)) | equal(pair(4), last) << 4;
  return static_cast<unsigned>(found) & ((1U << kPerLine) - 1);
#else
  unsigned found = 0;
  for (size_t i = 0; i < kPerLine; ++i) {
    found |= static_cast<unsigned>(Tag(Peek(entries[i])) == tag) << i;
  }
  return found;
#endif
}
static_assert(kPerLine == 7 && kPlaceBits >= 32);

/// Calls `matches(place)` for the places of entries with `tag` until it returns true: that entry,
/// or null. Entries may change meanwhile.
template <typename Matches>
__attribute__((always_inline)) inline const uint64_t* FindIn(const uint64_t* entries, uint64_t tag,
                                                             const Matches& matches) {
  for (unsigned left = WithTag(entries, tag); left != 0; left &= left - 1) {
    const uint64_t* const entry = &entries[__builtin_ctz(left)];
    const uint64_t seen = Peek(*entry);
    if (Tag(seen) == tag && seen != 0 && matches(PlaceIn(seen))) return entry;
  }
  return nullptr;
}

/// The place that an entry with `tag` has, perhaps, for entries may change meanwhile; 0: none.
inline Place GuessIn(const uint64_t* entries, uint64_t tag) {
  Place guess = 0;
  FindIn(entries, tag, [&guess](Place place) {
    guess = place;
    return true;
  });
  return guess;
}

}  // namespace index_entry

using IndexEntries = absl::InlinedVector<uint64_t, 32>;

/// Grows a region within the budget of `pool`, or beyond it when forced.
bool GrowCharged(MemoryRegion* region, uint64_t bytes, PagePool* pool, bool force);
/// Shrinks it to whole steps above `bytes` and gives the difference back to the budget.
void ShrinkCharged(MemoryRegion* region, uint64_t bytes, PagePool* pool);
inline constexpr size_t kIndexStepBytes = size_t{32} << 10;

/// Where an Index keeps the entries that found their line full: linear hashing with chains of
/// lines. Thread-compatible, but for the peeks, which are thread-safe.
class SpillTable {
 public:
  struct Line {
    uint64_t next;  ///< number of the chain's next line; 0: none
    uint64_t entries[index_entry::kPerLine];
  };
  static_assert(sizeof(Line) == 64);

  absl::Status Init(PagePool* pool, uint64_t max_bytes, bool lock_memory);

  /// The lines of the chain of `hash`, or what looks like it while it changes.
  const Line* Peek(uint64_t hash) const { return &FirstLine(hash); }
  const Line* PeekNext(const Line& line) const {
    const uint64_t next = index_entry::Peek(line.next);
    return next == 0 ? nullptr : &overflow_[next];
  }

  template <typename Matches>
  uint64_t* Find(uint64_t hash, const Matches& matches) {
    const uint64_t tag = index_entry::TagOf(hash);
    for (Line* line = &FirstLine(hash);;) {
      if (const uint64_t* const entry = index_entry::FindIn(line->entries, tag, matches)) {
        return line->entries + (entry - line->entries);
      }
      if (line->next == 0) return nullptr;
      line = &overflow_[line->next];
    }
  }

  /// Calls `visit(uint64_t* entry)` for all in the chain of `hash`.
  template <typename Visit>
  void ForChain(uint64_t hash, const Visit& visit) const {
    for (Line* line = &FirstLine(hash);;) {
      for (uint64_t& entry : line->entries) {
        if (entry != 0) visit(&entry);
      }
      if (line->next == 0) return;
      line = &overflow_[line->next];
    }
  }

  /// Makes sure that Insert succeeds; grows, but not beyond `most_buckets`.
  bool PrepareInsert(uint64_t hash, uint64_t most_buckets, bool force);
  bool PrepareLines(uint64_t lines, bool force);
  void Insert(uint64_t entry);
  /// REQUIRES: `entry` is in the chain of `hash`. Invalidates pointers into the chain.
  void Erase(uint64_t hash, uint64_t* entry);
  void ShrinkIfSparse();
  void Reset();

  uint64_t bucket_count() const { return buckets_; }
  uint64_t bytes() const { return main_memory_.usable_bytes() + overflow_memory_.usable_bytes(); }

 private:
  Line& FirstLine(uint64_t hash) const {
    return lines_[index_entry::BucketOf(hash, index_entry::Peek(buckets_))];
  }
  bool AddBucket(bool force);
  bool RemoveBucket();
  void Take(uint64_t bucket, IndexEntries* entries);
  void Refill(uint64_t bucket, const IndexEntries& entries);
  uint64_t NewOverflowLine();
  void FreeOverflowLine(uint64_t line);

  PagePool* pool_ = nullptr;
  MemoryRegion main_memory_;
  MemoryRegion overflow_memory_;
  Line* lines_ = nullptr;
  Line* overflow_ = nullptr;
  uint64_t buckets_ = 0;
  uint64_t size_ = 0;
  uint64_t overflow_high_ = 0;  // overflow lines ever used, 1-based
  uint64_t overflow_free_ = 0;  // head of the free ones, linked by `next`
  uint64_t overflow_free_count_ = 0;
};

}  // namespace cairn::storage
