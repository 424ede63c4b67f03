#pragma once

#include <algorithm>
#include <array>
#include <bit>
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
  uint64_t item_bytes = 0;  ///< what the items are long that have slots here, about
};

/// Sizes of the parts of a page that larger values are cut in: an eighth, a quarter, a half.
inline constexpr unsigned kPartSizes = 3;

/// The table of slab classes for a page size. The largest class whose slots hold whole items is an
/// eighth of a page, so that rounding wastes little of any size; larger values are cut in parts of
/// a page and whole pages. Of each of these there are several classes with slots of the same size,
/// by the size of the whole item, so that what shares a page is worth about the same.
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
  /// For the head of an item of `item_bytes` that does not fit a slot: the largest part of a page
  /// that it fills, if the length of what the head holds of the value can be written down.
  ClassId ForHead(uint64_t item_bytes) const {
    return ForPart(std::min(Octave(item_bytes), largest_head_), item_bytes);
  }
  /// For another part of it. 0: an eighth of a page, 1: a quarter, 2: a half. REQUIRES: the item is
  /// larger than the part.
  ClassId ForPart(unsigned size, uint64_t item_bytes) const {
    const unsigned octave = Octave(item_bytes);
    const unsigned kind = std::min(octave < 2 ? octave : 1 + octave / 2, kPartKinds - 1);
    return static_cast<ClassId>(first_parts_[size] + kind - size);
  }
  uint64_t part_bytes(unsigned size) const { return max_slot_bytes_ << size; }
  /// For its whole pages.
  ClassId ForPages(uint64_t item_bytes) const {
    const unsigned octave = std::max(Octave(item_bytes), kLeastPageOctave);
    return static_cast<ClassId>(first_pages_ +
                                std::min(octave - kLeastPageOctave, kPageClasses - 1));
  }
  uint32_t page_bytes() const { return classes_[first_pages_].slot_bytes; }
  unsigned count() const { return static_cast<unsigned>(classes_.size() - 1); }

 private:
  static constexpr unsigned kPartKinds = 4;  ///< by octave: 0, 1, 2 and 3, more
  static constexpr unsigned kPageClasses = 8;
  static constexpr unsigned kLeastPageOctave = 3;  // an item with a whole page is longer

  /// How often an item's size can be halved until it fits a slot, less one.
  unsigned Octave(uint64_t item_bytes) const {
    return static_cast<unsigned>(std::bit_width((item_bytes - 1) / max_slot_bytes_ | 1)) - 1;
  }

  uint32_t granule_;
  size_t max_slot_bytes_;
  unsigned largest_head_ = 0;
  std::array<ClassId, kPartSizes> first_parts_ = {};  // of the least item that has such a part
  ClassId first_pages_ = 0;
  std::vector<SizeClass> classes_;  // [0] unused
  std::vector<ClassId> by_granule_;
};

}  // namespace cairn::storage
