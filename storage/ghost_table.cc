#include "storage/ghost_table.h"

#include <algorithm>

namespace cairn::storage {
namespace {

constexpr size_t kStepBytes = size_t{4} << 10;

/// Other bits than those that choose the line, never 0.
uint16_t Fingerprint(uint64_t hash) {
  const auto bits = static_cast<uint16_t>(hash * 0x9e3779b97f4a7c15 >> 49);
  return bits == 0 ? 1 : bits;
}

}  // namespace

absl::Status GhostTable::Init(PagePool* pool, uint64_t bytes) {
  const uint64_t whole = std::max<uint64_t>(bytes / kStepBytes, 1) * kStepBytes;
  auto memory = MemoryRegion::Reserve({.bytes = whole, .step_bytes = kStepBytes});
  if (!memory.ok()) return memory.status();
  memory_ = *std::move(memory);
  if (!memory_.Extend(whole)) return absl::ResourceExhaustedError("cannot take memory for ghosts");
  pool_ = pool;
  pool_->Charge(static_cast<int64_t>(whole));
  lines_ = reinterpret_cast<Line*>(memory_.base());
  line_count_ = whole / sizeof(Line);
  return absl::OkStatus();
}

GhostTable::~GhostTable() {
  if (pool_ != nullptr) pool_->Charge(-static_cast<int64_t>(bytes()));
}

void GhostTable::Add(uint64_t hash, PageQueue queue) {
  Line* line = LineOf(hash);
  line->entries[line->next] = static_cast<uint16_t>(Fingerprint(hash) << 1 | queue);
  line->next = static_cast<uint16_t>((line->next + 1u) % kPerLine);
}

std::optional<PageQueue> GhostTable::Take(uint64_t hash) {
  const uint16_t wanted = Fingerprint(hash);
  for (uint16_t& entry : LineOf(hash)->entries) {
    if (entry >> 1 != wanted) continue;
    const auto queue = static_cast<PageQueue>(entry & 1);
    entry = 0;
    return queue;
  }
  return std::nullopt;
}

void GhostTable::Clear() { memory_.Drop(0, memory_.usable_bytes()); }

}  // namespace cairn::storage
