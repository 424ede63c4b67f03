#pragma once

#include <algorithm>
#include <cstdint>

#include "storage/item.h"
#include "storage/size_classes.h"

namespace cairn::storage {

/// How an item of some size is cut into slots: a head with the key and the beginning of the value,
/// then chunks of whole pages, chunks of the largest class, and one of the least class that holds
/// the rest.
struct ItemLayout {
  uint8_t marks = 0;       ///< the layout marks
  ClassId head_class = 0;  ///< of its large chunks as well
  ClassId page_class = 0;
  uint32_t inline_bytes = 0;
  uint64_t value_bytes = 0;
  uint64_t page_chunks = 0;
  uint32_t large_chunks = 0;
  ClassId last_class = 0;  ///< 0: none

  bool chained() const { return (marks & kChained) != 0; }
  uint64_t slot_count() const { return 1 + page_chunks + large_chunks + (last_class != 0 ? 1 : 0); }
  ClassId ClassOf(uint64_t slot) const {
    if (slot == 0) return head_class;
    if (slot <= page_chunks) return page_class;
    return slot <= page_chunks + large_chunks ? head_class : last_class;
  }
};

inline ItemLayout LayOut(const SizeClasses& classes, size_t key_bytes, uint32_t client_flags,
                         uint64_t cas, uint64_t value_bytes) {
  ItemLayout layout;
  if (client_flags != 0) layout.marks |= kClientFlags;
  if (cas > kMaxNarrowCas) layout.marks |= kWideCas;
  layout.value_bytes = value_bytes;
  size_t prefix = ItemPrefixBytes(layout.marks) + key_bytes;
  if (prefix + value_bytes <= classes.max_slot_bytes()) {
    layout.head_class = classes.ForBytes(prefix + value_bytes);
    layout.inline_bytes = static_cast<uint32_t>(value_bytes);
    return layout;
  }
  // The wide CAS is always there: eight bytes of a large item save having to rebuild it later.
  layout.marks |= kChained | kWideCas;
  prefix = ItemPrefixBytes(layout.marks) + key_bytes;
  layout.head_class = classes.ForChunks(prefix + value_bytes);
  layout.page_class = classes.ForPages(prefix + value_bytes);
  layout.inline_bytes =
      static_cast<uint32_t>(std::min<uint64_t>(classes.max_slot_bytes() - prefix, value_bytes));
  const uint64_t page_room = classes.page_bytes() - kChunkHeaderBytes;
  const uint64_t large_room = classes.max_slot_bytes() - kChunkHeaderBytes;
  uint64_t rest = value_bytes - layout.inline_bytes;
  layout.page_chunks = rest / page_room;
  rest %= page_room;
  layout.large_chunks = static_cast<uint32_t>(rest / large_room);
  rest %= large_room;
  if (rest != 0) layout.last_class = classes.ForBytes(rest + kChunkHeaderBytes);
  return layout;
}

}  // namespace cairn::storage
