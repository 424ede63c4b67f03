#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "storage/ghost_table.h"
#include "storage/hash.h"
#include "storage/index.h"
#include "storage/item.h"
#include "storage/layout.h"
#include "storage/page_pool.h"
#include "storage/prefetch.h"
#include "storage/shard_mutex.h"
#include "storage/size_classes.h"
#include "storage/store.h"
#include "storage/version.h"

namespace cairn::storage {

/// What all shards of a store share and none changes.
struct Shared {
  Shared(const Config& c, SizeClasses sizes)
      : config(c),
        accounted_overhead(48 + (c.use_cas ? 8 : 0) + 1 + 2),
        hash(c.hash_seed),
        classes(std::move(sizes)) {}

  Config config;
  uint32_t accounted_overhead;  ///< the part of AccountedBytes that is the same for all items
  KeyedHash hash;
  SizeClasses classes;
  std::unique_ptr<PagePool> pool;
  unsigned shard_count = 1;

  uint64_t AccountedBytes(size_t key_bytes, uint32_t client_flags, uint64_t value_bytes) const {
    return accounted_overhead + key_bytes + (client_flags != 0 ? 4 : 0) + value_bytes;
  }
};

/// Items up to this are read by copying them without the lock. Beyond, the copy would cost a thread
/// that is alone more than the lock does.
inline constexpr size_t kMostGlimpsed = 384;

/// How old an item's last access may be before another one is written down. Keys that are asked for
/// all the time are then read without writing to them.
inline constexpr uint32_t kAccessGrainSeconds = 60;

/// Values below this are copied rather than pinned, and so their slots can be reused at once.
inline constexpr uint64_t kLeastPinnableBytes = 1024;

using Pieces = std::span<const std::string_view>;
using PieceList = absl::InlinedVector<std::string_view, 4>;

/// What ItemView::internal points to.
struct VisitContext {
  Shard* shard;
  Place place;
};

/// One part of the store: an index, the pages it owns and its counters, behind one lock, which
/// fetches seldom take. Thread-safe. No method takes another shard's lock.
class Shard {
 public:
  Shard(uint16_t number, Shared* shared, std::unique_ptr<Index> index,
        std::unique_ptr<GhostTable> ghosts);

  // See Store::Prefetch. Without the lock.
  struct Search {
    Key* key;
    const Shard* shard;
    Index::Search in_index;
  };
  Search BeginSearch(Key* key) const {
    key->seen_version = version_.Begin();
    return {key, this, index_->BeginSearch(key->hash)};
  }
  /// Asks for the item, or for the line of the index that it may be in: then true.
  bool ContinueSearch(Search* search) const {
    Key* const key = search->key;
    const bool more = index_->ContinueSearch(&search->in_index, key->hash, &key->seen_place);
    if (key->seen_place != 0) PrefetchSlot(key->seen_place);
    return more;
  }

  FetchStatus Fetch(const Key& key, const FetchOptions& options, Time now, Visitor visit);
  /// Sets `*grow_cas` to the item's CAS, and does nothing, when the new CAS and the value do not
  /// fit a slot together: store the item anew with that CAS.
  DeleteStatus Delete(const Key& key, const DeleteOptions& options, Time now, unsigned* class_id,
                      uint64_t* grow_cas);
  ArithmeticResult Arithmetic(const Key& key, const ArithmeticOptions& options, Time now,
                              Visitor visit);

  /// Set when an operation did nothing because it needs a reservation of this shape.
  struct ChainPlan {
    bool needed = false;
    uint64_t value_bytes = 0;
    uint32_t client_flags = 0;
    uint64_t cas = 0;
  };

  /// Stores a value whose item fits one slot; otherwise sets `plan`: reserve and call Link.
  StoreResult Put(const Key& key, Pieces value, uint64_t value_bytes, const StoreOptions& options,
                  Time now, ChainPlan* plan);

