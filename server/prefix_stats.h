#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace cairn::server {

/// `stats detail`: operations counted by the part of the key before the first delimiter. Off until
/// asked for; one relaxed load an operation then. Thread-safe.
class PrefixStats {
 public:
  static constexpr size_t kMaxPrefixes = 65536;

  PrefixStats(char delimiter, bool enabled) : delimiter_(delimiter), enabled_(enabled) {}

  bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
  void set_enabled(bool on) { enabled_.store(on, std::memory_order_relaxed); }

  void RecordGet(std::string_view key, bool hit);
  void RecordSet(std::string_view key);
  void RecordDelete(std::string_view key);

  /// "PREFIX p get n hit n set n del n\r\n" a prefix, then "END\r\n".
  std::string Dump() const;
  void Clear();

 private:
  struct Counts {
    uint64_t gets = 0, hits = 0, sets = 0, deletes = 0;
  };
  Counts* FindLocked(std::string_view key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const char delimiter_;
  std::atomic<bool> enabled_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Counts> counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
