#include "storage/memory_region.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cairn::storage {

MemoryRegion& MemoryRegion::operator=(MemoryRegion&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(reserved_, other.reserved_);
  std::swap(usable_, other.usable_);
  std::swap(step_, other.step_);
  std::swap(lock_, other.lock_);
  return *this;
}

MemoryRegion::~MemoryRegion() {
  if (base_ != nullptr) munmap(base_, reserved_);
}

absl::StatusOr<MemoryRegion> MemoryRegion::Reserve(size_t bytes, size_t step_bytes, bool lock) {
  bytes = (bytes + step_bytes - 1) / step_bytes * step_bytes;
  void* base = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        fmt::format("cannot reserve {} bytes of address space: {}", bytes, std::strerror(errno)));
  }
  madvise(base, bytes, MADV_DONTDUMP);
  MemoryRegion region;
  region.base_ = static_cast<char*>(base);
  region.reserved_ = bytes;
  region.step_ = step_bytes;
  region.lock_ = lock;
  return region;
}

bool MemoryRegion::Extend(size_t bytes) {
  if (bytes <= usable_) return true;
  if (bytes > reserved_) return false;
  const size_t target = std::min(reserved_, (bytes + step_ - 1) / step_ * step_);
  if (mprotect(base_ + usable_, target - usable_, PROT_READ | PROT_WRITE) != 0) return false;
  if (lock_ && mlock(base_ + usable_, target - usable_) != 0) return false;
  usable_ = target;
  return true;
}

void MemoryRegion::Drop(size_t offset, size_t bytes) {
  if (lock_) munlock(base_ + offset, bytes);
  madvise(base_ + offset, bytes, MADV_DONTNEED);
}

size_t MemoryRegion::ShrinkTo(size_t bytes) {
  const size_t target = (bytes + step_ - 1) / step_ * step_;
  if (target < usable_) {
    Drop(target, usable_ - target);
    mprotect(base_ + target, usable_ - target, PROT_NONE);
    usable_ = target;
  }
  return usable_;
}

}  // namespace cairn::storage
