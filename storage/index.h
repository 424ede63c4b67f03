#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "storage/memory_region.h"
#include "storage/page_pool.h"
#include "storage/prefetch.h"
#include "storage/spill_table.h"

namespace cairn::storage {

/// A shard's hash table from keys to places: linear hashing (Litwin, 1980) over cache lines, with
/// the entries that find their line full in a smaller table of the same kind.
///
///   line: 64 bytes            spill table, about a sixth of the lines
///   +---------+---+-- --+---+     +---------+---+-- --+---+
///   | control | 1 | ... | 7 | ... | next    | 1 | ... | 7 | -> lines of a chain
///   +---------+---+-- --+---+     +---------+---+-- --+---+
///   control: how many entries of this line are spilled, and a filter of their tags
///
/// The table grows by one line each few insertions, when one line's entries are split over two,
/// and shrinks the same way: its memory follows the number of items, and no operation ever moves
/// more than two lines. Because the tag includes the bits that split, growth never looks at an
/// item. A miss touches one line nearly always, about 11 bytes an entry are used.
///
/// Thread-compatible, but for searches, Look, bytes() and bucket_count(), which are thread-safe,
/// and JoinPages, which may run beside all but itself.
class Index {
 public:
  struct Line {
    uint32_t spilled;  ///< entries that belong here and are in the spill table
    uint32_t filter;   ///< a bit for each tag that may be among them
    uint64_t entries[index_entry::kPerLine];
  };
  static_assert(sizeof(Line) == 64);

  /// Charges its memory to `pool`. `max_bytes`: address space to reserve for each part.
  static absl::StatusOr<std::unique_ptr<Index>> Create(PagePool* pool, uint64_t max_bytes,
                                                       bool lock_memory);
  ~Index();

  /// How far a search that does not wait for memory has come: the line to look into next.
  struct Search {
    const Line* own;                  ///< where the hash belongs
    const SpillTable::Line* spilled;  ///< not null: this one of its chain
  };
  /// Asks for the memory of the first line.
  Search BeginSearch(uint64_t hash) const {
    const Line* const own = LineOf(hash);
    PrefetchLine(own);
    return {own, nullptr};
  }
  /// Looks into the line that was asked for: `*place` is one that an item of `hash` may have, or 0.
  /// True when the search goes on in a line that is asked for then. Without a lock: what it reads
  /// may be half a change, so that only who knows that there was none meanwhile has more than a
  /// guess.
  bool ContinueSearch(Search* search, uint64_t hash, Place* place) const {
    const uint64_t tag = index_entry::TagOf(hash);
    const bool in_own = search->spilled == nullptr;
    *place = index_entry::GuessIn(in_own ? search->own->entries : search->spilled->entries, tag);
    if (*place != 0 || (in_own && !MayBeSpilled(*search->own, tag))) return false;
    search->spilled = in_own ? spill_.Peek(hash) : spill_.PeekNext(*search->spilled);
    if (search->spilled == nullptr) return false;
    PrefetchLine(search->spilled);
    return true;
  }
  /// What a search looks into at most: a chain that changes may lead it astray.
  static constexpr int kMostLines = 8;

  /// Calls `matches(place)` for the places that items of `hash` may have until it returns true.
  /// False: gave up half-way. Without a lock: what it reads may be half a change, so that only who
  /// knows that there was none meanwhile has seen all.
  template <typename Matches>
  __attribute__((always_inline)) bool Look(uint64_t hash, const Matches& matches) const {
    const uint64_t tag = index_entry::TagOf(hash);
    const Line* const own = LineOf(hash);
    const uint64_t* entries = own->entries;
    const SpillTable::Line* spilled = nullptr;
    for (int lines = 0; lines < kMostLines; ++lines) {
      if (index_entry::FindIn(entries, tag, matches) != nullptr) return true;
      if (lines == 0 && !MayBeSpilled(*own, tag)) return true;
      spilled = lines == 0 ? spill_.Peek(hash) : spill_.PeekNext(*spilled);
      if (spilled == nullptr) return true;
      entries = spilled->entries;
    }
    return false;
  }

  /// The entry of `hash` whose place `matches`, or null. Valid until the next change.
  template <typename Matches>
  uint64_t* Find(uint64_t hash, const Matches& matches) {
    const uint64_t tag = index_entry::TagOf(hash);
    Line* line = LineOf(hash);
    if (const uint64_t* const entry = index_entry::FindIn(line->entries, tag, matches)) {
      return line->entries + (entry - line->entries);
    }
    if (!MayBeSpilled(*line, tag)) return nullptr;
    return spill_.Find(hash, matches);
  }

  /// Makes sure that the next Insert succeeds. False when there is no memory; `force` overdraws.
  bool PrepareInsert(uint64_t hash, bool force);
  /// REQUIRES: PrepareInsert of the same hash was the last change; the place is not there yet.
  void Insert(uint64_t hash, Place place);
  /// REQUIRES: `entry` is what Find returned for `hash`.
  void Erase(uint64_t hash, uint64_t* entry);
  static void SetPlace(uint64_t* entry, Place place) {
    index_entry::Set(entry, (*entry & ~index_entry::kPlaceMask) | place);
  }
  static Place PlaceIn(uint64_t entry) { return index_entry::PlaceIn(entry); }

  /// Calls `visit` for the places of one step of a walk and moves `cursor` on, which starts and
  /// ends at 0. Places that stay in the index during the whole walk are visited at least once,
  /// however it grows and shrinks meanwhile (the reverse-binary cursor of Pieter Noordhuis).
  void WalkStep(uint64_t* cursor, absl::FunctionRef<void(Place)> visit) const;

  /// Background work: makes a huge page of lines in use, if there are so many that are not yet on
  /// one. Their memory is then found with fewer steps. False: there was nothing to do.
  bool JoinPages();

  /// Removes everything and gives the memory back.
  void Reset();

  uint64_t size() const { return size_; }
  uint64_t bucket_count() const { return buckets_.load(std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  Index() = default;
  /// The high bits of the tag: those that lines of a large table do not share.
  static uint32_t FilterBit(uint64_t tag) {
    return uint32_t{1} << (tag >> (index_entry::kTagBits - 5));
  }
  static bool MayBeSpilled(const Line& line, uint64_t tag) {
    return (index_entry::Peek(line.filter) & FilterBit(tag)) != 0;
  }
  Line* LineOf(uint64_t hash) const { return &lines_[index_entry::BucketOf(hash, bucket_count())]; }
  void AddBucket(bool force);
  void RemoveBucket();
  void Take(uint64_t bucket, IndexEntries* entries);
  void Refill(uint64_t bucket, const IndexEntries& entries);
  void CountSpilled(Line* line);
  void UpdateBytes() {
    bytes_.store(main_memory_.usable_bytes() + spill_.bytes(), std::memory_order_relaxed);
  }

  PagePool* pool_ = nullptr;
  MemoryRegion main_memory_;
  Line* lines_ = nullptr;
  SpillTable spill_;
  std::atomic<uint64_t> buckets_{0};
  std::atomic<uint64_t> bytes_{0};
  uint64_t size_ = 0;
  std::atomic<uint64_t> joined_bytes_{0};  // of the lines, from the first
};

}  // namespace cairn::storage
