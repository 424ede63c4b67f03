#include "storage/spill_table.h"

#include <algorithm>
#include <utility>

namespace cairn::storage {
namespace {

using namespace index_entry;  // NOLINT: the entry's format is this file's vocabulary

constexpr uint64_t kLeastBuckets = 16;
// Entries a line, times two, above which the table grows and below which it shrinks. The lines of
// linear hashing hold up to twice the mean, so that chains of two are normal.
constexpr uint64_t kGrowAbove = 13;
constexpr uint64_t kShrinkBelow = 8;

void Clear(SpillTable::Line* line) {
  Set(&line->next, uint64_t{0});
  for (uint64_t& entry : line->entries) Set(&entry, uint64_t{0});
}

}  // namespace

bool GrowCharged(MemoryRegion* region, uint64_t bytes, PagePool* pool, bool force) {
  if (bytes <= region->usable_bytes()) return true;
  const auto before = static_cast<int64_t>(region->usable_bytes());
  const auto wanted =
      static_cast<int64_t>((bytes + kIndexStepBytes - 1) / kIndexStepBytes * kIndexStepBytes);
  if (force) {
    pool->Charge(wanted - before);
  } else if (!pool->TryCharge(wanted - before)) {
    return false;
  }
  const bool extended = region->Extend(bytes);
  pool->Charge(static_cast<int64_t>(region->usable_bytes()) - wanted);
  return extended;
}

void ShrinkCharged(MemoryRegion* region, uint64_t bytes, PagePool* pool) {
  const auto before = static_cast<int64_t>(region->usable_bytes());
  pool->Charge(static_cast<int64_t>(region->ShrinkTo(bytes)) - before);
}

absl::Status SpillTable::Init(PagePool* pool, uint64_t max_bytes, bool lock_memory) {
  pool_ = pool;
  for (MemoryRegion* region : {&main_memory_, &overflow_memory_}) {
    auto memory = MemoryRegion::Reserve(
        {.bytes = max_bytes, .step_bytes = kIndexStepBytes, .lock = lock_memory});
    if (!memory.ok()) return memory.status();
    *region = *std::move(memory);
    if (!GrowCharged(region, kIndexStepBytes, pool, /*force=*/true)) {
      return absl::ResourceExhaustedError("cannot take memory for the index");
    }
  }
  lines_ = reinterpret_cast<Line*>(main_memory_.base());
  overflow_ = reinterpret_cast<Line*>(overflow_memory_.base());
  buckets_ = kLeastBuckets;
  return absl::OkStatus();
}

bool SpillTable::PrepareLines(uint64_t lines, bool force) {
  if (overflow_free_count_ >= lines) return true;
  const uint64_t fresh = lines - overflow_free_count_;
  return GrowCharged(&overflow_memory_, (overflow_high_ + fresh + 1) * sizeof(Line), pool_, force);
}

bool SpillTable::PrepareInsert(uint64_t hash, uint64_t most_buckets, bool force) {
  if ((size_ + 1) * 2 > buckets_ * kGrowAbove && buckets_ < most_buckets) AddBucket(force);
  if (overflow_free_count_ > 0) return true;
  for (const Line* line = &lines_[BucketOf(hash, buckets_)];; line = &overflow_[line->next]) {
    for (const uint64_t entry : line->entries) {
      if (entry == 0) return true;
    }
    if (line->next == 0) return PrepareLines(1, force);
  }
}

void SpillTable::Insert(uint64_t entry) {
  ++size_;
  for (Line* line = &lines_[BucketOf(Tag(entry), buckets_)];; line = &overflow_[line->next]) {
    for (uint64_t& slot : line->entries) {
      if (slot != 0) continue;
      Set(&slot, entry);
      return;
    }
    if (line->next == 0) Set(&line->next, NewOverflowLine());
  }
}

void SpillTable::Erase(uint64_t hash, uint64_t* entry) {
  --size_;
  Set(entry, uint64_t{0});
  // Fill the hole from the end of the chain, so that holes are only in its last line.
  Line* line = &lines_[BucketOf(hash, buckets_)];
  if (line->next == 0) return;
  Line* before = line;
  while (line->next != 0) {
    before = line;
    line = &overflow_[line->next];
  }
  size_t filled = 0;
  uint64_t* last = nullptr;
  for (uint64_t& e : line->entries) {
    if (e == 0) continue;
    last = &e;
    ++filled;
  }
  if (last != nullptr && (entry < line->entries || entry >= std::end(line->entries))) {
    Set(entry, *last);
    Set(last, uint64_t{0});
    --filled;
  }
  if (filled == 0) {
    FreeOverflowLine(before->next);
    Set(&before->next, uint64_t{0});
  }
}

uint64_t SpillTable::NewOverflowLine() {
  uint64_t line = overflow_free_;
  if (line != 0) {
    overflow_free_ = overflow_[line].next;
    --overflow_free_count_;
  } else {
    line = ++overflow_high_;
  }
  Clear(&overflow_[line]);
  return line;
}

void SpillTable::FreeOverflowLine(uint64_t line) {
  Set(&overflow_[line].next, overflow_free_);
  overflow_free_ = line;
  ++overflow_free_count_;
}

void SpillTable::Take(uint64_t bucket, IndexEntries* entries) {
  for (Line* line = &lines_[bucket];;) {
    for (const uint64_t entry : line->entries) {
      if (entry != 0) entries->push_back(entry);
    }
    const uint64_t next = line->next;
    if (line != &lines_[bucket]) FreeOverflowLine(static_cast<uint64_t>(line - overflow_));
    if (next == 0) break;
    line = &overflow_[next];
  }
  Clear(&lines_[bucket]);
}

void SpillTable::Refill(uint64_t bucket, const IndexEntries& entries) {
  Line* line = &lines_[bucket];
  for (size_t done = 0; done < entries.size();) {
    const size_t here = std::min(entries.size() - done, kPerLine);
    for (size_t i = 0; i < here; ++i) Set(&line->entries[i], entries[done + i]);
    done += here;
    if (done == entries.size()) return;
    Set(&line->next, NewOverflowLine());
    line = &overflow_[line->next];
  }
}

// Two chains of a split one never need more lines than that had.
bool SpillTable::AddBucket(bool force) {
  if (!GrowCharged(&main_memory_, (buckets_ + 1) * sizeof(Line), pool_, force)) return false;
  const uint64_t bit = LowerPower(buckets_);
  IndexEntries all;
  Take(buckets_ - bit, &all);
  IndexEntries stay;
  IndexEntries go;
  for (const uint64_t entry : all) ((Tag(entry) & bit) != 0 ? go : stay).push_back(entry);
  Refill(buckets_ - bit, stay);
  Refill(buckets_, go);
  Set(&buckets_, buckets_ + 1);
  return true;
}

bool SpillTable::RemoveBucket() {
  const uint64_t last = buckets_ - 1;
  if (buckets_ <= kLeastBuckets || !PrepareLines(2, /*force=*/false)) return false;
  IndexEntries all;
  Take(last - LowerPower(last), &all);
  Take(last, &all);
  Refill(last - LowerPower(last), all);
  Set(&buckets_, last);
  // Two steps of slack, so that going to and fro costs no system calls.
  ShrinkCharged(&main_memory_, last * sizeof(Line) + 2 * kIndexStepBytes, pool_);
  return true;
}

void SpillTable::ShrinkIfSparse() {
  if (size_ * 2 < buckets_ * kShrinkBelow) RemoveBucket();
}

void SpillTable::Reset() {
  main_memory_.Drop(0, main_memory_.usable_bytes());
  overflow_memory_.Drop(0, overflow_memory_.usable_bytes());
  ShrinkCharged(&main_memory_, kIndexStepBytes, pool_);
  ShrinkCharged(&overflow_memory_, kIndexStepBytes, pool_);
  size_ = 0;
  overflow_high_ = overflow_free_ = overflow_free_count_ = 0;
  Set(&buckets_, kLeastBuckets);
}

}  // namespace cairn::storage
