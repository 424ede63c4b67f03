#include "storage/shard.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cairn::storage {
namespace {

uint32_t Seconds(Time now) { return static_cast<uint32_t>(now.ms / 1000); }

}  // namespace

Shard::Shard(uint16_t number, Shared* shared, std::unique_ptr<Index> index,
             std::unique_ptr<GhostTable> ghosts)
    : number_(number),
      shared_(shared),
      classes_(shared->classes),
      pool_(shared->pool.get()),
      granule_(static_cast<uint32_t>(pool_->At(1) - pool_->At(0))),
      page_place_shift_(std::countr_zero(pool_->page_bytes()) - std::countr_zero(granule_)),
      index_(std::move(index)),
      ghosts_(std::move(ghosts)),
      last_cas_(number),
      per_class_(shared->classes.count() + 1) {}

void Shard::Tick(Time now) {
  if (now.ms < flush_at_ms_.load(std::memory_order_relaxed)) return;
  const Change change(&version_);
  flush_at_ms_.store(INT64_MAX, std::memory_order_relaxed);
  FlushNow();
}

Shard::Found Shard::Find(const Key& key, Time now) {
  Found found;
  found.epoch = index_epoch_;
  found.entry = index_->Find(key.hash, [&](Place place) {
    const ItemRef item(At(place));
    return item.key() == key.bytes;
  });
  if (found.entry == nullptr) return found;
  found.place = Index::PlaceIn(*found.entry);
  found.item = ItemRef(At(found.place));
  if (!ExpiryPassed(found.item.expiry(), PassedCode(now))) return found;
  Lose(found.place, Loss::kReclaimed, now);
  Found expired;
  expired.epoch = index_epoch_;
  expired.expired = true;
  return expired;
}

uint64_t Shard::NextCas(const std::optional<uint64_t>& wanted) {
  if (!shared_->config.use_cas) return 0;
  if (wanted.has_value()) return *wanted;
  last_cas_ += shared_->shard_count;
  return last_cas_;
}

void Shard::Remove(const Found& found, uint64_t hash) {
  ++index_epoch_;
  index_->Erase(hash, found.entry);
  FreeItem(found.place);
}

void Shard::FreeItem(Place place) {
  const ItemRef item(At(place));
  CountItem(place, -1);
  const bool may_be_read = item.value_bytes() >= kLeastPinnableBytes;
  for (ChunkAt chunk = FirstChunk(item); chunk.place != 0;) {
    const ChunkAt next = ChunkAfter(item, chunk);
    FreeSlot(chunk.place, may_be_read);
    chunk = next;
  }
  FreeSlot(place, may_be_read);
}

void Shard::Lose(Place place, Loss loss, Time now) {
  const ItemRef item(At(place));
  ClassStats& of_class = per_class_[InfoOf(place).class_id].counters;
  const bool unfetched = !item.has(kFetched);
  if (loss == Loss::kEvicted) {
    ++counters_.evictions;
    ++of_class.evicted;
    counters_.evicted_unfetched += unfetched;
    of_class.evicted_unfetched += unfetched;
    counters_.evicted_active += item.hits() > 0;
    of_class.evicted_active += item.hits() > 0;
    counters_.evicted_nonzero += item.expiry() != kExpiryNever;
    of_class.evicted_nonzero += item.expiry() != kExpiryNever;
    per_class_[InfoOf(place).class_id].evicted_time_seconds =
        (Seconds(now) - item.access()) & kAccessMask;
  } else {
    const bool crawled = loss == Loss::kCrawled;
    ++(crawled ? counters_.crawler_reclaimed : counters_.reclaimed);
    ++(crawled ? of_class.crawler_reclaimed : of_class.reclaimed);
    counters_.expired_unfetched += unfetched;
    of_class.expired_unfetched += unfetched;
  }
  if (observer_ != nullptr) {
    PieceList pieces;
    AppendPieces(item, &pieces);
    const ItemView view = MakeView(item, InfoOf(place).class_id, now, pieces);
    observer_->OnLoss(loss == Loss::kEvicted ? LossReason::kEvicted : LossReason::kExpiredReclaimed,
                      view, now);
  }
  const uint64_t hash = shared_->hash(item.key());
  if (loss == Loss::kEvicted) ghosts_->Add(hash, InfoOf(place).queue);
  uint64_t* entry = index_->Find(hash, [place](Place p) { return p == place; });
  ++index_epoch_;
  index_->Erase(hash, entry);
  FreeItem(place);
}

