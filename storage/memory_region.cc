#include "storage/memory_region.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

namespace cairn::storage {

namespace {

// Not in all headers; kernels before 6.1 refuse it.
constexpr int kMadviseCollapse = 25;

/// Joining pages would not ask the operator, who may have said so for the whole system.
bool HugePagesAreOff() {
  static const bool off = [] {
    std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
    std::string text;
    return !std::getline(setting, text) || text.find("[never]") != std::string::npos;
  }();
  return off;
}

}  // namespace

MemoryRegion& MemoryRegion::operator=(MemoryRegion&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(base_, other.base_);
  std::swap(reserved_, other.reserved_);
  std::swap(usable_, other.usable_);
  std::swap(step_, other.step_);
  std::swap(lock_, other.lock_);
  std::swap(huge_pages_, other.huge_pages_);
  return *this;
}

MemoryRegion::~MemoryRegion() {
  if (mapping_ != nullptr) munmap(mapping_, mapping_bytes_);
}

absl::StatusOr<MemoryRegion> MemoryRegion::Reserve(const Options& options) {
  const size_t step = options.step_bytes;
  const size_t bytes = (options.bytes + step - 1) / step * step;
  const bool aligned = options.huge_pages != HugePages::kNever;
  const size_t mapped = bytes + (aligned ? kHugePageBytes : 0);
  void* mapping =
      mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        fmt::format("cannot reserve {} bytes of address space: {}", bytes, std::strerror(errno)));
  }
  madvise(mapping, mapped, MADV_DONTDUMP);
  MemoryRegion region;
  region.mapping_ = static_cast<char*>(mapping);
  region.mapping_bytes_ = mapped;
  const size_t over = reinterpret_cast<uintptr_t>(mapping) % kHugePageBytes;
  region.base_ = region.mapping_ + (aligned && over != 0 ? kHugePageBytes - over : 0);
  region.reserved_ = bytes;
  region.step_ = step;
  region.lock_ = options.lock;
  region.huge_pages_ = options.huge_pages;
  if (options.huge_pages == HugePages::kAtOnce) madvise(region.base_, bytes, MADV_HUGEPAGE);
  return region;
}

bool MemoryRegion::Extend(size_t bytes) {
  if (bytes <= usable_) return true;
  if (bytes > reserved_) return false;
  const size_t target = std::min(reserved_, (bytes + step_ - 1) / step_ * step_);
  if (mprotect(base_ + usable_, target - usable_, PROT_READ | PROT_WRITE) != 0) return false;
  // Past the user's limit on locked memory, unlocked memory is better than none.
  if (lock_) static_cast<void>(mlock(base_ + usable_, target - usable_));
  usable_ = target;
  return true;
}

void MemoryRegion::Drop(size_t offset, size_t bytes) {
  if (huge_pages_ == HugePages::kAtOnce) {
    // Or the kernel would fill the hole again to make its huge page whole.
    huge_pages_ = HugePages::kNever;
    madvise(base_, reserved_, MADV_NOHUGEPAGE);
  }
  if (lock_) munlock(base_ + offset, bytes);
  madvise(base_ + offset, bytes, MADV_DONTNEED);
}

size_t MemoryRegion::ShrinkTo(size_t bytes) {
  const size_t target = (bytes + step_ - 1) / step_ * step_;
  if (target < usable_) {
    Drop(target, usable_ - target);
    usable_ = target;
  }
  return usable_;
}

void MemoryRegion::JoinPages(size_t offset) const {
  if (!HugePagesAreOff()) madvise(base_ + offset, kHugePageBytes, kMadviseCollapse);
}

}  // namespace cairn::storage
