#include "server/prefix_stats.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "fmt/format.h"

namespace cairn::server {

PrefixStats::Counts* PrefixStats::FindLocked(std::string_view key) {
  const size_t end = key.find(delimiter_);
  if (end == std::string_view::npos) return nullptr;
  const absl::string_view prefix(key.data(), end);
  const auto found = counts_.find(prefix);
  if (found != counts_.end()) return &found->second;
  if (counts_.size() >= kMaxPrefixes) return nullptr;
  return &counts_[std::string(key.substr(0, end))];
}

void PrefixStats::RecordGet(std::string_view key, bool hit) {
  absl::MutexLock lock(&mutex_);
  Counts* counts = FindLocked(key);
  if (counts == nullptr) return;
  ++counts->gets;
  if (hit) ++counts->hits;
}

void PrefixStats::RecordSet(std::string_view key) {
  absl::MutexLock lock(&mutex_);
  Counts* counts = FindLocked(key);
  if (counts != nullptr) ++counts->sets;
}

void PrefixStats::RecordDelete(std::string_view key) {
  absl::MutexLock lock(&mutex_);
  Counts* counts = FindLocked(key);
  if (counts != nullptr) ++counts->deletes;
}

std::string PrefixStats::Dump() const {
  std::vector<std::pair<std::string, Counts>> sorted;
  {
    absl::MutexLock lock(&mutex_);
    sorted.assign(counts_.begin(), counts_.end());
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string dump;
  for (const auto& [prefix, counts] : sorted) {
    fmt::format_to(std::back_inserter(dump), "PREFIX {} get {} hit {} set {} del {}\r\n", prefix,
                   counts.gets, counts.hits, counts.sets, counts.deletes);
  }
  dump += "END\r\n";
  return dump;
}

void PrefixStats::Clear() {
  absl::MutexLock lock(&mutex_);
  counts_.clear();
}

}  // namespace cairn::server
