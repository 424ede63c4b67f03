#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn::storage {

using ClassId = uint16_t;  ///< 1-based; 0 is none

/// One slab class: how a page is cut into slots.
struct SizeClass {
  uint32_t slot_bytes = 0;
  uint16_t slots_per_page = 0;
  ClassId coarse = 0;       ///< the class that serves instead while few items want this one
  uint32_t reciprocal = 0;  ///< slot of an offset: (offset * reciprocal) >> 32
};

/// The table of slab classes for a page size. The largest class whose slots hold items is an eighth
/// of a page, so that rounding wastes little of any size; larger values are cut in chunks. One more
/// class has a slot of a whole page, for the bulk of large values.
///
/// Classes are fine: each number of slots that a page can have makes one. Some are coarse as well:
/// an item whose class is not wanted by enough others to fill pages of its own goes to the next
/// coarse one, so that a mix of all sizes does not leave a half-filled page for each. Immutable.
class SizeClasses {
 public:
  /// `growth_factor` is the least ratio of coarse neighbours; 0 chooses. `granule_bytes` divides
  /// every slot's size.
  SizeClasses(uint32_t page_bytes, double growth_factor, uint32_t granule_bytes);

  const SizeClass& operator[](ClassId id) const { return classes_[id]; }
  /// The least class with slots of `bytes`. REQUIRES: bytes <= max_slot_bytes().
  ClassId ForBytes(size_t bytes) const { return by_granule_[(bytes + granule_ - 1) / granule_]; }
  size_t max_slot_bytes() const { return max_slot_bytes_; }
  ClassId largest() const { return static_cast<ClassId>(classes_.size() - 2); }
  ClassId whole_page() const { return static_cast<ClassId>(classes_.size() - 1); }
  unsigned count() const { return static_cast<unsigned>(classes_.size() - 1); }

 private:
  uint32_t granule_;
  size_t max_slot_bytes_;
  std::vector<SizeClass> classes_;  // [0] unused
  std::vector<ClassId> by_granule_;
};

}  // namespace cairn::storage
