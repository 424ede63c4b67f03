#include "storage/size_classes.h"

#include <algorithm>

#include "storage/item.h"

namespace cairn::storage {
namespace {

constexpr uint32_t kLeastSlotBytes = 20;  // header, one byte of key, three of value
constexpr uint32_t kLargestShare = 8;     // slots a page in the largest class
constexpr double kDefaultGrowth = 1.08;
constexpr unsigned kLeastOctaveOfKind[] = {0, 1, 2, 4};

SizeClass MakeClass(uint32_t page_bytes, uint32_t slot_bytes) {
  SizeClass c;
  c.slot_bytes = slot_bytes;
  c.item_bytes = slot_bytes;
  c.slots_per_page = static_cast<uint16_t>(page_bytes / slot_bytes);
  // Exact for offsets below 2^16: the error of the rounded-up reciprocal stays below 2^-16.
  c.reciprocal = static_cast<uint32_t>(((uint64_t{1} << 32) + slot_bytes - 1) / slot_bytes);
  return c;
}

}  // namespace

SizeClasses::SizeClasses(uint32_t page_bytes, double growth_factor, uint32_t granule_bytes)
    : granule_(granule_bytes) {
  const double coarse_growth = growth_factor > 1 ? growth_factor : kDefaultGrowth;
  // From the largest down: the sizes are whole shares of a page, so that no page has a dead end.
  std::vector<uint32_t> sizes;
  for (uint32_t slots = kLargestShare;;) {
    const uint32_t size = page_bytes / slots / granule_ * granule_;
    if (size < kLeastSlotBytes) break;
    if (sizes.empty() || size < sizes.back()) sizes.push_back(size);
    slots = std::max(slots + 1, page_bytes / size + 1);
  }
  std::reverse(sizes.begin(), sizes.end());
  classes_.push_back({});
  for (const uint32_t size : sizes) classes_.push_back(MakeClass(page_bytes, size));
  ClassId coarse = static_cast<ClassId>(sizes.size());
  for (ClassId id = coarse; id >= 1; --id) {
    if (classes_[id].slot_bytes * coarse_growth <= classes_[coarse].slot_bytes) coarse = id;
    classes_[id].coarse = coarse;
  }
  max_slot_bytes_ = sizes.back();
  by_granule_.resize(max_slot_bytes_ / granule_ + 1);
  ClassId id = 1;
  for (size_t g = 0; g < by_granule_.size(); ++g) {
    while (classes_[id].slot_bytes < g * granule_) ++id;
    by_granule_[g] = id;
  }
  const auto add = [&](uint32_t slot_bytes, uint64_t item_bytes) {
    classes_.push_back(MakeClass(page_bytes, slot_bytes));
    classes_.back().item_bytes = item_bytes;
    classes_.back().coarse = static_cast<ClassId>(classes_.size() - 1);
  };
  const uint64_t middle = max_slot_bytes_ + max_slot_bytes_ / 2;  // of the least octave
  for (unsigned size = 0; size < kPartSizes; ++size) {
    first_parts_[size] = static_cast<ClassId>(classes_.size());
    for (unsigned kind = size; kind < kPartKinds; ++kind) {
      add(static_cast<uint32_t>(part_bytes(size)), middle << kLeastOctaveOfKind[kind]);
    }
    if (part_bytes(size) <= kMaxInlineBytes + kItemHeaderBytes) largest_head_ = size;
  }
  first_pages_ = static_cast<ClassId>(classes_.size());
  for (unsigned n = 0; n < kPageClasses; ++n) add(page_bytes, middle << (kLeastPageOctave + n));
}

static_assert((uint32_t{64} << 10) / kLargestShare <= kMaxInlineBytes);

}  // namespace cairn::storage