ItemRef Shard::WriteItem(Place place, const ItemToMake& what, const ItemLayout& layout, Time now) {
  const ItemRef item(At(place));
  item.Init(what.key.bytes, layout.marks | what.marks, static_cast<uint8_t>(what.key.bytes.size()));
  item.set_inline_bytes(layout.inline_bytes);
  if ((layout.marks & kClientFlags) != 0) item.set_client_flags(what.client_flags);
  item.set_cas(what.cas);
  item.set_access(Seconds(now));
  SetExpiry(item, place, what.expiry);
  return item;
}

bool Shard::LinkItem(const Key& key, Found old, Place place, Time now) {
  old = FindAgain(old, key, now);  // making room may have moved or evicted it
  ++index_epoch_;
  if (old) {
    CountItem(place, 1);
    // A write is as good as a hit, but for a page that is still being filled.
    const bool counts = InfoOf(old.place).state == PageState::kSealed;
    ItemRef(At(place)).set_hits(std::max(old.item.hits(), counts ? 1u : 0u));
    Index::SetPlace(old.entry, place);
    FreeItem(old.place);
  } else {
    if (!index_->PrepareInsert(key.hash, shared_->config.evict)) return false;
    CountItem(place, 1);
    index_->Insert(key.hash, place);
  }
  ++stored_in_window_;
  InfoOf(place).write_seconds = Seconds(now);
  ++counters_.total_items;
  return true;
}

void Shard::SetExpiry(ItemRef item, Place place, ExpiryCode code) {
  item.set_expiry(code);
  if (code != kExpiryNever) NoteExpiry(&InfoOf(place), code);
}

uint64_t Shard::ItemBytes(ItemRef item) const {
  uint64_t bytes = item.slot_bytes_used();
  if (!item.has(kChained)) return bytes;
  bytes += item.value_bytes() - item.inline_bytes();
  return bytes;
}

void Shard::CountItem(Place place, int sign) {
  const ItemRef item(At(place));
  const uint64_t bytes = ItemBytes(item);
  if (!item.has(kChained)) {
    per_class_[classes_.ForBytes(item.slot_bytes_used())].wanted += static_cast<uint64_t>(sign);
  }
  PerClass& of_class = per_class_[InfoOf(place).class_id];
  if (sign > 0) {
    ++of_class.items;
    of_class.item_bytes += bytes;
    bytes_ += bytes;
  } else {
    --of_class.items;
    of_class.item_bytes -= bytes;
    bytes_ -= bytes;
  }
}

void Shard::TouchAccess(ItemRef item, Place place, Time now, bool fetched) {
  if (item.hits() < kMaxHits) item.set_hits(item.hits() + 1);
  if (InfoOf(place).queue == kMain) {
    main_hit_.store(true, std::memory_order_relaxed);
    main_idle_.store(false, std::memory_order_relaxed);
  }
  if (fetched && !item.has(kFetched)) item.Mark(kFetched);
  item.set_access(Seconds(now));
}

void Shard::AppendPieces(ItemRef item, PieceList* pieces) const {
  if (item.inline_bytes() != 0 || !item.has(kChained)) {
    pieces->emplace_back(item.inline_value(), item.inline_bytes());
  }
  for (ChunkAt c = FirstChunk(item); c.place != 0; c = ChunkAfter(item, c)) {
    pieces->emplace_back(ChunkRef(At(c.place)).bytes(), c.bytes);
  }
}

void Shard::VisitItem(Place place, Time now, Visitor visit, bool created,
                      std::optional<Expiry> expiry_before) {
  const ItemRef item(At(place));
  PieceList pieces;
  AppendPieces(item, &pieces);
  ItemView view = MakeView(item, InfoOf(place).class_id, now, pieces);
  view.created = created;
  if (expiry_before.has_value()) view.expiry_before = *expiry_before;
  Visit(place, &view, visit);
}

bool Shard::MayRewrite(ItemRef item, Place place) const {
  return !item.has(kChained) &&
         (InfoOf(place).pins == 0 || item.inline_bytes() < kLeastPinnableBytes);
}

void Shard::CheckFlush(Time now) {
  ShardLock lock(&mutex_);
  Tick(now);
}

void Shard::SetLossObserver(LossObserver* observer) {
  ShardLock lock(&mutex_);
  observer_ = observer;
}

Pin Shard::PinItem(Place place) {
  mutex_.AssertHeld();
  const ItemRef item(At(place));
  if (item.value_bytes() < kLeastPinnableBytes) return Pin();
  auto record = std::make_unique<PinRecord>();
  record->pages.push_back(pool_->PageOf(place));
  for (ChunkAt c = FirstChunk(item); c.place != 0; c = ChunkAfter(item, c)) {
    record->pages.push_back(pool_->PageOf(c.place));
  }
  for (const PageId page : record->pages) ++pool_->info(page).pins;
  return Pin(this, record.release());
}

}  // namespace cairn::storage
