#include "storage/size_classes.h"

#include <algorithm>
#include <cmath>

#include "storage/item.h"

namespace cairn::storage {
namespace {

constexpr uint32_t kLeastSlotBytes = 20;  // header, one byte of key, three of value
constexpr uint32_t kLargestShare = 8;     // slots a page in the largest class
constexpr double kDefaultGrowth = 1.06;
constexpr size_t kMaxClasses = 250;  // ClassId is a byte

SizeClass MakeClass(uint32_t page_bytes, uint32_t slot_bytes) {
  SizeClass c;
  c.slot_bytes = slot_bytes;
  c.slots_per_page = static_cast<uint16_t>(page_bytes / slot_bytes);
  // Exact for offsets below 2^16: the error of the rounded-up reciprocal stays below 2^-16.
  c.reciprocal = static_cast<uint32_t>(((uint64_t{1} << 32) + slot_bytes - 1) / slot_bytes);
  return c;
}

}  // namespace

SizeClasses::SizeClasses(uint32_t page_bytes, double growth_factor, uint32_t granule_bytes)
    : granule_(granule_bytes) {
  const double growth = growth_factor > 1 ? std::max(growth_factor, 1.02) : kDefaultGrowth;
  // From the largest down: the sizes are whole shares of a page, so that no page has a dead end.
  std::vector<uint32_t> sizes;
  for (uint32_t slots = kLargestShare; sizes.size() < kMaxClasses;) {
    const uint32_t size = page_bytes / slots / granule_ * granule_;
    if (size < kLeastSlotBytes) break;
    if (sizes.empty() || size < sizes.back()) sizes.push_back(size);
    const auto wanted = static_cast<uint32_t>(std::ceil(slots * growth));
    slots = std::max({slots + 1, wanted, page_bytes / size + 1});
  }
  std::reverse(sizes.begin(), sizes.end());
  classes_.push_back({});
  for (const uint32_t size : sizes) classes_.push_back(MakeClass(page_bytes, size));
  max_slot_bytes_ = sizes.back();
  by_granule_.resize(max_slot_bytes_ / granule_ + 1);
  ClassId id = 1;
  for (size_t g = 0; g < by_granule_.size(); ++g) {
    while (classes_[id].slot_bytes < g * granule_) ++id;
    by_granule_[g] = id;
  }
  classes_.push_back(MakeClass(page_bytes, page_bytes));
}

static_assert((uint32_t{64} << 10) / kLargestShare <= kMaxInlineBytes);

}  // namespace cairn::storage
