// Shard: fetching. Nearly every fetch is done without the lock: it changes nothing, and what it
// copied was there at once (see version.h). The lock is for what the fetch has to write, for large
// values, and for whoever was disturbed.
#include <cstring>

#include "storage/shard.h"

namespace cairn::storage {
namespace {

/// Keys are short: comparing them here costs less than calling memcmp does.
bool SameBytes(const char* a, const char* b, size_t bytes) {
  constexpr size_t kWord = sizeof(uint64_t);
  if (bytes < kWord) return std::memcmp(a, b, bytes) == 0;
  const size_t last = bytes - kWord;
  for (size_t at = 0; at < last; at += kWord) {
    if (LoadAt<uint64_t>(a + at) != LoadAt<uint64_t>(b + at)) return false;
  }
  return LoadAt<uint64_t>(a + last) == LoadAt<uint64_t>(b + last);
}

uint32_t Seconds(Time now) { return static_cast<uint32_t>(now.ms / 1000); }

}  // namespace

inline bool Shard::MayOnlyRead(const ItemGlance& glance, const PageInfo& page,
                               const FetchOptions& options, uint32_t now_seconds) const {
  if (glance.has(kChained) || options.touch.has_value() || options.recache_below_ms.has_value()) {
    return false;
  }
  if (options.lease && glance.has(kStale) && !glance.has(kTokenSent)) return false;
  if (!options.count_access) return true;
  // All that TouchAccess would write is there already.
  return glance.hits() == kMaxHits && glance.has(kFetched) &&
         ((now_seconds - glance.access()) & kAccessMask) < kAccessGrainSeconds &&
         (LoadRacy(page.queue) != kMain || (main_hit_.load(std::memory_order_relaxed) &&
                                            !main_idle_.load(std::memory_order_relaxed)));
}

// What this reads may be changing. Only its result says whether that was so.
__attribute__((always_inline)) inline Shard::Sight Shard::Look(const Key& key,
                                                               const FetchOptions& options,
                                                               Time now, Glimpse* glimpse) const {
  glimpse->place = 0;
  glimpse->version = version_.Begin();
  if (Version::IsChanging(glimpse->version) ||
      now.ms >= flush_at_ms_.load(std::memory_order_relaxed)) {
    return Sight::kUnclear;
  }
  const uint32_t now_seconds = Seconds(now);
  Sight sight = Sight::kNothing;
  const auto matches = [&](Place place) __attribute__((always_inline)) {
    const char* const slot = At(place);
    const ItemGlance glance(slot);
    if (glance.key_bytes() != key.bytes.size()) return false;
    sight = Sight::kUnclear;
    glimpse->place = place;
    const ExpiryCode expiry = glance.expiry();
    if (expiry != kExpiryNever && ExpiryPassed(expiry, PassedCode(now))) {
      glimpse->place = 0;  // it is to be removed
      return true;
    }
    const size_t bytes = glance.slot_bytes_used();
    const PageInfo& page = InfoOf(place);
    if (bytes > kMostGlimpsed || !MayOnlyRead(glance, page, options, now_seconds)) return true;
    LoadWords(slot, glimpse->copy, bytes);
    if (!SameBytes(ItemRef(glimpse->copy).key().data(), key.bytes.data(), key.bytes.size())) {
      sight = Sight::kNothing;
      return false;
    }
    glimpse->class_id = LoadRacy(page.class_id);
    sight = Sight::kItem;
    return true;
  };
  const bool seen = key.seen_place != 0 && key.seen_version == glimpse->version;
  const bool looked = (seen && matches(key.seen_place)) || index_->Look(key.hash, matches);
  return looked && version_.StillIs(glimpse->version) ? sight : Sight::kUnclear;
}

FetchStatus Shard::Fetch(const Key& key, const FetchOptions& options, Time now, Visitor visit) {
  Glimpse glimpse;
  const Sight sight = Look(key, options, now, &glimpse);
  if (sight == Sight::kItem) {
    const ItemRef item(glimpse.copy);
    const std::string_view value(item.inline_value(), item.inline_bytes());
    ItemView view = MakeView(item, glimpse.class_id, now, {&value, 1});
    view.lost = options.lease && item.has(kTokenSent);
    visit(view);
    return FetchStatus::kHit;
  }
  if (sight == Sight::kNothing && !options.vivify.has_value()) return FetchStatus::kMiss;
  return FetchLocked(key, options, now, visit, glimpse);
}

// Changes nothing but what readers may see before or after.
__attribute__((always_inline)) inline void Shard::FetchItem(Place place,
                                                            const FetchOptions& options, Time now,
                                                            Visitor visit) {
  const ItemRef item(At(place));
  std::string_view whole;
  PieceList chain;
  Pieces value(&whole, 1);
  if (item.has(kChained)) {
    AppendPieces(item, &chain);
    value = chain;
  } else {
    whole = {item.inline_value(), item.inline_bytes()};
  }
  ItemView view = MakeView(item, InfoOf(place).class_id, now, value);
  if (options.touch.has_value()) {
    SetExpiry(item, place, EncodeExpiry(*options.touch));
    view.expiry = DecodeExpiry(item.expiry());
  }
  if (options.lease || options.recache_below_ms.has_value()) {
    GiveToken(item, options, now, &view);
  }
  if (options.count_access) TouchAccess(item, place, now, /*fetched=*/true);
  Visit(place, &view, visit);
}

FetchStatus Shard::FetchLocked(const Key& key, const FetchOptions& options, Time now, Visitor visit,
                               const Glimpse& glimpse) {
  ShardLock lock(&mutex_);
  Place place = glimpse.place;
  if (place == 0 || !version_.StillIs(glimpse.version) || ItemRef(At(place)).key() != key.bytes) {
    const Change change(&version_);
    Tick(now);
    const Found found = Find(key, now);
    if (!found) {
      if (options.vivify.has_value()) return Vivify(key, found, options, now, visit);
      return found.expired ? FetchStatus::kMissExpired : FetchStatus::kMiss;
    }
    place = found.place;
  }
  FetchItem(place, options, now, visit);
  return FetchStatus::kHit;
}

void Shard::GiveToken(ItemRef item, const FetchOptions& options, Time now, ItemView* view) {
  if (item.has(kTokenSent)) {
    view->lost = true;
    return;
  }
  view->won = options.lease && item.has(kStale);
  if (options.recache_below_ms.has_value()) {
    const Expiry judged = options.recache_after_touch ? view->expiry : view->expiry_before;
    // Compared without subtracting: the expiry may be as far in the past as can be.
    const bool soon = !judged.never() && judged.at().ms < now.ms + *options.recache_below_ms;
    view->won = view->won || soon;
  }
  if (view->won) item.Mark(kTokenSent);
}

FetchStatus Shard::Vivify(const Key& key, const Found& missing, const FetchOptions& options,
                          Time now, Visitor visit) {
  const uint64_t cas = NextCas(options.vivify_cas);
  const ItemToMake what{key, kTokenSent, 0, EncodeExpiry(*options.vivify), cas};
  const Place place = MakeItem(what, missing, "", now);
  if (place == 0) return FetchStatus::kNoMemory;
  const ItemRef item(At(place));
  PieceList pieces;
  AppendPieces(item, &pieces);
  ItemView view = MakeView(item, InfoOf(place).class_id, now, pieces);
  view.created = true;
  view.won = true;
  if (options.count_access) TouchAccess(item, place, now, /*fetched=*/true);
  Visit(place, &view, visit);
  return FetchStatus::kHit;
}

}  // namespace cairn::storage
