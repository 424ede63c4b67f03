// Shard: walks, statistics and invariants.
#include <fmt/format.h>

#include "storage/shard.h"

namespace cairn::storage {

size_t Shard::Walk(uint64_t* position, size_t max_items, Time now, Visitor visit) {
  ShardLock lock(&mutex_);
  Tick(now);
  const ExpiryCode passed = PassedCode(now);
  size_t visited = 0;
  size_t steps = 0;
  do {
    index_->WalkStep(position, [&](Place place) {
      mutex_.AssertHeld();
      if (ExpiryPassed(ItemRef(At(place)).expiry(), passed)) return;
      ++visited;
      VisitItem(place, now, visit, /*created=*/false);
    });
  } while (*position != 0 && visited < max_items && ++steps < 64);
  return visited;
}

void Shard::AddStats(StoreStats* stats) const {
  ShardLock lock(&mutex_);
#define X(name, help) stats->name += counters_.name;
  CAIRN_STORE_COUNTERS(X)
#undef X
  stats->curr_items += index_->size();
  stats->bytes += bytes_;
  stats->index_bytes += index_->bytes();
}

void Shard::AddClassStats(std::vector<ClassStats>* stats, Time now) const {
  ShardLock lock(&mutex_);
  for (size_t id = 1; id < per_class_.size(); ++id) {
    ClassStats& to = (*stats)[id - 1];
    const PerClass& from = per_class_[id];
#define X(name, help) to.name += from.counters.name;
    CAIRN_CLASS_COUNTERS(X)
#undef X
    to.items += from.items;
    to.mem_requested += from.item_bytes;
    to.evicted_time_seconds = std::max(to.evicted_time_seconds, from.evicted_time_seconds);
  }
  for (const PageId page : Pages()) {
    const PageInfo& info = pool_->info(page);
    ClassStats& to = (*stats)[info.class_id - 1u];
    ++to.total_pages;
    to.used_chunks += info.used;
    const int64_t age = now.ms / 1000 - static_cast<int64_t>(info.write_seconds);
    if (age > 0) to.age_seconds = std::max(to.age_seconds, static_cast<uint64_t>(age));
  }
}

void Shard::ResetStats() {
  ShardLock lock(&mutex_);
  counters_ = StoreStats();
  for (PerClass& of_class : per_class_) of_class.counters = ClassStats();
}

absl::Status Shard::CheckInvariants() const {
  ShardLock lock(&mutex_);
  uint64_t items = 0;
  uint64_t bytes = 0;
  const std::vector<PageId> pages = Pages();
  if (pages.size() != page_count()) {
    return absl::InternalError(fmt::format("shard {}: {} pages counted, {} in its lists", number_,
                                           page_count(), pages.size()));
  }
  for (const PageId page : pages) {
    const absl::Status status = CheckPage(page, &items, &bytes);
    if (!status.ok()) return status;
  }
  if (const absl::Status status = CheckLines(); !status.ok()) return status;
  uint64_t used_slots = 0;
  for (const PageId page : pages) used_slots += pool_->info(page).used;
  uint64_t used_of_classes = 0;
  uint64_t pages_of_classes = 0;
  for (const PerClass& of_class : per_class_) {
    for (const Rooms& rooms : of_class.rooms) {
      used_of_classes += rooms.used;
      pages_of_classes += rooms.pages;
    }
  }
  if (used_slots != used_of_classes || pages_of_classes != pages.size()) {
    return absl::InternalError(fmt::format("shard {}: slots or pages of classes", number_));
  }
  uint64_t of_classes = 0;
  uint64_t bytes_of_classes = 0;
  for (const PerClass& of_class : per_class_) {
    of_classes += of_class.items;
    bytes_of_classes += of_class.item_bytes;
  }
  if (items != index_->size() || items != of_classes) {
    return absl::InternalError(
        fmt::format("shard {}: {} items in pages, {} in the index, {} in classes", number_, items,
                    index_->size(), of_classes));
  }
  if (bytes != bytes_ || bytes != bytes_of_classes) {
    return absl::InternalError(fmt::format("shard {}: {} bytes in pages, {} counted, {} in classes",
                                           number_, bytes, bytes_, bytes_of_classes));
  }
  return absl::OkStatus();
}

absl::Status Shard::CheckLines() const {
  uint64_t sealed = 0;
  for (size_t n = 0; n < lines_.size(); ++n) {
    const Line& line = lines_[n];
    bool right = per_class_[line.class_id].rooms[line.queue].line == n;
    double queued_at = line.queued_at;
    PageId prev = 0;
    for (PageId page = line.front; page != 0; page = pool_->info(page).class_next) {
      const PageInfo& info = pool_->info(page);
      right = right && info.class_id == line.class_id && info.queue == line.queue &&
              info.class_prev == prev && info.state == PageState::kSealed &&
              (prev == 0 ? info.queued_at == queued_at : info.queued_at >= queued_at);
      queued_at = info.queued_at;
      prev = page;
      ++sealed;
    }
    if (!right || prev != line.back) {
      return absl::InternalError(fmt::format("shard {}: the line of class {}, queue {}", number_,
                                             line.class_id, static_cast<int>(line.queue)));
    }
  }
  if (sealed != queues_[kProbation].count + queues_[kMain].count) {
    return absl::InternalError(fmt::format("shard {}: {} pages in lines", number_, sealed));
  }
  return absl::OkStatus();
}

absl::Status Shard::CheckPage(PageId page, uint64_t* items, uint64_t* bytes) const {
  const PageInfo& info = pool_->info(page);
  const auto wrong = [&](std::string_view what) {
    return absl::InternalError(fmt::format("page {} of class {}: {}", page, info.class_id, what));
  };
  if (info.owner.load() != number_ + 1) return wrong("another owner");
  unsigned used = 0;
  unsigned zombies = 0;
  unsigned reserved = 0;
  for (unsigned slot = 0; slot < info.bump; ++slot) {
    const Place place = SlotPlace(page, slot);
    if (SlotOf(place) != slot) return wrong("slot arithmetic");
    const char* p = At(place);
    used += SlotKind(p) != kSlotFree;
    zombies += SlotKind(p) == kSlotZombie;
    reserved += SlotKind(p) == kSlotReserved;
    if (SlotKind(p) == kSlotChunk) {
      const ChunkRef chunk(At(place));
      const uint8_t owner = SlotKind(At(chunk.owner()));
      if (owner == kSlotFree || owner == kSlotZombie || owner == kSlotChunk) {
        return wrong("a chunk without an item");
      }
      reserved += owner == kSlotReserved;
      if (chunk.next() != 0 && ChunkRef(At(chunk.next())).prev() != place)
        return wrong("a torn chain");
      const ItemRef head(At(chunk.owner()));
      if (chunk.prev() == 0 && head.first_chunk() != place) return wrong("another first chunk");
      if (chunk.next() == 0 && head.last_chunk() != place) return wrong("another last chunk");
      continue;
    }
    if (!SlotIsItem(p)) continue;
    const ItemRef item(At(place));
    ++*items;
    *bytes += ItemBytes(item);
    if (item.slot_bytes_used() > classes_[info.class_id].slot_bytes)
      return wrong("an item too long");
    const bool indexed = index_->Find(shared_->hash(item.key()),
                                      [place](Place other) { return other == place; }) != nullptr;
    if (!indexed) return wrong("an item that cannot be found");
    if (item.expiry() != 0 && (info.min_expiry == 0 || info.min_expiry > item.expiry())) {
      return wrong("an expiry below the page's");
    }
    PieceList pieces;
    AppendPieces(item, &pieces);
    uint64_t length = 0;
    for (const std::string_view piece : pieces) length += piece.size();
    if (length != item.value_bytes()) return wrong("a value of another length");
  }
  unsigned free = 0;
  for (unsigned at = info.free_head; at != 0; at = FreeSlotNext(At(SlotPlace(page, at - 1)))) {
    if (at > info.bump || ++free > info.bump) return wrong("a broken free list");
  }
  if (used != info.used || used + free != info.bump) return wrong("slots do not add up");
  if (zombies != info.zombies) return wrong("zombies do not add up");
  if (reserved != info.reserved) return wrong("reservations do not add up");
  if ((zombies > 0 || info.state == PageState::kFree) && info.pins == 0) return wrong("its state");
  const bool room = info.free_head != 0 || info.bump < classes_[info.class_id].slots_per_page;
  if (room != info.has_room) return wrong("its place in the list of pages with room");
  return absl::OkStatus();
}

}  // namespace cairn::storage
