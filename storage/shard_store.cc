// Shard: storing values.
#include <cstring>

#include "storage/shard.h"

namespace cairn::storage {
namespace {

char* CopyPieces(Pieces pieces, char* to) {
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
  return to;
}

uint32_t Seconds(Time now) { return static_cast<uint32_t>(now.ms / 1000); }

bool Combines(StoreMode mode) { return mode == StoreMode::kAppend || mode == StoreMode::kPrepend; }

}  // namespace

Shard::Judgement Shard::Judge(const Found& found, const StoreOptions& options) const {
  Judgement j;
  j.expiry = EncodeExpiry(options.expiry);
  j.client_flags = options.client_flags;
  j.marks = options.key_is_binary ? kKeyBinary : 0;
  const bool combines = Combines(options.mode);
  if (!found) {
    switch (options.mode) {
      case StoreMode::kSet:
      case StoreMode::kReplace:
        j.store = options.mode == StoreMode::kSet && !options.compare_cas.has_value();
        if (options.compare_cas.has_value()) j.status = StoreStatus::kNotFound;
        break;
      case StoreMode::kAdd:
        j.store = true;
        break;
      case StoreMode::kAppend:
      case StoreMode::kPrepend:
        j.store = options.vivify.has_value();
        if (j.store) j.expiry = EncodeExpiry(*options.vivify);
        break;
    }
    return j;
  }
  const ItemRef old = found.item;
  j.met_class = InfoOf(found.place).class_id;
  j.old_bytes = old.value_bytes();
  if (options.mode == StoreMode::kAdd) return j;
  j.store = true;
  if (options.compare_cas.has_value()) {
    // Without CAS, and when 0 is given, there is nothing that could be equal.
    const uint64_t given = shared_->config.use_cas ? *options.compare_cas : 0;
    if (given == 0) {
      j.store = combines;
    } else if (given != old.cas()) {
      const bool older = options.invalidate_if_older && !combines && given < old.cas();
      j.store = older;
      if (older) {
        j.expiry = old.expiry();
        j.marks = static_cast<uint8_t>(j.marks | kStale | (old.marks() & kTokenSent));
      }
    }
    if (!j.store) j.status = StoreStatus::kExists;
  }
  if (combines) {
    j.combine = true;
    j.expiry = old.expiry();
    j.client_flags = old.client_flags();
    j.marks = old.marks() & kKeyBinary;
  }
  return j;
}

StoreResult Shard::Put(const Key& key, Pieces value, uint64_t value_bytes,
                       const StoreOptions& options, Time now, ChainPlan* plan) {
  ShardLock lock(&mutex_);
  const Change change(&version_);
  Tick(now);
  Found old = Find(key, now);
  const Judgement j = Judge(old, options);
  StoreResult result{j.status, 0, value_bytes, j.met_class};
  if (!j.store) {
    if (options.mode == StoreMode::kAdd && old)
      TouchAccess(old.item, old.place, now, /*fetched=*/false);
    return result;
  }
  const uint64_t total = value_bytes + (j.combine ? j.old_bytes : 0);
  if (j.combine && shared_->AccountedBytes(key.bytes.size(), j.client_flags, total) >
                       shared_->config.max_item_bytes) {
    return result;
  }
  const ItemToMake what{key, j.marks, j.client_flags, j.expiry, NextCas(options.explicit_cas)};
  const ItemLayout layout = LayOut(classes_, key.bytes.size(), j.client_flags, what.cas, total);
  if (layout.chained() || (j.combine && old.item.has(kChained))) {
    *plan = ChainPlan{true, total, j.client_flags, what.cas};
    return result;
  }
  result = {StoreStatus::kStored, what.cas, total, j.met_class};
  const bool same_class =
      layout.head_class == j.met_class || classes_[layout.head_class].coarse == j.met_class;
  if (old && !j.combine && same_class && MayRewrite(old.item, old.place)) {
    Overwrite(old, what, layout, value, now);
    return result;
  }
  const PageQueue queue = QueueForNew(key.hash, old);
  const Place place = AllocateSlot(layout.head_class, queue, now);
  if (place == 0) {
    result.status = StoreStatus::kNoMemory;
    return result;
  }
  // Making room may have moved or evicted the item.
  old = FindAgain(old, key, now);
  if (j.combine && !old) {
    FreeSlot(place, /*may_be_read=*/false);
    result.status = StoreStatus::kNotStored;
    return result;
  }
  result.class_id = InfoOf(place).class_id;
  char* to = WriteItem(place, what, layout, now).inline_value();
  const std::string_view before =
      j.combine ? std::string_view(old.item.inline_value(), j.old_bytes) : std::string_view();
  if (options.mode == StoreMode::kPrepend) to = CopyPieces(value, to);
  to = CopyPieces({&before, 1}, to);
  if (options.mode != StoreMode::kPrepend) CopyPieces(value, to);
  if (!LinkItem(key, old, place, now)) {
    FreeSlot(place, /*may_be_read=*/false);
    result.status = StoreStatus::kNoMemory;
  }
  return result;
}

void Shard::Overwrite(const Found& old, const ItemToMake& what, const ItemLayout& layout,
                      Pieces value, Time now) {
  const unsigned hits = old.item.hits();
  PageInfo& info = InfoOf(old.place);
  CountItem(old.place, -1);
  const ItemRef item = WriteItem(old.place, what, layout, now);
  CopyPieces(value, item.inline_value());
  CountItem(old.place, 1);
  // A write is as good as a hit, but for a page that is still being filled.
  item.set_hits(info.state == PageState::kOpen ? hits : std::max(hits, 1u));
  info.write_seconds = Seconds(now);
  ++counters_.total_items;
}

bool Shard::ReserveSome(Reservation::Impl* reservation, Time now) {
  constexpr size_t kSlotsACall = 16;
  ShardLock lock(&mutex_);
  const Change change(&version_);
  Tick(now);
  std::vector<Reservation::Impl::Piece>& pieces = reservation->pieces;
  const ItemLayout& layout = reservation->layout;
  if (pieces.empty()) reservation->queue = QueueForNew(reservation->hash, {});
  for (size_t n = 0; n < kSlotsACall && !reservation->complete(); ++n) {
    const ClassId id = layout.ClassOf(pieces.size());
    const Place place = AllocateSlot(id, reservation->queue, now);
    if (place == 0) return false;
    ++InfoOf(place).reserved;
    if (pieces.empty()) {
      const ItemRef head(At(place));
      head.Init(reservation->key, layout.marks, kSlotReserved);
      head.set_inline_bytes(layout.inline_bytes);
      // The key's length is not known to a reserved head: the slot's kind takes its place.
      char* data = head.slot() + ItemPrefixBytes(layout.marks) + reservation->key.size();
      pieces.push_back({place, data, 0, layout.inline_bytes});
      continue;
    }
    const Place prev = pieces.size() == 1 ? 0 : pieces.back().place;
    const ChunkRef chunk(At(place));
    chunk.Init(kSlotChunk, pieces.front().place, prev, 0);
    const ItemRef head(At(pieces.front().place));
    if (prev != 0) {
      ChunkRef(At(prev)).set_next(place);
    } else {
      head.set_value_bytes(layout.value_bytes);
      head.set_first_chunk(place);
    }
    head.set_last_chunk(place);
    const uint64_t offset = pieces.back().offset + pieces.back().bytes;
    const uint64_t room = classes_[id].slot_bytes - kChunkHeaderBytes;
    pieces.push_back({place, chunk.bytes(), offset, std::min(room, layout.value_bytes - offset)});
  }
  return true;
}

void Shard::DropReservation(Reservation::Impl* reservation) {
  ShardLock lock(&mutex_);
  for (const Reservation::Impl::Piece& piece : reservation->pieces) {
    --InfoOf(piece.place).reserved;
    FreeSlot(piece.place, /*may_be_read=*/false);
  }
  reservation->pieces.clear();
}

void Shard::FillReservation(const Reservation::Impl& reservation, const Judgement& j,
                            const Found& old, Pieces value, bool prepend) {
  PieceList before;
  if (j.combine) AppendPieces(old.item, &before);
  const Pieces first = prepend ? value : Pieces(before.data(), before.size());
  const Pieces second = prepend ? Pieces(before.data(), before.size()) : value;
  size_t target = 0;
  uint64_t filled = 0;
  for (const Pieces part : {first, second}) {
    for (std::string_view piece : part) {
      while (!piece.empty()) {
        if (filled == reservation.pieces[target].bytes) {
          ++target;
          filled = 0;
          continue;
        }
        const Reservation::Impl::Piece& to = reservation.pieces[target];
        const size_t here = std::min<uint64_t>(piece.size(), to.bytes - filled);
        std::memcpy(to.data + filled, piece.data(), here);
        piece.remove_prefix(here);
        filled += here;
      }
    }
  }
}

StoreResult Shard::Link(Reservation::Impl* reservation, const Key& key, const Pieces* value,
                        uint64_t value_bytes, const StoreOptions& options, Time now,
                        ChainPlan* plan) {
  ShardLock lock(&mutex_);
  const Change change(&version_);
  Tick(now);
  const Found old = Find(key, now);
  const Judgement j = Judge(old, options);
  StoreResult result{j.status, 0, value_bytes, j.met_class};
  if (!j.store) {
    if (options.mode == StoreMode::kAdd && old)
      TouchAccess(old.item, old.place, now, /*fetched=*/false);
    return result;
  }
  const uint64_t total = value_bytes + (j.combine ? j.old_bytes : 0);
  if (j.combine && shared_->AccountedBytes(key.bytes.size(), j.client_flags, total) >
                       shared_->config.max_item_bytes) {
    return result;
  }
  const ItemLayout& layout = reservation->layout;
  const uint64_t cas = NextCas(options.explicit_cas);
  const bool room_for_flags = (layout.marks & kClientFlags) != 0 || j.client_flags == 0;
  const bool room_for_cas = (layout.marks & kWideCas) != 0 || cas <= kMaxNarrowCas;
  if (total != layout.value_bytes || !room_for_flags || !room_for_cas ||
      (j.combine && value == nullptr)) {
    *plan = ChainPlan{true, total, j.client_flags, cas};
    return result;
  }
  if (value != nullptr) {
    FillReservation(*reservation, j, old, *value, options.mode == StoreMode::kPrepend);
  }
  const Place place = reservation->pieces.front().place;
  const ItemRef item(At(place));
  SetSlotKind(item.slot(), static_cast<uint8_t>(key.bytes.size()));
  item.Mark(j.marks);
  if (item.has(kClientFlags)) item.set_client_flags(j.client_flags);
  item.set_cas(cas);
  item.set_access(Seconds(now));
  SetExpiry(item, place, j.expiry);
  if (!LinkItem(key, old, place, now)) {
    SetSlotKind(item.slot(), kSlotReserved);
    result.status = StoreStatus::kNoMemory;
    return result;
  }
  for (const Reservation::Impl::Piece& piece : reservation->pieces) {
    --InfoOf(piece.place).reserved;
  }
  reservation->pieces.clear();
  return {StoreStatus::kStored, cas, total, InfoOf(place).class_id};
}

}  // namespace cairn::storage
