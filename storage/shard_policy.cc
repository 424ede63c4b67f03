// Shard: which items are worth their memory. As in GreedyDual-Size-Frequency (Cherkasova,
// HPL-98-69) an item's time grows with its hits and shrinks with its size, by the page and looked
// at only when the time is over. As in S3-FIFO (Yang et al., SOSP '23) what is new has less of it,
// how much less is moved by ghost hits as in ARC (Megiddo and Modha, FAST '03).
#include <algorithm>
#include <limits>

#include "storage/shard.h"

namespace cairn::storage {
namespace {

constexpr double kLeastShare = 0.1;
constexpr double kGreatestShare = 1;
// The times of pages of large and of small items, in that of one of the mean size: what is large
// has to have the time to be asked for, and what is small and popular once would stay for ever.
constexpr double kLeastTime = 1.0 / 64;
constexpr double kMostTime = 16;
// The part of a shard's pages that has to be filled, and the items that have to be stored, without
// a hit in the main queue before that counts as idle.
constexpr uint64_t kWindowsPerMemory = 64;
constexpr uint64_t kLeastStoredInWindow = 64;

}  // namespace

PageQueue Shard::QueueForNew(uint64_t hash, const Found& old) {
  if (old) return InfoOf(old.place).queue;
  const std::optional<PageQueue> evicted_from = ghosts_->Take(hash);
  if (!evicted_from.has_value()) return kProbation;
  // What comes back too late for its queue says that the queue is too short, each time by about an
  // item: a miss is a miss, whatever its size.
  const double step = 1.0 / static_cast<double>(std::max<uint64_t>(index_->size(), 1));
  probation_share_ = std::clamp(probation_share_ + (*evicted_from == kProbation ? step : -step),
                                kLeastShare, kGreatestShare);
  return kMain;
}

void Shard::NotePageTaken(bool evicted) {
  if (!evicted) {
    // While memory fills, the shard becomes older as it does later by evicting. Otherwise all pages
    // would be of the same age when it is full, and large items, which have little time, would lose
    // all their hits in one go before anything else is looked at.
    const uint64_t pages = pool_->limit() / pool_->page_cost() / shared_->shard_count;
    age_ += probation_share_ / static_cast<double>(std::max<uint64_t>(pages, 1));
  }
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

// A page's time is over when the shard's age is what it was when the page joined its queue, and as
// much more as its items are smaller than the mean. Pages whose time is over make the shard older:
// only the order counts, and needs no clock.
PageId Shard::PageToSweep() {
  if (queues_[kMain].count == 0) return queues_[kProbation].front;
  // While nobody asks for what is kept, what is new is worth as much whatever its size.
  if (main_idle_.load(std::memory_order_relaxed)) return queues_[kMain].front;
  const double mean =
      static_cast<double>(bytes_) / static_cast<double>(std::max<uint64_t>(index_->size(), 1));
  double least = std::numeric_limits<double>::infinity();
  PageId page = 0;
  for (const Line& line : lines_) {
    const double item_bytes = static_cast<double>(classes_[line.class_id].item_bytes);
    const double time = std::clamp(mean / item_bytes, kLeastTime, kMostTime);
    const double due = line.queued_at + (line.queue == kMain ? time : time * probation_share_);
    if (due >= least) continue;
    least = due;
    page = line.front;
  }
  age_ = std::max(age_, least);
  return page;
}

}  // namespace cairn::storage
