#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "storage/expiry_code.h"
#include "storage/version.h"

/// How slots of a page are laid out. This is the only file that knows.
///
/// An item, all integers little-endian, no padding:
///
///   0     1     2           4                 8                             16
///   +-----+-----+-----------+-----------------+-----------------------------+--
///   | key | mar-| inline 14 | expiry code     | CAS 42 | last access 22     | ...
///   | len | ks  | hits    2 |                 |        | (seconds)          |
///   +-----+-----+-----------+-----------------+-----------------------------+--
///   [ wide CAS 8 ]      when it does not fit 42 bits (kWideCas)
///   [ client flags 4 ]  when not zero (kClientFlags)
///   [ value bytes 6, first chunk 5, last chunk 5 ]  when the value goes on in chunks (kChained)
///   key, then the inline bytes of the value: all of it, or its beginning when chained
///
/// A chunk of a large value; the capacity follows from the page's class, every chunk but the last
/// is full:
///
///   0     1           4         8         12       14        15   16
///   +-----+-----------+---------+---------+--------+---------+----+--
///   | 255 | prev low  | owner   | next    | prev   | owner 4 | 0  | bytes of the value
///   |     | 24        | low 32  | low 32  | high   | next 4  |    |
///   +-----+-----------+---------+---------+--------+---------+----+--
///
/// The first byte tells what a slot holds: 0 nothing, 1..250 an item, the rest as kSlot* below.
namespace cairn::storage {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout below is little-endian");

/// Where a slot is: its offset from the start of the page memory, in granules. 0 is nowhere.
using Place = uint64_t;
inline constexpr int kPlaceBits = 36;

inline constexpr uint8_t kSlotFree = 0;
inline constexpr uint8_t kSlotZombie = 252;    ///< freed while pinned; free when the page is not
inline constexpr uint8_t kSlotReserved = 253;  ///< head of a reservation
inline constexpr uint8_t kSlotReservedChunk = 254;
inline constexpr uint8_t kSlotChunk = 255;

inline constexpr size_t kItemHeaderBytes = 16;
inline constexpr size_t kChunkHeaderBytes = 16;
inline constexpr size_t kWideCasBytes = 8;
inline constexpr size_t kClientFlagsBytes = 4;
inline constexpr size_t kPlaceBytes = 5;
inline constexpr size_t kChainBytes = 6 + 2 * kPlaceBytes;
inline constexpr size_t kMaxInlineBytes = (1 << 14) - 1;
inline constexpr int kCasBits = 42;
inline constexpr uint64_t kMaxNarrowCas = (uint64_t{1} << kCasBits) - 1;
inline constexpr uint32_t kAccessMask = (1 << (64 - kCasBits)) - 1;
inline constexpr unsigned kMaxHits = 3;

enum ItemMark : uint8_t {
  kStale = 1,
  kTokenSent = 2,
  kKeyBinary = 4,
  kFetched = 8,
  kClientFlags = 16,
  kChained = 32,
  kWideCas = 64,
  kSpared = 128,  ///< of a chained item: it was worth keeping when its head was last looked at
  kLayoutMarks = kClientFlags | kChained | kWideCas,
};

template <typename T>
T LoadAt(const char* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <typename T>
void StoreAt(char* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

/// The same for what readers without the lock may see before or after: see version.h.
template <typename T>
void StoreWhole(char* p, T v) {
  __atomic_store_n(reinterpret_cast<T*>(p), v, __ATOMIC_RELAXED);
}

inline uint8_t SlotKind(const char* slot) { return static_cast<uint8_t>(slot[0]); }
inline void SetSlotKind(char* slot, uint8_t kind) { slot[0] = static_cast<char>(kind); }
inline bool SlotIsItem(const char* slot) {
  return SlotKind(slot) != kSlotFree && SlotKind(slot) < kSlotZombie;
}

/// The free list of a page runs through its free slots.
inline uint16_t FreeSlotNext(const char* slot) { return LoadAt<uint16_t>(slot + 2); }
inline void SetFreeSlotNext(char* slot, uint16_t next) { StoreAt(slot + 2, next); }

/// Bytes before an item's key by its layout marks, which are three neighbouring bits.
inline constexpr std::array<uint8_t, 8> kItemPrefixBytes = [] {
  std::array<uint8_t, 8> bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    const size_t marks = i * kClientFlags;
    bytes[i] = static_cast<uint8_t>(kItemHeaderBytes + ((marks & kWideCas) ? kWideCasBytes : 0) +
                                    ((marks & kClientFlags) ? kClientFlagsBytes : 0) +
                                    ((marks & kChained) ? kChainBytes : 0));
  }
  return bytes;
}();

/// Bytes before an item's key for the given marks.
constexpr size_t ItemPrefixBytes(uint8_t marks) {
  return kItemPrefixBytes[(marks & kLayoutMarks) / kClientFlags];
}

/// Reads and writes the item at a slot. Trivially copyable; owns nothing.
class ItemRef {
 public:
  ItemRef() = default;
  explicit ItemRef(char* slot) : p_(slot) {}

  char* slot() const { return p_; }

  /// Lays the item out: marks decide which optional fields there are. Everything else is zero.
  void Init(std::string_view key, uint8_t marks, uint8_t kind) const {
    std::memset(p_, 0, ItemPrefixBytes(marks));
    SetSlotKind(p_, kind);
    p_[1] = static_cast<char>(marks);
    std::memcpy(p_ + ItemPrefixBytes(marks), key.data(), key.size());
  }

  size_t key_bytes() const { return SlotKind(p_); }
  std::string_view key() const { return {p_ + ItemPrefixBytes(marks()), key_bytes()}; }

  uint8_t marks() const { return static_cast<uint8_t>(p_[1]); }
  bool has(ItemMark mark) const { return (marks() & mark) != 0; }
  void Mark(uint8_t marks_to_set) const {
    StoreWhole(p_ + 1, static_cast<uint8_t>(marks() | marks_to_set));
  }
  void Unmark(uint8_t marks_to_clear) const {
    p_[1] = static_cast<char>(marks() & ~marks_to_clear);
  }

  size_t inline_bytes() const { return LoadAt<uint16_t>(p_ + 2) & kMaxInlineBytes; }
  void set_inline_bytes(size_t n) const {
    StoreAt(p_ + 2, static_cast<uint16_t>((LoadAt<uint16_t>(p_ + 2) & ~kMaxInlineBytes) | n));
  }
  unsigned hits() const { return LoadAt<uint16_t>(p_ + 2) >> 14; }
  void set_hits(unsigned hits) const {
    StoreWhole(p_ + 2, static_cast<uint16_t>(inline_bytes() | (hits << 14)));
  }

  ExpiryCode expiry() const { return LoadAt<ExpiryCode>(p_ + 4); }
  void set_expiry(ExpiryCode code) const { StoreWhole(p_ + 4, code); }

  uint64_t cas() const {
    if (has(kWideCas)) return LoadAt<uint64_t>(p_ + kItemHeaderBytes);
    return LoadAt<uint64_t>(p_ + 8) & kMaxNarrowCas;
  }
  /// False, and nothing done, when the CAS needs the wide field and there is none.
  bool set_cas(uint64_t cas) const {
    if (has(kWideCas)) {
      StoreAt(p_ + kItemHeaderBytes, cas);
      return true;
    }
    if (cas > kMaxNarrowCas) return false;
    StoreAt(p_ + 8, (LoadAt<uint64_t>(p_ + 8) & ~kMaxNarrowCas) | cas);
    return true;
  }

  /// Seconds of the last access, modulo 2^22.
  uint32_t access() const { return static_cast<uint32_t>(LoadAt<uint64_t>(p_ + 8) >> kCasBits); }
  void set_access(uint32_t seconds) const {
    constexpr int kShift = kCasBits - 32;
    const uint32_t low = LoadAt<uint32_t>(p_ + 12) & ((1U << kShift) - 1);
    StoreWhole(p_ + 12, low | seconds << kShift);
  }

  uint32_t client_flags() const {
    return has(kClientFlags) ? LoadAt<uint32_t>(client_flags_at()) : 0;
  }
  /// REQUIRES: the item has the field.
  void set_client_flags(uint32_t flags) const { StoreAt(client_flags_at(), flags); }

  // Of a chained item:
  uint64_t value_bytes() const {
    return has(kChained) ? LoadAt<uint64_t>(chain_at()) & 0xFFFFFFFFFFFF : inline_bytes();
  }
  Place first_chunk() const { return PlaceAt(chain_at() + 6); }
  Place last_chunk() const { return PlaceAt(chain_at() + 6 + kPlaceBytes); }
  void set_value_bytes(uint64_t bytes) const { std::memcpy(chain_at(), &bytes, 6); }
  void set_first_chunk(Place place) const { std::memcpy(chain_at() + 6, &place, kPlaceBytes); }
  void set_last_chunk(Place place) const {
    std::memcpy(chain_at() + 6 + kPlaceBytes, &place, kPlaceBytes);
  }

  char* inline_value() const { return p_ + ItemPrefixBytes(marks()) + key_bytes(); }

  /// Bytes of the slot that are in use. REQUIRES: the slot holds an item.
  size_t slot_bytes_used() const { return ItemPrefixBytes(marks()) + key_bytes() + inline_bytes(); }

 private:
  static Place PlaceAt(const char* p) {
    Place place = 0;
    std::memcpy(&place, p, kPlaceBytes);
    return place;
  }
  char* client_flags_at() const {
    return p_ + kItemHeaderBytes + (has(kWideCas) ? kWideCasBytes : 0);
  }
  char* chain_at() const { return client_flags_at() + (has(kClientFlags) ? kClientFlagsBytes : 0); }

  char* p_ = nullptr;
};

/// What tells whether a slot holds the item looked for and what has to be done about it, loaded
/// while it may be changing.
class ItemGlance {
 public:
  explicit ItemGlance(const char* slot) : slot_(slot), head_(Load(0)) {}

  /// More than kMaxKeyBytes when the slot holds no item.
  size_t key_bytes() const { return head_ & 0xff; }
  bool has(ItemMark mark) const { return (head_ >> 8 & mark) != 0; }
  unsigned hits() const { return head_ >> 30; }
  size_t slot_bytes_used() const {
    return ItemPrefixBytes(static_cast<uint8_t>(head_ >> 8)) + key_bytes() +
           (head_ >> 16 & kMaxInlineBytes);
  }
  ExpiryCode expiry() const { return Load(4); }
  uint32_t access() const { return Load(12) >> (kCasBits - 32); }

 private:
  uint32_t Load(int at) const { return LoadRacy(*reinterpret_cast<const uint32_t*>(slot_ + at)); }

  const char* slot_;
  uint32_t head_;
};

/// Reads and writes the chunk at a slot.
class ChunkRef {
 public:
  explicit ChunkRef(char* slot) : p_(slot) {}

  char* slot() const { return p_; }
  char* bytes() const { return p_ + kChunkHeaderBytes; }

  void Init(uint8_t kind, Place owner, Place prev, Place next) const {
    SetSlotKind(p_, kind);
    p_[1] = static_cast<char>(prev & 0xff);
    StoreAt(p_ + 2, static_cast<uint16_t>(prev >> 8));
    StoreAt(p_ + 4, static_cast<uint32_t>(owner));
    StoreAt(p_ + 8, static_cast<uint32_t>(next));
    StoreAt(p_ + 12, static_cast<uint16_t>(prev >> 24));
    p_[14] = static_cast<char>((owner >> 32 & 0xf) | (next >> 32 & 0xf) << 4);
    p_[15] = 0;
  }
  uint8_t kind() const { return SlotKind(p_); }
  Place owner() const { return LoadAt<uint32_t>(p_ + 4) | static_cast<Place>(p_[14] & 0xf) << 32; }
  Place next() const {
    return LoadAt<uint32_t>(p_ + 8) | static_cast<Place>(p_[14] >> 4 & 0xf) << 32;
  }
  Place prev() const {
    return static_cast<uint8_t>(p_[1]) | static_cast<Place>(LoadAt<uint16_t>(p_ + 2)) << 8 |
           static_cast<Place>(LoadAt<uint16_t>(p_ + 12)) << 24;
  }
  void set_kind(uint8_t kind) const { SetSlotKind(p_, kind); }
  void set_owner(Place owner) const { Init(kind(), owner, prev(), next()); }
  void set_next(Place next) const { Init(kind(), owner(), prev(), next); }
  void set_prev(Place prev) const { Init(kind(), owner(), prev, next()); }

 private:
  char* p_;
};

}  // namespace cairn::storage
