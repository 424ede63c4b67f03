// Shard: which items are worth their memory. Two queues of pages as in S3-FIFO (Yang et al.,
// SOSP '23), their shares moved by ghost hits as in ARC (Megiddo and Modha, FAST '03), and, as in
// GreedyDual-Size (Cao and Irani, USITS '97), a hit counts for the more the smaller the item is.
#include <algorithm>

#include "storage/shard.h"

namespace cairn::storage {
namespace {

constexpr double kLeastShare = 0.02;
constexpr double kGreatestShare = 0.9;
// A page of small items is passed over this often at most, for what is small and popular once
// would stay for ever.
constexpr double kLeastSweepRate = 1.0 / 16;
// The part of a shard's pages that has to be filled, and the items that have to be stored, without
// a hit in the main queue before that counts as idle.
constexpr uint64_t kWindowsPerMemory = 64;
constexpr uint64_t kLeastStoredInWindow = 64;

}  // namespace

PageQueue Shard::QueueForNew(uint64_t hash, const Found& old) {
  if (old) return InfoOf(old.place).queue;
  const std::optional<PageQueue> evicted_from = ghosts_->Take(hash);
  if (!evicted_from.has_value()) return kProbation;
  // What comes back too late for its queue's length says that the queue is too short, each time by
  // about an item: a miss is a miss, whatever its size.
  const double step = 1.0 / static_cast<double>(std::max<uint64_t>(index_->size(), 1));
  probation_share_ = std::clamp(probation_share_ + (*evicted_from == kProbation ? step : -step),
                                kLeastShare, kGreatestShare);
  return kMain;
}

void Shard::NotePageTaken() {
  ++pages_in_window_;
  // A few large items fill as many pages as thousands of small ones, and give the others no time
  // to be asked for.
  if (pages_in_window_ <= page_count() / kWindowsPerMemory ||
      stored_in_window_ < kLeastStoredInWindow) {
    return;
  }
  main_idle_.store(!main_hit_.load(std::memory_order_relaxed) && main_in_window_,
                   std::memory_order_relaxed);
  main_in_window_ = queues_[kMain].count > 0;
  main_hit_.store(false, std::memory_order_relaxed);
  pages_in_window_ = stored_in_window_ = 0;
}

PageQueue Shard::QueueToEvict() const {
  const uint64_t probation = queues_[kProbation].count;
  if (queues_[kMain].count == 0) return kProbation;
  if (probation == 0 || main_idle_.load(std::memory_order_relaxed)) return kMain;
  const double share = probation_share_ * static_cast<double>(page_count());
  return static_cast<double>(probation) > share ? kProbation : kMain;
}

bool Shard::MayPassOver(PageId page) {
  // While nobody asks for what is kept, what is new is worth as much whatever its size.
  const bool idle = main_idle_.load(std::memory_order_relaxed);
  if (idle || bytes_ == 0 || queues_[kMain].count == 0) return false;
  const PageInfo& info = pool_->info(page);
  const double rate = static_cast<double>(classes_[info.class_id].slot_bytes) *
                      static_cast<double>(index_->size()) / static_cast<double>(bytes_);
  if (rate >= 1) return false;
  double& credit = per_class_[info.class_id].rooms[info.queue].sweep_credit;
  credit += std::max(rate, kLeastSweepRate);
  if (credit < 1) return true;
  credit -= 1;
  return false;
}

unsigned Shard::HitsNeeded(ItemRef item) const {
  const uint64_t bytes = ItemBytes(item) * index_->size();
  return static_cast<unsigned>(
      std::clamp<uint64_t>((bytes + bytes_ / 2) / std::max<uint64_t>(bytes_, 1), 1, kMaxHits));
}

}  // namespace cairn::storage
