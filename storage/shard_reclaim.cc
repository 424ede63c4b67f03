// Shard: memory that can be had without evicting anything.
#include "storage/shard.h"

namespace cairn::storage {
namespace {

ExpiryCode Earlier(ExpiryCode a, ExpiryCode b) {
  if (a == kExpiryNever || b == kExpiryNever) return a == kExpiryNever ? b : a;
  return std::min(a, b);
}

}  // namespace

bool Shard::ReleaseEmptyPages() {
  if (!some_open_page_empty_) return false;
  some_open_page_empty_ = false;
  bool released = false;
  for (PerClass& of_class : per_class_) {
    for (const Rooms& rooms : of_class.rooms) {
      PageId next = 0;
      for (PageId page = rooms.front; page != 0; page = next) {
        const PageInfo& info = pool_->info(page);
        next = info.room_next;
        if (info.state != PageState::kOpen) break;  // open pages are in front
        if (info.used > 0) continue;
        ReleasePage(page);
        released = true;
      }
    }
  }
  return released;
}

// When a class has more free slots than a page, its emptiest page can be moved into the others.
bool Shard::Compact() {
  while (!spacious_.empty()) {
    const auto [id, queue] = spacious_.back();
    if (IsSpacious(id, queue) && CompactClass(id, queue)) return true;
    spacious_.pop_back();
    per_class_[id].rooms[queue].listed_spacious = false;
  }
  return false;
}

bool Shard::CompactClass(ClassId id, PageQueue queue) {
  constexpr int kCandidates = 16;
  PageId emptiest = 0;
  PageId page = per_class_[id].rooms[queue].back;
  for (int n = 0; n < kCandidates && page != 0; ++n) {
    const PageInfo& info = pool_->info(page);
    const bool movable = info.state == PageState::kSealed && info.pins == 0 && info.reserved == 0;
    if (movable && (emptiest == 0 || info.used < pool_->info(emptiest).used)) emptiest = page;
    page = info.room_prev;
  }
  if (emptiest == 0) return false;
  RemoveRoom(emptiest);
  sweeping_ = emptiest;
  const unsigned bump = pool_->info(emptiest).bump;
  for (unsigned slot = 0; slot < bump; ++slot) {
    const Place place = SlotPlace(emptiest, slot);
    if (SlotKind(At(place)) == kSlotChunk) {
      MoveChunk(place, queue);
    } else if (SlotIsItem(At(place))) {
      MoveItem(place, queue);
    }
  }
  return FinishSweep(emptiest);
}

void Shard::NoteExpiry(PageInfo* info, ExpiryCode code) {
  info->min_expiry = Earlier(info->min_expiry, code);
  earliest_expiry_ = Earlier(earliest_expiry_, code);
  pass_earliest_ = Earlier(pass_earliest_, code);
}

// Goes on with a pass over the queues until some pages with expired items were scanned; more rarely
// when that gives little. Looking at a page's bound costs next to nothing, so that a long stretch
// of pages without expired items is no reason to evict.
bool Shard::ReclaimSome(Time now) {
  constexpr int kPagesLookedAt = 4096;
  constexpr int kPagesScanned = 8;
  constexpr unsigned kLongestPause = 7;
  const ExpiryCode passed = PassedCode(now);
  if (!ExpiryPassed(earliest_expiry_, passed)) return false;
  if (reclaim_pause_ > 0) {
    --reclaim_pause_;
    return false;
  }
  unsigned scanned = 0;
  unsigned reclaimed = 0;
  int pages_scanned = 0;
  bool began_again = false;
  for (int n = 0; n < kPagesLookedAt && pages_scanned < kPagesScanned; ++n) {
    const PageId page = NextToReclaim();
    if (page == 0) {
      if (began_again || !ExpiryPassed(earliest_expiry_, passed)) break;
      began_again = true;
      continue;
    }
    const PageInfo& info = pool_->info(page);
    if (ExpiryPassed(info.min_expiry, passed)) {
      ++pages_scanned;
      scanned += info.used;
      reclaimed += ReclaimInPage(page, now, Loss::kReclaimed);
    }
    if (info.owner.load(std::memory_order_relaxed) == number_ + 1) {  // or it was released
      pass_earliest_ = Earlier(pass_earliest_, info.min_expiry);
    }
  }
  const bool worthwhile = reclaimed * 16 >= scanned && reclaimed > 0;
  reclaim_wait_ = worthwhile ? 0 : std::min(reclaim_wait_ * 2 + 1, kLongestPause);
  reclaim_pause_ = reclaim_wait_;
  return reclaimed > 0;
}

/// The next page of the pass, or 0 at its end.
PageId Shard::NextToReclaim() {
  PageId page = pass_running_ ? reclaim_next_ : queues_[kProbation].front;
  if (!pass_running_) reclaim_queue_ = kProbation;
  if (page == 0 && reclaim_queue_ == kProbation) {
    reclaim_queue_ = kMain;
    page = queues_[kMain].front;
  }
  if (page == 0) {
    if (pass_running_) {
      // What the pass has seen, what came meanwhile, and what it does not go through.
      earliest_expiry_ = pass_earliest_;
      for (const PerClass& of_class : per_class_) {
        for (const Rooms& rooms : of_class.rooms) {
          if (rooms.front == 0) continue;
          earliest_expiry_ = Earlier(earliest_expiry_, pool_->info(rooms.front).min_expiry);
        }
      }
      pass_earliest_ = kExpiryNever;
    }
    pass_running_ = false;
    reclaim_next_ = 0;
    return 0;
  }
  if (!pass_running_) pass_earliest_ = kExpiryNever;
  pass_running_ = true;
  reclaim_next_ = pool_->info(page).next;
  return page;
}

// The same without bound, when the alternative is to refuse.
bool Shard::ReclaimExpired(Time now) {
  const ExpiryCode passed = PassedCode(now);
  if (!ExpiryPassed(earliest_expiry_, passed)) return false;
  unsigned reclaimed = 0;
  earliest_expiry_ = pass_earliest_ = kExpiryNever;
  pass_running_ = false;
  reclaim_next_ = 0;
  for (const PageId page : Pages()) {
    const PageInfo& info = pool_->info(page);
    if (info.owner.load(std::memory_order_relaxed) != number_ + 1) continue;  // just released
    if (ExpiryPassed(info.min_expiry, passed)) {
      reclaimed += ReclaimInPage(page, now, Loss::kReclaimed);
    }
    earliest_expiry_ = Earlier(earliest_expiry_, info.min_expiry);
  }
  return reclaimed > 0;
}

unsigned Shard::ReclaimInPage(PageId page, Time now, Loss loss) {
  PageInfo& info = pool_->info(page);
  const ExpiryCode passed = PassedCode(now);
  unsigned reclaimed = 0;
  ExpiryCode earliest = 0;
  sweeping_ = page;
  const unsigned bump = info.bump;
  for (unsigned slot = 0; slot < bump; ++slot) {
    const Place place = SlotPlace(page, slot);
    if (!SlotIsItem(At(place))) continue;
    const ExpiryCode code = ItemRef(At(place)).expiry();
    if (ExpiryPassed(code, passed)) {
      ++reclaimed;
      Lose(place, loss, now);
    } else if (code != kExpiryNever && (earliest == 0 || code < earliest)) {
      earliest = code;
    }
  }
  info.min_expiry = earliest;
  FinishSweep(page);
  return reclaimed;
}

void Shard::MaintainPage(PageId page, Time now, MaintenanceResult* result) {
  ShardLock lock(&mutex_);
  Tick(now);
  const PageInfo& info = pool_->info(page);
  if (info.owner.load(std::memory_order_relaxed) != number_ + 1) return;
  ++result->items_checked;  // a page costs something even when nothing in it can have expired
  if (!ExpiryPassed(info.min_expiry, PassedCode(now))) return;
  const Change change(&version_);
  const unsigned used = info.used;
  counters_.crawler_items_checked += used;
  per_class_[info.class_id].counters.crawler_items_checked += used;
  result->items_checked += used;
  result->items_reclaimed += ReclaimInPage(page, now, Loss::kCrawled);
}

}  // namespace cairn::storage
