#include "storage/index.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/container/inlined_vector.h"

namespace cairn::storage {
namespace {

constexpr size_t kStepBytes = size_t{32} << 10;
constexpr size_t kLineEntries = 7;
// Entries a line, times two, above which the table grows and below which it shrinks. Linear hashing
// has lines with up to twice the mean, so that chains of two are normal: memory was lowest here.
constexpr uint64_t kGrowAbove = 13;
constexpr uint64_t kShrinkBelow = 9;

using Entries = absl::InlinedVector<uint64_t, 32>;

uint64_t ReverseBits(uint64_t v) {
  v = (v >> 1 & 0x5555555555555555) | (v & 0x5555555555555555) << 1;
  v = (v >> 2 & 0x3333333333333333) | (v & 0x3333333333333333) << 2;
  v = (v >> 4 & 0x0f0f0f0f0f0f0f0f) | (v & 0x0f0f0f0f0f0f0f0f) << 4;
  return __builtin_bswap64(v);
}

uint64_t LowerPower(uint64_t n) { return std::bit_floor(n); }

}  // namespace

absl::StatusOr<std::unique_ptr<Index>> Index::Create(PagePool* pool, uint64_t max_bytes,
                                                     bool lock_memory) {
  auto index = std::unique_ptr<Index>(new Index());
  index->pool_ = pool;
  for (MemoryRegion* region : {&index->main_memory_, &index->overflow_memory_}) {
    auto memory = MemoryRegion::Reserve(max_bytes, kStepBytes, lock_memory);
    if (!memory.ok()) return memory.status();
    *region = *std::move(memory);
    if (!index->Grow(region, kStepBytes, /*force=*/true)) {
      return absl::ResourceExhaustedError("cannot take memory for the index");
    }
  }
  index->lines_ = reinterpret_cast<Line*>(index->main_memory_.base());
  index->overflow_ = reinterpret_cast<Line*>(index->overflow_memory_.base());
  index->buckets_ = kLeastBuckets;
  return index;
}

Index::~Index() {
  if (pool_ != nullptr) pool_->Charge(-static_cast<int64_t>(bytes()));
}

uint64_t Index::BucketOf(uint64_t hash, uint64_t buckets) {
  const uint64_t mask = LowerPower(buckets) * 2 - 1;
  const uint64_t bucket = hash & mask;
  return bucket < buckets ? bucket : bucket & (mask >> 1);
}

void Index::UpdateBytes() {
  const uint64_t bytes = main_memory_.usable_bytes() + overflow_memory_.usable_bytes();
  bytes_.store(bytes, std::memory_order_relaxed);
}

bool Index::Grow(MemoryRegion* region, uint64_t bytes, bool force) {
  if (bytes <= region->usable_bytes()) return true;
  const auto before = static_cast<int64_t>(region->usable_bytes());
  const auto wanted = static_cast<int64_t>((bytes + kStepBytes - 1) / kStepBytes * kStepBytes);
  if (force) {
    pool_->Charge(wanted - before);
  } else if (!pool_->TryCharge(wanted - before)) {
    return false;
  }
  region->Extend(bytes);
  pool_->Charge(static_cast<int64_t>(region->usable_bytes()) - wanted);
  UpdateBytes();
  return region->usable_bytes() >= bytes;
}

bool Index::EnsureOverflowSpace(uint64_t lines, bool force) {
  if (overflow_free_count_ >= lines) return true;
  const uint64_t fresh = lines - overflow_free_count_;
  return Grow(&overflow_memory_, (overflow_high_ + fresh + 1) * sizeof(Line), force);
}

uint64_t Index::NewOverflowLine() {
  uint64_t line = overflow_free_;
  if (line != 0) {
    overflow_free_ = overflow_[line].next;
    --overflow_free_count_;
  } else {
    line = ++overflow_high_;
  }
  std::memset(&overflow_[line], 0, sizeof(Line));
  return line;
}

void Index::FreeOverflowLine(uint64_t line) {
  overflow_[line].next = overflow_free_;
  overflow_free_ = line;
  ++overflow_free_count_;
}

void Index::Refill(uint64_t bucket, const uint64_t* entries, size_t count) {
  Line* line = &lines_[bucket];
  for (;;) {
    const size_t here = std::min(count, kLineEntries);
    std::fill(std::copy(entries, entries + here, line->entries), std::end(line->entries), 0);
    line->next = 0;
    entries += here;
    count -= here;
    if (count == 0) return;
    line->next = NewOverflowLine();
    line = &overflow_[line->next];
  }
}

bool Index::AddBucket(bool force) {
  const uint64_t count = bucket_count();
  if (count >= kMostBuckets || !Grow(&main_memory_, (count + 1) * sizeof(Line), force)) {
    return false;
  }
  const uint64_t bit = LowerPower(count);
  const uint64_t parent = count - bit;
  Entries stay;
  Entries go;
  for (uint64_t next = 0;;) {
    const Line& line = next == 0 ? lines_[parent] : overflow_[next];
    for (const uint64_t entry : line.entries) {
      if (entry == 0) continue;
      ((entry >> kPlaceBits & bit) != 0 ? go : stay).push_back(entry);
    }
    const uint64_t following = line.next;
    if (next != 0) FreeOverflowLine(next);
    if (following == 0) break;
    next = following;
  }
  Refill(parent, stay.data(), stay.size());
  Refill(count, go.data(), go.size());
  buckets_.store(count + 1, std::memory_order_relaxed);
  return true;
}

void Index::RemoveBucket() {
  const uint64_t last = bucket_count() - 1;
  const uint64_t parent = last - LowerPower(last);
  if (!EnsureOverflowSpace(2, /*force=*/false)) return;
  Entries all;
  for (const uint64_t bucket : {parent, last}) {
    for (uint64_t next = 0;;) {
      const Line& line = next == 0 ? lines_[bucket] : overflow_[next];
      for (const uint64_t entry : line.entries) {
        if (entry != 0) all.push_back(entry);
      }
      const uint64_t following = line.next;
      if (next != 0) FreeOverflowLine(next);
      if (following == 0) break;
      next = following;
    }
  }
  Refill(parent, all.data(), all.size());
  std::memset(&lines_[last], 0, sizeof(Line));
  buckets_.store(last, std::memory_order_relaxed);
  // Two steps of slack, so that going to and fro costs no system calls.
  const uint64_t keep = last * sizeof(Line) + 2 * kStepBytes;
  if (keep < main_memory_.usable_bytes()) {
    const auto before = static_cast<int64_t>(main_memory_.usable_bytes());
    pool_->Charge(static_cast<int64_t>(main_memory_.ShrinkTo(keep)) - before);
    UpdateBytes();
  }
}

bool Index::PrepareInsert(uint64_t hash, bool force) {
  if ((size_ + 1) * 2 > bucket_count() * kGrowAbove) AddBucket(force);
  if (overflow_free_count_ > 0) return true;
  for (const Line* line = &lines_[BucketOf(hash, bucket_count())];; line = &overflow_[line->next]) {
    for (const uint64_t entry : line->entries) {
      if (entry == 0) return true;
    }
    if (line->next == 0) return EnsureOverflowSpace(1, force);
  }
}

void Index::Insert(uint64_t hash, Place place) {
  Line* line = &lines_[BucketOf(hash, bucket_count())];
  ++size_;
  for (;;) {
    for (uint64_t& entry : line->entries) {
      if (entry != 0) continue;
      entry = TagOf(hash) << kPlaceBits | place;
      return;
    }
    if (line->next == 0) line->next = NewOverflowLine();
    line = &overflow_[line->next];
  }
}

void Index::Erase(uint64_t hash, uint64_t* entry) {
  --size_;
  *entry = 0;
  // Fill the hole from the end of the chain, so that holes are only in its last line.
  Line* line = &lines_[BucketOf(hash, bucket_count())];
  if (line->next != 0) {
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
      *entry = *last;
      *last = 0;
      --filled;
    }
    if (filled == 0) {
      const uint64_t freed = before->next;
      before->next = 0;
      FreeOverflowLine(freed);
    }
  }
  if (size_ * 2 < bucket_count() * kShrinkBelow && bucket_count() > kLeastBuckets) RemoveBucket();
}