  /// Takes memory for more slots of a reservation, a bounded number a call. False: no memory.
  bool ReserveSome(Reservation::Impl* reservation, Time now);
  void DropReservation(Reservation::Impl* reservation);
  /// Makes a reservation's value the item's, with the semantics of Put. When `value` is given it is
  /// copied into the reservation first (joined to the old value by append and prepend). Sets
  /// `plan` when what was reserved is not what is needed now.
  StoreResult Link(Reservation::Impl* reservation, const Key& key, const Pieces* value,
                   uint64_t value_bytes, const StoreOptions& options, Time now, ChainPlan* plan);

  void Flush(Time when, Time now);
  /// Applies a pending flush whose time has come.
  void CheckFlush(Time now);
  /// Visits at least one bucket; returns items visited. `*position` is 0 again at the end.
  size_t Walk(uint64_t* position, size_t max_items, Time now, Visitor visit);
  /// Reclaims expired items of one page, if this shard still owns it.
  void MaintainPage(PageId page, Time now, MaintenanceResult* result);
  /// Gives at least one page back to the pool; false when it cannot.
  bool GiveUpPage(Time now);
  bool JoinIndexPages() { return index_->JoinPages(); }  ///< by one thread at a time
  uint64_t index_lines() const { return index_->bucket_count(); }
  uint64_t index_bytes() const { return index_->bytes(); }
  uint64_t ghost_bytes() const { return ghosts_->bytes(); }
  uint64_t page_count() const { return page_count_.load(std::memory_order_relaxed); }

  void SetLossObserver(LossObserver* observer);
  void AddStats(StoreStats* stats) const;
  void AddClassStats(std::vector<ClassStats>* stats, Time now) const;
  void ResetStats();

  /// Pins the value at `place`. Only for a visitor, which this shard calls with its lock held.
  Pin PinItem(Place place);
  void Unpin(void* handle);

  /// Everything that must hold between operations, found by looking at every slot: for tests.
  absl::Status CheckInvariants() const;

 private:
  struct PinRecord {
    absl::InlinedVector<PageId, 8> pages;
  };
  struct Found {
    uint64_t* entry = nullptr;
    uint64_t epoch = 0;  ///< of the index when it was found
    Place place = 0;
    ItemRef item;
    bool expired = false;  ///< there was one, and it has been removed
    explicit operator bool() const { return entry != nullptr; }
  };
  /// An item as it is seen without the lock.
  struct Glimpse {
    uint64_t version;
    Place place;  ///< of what may be the item; 0: nothing is known
    ClassId class_id;
    alignas(16) char copy[kMostGlimpsed];
  };
  enum class Sight : uint8_t { kNothing, kItem, kUnclear };
  /// What Put and Link do about the item met.
  struct Judgement {
    bool store = false;
    StoreStatus status = StoreStatus::kNotStored;
    bool combine = false;  ///< append or prepend to the item met
    uint8_t marks = 0;
    ExpiryCode expiry = 0;
    uint32_t client_flags = 0;
    uint64_t old_bytes = 0;
    ClassId met_class = 0;
  };
  enum class Loss : uint8_t { kEvicted, kReclaimed, kCrawled };
  struct ItemToMake {
    const Key& key;
    uint8_t marks = 0;
    uint32_t client_flags = 0;
    ExpiryCode expiry = 0;
    uint64_t cas = 0;
  };

#define CAIRN_LOCKED ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_)

