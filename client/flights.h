#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace cairn {

/// A value that callers in this process wait for, threads and event loops. One of them leads: it
/// computes the value, or asks the cache now and then whether another process has. Thread-safe.
class Flight {
 public:
  struct Landing {
    absl::StatusOr<std::optional<std::string>> value;
    absl::Status cache;  ///< why the value is not in the cache
  };
  enum class State : uint8_t {
    kFlying,
    kLanded,
    kGivenUp,  ///< Its leader waited long enough: who still waits asks the cache anew.
  };

  explicit Flight(uint64_t lease_id) : lease_id_(lease_id) {}

  /// Which lease the value will be stored with. A flight of another one may be about a value from
  /// before the last delete.
  uint64_t lease_id() const { return lease_id_.load(std::memory_order_relaxed); }
  void set_lease_id(uint64_t id) { lease_id_.store(id, std::memory_order_relaxed); }

  /// Waits for up to `timeout`.
  State Await(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);
  /// Has `ended` called when it is not flying any more: once, by the thread that ends it, with no
  /// lock held. False when that is so already; then nothing is called.
  bool Notify(std::function<void()> ended) ABSL_LOCKS_EXCLUDED(mutex_);
  /// What it brought, once Await has said kLanded.
  const Landing& landing() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return *landing_; }

 private:
  friend class Flights;
  std::atomic<uint64_t> lease_id_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  bool computed_here_ ABSL_GUARDED_BY(mutex_) = false;
  bool given_up_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
  // Never changes once it is there.
  std::optional<Landing> landing_ ABSL_GUARDED_BY(mutex_);
};

/// The flights of a process, by key. Thread-safe; no lock is held while anything is waited for but
/// a flight's own.
class Flights {
 public:
  /// In place of a lease's number where the server is not reached.
  static constexpr uint64_t kNoLease = 0;

  /// The flight of `key` with this lease. `*leads` when there was none, and the caller leads it.
  std::shared_ptr<Flight> Join(std::string_view key, uint64_t lease_id, bool* leads);
  /// The same for a caller who has won the lease, hence computes.
  std::shared_ptr<Flight> Lead(std::string_view key, uint64_t lease_id);
  /// A leader that waited for another process is to compute itself.
  void BeginComputing(Flight& flight);

  /// The end of a flight. What comes second is ignored: a value may be found in the cache by who
  /// asks there before its maker lands here.
  void Land(std::string_view key, const std::shared_ptr<Flight>& flight, Flight::Landing landing);
  /// A leader that only waited has no more time.
  void GiveUp(std::string_view key, const std::shared_ptr<Flight>& flight);

 private:
  struct Shard {
    absl::Mutex mutex;
    std::unordered_map<std::string, std::shared_ptr<Flight>> flights ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(std::string_view key);
  void Forget(std::string_view key, const std::shared_ptr<Flight>& flight);

  std::array<Shard, 16> shards_;
};

}  // namespace cairn