void Index::WalkStep(uint64_t* cursor, absl::FunctionRef<void(Place)> visit) const {
  const uint64_t count = bucket_count();
  const uint64_t power = LowerPower(count);
  const uint64_t first = *cursor & (power - 1);
  for (uint64_t bucket = first; bucket < count && bucket <= first + power; bucket += power) {
    for (const Line* line = &lines_[bucket];; line = &overflow_[line->next]) {
      for (const uint64_t entry : line->entries) {
        if (entry != 0) visit(PlaceIn(entry));
      }
      if (line->next == 0) break;
    }
  }
  *cursor = ReverseBits(ReverseBits(*cursor | ~(power - 1)) + 1);
}

void Index::Reset() {
  const auto before = static_cast<int64_t>(bytes());
  main_memory_.Drop(0, main_memory_.usable_bytes());
  overflow_memory_.Drop(0, overflow_memory_.usable_bytes());
  main_memory_.ShrinkTo(kStepBytes);
  overflow_memory_.ShrinkTo(kStepBytes);
  size_ = 0;
  overflow_high_ = overflow_free_ = overflow_free_count_ = 0;
  buckets_.store(kLeastBuckets, std::memory_order_relaxed);
  UpdateBytes();
  pool_->Charge(static_cast<int64_t>(bytes()) - before);
}

}  // namespace cairn::storage
