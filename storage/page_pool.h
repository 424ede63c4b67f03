#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "storage/item.h"
#include "storage/memory_region.h"
#include "storage/shard_mutex.h"
#include "storage/size_classes.h"

namespace cairn::storage {

using PageId = uint32_t;  ///< 1-based; 0 is none

enum class PageState : uint8_t { kFree, kOpen, kSealed };

/// New items stand in the first queue; those that proved their worth in the second.
enum PageQueue : uint8_t { kProbation, kMain };
inline constexpr unsigned kPageQueues = 2;

/// What is known of a page, beside it rather than in it. All but `owner` is guarded by the lock of
/// the shard that owns the page (by the pool's while nobody does); readers without it see what
/// version.h says.
struct PageInfo {
  std::atomic<uint16_t> owner{0};  ///< shard number + 1; 0: nobody. Read by anyone, as a hint
  ClassId class_id = 0;
  PageState state = PageState::kFree;
  PageQueue queue = kProbation;  ///< which of the shard's queues it is in or will be sealed to
  bool has_room = false;         ///< is in its class's list of pages with room
  uint16_t used = 0;             ///< slots that hold something, zombies included
  uint16_t bump = 0;             ///< slots that were ever handed out; those from here on are fresh
  uint16_t free_head = 0;        ///< 1 + first slot of the free list; 0: empty
  uint16_t zombies = 0;
  uint16_t reserved = 0;  ///< slots of unfinished reservations: the page must stay
  uint32_t pins = 0;      ///< readers: what they may read must stay
  PageId prev = 0;        ///< in the shard's queue
  PageId next = 0;
  PageId class_prev = 0;  ///< among the sealed ones of its class in the queue
  PageId class_next = 0;
  PageId room_prev = 0;  ///< in the class's list of pages with room
  PageId room_next = 0;
  ExpiryCode min_expiry = 0;   ///< not above the expiry of any item here; 0: none expires
  uint32_t write_seconds = 0;  ///< newest write
  double queued_at = 0;        ///< the shard's age when it joined the queue
};
static_assert(sizeof(PageInfo) == 64);

/// The memory of all pages and the budget that they, the indexes and others share. Thread-safe. Its
/// lock is a leaf: taken with a shard's lock held, never the other way round. Memory that was a
/// page once can be read as long as the pool lives, and a page's length beyond.
class PagePool {
 public:
  struct Options {
    uint64_t limit_bytes;
    uint32_t page_bytes;
    int place_shift;
    uint64_t reserve_bytes;
    bool lock_memory;
  };
  static absl::StatusOr<std::unique_ptr<PagePool>> Create(const Options& options);

  /// A page for `shard`, or 0 when the budget has none left: then free one and try again. With
  /// `force`, a free page is handed out even while the budget is overdrawn. `*was` is the class
  /// that the page had last; 0: it is new.
  PageId Take(uint16_t shard, ClassId class_id, PageQueue queue, bool force, ClassId* was);
  /// REQUIRES: nothing refers to the page's memory any more.
  void Give(PageId page);

  /// Counts other memory against the limit. TryCharge refuses what does not fit.
  void Charge(int64_t bytes);
  bool TryCharge(int64_t bytes);

  void SetLimit(uint64_t bytes) { limit_.store(bytes, std::memory_order_relaxed); }
  uint64_t limit() const { return limit_.load(std::memory_order_relaxed); }
  /// Bytes by which resident memory passes the limit after all free pages were given back.
  uint64_t Overdraft() const;
  /// Gives free pages back to the system while the budget is overdrawn.
  void Trim();
  /// Most bytes that a limit can be set to.
  uint64_t max_limit_bytes() const;

  char* At(Place place) const { return memory_.base() + (place << place_shift_); }
  Place PlaceOf(const char* p) const {
    return static_cast<Place>(p - memory_.base()) >> place_shift_;
  }
  PageId PageOf(Place place) const {
    return static_cast<PageId>(place >> (page_shift_ - place_shift_));
  }
  char* PageStart(PageId page) const {
    return memory_.base() + (static_cast<uint64_t>(page) << page_shift_);
  }
  PageInfo& info(PageId page) const { return infos_[page]; }
  uint32_t page_bytes() const { return uint32_t{1} << page_shift_; }
  /// Bytes that a page takes from the budget: its memory and what is known of it.
  uint64_t page_cost() const { return page_bytes() + sizeof(PageInfo); }

  /// Pages ever used: ids are 1 .. high_page().
  PageId high_page() const { return high_page_.load(std::memory_order_acquire); }
  uint64_t pages_resident() const { return resident_.load(std::memory_order_relaxed); }
  uint64_t pages_free() const { return free_resident_.load(std::memory_order_relaxed); }
  int64_t charged_bytes() const { return charged_.load(std::memory_order_relaxed); }

 private:
  PagePool() = default;
  int64_t ResidentBytes() const {
    return static_cast<int64_t>(pages_resident() * page_cost()) + charged_bytes();
  }
  void TrimLocked(int64_t target_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PageId Pop(PageId* list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  PageId TakeFreshLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  int page_shift_ = 0;
  int place_shift_ = 0;
  MemoryRegion memory_;
  MemoryRegion info_memory_;
  PageInfo* infos_ = nullptr;

  std::atomic<uint64_t> limit_{0};
  std::atomic<int64_t> charged_{0};
  std::atomic<uint64_t> resident_{0};  // pages in use or free and not dropped
  std::atomic<uint64_t> free_resident_{0};
  std::atomic<PageId> high_page_{0};

  ShardMutex mutex_;
  PageId free_list_ ABSL_GUARDED_BY(mutex_) = 0;     // resident, linked by `next`
  PageId dropped_list_ ABSL_GUARDED_BY(mutex_) = 0;  // given back to the system
};

}  // namespace cairn::storage
