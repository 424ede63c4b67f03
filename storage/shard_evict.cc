// Shard: making room.
#include <cstring>

#include "storage/shard.h"

namespace cairn::storage {
namespace {

// What a single write may have to do is bounded: after looking at so many slots of pages whose
// fetched items are spared, one page is evicted whole.
constexpr uint64_t kMostSlotsSwept = 8192;

}  // namespace

bool Shard::EvictPage(Time now) {
  if (ReleaseEmptyPages() || Compact() || ReclaimSome(now)) return true;
  uint64_t looked_at = 0;
  for (uint64_t left = 2 * page_count(); left > 0; --left) {
    const PageId page = PageToSweep();
    if (page == 0) break;
    const PageInfo& info = pool_->info(page);
    const PageQueue queue = info.queue;
    looked_at += 8;
    const bool force = looked_at > kMostSlotsSwept;
    if (info.pins > 0 || info.reserved > 0) {
      Requeue(page, queue);
      continue;
    }
    if (ReclaimBeforeSweep(page, now)) return true;
    looked_at += info.bump;
    if (SweepPage(page, now, force)) return true;
    // The main queue holds more than what nobody asks for.
    if (queue == kMain && looked_at > kMostSlotsSwept / 2) {
      main_idle_.store(false, std::memory_order_relaxed);
    }
  }
  return EvictForced(now);
}

// Whatever can go, when what should go could not.
bool Shard::EvictForced(Time now) {
  for (const bool sealing : {false, true}) {
    if (sealing) SealOpenPages();
    for (const PageQueue queue : {kProbation, kMain}) {
      for (uint64_t left = queues_[queue].count; left > 0; --left) {
        const PageId page = queues_[queue].front;
        if (page == 0) break;
        const PageInfo& info = pool_->info(page);
        if (info.pins > 0 || info.reserved > 0) {
          Requeue(page, queue);
        } else if (SweepPage(page, now, /*force=*/true)) {
          return true;
        }
      }
    }
  }
  return false;
}

bool Shard::ReclaimBeforeSweep(PageId page, Time now) {
  const PageInfo& info = pool_->info(page);
  if (!ExpiryPassed(info.min_expiry, PassedCode(now))) return false;
  const unsigned slots = classes_[info.class_id].slots_per_page;
  const unsigned reclaimed = ReclaimInPage(page, now, Loss::kReclaimed);
  if (info.owner.load(std::memory_order_relaxed) != number_ + 1) return true;  // released
  if (reclaimed * 8 < slots) return false;
  // What is alive in a page that gave as much stays another round.
  Requeue(page, info.queue);
  return true;
}

void Shard::Requeue(PageId page, PageQueue queue) {
  PageInfo& info = pool_->info(page);
  Dequeue(page);
  if (queue != info.queue) {
    Rooms* const rooms = per_class_[info.class_id].rooms;
    --rooms[info.queue].pages;
    rooms[info.queue].used -= info.used;
    ++rooms[queue].pages;
    rooms[queue].used += info.used;
    info.queue = queue;
  }
  Enqueue(page);
}

bool Shard::SweepPage(PageId page, Time now, bool force) {
  PageInfo& info = pool_->info(page);
  if (info.has_room) RemoveRoom(page);
  sweeping_ = page;
  const ExpiryCode passed = PassedCode(now);
  const unsigned bump = info.bump;
  for (unsigned slot = 0; slot < bump; ++slot) {
    const Place place = SlotPlace(page, slot);
    const bool is_chunk = SlotKind(At(place)) == kSlotChunk;
    if (!is_chunk && !SlotIsItem(At(place))) continue;
    const Place owner = is_chunk ? ChunkRef(At(place)).owner() : place;
    const ItemRef item(At(owner));
    const bool expired = ExpiryPassed(item.expiry(), passed);
    // A chunk goes with its head: one that was spared is not judged again by its chunks.
    const bool worthy = item.hits() > 0 || (is_chunk && item.has(kSpared));
    if (expired || force || !worthy) {
      Lose(owner, expired ? Loss::kReclaimed : Loss::kEvicted, now);
    } else if (is_chunk) {
      MoveChunk(place, kMain);
    } else {
      item.set_hits(item.hits() - 1);
      if (item.has(kChained)) item.Mark(kSpared);
      MoveItem(place, kMain);
      ++counters_.items_rescued;
      ++per_class_[info.class_id].counters.items_rescued;
    }
  }
  Requeue(page, kMain);
  return FinishSweep(page);
}

bool Shard::FinishSweep(PageId page) {
  PageInfo& info = pool_->info(page);
  sweeping_ = 0;
  if (info.used == 0 && info.state == PageState::kSealed) {
    ReleasePage(page);
    return true;
  }
  if (info.used == 0) {
    info.bump = info.free_head = 0;
    some_open_page_empty_ = true;
  }
  const bool room = info.free_head != 0 || info.bump < classes_[info.class_id].slots_per_page;
  if (room && !info.has_room) AddRoom(page, /*front=*/false);
  return false;
}

bool Shard::MoveItem(Place from, PageQueue to_queue) {
  const PageInfo& source = InfoOf(from);
  const ItemRef item(At(from));
  const ClassId best =
      item.has(kChained) ? source.class_id : PageClass(classes_.ForBytes(item.slot_bytes_used()));
  Place to = TakeRoom(best, to_queue);
  if (to == 0 && best != source.class_id) to = TakeRoom(source.class_id, to_queue);
  if (to == 0) return false;
  const uint64_t hash = shared_->hash(item.key());
  uint64_t* entry = index_->Find(hash, [from](Place p) { return p == from; });
  std::memcpy(At(to), At(from), item.slot_bytes_used());
  ++index_epoch_;
  Index::SetPlace(entry, to);
  PageInfo& target = InfoOf(to);
  NoteExpiry(&target, item.expiry());
  if (source.write_seconds > target.write_seconds) target.write_seconds = source.write_seconds;
  CountItem(from, -1);
  CountItem(to, 1);
  for (ChunkAt c = FirstChunk(item); c.place != 0; c = ChunkAfter(item, c)) {
    ChunkRef(At(c.place)).set_owner(to);
  }
  FreeSlot(from, /*may_be_read=*/false);  // only pages without pins are swept
  return true;
}

bool Shard::MoveChunk(Place from, PageQueue to_queue) {
  const ClassId id = InfoOf(from).class_id;
  const Place to = TakeRoom(id, to_queue);
  if (to == 0) return false;
  const ChunkRef chunk(At(from));
  std::memcpy(At(to), At(from), classes_[id].slot_bytes);
  const ItemRef owner(At(chunk.owner()));
  if (chunk.next() != 0) {
    ChunkRef(At(chunk.next())).set_prev(to);
  } else {
    owner.set_last_chunk(to);
  }
  if (chunk.prev() != 0) {
    ChunkRef(At(chunk.prev())).set_next(to);
  } else {
    owner.set_first_chunk(to);
  }
  FreeSlot(from, /*may_be_read=*/false);
  return true;
}

bool Shard::GiveUpPage(Time now) {
  ShardLock lock(&mutex_);
  const Change change(&version_);
  Tick(now);
  return EvictPage(now);
}

void Shard::Flush(Time when, Time now) {
  ShardLock lock(&mutex_);
  flush_at_ms_.store(when <= now ? now.ms : when.ms, std::memory_order_relaxed);
  Tick(now);
}

std::vector<PageId> Shard::Pages() const {
  std::vector<PageId> pages;
  for (const Queue& queue : queues_) {
    for (PageId page = queue.front; page != 0; page = pool_->info(page).next) pages.push_back(page);
  }
  for (const PerClass& of_class : per_class_) {
    for (const Rooms& rooms : of_class.rooms) {
      for (PageId page = rooms.front; page != 0; page = pool_->info(page).room_next) {
        if (pool_->info(page).state == PageState::kOpen) pages.push_back(page);
      }
    }
  }
  return pages;
}

void Shard::FlushNow() {
  counters_.flushed_items += index_->size();
  ++index_epoch_;
  index_->Reset();
  ghosts_->Clear();
  bytes_ = 0;
  earliest_expiry_ = pass_earliest_ = 0;
  for (PerClass& of_class : per_class_) {
    of_class.items = of_class.wanted = of_class.item_bytes = 0;
  }
  // Pages that must stay first: they look at heads in pages that are given away after them.
  const std::vector<PageId> pages = Pages();
  for (const PageId page : pages) {
    const PageInfo& info = pool_->info(page);
    if (info.pins > 0 || info.reserved > 0) FlushPartly(page);
  }
  for (const PageId page : pages) {
    const PageInfo& info = pool_->info(page);
    if (info.owner.load(std::memory_order_relaxed) == number_ + 1 && info.pins == 0 &&
        info.reserved == 0) {
      ReleasePage(page);
    }
  }
}

void Shard::FlushPartly(PageId page) {
  PageInfo& info = pool_->info(page);
  const unsigned bump = info.bump;
  for (unsigned slot = 0; slot < bump; ++slot) {
    const Place place = SlotPlace(page, slot);
    const char* p = At(place);
    const bool goes = SlotIsItem(p) || (SlotKind(p) == kSlotChunk &&
                                        SlotKind(At(ChunkRef(At(place)).owner())) != kSlotReserved);
    if (goes) FreeSlot(place, /*may_be_read=*/true);
  }
  info.min_expiry = 0;
}

}  // namespace cairn::storage
