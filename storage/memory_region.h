#pragma once

#include <cstddef>
#include <cstdint>

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

  enum class HugePages : uint8_t {
    kNever,
    kAtOnce,  ///< ask for them, until something is dropped
    kLater,   ///< make them of small ones that are in use, by JoinPages
  };
  struct Options {
    size_t bytes = 0;
    size_t step_bytes = 0;  ///< a multiple of the system's pages
    bool lock = false;      ///< what is in use stays in RAM, as far as the user may lock it
    HugePages huge_pages = HugePages::kNever;
  };
  /// ResourceExhausted when the system has no such range.
  static absl::StatusOr<MemoryRegion> Reserve(const Options& options);

  char* base() const { return base_; }
  size_t reserved_bytes() const { return reserved_; }
  size_t usable_bytes() const { return usable_; }

  /// Makes at least the first `bytes` usable. False when the system refuses or it is too much.
  bool Extend(size_t bytes);
  /// Gives the memory of a range back to the system; it stays usable. Page-aligned.
  void Drop(size_t offset, size_t bytes);
  /// Drops whole steps beyond `bytes`, which no longer count as usable; reading them still only
  /// gives zeros. Returns usable_bytes().
  size_t ShrinkTo(size_t bytes);
  /// Makes a huge page of the small ones at `offset`, if the system does. They should all be in
  /// use, or they take more memory than before. Takes about a millisecond; meanwhile who touches
  /// them, and who maps or unmaps memory of the process, may wait for it. Thread-safe.
  /// REQUIRES: kLater; offset is a multiple of kHugePageBytes, and so much has been usable.
  void JoinPages(size_t offset) const;
  static constexpr size_t kHugePageBytes = size_t{2} << 20;

 private:
  char* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  char* base_ = nullptr;
  size_t reserved_ = 0;
  size_t usable_ = 0;
  size_t step_ = 0;
  bool lock_ = false;
  HugePages huge_pages_ = HugePages::kNever;
};

}  // namespace cairn::storage
