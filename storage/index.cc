#include "storage/index.h"

#include <algorithm>
#include <utility>

namespace cairn::storage {
namespace {

using namespace index_entry;  // NOLINT: the entry's format is this file's vocabulary

constexpr uint64_t kLeastBuckets = 64;
// Entries a line, times two, above which the table grows and below which it shrinks. Linear hashing
// fills lines that are not yet split up to twice the mean.
constexpr uint64_t kGrowAbove = 15;
constexpr uint64_t kShrinkBelow = 11;

uint64_t ReverseBits(uint64_t v) {
  v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
  v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
  v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
  return __builtin_bswap64(v);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Index>> Index::Create(PagePool* pool, uint64_t max_bytes,
                                                     bool lock_memory) {
  auto index = std::unique_ptr<Index>(new Index());
  index->pool_ = pool;
  auto memory = MemoryRegion::Reserve({.bytes = max_bytes,
                                       .step_bytes = kIndexStepBytes,
                                       .lock = lock_memory,
                                       .huge_pages = MemoryRegion::HugePages::kLater});
  if (!memory.ok()) return memory.status();
  index->main_memory_ = *std::move(memory);
  if (!GrowCharged(&index->main_memory_, kIndexStepBytes, pool, /*force=*/true)) {
    return absl::ResourceExhaustedError("cannot take memory for the index");
  }
  const absl::Status status = index->spill_.Init(pool, max_bytes, lock_memory);
  if (!status.ok()) return status;
  index->lines_ = reinterpret_cast<Line*>(index->main_memory_.base());
  index->buckets_ = kLeastBuckets;
  index->UpdateBytes();
  return index;
}

Index::~Index() {
  if (pool_ != nullptr) pool_->Charge(-static_cast<int64_t>(bytes()));
}

bool Index::PrepareInsert(uint64_t hash, bool force) {
  if ((size_ + 1) * 2 > bucket_count() * kGrowAbove) AddBucket(force);
  const Line* line = LineOf(hash);
  for (const uint64_t entry : line->entries) {
    if (entry == 0) return true;
  }
  const bool prepared = spill_.PrepareInsert(hash, LowerPower(bucket_count()), force);
  UpdateBytes();
  return prepared;
}

void Index::Insert(uint64_t hash, Place place) {
  ++size_;
  Line* line = LineOf(hash);
  for (uint64_t& entry : line->entries) {
    if (entry != 0) continue;
    Set(&entry, Make(hash, place));
    return;
  }
  spill_.Insert(Make(hash, place));
  ++line->spilled;
  Set(&line->filter, line->filter | FilterBit(TagOf(hash)));
}

void Index::Erase(uint64_t hash, uint64_t* entry) {
  --size_;
  const uint64_t count = bucket_count();
  const uint64_t bucket = BucketOf(hash, count);
  Line* line = &lines_[bucket];
  if (entry < line->entries || entry >= std::end(line->entries)) {
    spill_.Erase(hash, entry);
    CountSpilled(line);
  } else if (line->spilled > 0) {
    // Lines with spilled entries are full: a miss need not look further than the filter.
    uint64_t* back = nullptr;
    spill_.ForChain(hash, [&](uint64_t* e) {
      if (BucketOf(Tag(*e), count) == bucket) back = e;
    });
    Set(entry, *back);
    spill_.Erase(hash, back);
    CountSpilled(line);
  } else {
    Set(entry, uint64_t{0});
  }
  spill_.ShrinkIfSparse();
  if (size_ * 2 < count * kShrinkBelow && count > kLeastBuckets) RemoveBucket();
}

void Index::CountSpilled(Line* line) {
  if (--line->spilled == 0) Set(&line->filter, uint32_t{0});
}

void Index::Take(uint64_t bucket, IndexEntries* entries) {
  Line* line = &lines_[bucket];
  const uint64_t count = bucket_count();
  for (const uint64_t entry : line->entries) {
    if (entry != 0) entries->push_back(entry);
  }
  while (line->spilled > 0) {
    uint64_t* found = nullptr;
    spill_.ForChain(bucket, [&](uint64_t* e) {
      if (BucketOf(Tag(*e), count) == bucket) found = e;
    });
    entries->push_back(*found);
    spill_.Erase(bucket, found);
    CountSpilled(line);
  }
  Set(&line->filter, uint32_t{0});
  for (uint64_t& entry : line->entries) Set(&entry, uint64_t{0});
}

void Index::Refill(uint64_t bucket, const IndexEntries& entries) {
  Line* line = &lines_[bucket];
  const size_t here = std::min(entries.size(), kPerLine);
  for (size_t i = 0; i < here; ++i) Set(&line->entries[i], entries[i]);
  for (size_t i = here; i < entries.size(); ++i) {
    spill_.Insert(entries[i]);
    ++line->spilled;
    Set(&line->filter, line->filter | FilterBit(Tag(entries[i])));
  }
}

// A split only takes entries out of the spill table, so that it needs no memory there.
void Index::AddBucket(bool force) {
  const uint64_t count = bucket_count();
  if (count >= kMostBuckets ||
      !GrowCharged(&main_memory_, (count + 1) * sizeof(Line), pool_, force)) {
    return;
  }
  const uint64_t bit = LowerPower(count);
  IndexEntries all;
  Take(count - bit, &all);
  IndexEntries stay;
  IndexEntries go;
  for (const uint64_t entry : all) ((Tag(entry) & bit) != 0 ? go : stay).push_back(entry);
  Refill(count - bit, stay);
  Refill(count, go);
  buckets_.store(count + 1, std::memory_order_relaxed);
  UpdateBytes();
}

void Index::RemoveBucket() {
  const uint64_t last = bucket_count() - 1;
  const uint64_t parent = last - LowerPower(last);
  // The spill table must be addressed by bits that all entries of a line share, and may have to
  // take a line's worth of entries more.
  if (spill_.bucket_count() > LowerPower(last) || !spill_.PrepareLines(3, /*force=*/false)) return;
  IndexEntries all;
  Take(parent, &all);
  Take(last, &all);
  Refill(parent, all);
  buckets_.store(last, std::memory_order_relaxed);
  // Two steps of slack, so that going to and fro costs no system calls.
  ShrinkCharged(&main_memory_, last * sizeof(Line) + 2 * kIndexStepBytes, pool_);
  UpdateBytes();
}

void Index::WalkStep(uint64_t* cursor, absl::FunctionRef<void(Place)> visit) const {
  const uint64_t count = bucket_count();
  const uint64_t power = LowerPower(count);
  const uint64_t first = *cursor & (power - 1);
  for (uint64_t bucket = first; bucket < count && bucket <= first + power; bucket += power) {
    const Line& line = lines_[bucket];
    for (const uint64_t entry : line.entries) {
      if (entry != 0) visit(PlaceIn(entry));
    }
    if (line.spilled == 0) continue;
    spill_.ForChain(bucket, [&](const uint64_t* entry) {
      if (BucketOf(Tag(*entry), count) == bucket) visit(PlaceIn(*entry));
    });
  }
  *cursor = ReverseBits(ReverseBits(*cursor | ~(power - 1)) + 1);
}

bool Index::JoinPages() {
  const uint64_t filled =
      bucket_count() * sizeof(Line) / MemoryRegion::kHugePageBytes * MemoryRegion::kHugePageBytes;
  uint64_t before = joined_bytes_.load(std::memory_order_relaxed);
  const uint64_t joined = std::min(before, filled);
  const bool more = joined < filled;
  if (more) main_memory_.JoinPages(joined);
  // Not over a Reset meanwhile.
  joined_bytes_.compare_exchange_strong(before, joined + (more ? MemoryRegion::kHugePageBytes : 0),
                                        std::memory_order_relaxed);
  return more;
}

void Index::Reset() {
  main_memory_.Drop(0, main_memory_.usable_bytes());
  ShrinkCharged(&main_memory_, kIndexStepBytes, pool_);
  spill_.Reset();
  size_ = 0;
  joined_bytes_.store(0, std::memory_order_relaxed);
  buckets_.store(kLeastBuckets, std::memory_order_relaxed);
  UpdateBytes();
}

}  // namespace cairn::storage
