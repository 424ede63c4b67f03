#include "storage/page_pool.h"

#include <bit>
#include <new>
#include <utility>

namespace cairn::storage {
namespace {

constexpr size_t kStepBytes = size_t{2} << 20;  // a huge page
constexpr uint64_t kHugePagesFrom = uint64_t{128} << 20;
constexpr size_t kInfoStepBytes = size_t{64} << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<PagePool>> PagePool::Create(const Options& options) {
  auto pool = std::unique_ptr<PagePool>(new PagePool());
  pool->page_shift_ = std::countr_zero(options.page_bytes);
  pool->place_shift_ = options.place_shift;
  pool->limit_ = options.limit_bytes;
  // Half of the wish each time it is refused, as long as the limit itself fits.
  for (uint64_t bytes = options.reserve_bytes;; bytes /= 2) {
    auto memory = MemoryRegion::Reserve({.bytes = bytes,
                                         .step_bytes = kStepBytes,
                                         .lock = options.lock_memory,
                                         .huge_pages = options.limit_bytes >= kHugePagesFrom
                                                           ? MemoryRegion::HugePages::kAtOnce
                                                           : MemoryRegion::HugePages::kNever});
    if (memory.ok()) {
      pool->memory_ = *std::move(memory);
      break;
    }
    if (bytes / 2 < options.limit_bytes + kStepBytes) return memory.status();
  }
  const uint64_t pages = pool->memory_.reserved_bytes() >> pool->page_shift_;
  auto infos = MemoryRegion::Reserve({.bytes = pages * sizeof(PageInfo),
                                      .step_bytes = kInfoStepBytes,
                                      .lock = options.lock_memory});
  if (!infos.ok()) return infos.status();
  pool->info_memory_ = *std::move(infos);
  pool->infos_ = reinterpret_cast<PageInfo*>(pool->info_memory_.base());
  return pool;
}

uint64_t PagePool::max_limit_bytes() const { return memory_.reserved_bytes() - kStepBytes; }

PageId PagePool::Pop(PageId* list) {
  const PageId page = *list;
  if (page != 0) *list = infos_[page].next;
  return page;
}

PageId PagePool::TakeFreshLocked() {
  PageId page = Pop(&dropped_list_);
  if (page == 0) {
    page = high_page_.load(std::memory_order_relaxed) + 1;  // page 0 is never used
    // A page more than is used: who reads without a lock may take a wrong length for an item's.
    if (!memory_.Extend((static_cast<uint64_t>(page) + 2) << page_shift_) ||
        !info_memory_.Extend((static_cast<uint64_t>(page) + 1) * sizeof(PageInfo))) {
      return 0;
    }
    new (&infos_[page]) PageInfo();
    high_page_.store(page, std::memory_order_release);
  }
  resident_.fetch_add(1, std::memory_order_relaxed);
  return page;
}

PageId PagePool::Take(uint16_t shard, ClassId class_id, PageQueue queue, bool force, ClassId* was) {
  ShardLock lock(&mutex_);
  const auto limit = static_cast<int64_t>(this->limit());
  if (ResidentBytes() > limit && !force) TrimLocked(limit);
  PageId page = 0;
  if (force || ResidentBytes() <= limit) {
    page = Pop(&free_list_);
    if (page != 0) free_resident_.fetch_sub(1, std::memory_order_relaxed);
  }
  if (page == 0 && ResidentBytes() + static_cast<int64_t>(page_cost()) <= limit) {
    page = TakeFreshLocked();
  }
  if (page == 0) return 0;
  PageInfo& info = infos_[page];
  *was = std::exchange(info.class_id, class_id);
  info.state = PageState::kOpen;
  info.queue = queue;
  info.has_room = false;
  info.used = info.bump = info.free_head = info.zombies = info.reserved = 0;
  info.pins = 0;
  info.prev = info.next = info.room_prev = info.room_next = 0;
  info.min_expiry = 0;
  info.write_seconds = 0;
  info.owner.store(static_cast<uint16_t>(shard + 1), std::memory_order_release);
  return page;
}

void PagePool::Give(PageId page) {
  ShardLock lock(&mutex_);
  PageInfo& info = infos_[page];
  info.state = PageState::kFree;
  info.owner.store(0, std::memory_order_release);
  info.next = free_list_;
  free_list_ = page;
  free_resident_.fetch_add(1, std::memory_order_relaxed);
}

void PagePool::TrimLocked(int64_t target_bytes) {
  while (ResidentBytes() > target_bytes) {
    const PageId page = Pop(&free_list_);
    if (page == 0) return;
    memory_.Drop(static_cast<size_t>(page) << page_shift_, page_bytes());
    infos_[page].next = dropped_list_;
    dropped_list_ = page;
    free_resident_.fetch_sub(1, std::memory_order_relaxed);
    resident_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void PagePool::Charge(int64_t bytes) {
  charged_.fetch_add(bytes, std::memory_order_relaxed);
  if (bytes > 0 && pages_free() > 0 && ResidentBytes() > static_cast<int64_t>(limit())) Trim();
}

bool PagePool::TryCharge(int64_t bytes) {
  ShardLock lock(&mutex_);
  const auto limit = static_cast<int64_t>(this->limit());
  if (ResidentBytes() + bytes > limit) TrimLocked(limit - bytes);
  if (ResidentBytes() + bytes > limit) return false;
  charged_.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

void PagePool::Trim() {
  ShardLock lock(&mutex_);
  TrimLocked(static_cast<int64_t>(limit()));
}

uint64_t PagePool::Overdraft() const {
  const int64_t over = ResidentBytes() - static_cast<int64_t>(pages_free() * page_cost()) -
                       static_cast<int64_t>(limit());
  return over > 0 ? static_cast<uint64_t>(over) : 0;
}

}  // namespace cairn::storage
