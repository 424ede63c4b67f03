#pragma once

#include <cstddef>

#include "absl/status/statusor.h"

namespace cairn::storage {

/// A reserved range of address space whose beginning is made usable step by step. Fresh and dropped
/// memory reads as zeros. Movable, owns the mapping; thread-compatible.
class MemoryRegion {
 public:
  MemoryRegion() = default;
  MemoryRegion(MemoryRegion&& other) noexcept { *this = static_cast<MemoryRegion&&>(other); }
  MemoryRegion& operator=(MemoryRegion&& other) noexcept;
  ~MemoryRegion();

  /// ResourceExhausted when the system has no such range. `lock`: what is in use stays in RAM.
  static absl::StatusOr<MemoryRegion> Reserve(size_t bytes, size_t step_bytes, bool lock);

  char* base() const { return base_; }
  size_t reserved_bytes() const { return reserved_; }
  size_t usable_bytes() const { return usable_; }

  /// Makes at least the first `bytes` usable. False when the system refuses or it is too much.
  bool Extend(size_t bytes);
  /// Gives the memory of a range back to the system; it stays usable. Page-aligned.
  void Drop(size_t offset, size_t bytes);
  /// Drops whole steps beyond `bytes` and makes them unusable again. Returns usable_bytes().
  size_t ShrinkTo(size_t bytes);

 private:
  char* base_ = nullptr;
  size_t reserved_ = 0;
  size_t usable_ = 0;
  size_t step_ = 0;
  bool lock_ = false;
};

}  // namespace cairn::storage