  // shard.cc: items
  void Tick(Time now) CAIRN_LOCKED;
  Found Find(const Key& key, Time now) CAIRN_LOCKED;
  /// What Find gives now, if something has changed since `found` was found.
  Found FindAgain(const Found& found, const Key& key, Time now) CAIRN_LOCKED {
    return found.epoch == index_epoch_ ? found : Find(key, now);
  }
  uint64_t NextCas(const std::optional<uint64_t>& wanted) CAIRN_LOCKED;
  /// Takes an item out of the index and frees its slots.
  void Remove(const Found& found, uint64_t hash) CAIRN_LOCKED;
  /// Frees a head and its chunks; the index is the caller's.
  void FreeItem(Place place) CAIRN_LOCKED;
  /// The same for an item found in its page, with the loss counted and observed.
  void Lose(Place place, Loss loss, Time now) CAIRN_LOCKED;
  /// Writes an inline item into a fresh slot.
  ItemRef WriteItem(Place place, const ItemToMake& what, const ItemLayout& layout,
                    Time now) CAIRN_LOCKED;
  /// Puts the item at `place` into the index, instead of the one that is there under its key.
  /// False: no memory for the index.
  bool LinkItem(const Key& key, Found old, Place place, Time now) CAIRN_LOCKED;
  void SetExpiry(ItemRef item, Place place, ExpiryCode code) CAIRN_LOCKED;
  void CountItem(Place place, int sign) CAIRN_LOCKED;
  /// What an item takes, chunks included.
  uint64_t ItemBytes(ItemRef item) const CAIRN_LOCKED;
  void TouchAccess(ItemRef item, Place place, Time now, bool fetched) CAIRN_LOCKED;
  void AppendPieces(ItemRef item, PieceList* pieces) const CAIRN_LOCKED;
  /// A chunk of a value and what it holds of it.
  struct ChunkAt {
    Place place = 0;  ///< 0: none, the value has ended
    uint64_t bytes = 0;
    uint64_t left = 0;  ///< of the value, behind this chunk
  };
  /// For a walk along the chunks of an item, which need not have any. REQUIRES: it is complete.
  ChunkAt FirstChunk(ItemRef item) const CAIRN_LOCKED {
    if (!item.has(kChained)) return {};
    return ChunkOf(item.first_chunk(), item.value_bytes() - item.inline_bytes());
  }
  /// Looks into no chunk when the last one follows: the head knows where that is, and waiting for
  /// the memory of one chunk to learn of the next is most of what fetching costs.
  ChunkAt ChunkAfter(ItemRef item, const ChunkAt& chunk) const CAIRN_LOCKED {
    if (chunk.left == 0) return {};
    const Place last = item.last_chunk();
    // No chunk has less room than one behind it.
    const bool last_follows = chunk.left <= ChunkRoom(last);
    return ChunkOf(last_follows ? last : ChunkRef(At(chunk.place)).next(), chunk.left);
  }
  ChunkAt ChunkOf(Place place, uint64_t left) const CAIRN_LOCKED {
    const uint64_t bytes = std::min(left, ChunkRoom(place));
    return {place, bytes, left - bytes};
  }
  uint64_t ChunkRoom(Place place) const {
    return classes_[InfoOf(place).class_id].slot_bytes - kChunkHeaderBytes;
  }
  ItemView MakeView(ItemRef item, ClassId class_id, Time now, Pieces value) const;
  void Visit(Place place, ItemView* view, Visitor visit) CAIRN_LOCKED {
    const VisitContext context{this, place};
    view->internal = &context;
    visit(*view);
  }
  void VisitItem(Place place, Time now, Visitor visit, bool created,
                 std::optional<Expiry> expiry_before = std::nullopt) CAIRN_LOCKED;
  bool MayRewrite(ItemRef item, Place place) const CAIRN_LOCKED;
  std::optional<uint64_t> NumberIn(ItemRef item) const CAIRN_LOCKED;
  /// True while somebody may be reading the value, so that it cannot change in place.
  bool IsRead(ItemRef item, Place place) const CAIRN_LOCKED;
  /// Overwrites the value with `text` and blanks behind it. REQUIRES: text is not longer.
  void WritePadded(ItemRef item, std::string_view text) CAIRN_LOCKED;

  // shard_store.cc
  Judgement Judge(const Found& found, const StoreOptions& options) const CAIRN_LOCKED;
  void Overwrite(const Found& old, const ItemToMake& what, const ItemLayout& layout, Pieces value,
                 Time now) CAIRN_LOCKED;
  void FillReservation(const Reservation::Impl& reservation, const Judgement& j, const Found& old,
                       Pieces value, bool prepend) CAIRN_LOCKED;

