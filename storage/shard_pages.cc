// Shard: slots, pages and the queue.
#include "storage/shard.h"

namespace cairn::storage {

Place Shard::TakeRoom(ClassId id, PageQueue queue) {
  Rooms& rooms = per_class_[id].rooms[queue];
  const PageId page = rooms.front;
  if (page == 0) return 0;
  PageInfo& info = pool_->info(page);
  unsigned slot;
  if (info.free_head != 0) {
    slot = info.free_head - 1u;
    info.free_head = FreeSlotNext(At(SlotPlace(page, slot)));
  } else {
    slot = info.bump++;
  }
  ++info.used;
  ++rooms.used;
  if (info.free_head == 0 && info.bump == classes_[id].slots_per_page) {
    RemoveRoom(page);
    if (info.state == PageState::kOpen) {
      info.state = PageState::kSealed;
      Enqueue(page);
    }
  }
  return SlotPlace(page, slot);
}

ClassId Shard::PageClass(ClassId id) const {
  // A class of its own costs half a page that is not full, and saves the few percent that the
  // coarse class would round up.
  constexpr uint64_t kPagesWorthwhile = 24;
  const PerClass& of_class = per_class_[id];
  const SizeClass& size = classes_[id];
  const bool own = size.coarse == id || of_class.rooms[kProbation].front != 0 ||
                   of_class.rooms[kMain].front != 0 ||
                   of_class.wanted >= kPagesWorthwhile * size.slots_per_page;
  return own ? id : size.coarse;
}

Place Shard::AllocateSlot(ClassId wanted, PageQueue queue, Time now) {
  const ClassId id = PageClass(wanted);

  // While the budget is overdrawn (its limit was lowered, others took more), evicting gives back
  // more than is taken, but one write does not pay for all of it.
  constexpr int kPatience = 4;
  for (int evicted = 0;; ++evicted) {
    if (const Place place = TakeRoom(id, queue); place != 0) return place;
    ClassId was = 0;
    const bool force = evicted >= kPatience;
    if (const PageId page = pool_->Take(number_, id, queue, force, &was); page != 0) {
      counters_.pages_moved += was != 0 && was != id;
      page_count_.fetch_add(1, std::memory_order_relaxed);
      ++per_class_[id].rooms[queue].pages;
      NotePageTaken(/*evicted=*/evicted > 0);
      AddRoom(page, /*front=*/true);
      continue;
    }
    if (shared_->config.evict) {
      if (!EvictPage(now)) return TakeRoom(id, queue == kMain ? kProbation : kMain);
      ++counters_.direct_reclaims;
    } else if (!ReleaseEmptyPages() && !Compact() && !ReclaimExpired(now)) {
      const Place place = TakeRoom(id, queue == kMain ? kProbation : kMain);
      per_class_[id].counters.outofmemory += place == 0;
      return place;
    }
  }
}

void Shard::FreeSlot(Place place, bool may_be_read) {
  const PageId page = pool_->PageOf(place);
  PageInfo& info = pool_->info(page);
  char* slot = At(place);
  if (info.pins > 0 && may_be_read) {
    SetSlotKind(slot, kSlotZombie);
    ++info.zombies;
    return;
  }
  SetSlotKind(slot, kSlotFree);
  SetFreeSlotNext(slot, info.free_head);
  info.free_head = static_cast<uint16_t>(SlotOf(place) + 1);
  --info.used;
  Rooms& rooms = per_class_[info.class_id].rooms[info.queue];
  --rooms.used;
  if (!rooms.listed_spacious && IsSpacious(info.class_id, info.queue)) {
    rooms.listed_spacious = true;
    spacious_.emplace_back(info.class_id, info.queue);
  }
  if (page == sweeping_) return;
  if (info.used > 0) {
    if (!info.has_room) AddRoom(page, /*front=*/false);
  } else if (info.state == PageState::kSealed) {
    ReleasePage(page);
  } else {
    info.bump = 0;
    info.free_head = 0;
    some_open_page_empty_ = true;
  }
}

void Shard::ReleasePage(PageId page) {
  PageInfo& info = pool_->info(page);
  if (info.state == PageState::kSealed) Dequeue(page);
  if (info.has_room) RemoveRoom(page);
  page_count_.fetch_sub(1, std::memory_order_relaxed);
  Rooms& rooms = per_class_[info.class_id].rooms[info.queue];
  --rooms.pages;
  rooms.used -= info.used;
  pool_->Give(page);
}

void Shard::Enqueue(PageId page) {
  PageInfo& info = pool_->info(page);
  Queue& queue = queues_[info.queue];
  info.prev = queue.back;
  info.next = 0;
  (queue.back != 0 ? pool_->info(queue.back).next : queue.front) = page;
  queue.back = page;
  ++queue.count;
  JoinLine(page);
}

void Shard::Dequeue(PageId page) {
  const PageInfo& info = pool_->info(page);
  Queue& queue = queues_[info.queue];
  if (reclaim_next_ == page) reclaim_next_ = info.next;  // it may go to the end, the pass not
  (info.prev != 0 ? pool_->info(info.prev).next : queue.front) = info.next;
  (info.next != 0 ? pool_->info(info.next).prev : queue.back) = info.prev;
  --queue.count;
  LeaveLine(page);
}

void Shard::JoinLine(PageId page) {
  PageInfo& info = pool_->info(page);
  info.queued_at = age_;
  info.class_next = 0;
  uint16_t& at = per_class_[info.class_id].rooms[info.queue].line;
  if (at == kNoLine) {
    at = static_cast<uint16_t>(lines_.size());
    info.class_prev = 0;
    lines_.push_back({page, page, age_, info.class_id, info.queue});
    return;
  }
  Line& line = lines_[at];
  info.class_prev = line.back;
  pool_->info(line.back).class_next = page;
  line.back = page;
}

void Shard::LeaveLine(PageId page) {
  const PageInfo& info = pool_->info(page);
  uint16_t& at = per_class_[info.class_id].rooms[info.queue].line;
  Line& line = lines_[at];
  if (line.front == page && line.back == page) {
    const Line& last = lines_.back();
    per_class_[last.class_id].rooms[last.queue].line = at;
    line = last;
    lines_.pop_back();
    at = kNoLine;
    return;
  }
  if (info.class_prev != 0) {
    pool_->info(info.class_prev).class_next = info.class_next;
  } else {
    line.front = info.class_next;
    line.queued_at = pool_->info(line.front).queued_at;
  }
  if (info.class_next != 0) {
    pool_->info(info.class_next).class_prev = info.class_prev;
  } else {
    line.back = info.class_prev;
  }
}

void Shard::AddRoom(PageId page, bool front) {
  PageInfo& info = pool_->info(page);
  Rooms& rooms = per_class_[info.class_id].rooms[info.queue];
  info.has_room = true;
  info.room_prev = front ? 0 : rooms.back;
  info.room_next = front ? rooms.front : 0;
  (info.room_prev != 0 ? pool_->info(info.room_prev).room_next : rooms.front) = page;
  (info.room_next != 0 ? pool_->info(info.room_next).room_prev : rooms.back) = page;
}

void Shard::RemoveRoom(PageId page) {
  PageInfo& info = pool_->info(page);
  Rooms& rooms = per_class_[info.class_id].rooms[info.queue];
  info.has_room = false;
  (info.room_prev != 0 ? pool_->info(info.room_prev).room_next : rooms.front) = info.room_next;
  (info.room_next != 0 ? pool_->info(info.room_next).room_prev : rooms.back) = info.room_prev;
}

void Shard::SealOpenPages() {
  for (PerClass& of_class : per_class_) {
    for (const Rooms& rooms : of_class.rooms) {
      for (PageId page = rooms.front; page != 0; page = pool_->info(page).room_next) {
        PageInfo& info = pool_->info(page);
        if (info.state != PageState::kOpen) continue;
        info.state = PageState::kSealed;
        Enqueue(page);
      }
    }
  }
}

void Shard::Unpin(void* handle) {
  const std::unique_ptr<PinRecord> record(static_cast<PinRecord*>(handle));
  ShardLock lock(&mutex_);
  for (const PageId page : record->pages) {
    PageInfo& info = pool_->info(page);
    if (--info.pins > 0 || info.zombies == 0) continue;
    const unsigned bump = info.bump;
    unsigned left = info.zombies;
    info.zombies = 0;
    for (unsigned slot = 0; slot < bump && left > 0; ++slot) {
      const Place place = SlotPlace(page, slot);
      if (SlotKind(At(place)) != kSlotZombie) continue;
      --left;
      FreeSlot(place, /*may_be_read=*/false);  // the last one may release the page
    }
  }
}

}  // namespace cairn::storage
