#include "client/ring.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <limits>
#include <utility>

namespace cairn {

Ring::Ring(std::vector<Point> points) : points_(std::move(points)) {
  std::stable_sort(points_.begin(), points_.end(),
                   [](const Point& a, const Point& b) { return a.place < b.place; });
  // Past the last point the circle begins anew. A hash equal to the largest place still finds a
  // point there first, since it stands before this one.
  points_.push_back({std::numeric_limits<uint32_t>::max(), points_.front().server});

  // 2^8 slices at least: shifting by 32 would be undefined.
  const int bits = std::clamp(static_cast<int>(std::bit_width(points_.size())) + 1, 8, 20);
  shift_ = 32 - bits;
  first_.resize(size_t{1} << bits);
  uint32_t next = 0;
  for (size_t slice = 0; slice < first_.size(); ++slice) {
    while (points_[next].place < (static_cast<uint32_t>(slice) << shift_)) ++next;
    first_[slice] = next;
  }
}

}  // namespace cairn