  // shard_fetch.cc
  /// Finds an item without the lock. kItem: `glimpse` has all of it, and nothing needs to be
  /// written for this fetch. kNothing: there is none. kUnclear: only the lock will tell.
  Sight Look(const Key& key, const FetchOptions& options, Time now, Glimpse* glimpse) const;
  /// True when this fetch has nothing to write to the item.
  bool MayOnlyRead(const ItemGlance& glance, const PageInfo& page, const FetchOptions& options,
                   uint32_t now_seconds) const;
  FetchStatus FetchLocked(const Key& key, const FetchOptions& options, Time now, Visitor visit,
                          const Glimpse& glimpse);
  void FetchItem(Place place, const FetchOptions& options, Time now, Visitor visit) CAIRN_LOCKED;
  FetchStatus Vivify(const Key& key, const Found& missing, const FetchOptions& options, Time now,
                     Visitor visit) CAIRN_LOCKED;
  void GiveToken(ItemRef item, const FetchOptions& options, Time now, ItemView* view) CAIRN_LOCKED;

  // shard_ops.cc
  /// Makes a small item in place of the one that there may be. 0: no memory.
  Place MakeItem(const ItemToMake& what, const Found& old, std::string_view value,
                 Time now) CAIRN_LOCKED;
  /// Its place, or 0: no memory. `found` may be moved or evicted by it.
  Place StoreNumber(const Found& found, uint64_t number, const ItemToMake& what,
                    Time now) CAIRN_LOCKED;

  // shard_pages.cc: slots and pages
  Place AllocateSlot(ClassId id, PageQueue queue, Time now) CAIRN_LOCKED;
  Place TakeRoom(ClassId id, PageQueue queue) CAIRN_LOCKED;
  /// The class of page that an item of class `id` goes to: `id` when it has pages or could fill
  /// some, its coarse one otherwise.
  ClassId PageClass(ClassId id) const CAIRN_LOCKED;
  void FreeSlot(Place place, bool may_be_read) CAIRN_LOCKED;
  void ReleasePage(PageId page) CAIRN_LOCKED;
  void Enqueue(PageId page) CAIRN_LOCKED;
  void Dequeue(PageId page) CAIRN_LOCKED;
  void JoinLine(PageId page) CAIRN_LOCKED;
  void LeaveLine(PageId page) CAIRN_LOCKED;
  void AddRoom(PageId page, bool front) CAIRN_LOCKED;
  void RemoveRoom(PageId page) CAIRN_LOCKED;
  void SealOpenPages() CAIRN_LOCKED;
  Place SlotPlace(PageId page, unsigned slot) const {
    return (static_cast<Place>(page) << page_place_shift_) +
           slot * classes_[pool_->info(page).class_id].slot_bytes / granule_;
  }
  unsigned SlotOf(Place place) const {
    const uint32_t offset =
        static_cast<uint32_t>(place & ((Place{1} << page_place_shift_) - 1)) * granule_;
    const PageInfo& info = pool_->info(pool_->PageOf(place));
    return static_cast<unsigned>(
        static_cast<uint64_t>(offset) * classes_[info.class_id].reciprocal >> 32);
  }
  PageInfo& InfoOf(Place place) const { return pool_->info(pool_->PageOf(place)); }
  char* At(Place place) const { return pool_->At(place); }
  void PrefetchSlot(Place place) const {
    const char* const slot = At(place);
    PrefetchLine(slot);
    PrefetchLine(slot + 64);
    PrefetchLine(slot + 128);
    PrefetchLine(&InfoOf(place));
  }

  // shard_policy.cc
  /// Where an item that is about to be written goes; forgets that it was evicted.
  PageQueue QueueForNew(uint64_t hash, const Found& old) CAIRN_LOCKED;
  void NotePageTaken(bool evicted) CAIRN_LOCKED;
  /// The page whose items are worth the least, or 0: there is none. Makes the shard older.
  PageId PageToSweep() CAIRN_LOCKED;

