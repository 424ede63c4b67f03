#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "storage/item.h"
#include "storage/size_classes.h"

namespace cairn::storage {

/// How an item of some size is cut into slots: a head with the key and the beginning of the value,
/// then whole pages, then halves, quarters and eighths of a page, and a last chunk of the least
/// class that holds the rest. The head is the largest part of a page that the item fills, so that a
/// value of a few pages' size lies in a few pieces. No chunk has less room than one behind it.
struct ItemLayout {
  uint8_t marks = 0;  ///< the layout marks
  ClassId head_class = 0;
  ClassId page_class = 0;
  uint32_t inline_bytes = 0;
  uint64_t value_bytes = 0;
  uint64_t page_chunks = 0;
  /// Classes of the chunks behind the pages. At most two of a size, for headers take some room.
  static constexpr unsigned kMaxParts = 2 * kPartSizes + 1;
  std::array<ClassId, kMaxParts> parts = {};
  unsigned part_count = 0;

  bool chained() const { return (marks & kChained) != 0; }
  uint64_t slot_count() const { return 1 + page_chunks + part_count; }
  ClassId ClassOf(uint64_t slot) const {
    if (slot == 0) return head_class;
    return slot <= page_chunks ? page_class : parts[slot - page_chunks - 1];
  }
};

/// The part of LayOut that is for values that do not fit a slot.
inline void LayOutChain(const SizeClasses& classes, size_t key_bytes, ItemLayout* layout) {
  // The wide CAS is always there: eight bytes of a large item save having to rebuild it later.
  layout->marks |= kChained | kWideCas;
  const size_t prefix = ItemPrefixBytes(layout->marks) + key_bytes;
  const uint64_t item_bytes = prefix + layout->value_bytes;
  layout->head_class = classes.ForHead(item_bytes);
  layout->page_class = classes.ForPages(item_bytes);
  layout->inline_bytes = static_cast<uint32_t>(
      std::min<uint64_t>(classes[layout->head_class].slot_bytes - prefix, layout->value_bytes));
  uint64_t rest = layout->value_bytes - layout->inline_bytes;
  const uint64_t page_room = classes.page_bytes() - kChunkHeaderBytes;
  layout->page_chunks = rest / page_room;
  rest %= page_room;
  for (unsigned size = kPartSizes; size-- > 0;) {
    const uint64_t room = classes.part_bytes(size) - kChunkHeaderBytes;
    for (; rest >= room; rest -= room) {
      layout->parts[layout->part_count++] = classes.ForPart(size, item_bytes);
    }
  }
  if (rest != 0) layout->parts[layout->part_count++] = classes.ForBytes(rest + kChunkHeaderBytes);
}

inline ItemLayout LayOut(const SizeClasses& classes, size_t key_bytes, uint32_t client_flags,
                         uint64_t cas, uint64_t value_bytes) {
  ItemLayout layout;
  if (client_flags != 0) layout.marks |= kClientFlags;
  if (cas > kMaxNarrowCas) layout.marks |= kWideCas;
  layout.value_bytes = value_bytes;
  const size_t prefix = ItemPrefixBytes(layout.marks) + key_bytes;
  if (prefix + value_bytes > classes.max_slot_bytes()) {
    LayOutChain(classes, key_bytes, &layout);
    return layout;
  }
  layout.head_class = classes.ForBytes(prefix + value_bytes);
  layout.inline_bytes = static_cast<uint32_t>(value_bytes);
  return layout;
}

}  // namespace cairn::storage
