#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"

/// `watch`: events as lines to whoever asked for them.
namespace cairn::server {

// kind, word after `watch`
#define CAIRN_LOG_KINDS(X)     \
  X(kFetchers, "fetchers")     \
  X(kMutations, "mutations")   \
  X(kEvictions, "evictions")   \
  X(kDeletions, "deletions")   \
  X(kConnEvents, "connevents") \
  X(kSysEvents, "sysevents")   \
  X(kRawCmds, "rawcmds")

enum class LogKind : uint8_t {
#define X(kind, word) kind,
  CAIRN_LOG_KINDS(X)
#undef X
};
inline constexpr uint32_t LogBit(LogKind kind) { return 1u << static_cast<unsigned>(kind); }

/// A client that watches. Made by LogHub::Add; lines wait in it, bounded, until its connection's
/// worker takes them.
class Watcher;

/// Hands lines to watchers. Costs one relaxed load an event while nobody watches. Publishing never
/// waits for a watcher: a full one loses the line and is told how many it lost. Thread-safe.
class LogHub {
 public:
  static constexpr unsigned kMaxWatchers = 20;

  /// A watcher holds up to `watcher_buffer_bytes` of lines that its client has not taken.
  explicit LogHub(size_t watcher_buffer_bytes);
  ~LogHub();

  /// Has `observer` called with the LogBits that anybody watches, each time they may have changed,
  /// from the thread that adds or removes a watcher; no lock that Publish takes is held then. Call
  /// it before the first Add.
  void SetWantedObserver(std::function<void(uint32_t wanted)> observer);

  bool Wants(LogKind kind) const {
    return (wanted_.load(std::memory_order_relaxed) & LogBit(kind)) != 0;
  }

  /// Sends "ts=<unix seconds> gid=<count> type=<line>\n" to the watchers of `kind`.
  void Publish(LogKind kind, std::string_view line);

  /// Null when there are kMaxWatchers already. `wake` is called (from any thread, with a lock of
  /// the hub held: it must only signal) when lines wait and none waited before. It is not called
  /// any more once Remove has returned.
  std::shared_ptr<Watcher> Add(uint32_t kinds, std::function<void()> wake);
  void Remove(const std::shared_ptr<Watcher>& watcher);
  /// Moves the waiting lines, and a notice of lost ones, to the end of `out`.
  void Take(Watcher& watcher, std::string* out);

  struct Totals {
    uint64_t worker_written = 0;   ///< lines published
    uint64_t worker_dropped = 0;   ///< always 0: nothing stands between a worker and a watcher
    uint64_t watcher_sent = 0;     ///< lines handed to watchers
    uint64_t watcher_skipped = 0;  ///< lines lost to slow watchers
    uint64_t watchers = 0;
  };
  Totals totals() const;
  void ResetTotals();

 private:
  /// Applies `change` to the watchers, then tells the observer what is wanted now.
  bool Change(const std::function<bool(std::vector<std::shared_ptr<Watcher>>*)>& change);

  const size_t watcher_buffer_bytes_;
  std::atomic<uint32_t> wanted_{0};
  // Keeps the observer's calls in order; taken before mutex_ and before any lock of a store.
  absl::Mutex change_mutex_;
  std::function<void(uint32_t)> observer_ ABSL_GUARDED_BY(change_mutex_);
  mutable absl::Mutex mutex_;
  uint64_t next_gid_ ABSL_GUARDED_BY(mutex_) = 1;
  std::vector<std::shared_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  Totals totals_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