  // shard_reclaim.cc
  bool ReleaseEmptyPages() CAIRN_LOCKED;
  bool Compact() CAIRN_LOCKED;
  bool CompactClass(ClassId id, PageQueue queue) CAIRN_LOCKED;
  bool IsSpacious(ClassId id, PageQueue queue) const CAIRN_LOCKED {
    const uint64_t slots = classes_[id].slots_per_page;
    const Rooms& rooms = per_class_[id].rooms[queue];
    return rooms.pages * slots - rooms.used > slots + slots / 2;
  }
  void NoteExpiry(PageInfo* info, ExpiryCode code) CAIRN_LOCKED;
  bool ReclaimSome(Time now) CAIRN_LOCKED;
  PageId NextToReclaim() CAIRN_LOCKED;
  bool ReclaimExpired(Time now) CAIRN_LOCKED;
  unsigned ReclaimInPage(PageId page, Time now, Loss loss) CAIRN_LOCKED;

  // shard_evict.cc
  /// Makes memory free, a page or some slots. False: nothing can be evicted.
  bool EvictPage(Time now) CAIRN_LOCKED;
  bool EvictForced(Time now) CAIRN_LOCKED;
  /// Reclaims what has expired in a page; true when that was enough to be content with.
  bool ReclaimBeforeSweep(PageId page, Time now) CAIRN_LOCKED;
  void Requeue(PageId page, PageQueue queue) CAIRN_LOCKED;
  bool SweepPage(PageId page, Time now, bool force) CAIRN_LOCKED;
  /// True when the page was empty and is released.
  bool FinishSweep(PageId page) CAIRN_LOCKED;
  bool MoveItem(Place from, PageQueue to_queue) CAIRN_LOCKED;
  bool MoveChunk(Place from, PageQueue to_queue) CAIRN_LOCKED;
  void FlushNow() CAIRN_LOCKED;
  std::vector<PageId> Pages() const CAIRN_LOCKED;
  void FlushPartly(PageId page) CAIRN_LOCKED;

  absl::Status CheckLines() const CAIRN_LOCKED;
  absl::Status CheckPage(PageId page, uint64_t* items, uint64_t* bytes) const CAIRN_LOCKED;

  const uint16_t number_;
  Shared* const shared_;
  const SizeClasses& classes_;
  PagePool* const pool_;
  const uint32_t granule_;
  const int page_place_shift_;

  // Guarded by mutex_ but for what they say is thread-safe.
  const std::unique_ptr<Index> index_;
  const std::unique_ptr<GhostTable> ghosts_;

  // What readers without the lock look at is not where the lock is taken, and all but never
  // written. Changes are made under the lock.
  alignas(64) Version version_;
  std::atomic<int64_t> flush_at_ms_{INT64_MAX};
  // Whether anybody asks for what is in the main queue, judged once a window of pages taken.
  std::atomic<bool> main_idle_{false};
  std::atomic<bool> main_hit_{false};  // in this window

  alignas(64) mutable ShardMutex mutex_;
  // Shards count from different beginnings in steps of their number: no CAS is given twice.
  uint64_t last_cas_ ABSL_GUARDED_BY(mutex_);
  LossObserver* observer_ ABSL_GUARDED_BY(mutex_) = nullptr;

