// Shard: counting and deleting.
#include <charconv>
#include <cstring>
#include <string>

#include "storage/decimal.h"
#include "storage/shard.h"

namespace cairn::storage {
namespace {

// The values of larger items are no numbers whatever their CAS; of others the CAS is looked at
// first. (In memcached this is where items begin to be chunked.)
constexpr uint64_t kNeverNumericBytes = uint64_t{512} << 10;

}  // namespace

Place Shard::MakeItem(const ItemToMake& what, const Found& old, std::string_view value, Time now) {
  const ItemLayout layout =
      LayOut(classes_, what.key.bytes.size(), what.client_flags, what.cas, value.size());
  const PageQueue queue = QueueForNew(what.key.hash, old);
  const Place place = AllocateSlot(layout.head_class, queue, now);
  if (place == 0) return 0;
  const ItemRef item = WriteItem(place, what, layout, now);
  if (!value.empty()) std::memcpy(item.inline_value(), value.data(), value.size());
  if (LinkItem(what.key, old, place, now)) return place;
  FreeSlot(place, /*may_be_read=*/false);
  return 0;
}

ArithmeticResult Shard::Arithmetic(const Key& key, const ArithmeticOptions& options, Time now,
                                   Visitor visit) {
  ShardLock lock(&mutex_);
  const Change change(&version_);
  Tick(now);
  const Found found = Find(key, now);
  ArithmeticResult result;
  std::optional<Expiry> expiry_before;
  ItemToMake what{key, static_cast<uint8_t>(options.key_is_binary ? kKeyBinary : 0), 0, 0, 0};
  if (!found) {
    if (!options.create.has_value()) {
      result.status =
          found.expired ? ArithmeticStatus::kNotFoundExpired : ArithmeticStatus::kNotFound;
      return result;
    }
    result.number = options.initial;
    what.expiry = EncodeExpiry(*options.create);
    result.status = ArithmeticStatus::kCreated;
  } else {
    const ItemRef item = found.item;
    result.class_id = InfoOf(found.place).class_id;
    result.status = ArithmeticStatus::kNonNumeric;
    const uint64_t accounted =
        shared_->AccountedBytes(item.key_bytes(), item.client_flags(), item.value_bytes());
    if (item.value_bytes() == 0 || accounted > kNeverNumericBytes) return result;
    const uint64_t compare = options.compare_cas.value_or(0);
    if (compare != 0 && compare != item.cas()) {
      result.status = ArithmeticStatus::kExists;
      return result;
    }
    const std::optional<uint64_t> number = NumberIn(item);
    if (!number.has_value()) return result;
    result.number = !options.decrement        ? *number + options.delta
                    : *number > options.delta ? *number - options.delta
                                              : 0;
    expiry_before = DecodeExpiry(item.expiry());
    what.expiry = options.touch.has_value() ? EncodeExpiry(*options.touch) : item.expiry();
    what.client_flags = item.client_flags();
    what.marks = item.marks() & kKeyBinary;
    result.status = ArithmeticStatus::kOk;
  }
  what.cas = NextCas(options.explicit_cas);
  const Place place = StoreNumber(found, result.number, what, now);
  if (place == 0) return {ArithmeticStatus::kNoMemory, 0, result.class_id};
  result.class_id = InfoOf(place).class_id;
  VisitItem(place, now, visit, result.status == ArithmeticStatus::kCreated, expiry_before);
  return result;
}

std::optional<uint64_t> Shard::NumberIn(ItemRef item) const {
  if (!item.has(kChained)) return ParseCounter({item.inline_value(), item.inline_bytes()});
  // A few digits before a long tail: rare enough to be copied.
  PieceList pieces;
  AppendPieces(item, &pieces);
  std::string value;
  for (const std::string_view piece : pieces) value.append(piece);
  return ParseCounter(value);
}

bool Shard::IsRead(ItemRef item, Place place) const {
  if (!item.has(kChained)) return !MayRewrite(item, place);
  if (InfoOf(place).pins != 0) return true;
  for (ChunkAt c = FirstChunk(item); c.place != 0; c = ChunkAfter(item, c)) {
    if (InfoOf(c.place).pins != 0) return true;
  }
  return false;
}

void Shard::WritePadded(ItemRef item, std::string_view text) {
  PieceList pieces;
  AppendPieces(item, &pieces);
  for (const std::string_view piece : pieces) {
    char* const out = const_cast<char*>(piece.data());  // views of this shard's own memory
    const size_t taken = text.copy(out, piece.size());
    text.remove_prefix(taken);
    std::memset(out + taken, ' ', piece.size() - taken);
  }
}

Place Shard::StoreNumber(const Found& found, uint64_t number, const ItemToMake& what, Time now) {
  char digits[24];
  const char* end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  if (!found || text.size() > found.item.value_bytes() || IsRead(found.item, found.place) ||
      !found.item.set_cas(what.cas)) {
    return MakeItem(what, found, text, now);
  }
  WritePadded(found.item, text);
  SetExpiry(found.item, found.place, what.expiry);
  TouchAccess(found.item, found.place, now, /*fetched=*/false);
  return found.place;
}

DeleteStatus Shard::Delete(const Key& key, const DeleteOptions& options, Time now,
                           unsigned* class_id, uint64_t* grow_cas) {
  ShardLock lock(&mutex_);
  const Change change(&version_);
  Tick(now);
  const Found found = Find(key, now);
  if (class_id != nullptr) *class_id = found ? InfoOf(found.place).class_id : 0;
  if (!found) return DeleteStatus::kNotFound;
  if (options.compare_cas.has_value() && *options.compare_cas != found.item.cas()) {
    return DeleteStatus::kExists;
  }
  if (!options.mark_stale && !options.drop_value) {
    Remove(found, key.hash);
    return DeleteStatus::kDeleted;
  }
  const ItemRef item = found.item;
  ItemToMake what{key, static_cast<uint8_t>(item.marks() & ~(kLayoutMarks | kSpared)),
                  item.client_flags(), item.expiry(), 0};
  // A value that is only dropped leaves the CAS, as memcached's md x does.
  const bool keeps_cas = !options.mark_stale && !options.explicit_cas.has_value();
  what.cas = keeps_cas ? item.cas() : NextCas(options.explicit_cas);
  if (options.drop_value) {
    what.client_flags = options.client_flags;
    what.marks &= kKeyBinary;
    what.expiry = kExpiryNever;
  }
  if (options.touch.has_value()) what.expiry = EncodeExpiry(*options.touch);
  if (options.mark_stale) {
    what.marks = static_cast<uint8_t>((what.marks | kStale) & ~kTokenSent);
  }
  if (!options.drop_value && item.set_cas(what.cas)) {
    item.Unmark(kTokenSent);
    item.Mark(kStale);
    SetExpiry(item, found.place, what.expiry);
    return DeleteStatus::kDeleted;
  }
  const uint64_t kept_bytes = options.drop_value ? 0 : item.value_bytes();
  if (LayOut(classes_, key.bytes.size(), what.client_flags, what.cas, kept_bytes).chained()) {
    *grow_cas = item.cas();
    return DeleteStatus::kExists;
  }
  // A new item takes its place. It only keeps a value, a small one, when the CAS needs more room.
  const std::string value(item.inline_value(), options.drop_value ? 0 : item.inline_bytes());
  if (MakeItem(what, found, value, now) == 0) {
    // No memory for even that: an item that is gone serves its readers no worse.
    const Found again = Find(key, now);
    if (again) Remove(again, key.hash);
  }
  return DeleteStatus::kDeleted;
}

}  // namespace cairn::storage