  struct Queue {
    PageId front = 0;
    PageId back = 0;
    uint64_t count = 0;
  };
  // The sealed pages of a class in one queue, if any, in the order of their sealing.
  struct Line {
    PageId front;
    PageId back;
    double queued_at;  // of the front
    ClassId class_id;
    PageQueue queue;
  };
  static constexpr uint16_t kNoLine = UINT16_MAX;
  struct Rooms {       // of a class's pages in one queue
    PageId front = 0;  // pages with room, the one to use first in front
    PageId back = 0;
    uint64_t pages = 0;
    uint64_t used = 0;  // slots of these pages that hold something
    bool listed_spacious = false;
    uint16_t line = kNoLine;  // in lines_
  };
  struct PerClass {
    Rooms rooms[kPageQueues];
    uint64_t items = 0;   // in pages of this class
    uint64_t wanted = 0;  // items whose size is this class's, whatever page they are in
    uint64_t item_bytes = 0;
    uint64_t evicted_time_seconds = 0;
    ClassStats counters;
  };
  Queue queues_[kPageQueues] ABSL_GUARDED_BY(mutex_);
  std::vector<PerClass> per_class_ ABSL_GUARDED_BY(mutex_);  // by ClassId
  std::vector<Line> lines_ ABSL_GUARDED_BY(mutex_);
  double age_ ABSL_GUARDED_BY(mutex_) = 0;                // see PageToSweep
  double probation_share_ ABSL_GUARDED_BY(mutex_) = 0.3;  // of the time that pages of main have
  bool main_in_window_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t pages_in_window_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t stored_in_window_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t index_epoch_ ABSL_GUARDED_BY(mutex_) = 0;  // counts changes of the index
  PageId sweeping_ ABSL_GUARDED_BY(mutex_) = 0;
  // Classes, by queue, that Compact may help.
  std::vector<std::pair<ClassId, PageQueue>> spacious_ ABSL_GUARDED_BY(mutex_);
  bool some_open_page_empty_ ABSL_GUARDED_BY(mutex_) = false;
  ExpiryCode earliest_expiry_ ABSL_GUARDED_BY(mutex_) = 0;  // as PageInfo::min_expiry
  // A pass over the queue for expired items: where it is, the earliest expiry that it leaves
  // behind, and how many needs for pages it lets go by.
  bool pass_running_ ABSL_GUARDED_BY(mutex_) = false;
  PageId reclaim_next_ ABSL_GUARDED_BY(mutex_) = 0;
  PageQueue reclaim_queue_ ABSL_GUARDED_BY(mutex_) = kProbation;
  ExpiryCode pass_earliest_ ABSL_GUARDED_BY(mutex_) = 0;
  unsigned reclaim_pause_ ABSL_GUARDED_BY(mutex_) = 0;
  unsigned reclaim_wait_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  StoreStats counters_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> page_count_{0};

#undef CAIRN_LOCKED
};

__attribute__((always_inline)) inline ItemView Shard::MakeView(ItemRef item, ClassId class_id,
                                                               Time now, Pieces value) const {
  // Read before anything is written, so that a compiler knows it to stay the same.
  const std::string_view key = item.key();
  const uint64_t value_bytes = item.value_bytes();
  const uint64_t cas = item.cas();
  const uint32_t client_flags = item.client_flags();
  const uint8_t marks = item.marks();
  const uint32_t access = item.access();
  const Expiry expiry = DecodeExpiry(item.expiry());
  return {
      .key = key,
      .value = value,
      .value_bytes = value_bytes,
      .cas = cas,
      .client_flags = client_flags,
      .class_id = class_id,
      .expiry = expiry,
      .expiry_before = expiry,
      .fetched_before = (marks & kFetched) != 0,
      .key_is_binary = (marks & kKeyBinary) != 0,
      .stale = (marks & kStale) != 0,
      .now = now,
      .access_seconds = access,
      .overhead_bytes = shared_->accounted_overhead,
  };
}

struct Reservation::Impl {
  struct Piece {
    Place place;
    char* data;
    uint64_t offset;  // of the value
    uint64_t bytes;
  };

  Shard* shard = nullptr;
  std::string key;
  uint64_t hash = 0;
  uint32_t client_flags = 0;
  ItemLayout layout;
  PageQueue queue = kProbation;
  std::vector<Piece> pieces;  // the head first; grows while memory is being taken

  bool complete() const { return pieces.size() == layout.slot_count(); }
  ~Impl() {
    if (shard != nullptr && !pieces.empty()) shard->DropReservation(this);
  }
};

}  // namespace cairn::storage
