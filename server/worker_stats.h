#pragma once

#include <array>
#include <atomic>
#include <cstdint>

/// What a worker counts. Each counter is declared once; the lists generate the fields, the sum over
/// workers and the reset. The report lines that show them are in stats_report.cc.
namespace cairn::server {

/// A counter that one thread writes and any thread reads: no locked instruction on the way.
class Counter {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  Counter& operator++() {
    Add(1);
    return *this;
  }
  /// What was counted since the last Reset(), which any thread may call: it only notes a base.
  uint64_t value() const {
    return value_.load(std::memory_order_relaxed) - base_.load(std::memory_order_relaxed);
  }
  void Reset() { base_.store(value_.load(std::memory_order_relaxed), std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
  std::atomic<uint64_t> base_{0};
};

// name, what it counts
#define CAIRN_WORKER_COUNTERS(X)                                            \
  X(cmd_get, "keys asked for by get, gets, mg and their binary kin")        \
  X(cmd_flush, "flush_all commands, refused ones included")                 \
  X(cmd_touch, "touch and gat keys")                                        \
  X(cmd_meta, "me commands")                                                \
  X(get_misses, "keys asked for and not found")                             \
  X(get_expired, "of these, found expired")                                 \
  X(get_flushed, "of these, found flushed")                                 \
  X(touch_misses, "touch and gat keys not found")                           \
  X(delete_misses, "deletes of a missing key")                              \
  X(incr_misses, "increments of a missing key")                             \
  X(decr_misses, "decrements of a missing key")                             \
  X(cas_misses, "cas of a missing key")                                     \
  X(store_too_large, "stores refused for their size")                       \
  X(store_no_memory, "stores refused for lack of memory")                   \
  X(auth_cmds, "authentication attempts")                                   \
  X(auth_errors, "of these, failed")                                        \
  X(bytes_read, "bytes received from clients")                              \
  X(bytes_written, "bytes sent to clients")                                 \
  X(conn_yields, "times a connection gave way to others after -R requests") \
  X(idle_kicks, "connections closed for idleness")                          \
  X(response_obj_oom, "connections closed for lack of answer memory")       \
  X(read_buf_oom, "connections closed for lack of read memory")             \
  X(ssl_new_sessions, "TLS sessions established anew")                      \
  X(ssl_handshake_errors, "TLS handshakes that failed")                     \
  X(ssl_proto_errors, "TLS errors after the handshake")

// counted by slab class as well; name, what it counts
#define CAIRN_WORKER_CLASS_COUNTERS(X)                \
  X(get_hits, "keys found by get")                    \
  X(set_cmds, "store commands, failed ones included") \
  X(touch_hits, "touch and gat keys found")           \
  X(delete_hits, "items deleted")                     \
  X(incr_hits, "numbers incremented")                 \
  X(decr_hits, "numbers decremented")                 \
  X(cas_hits, "cas that stored")                      \
  X(cas_badval, "cas that found another unique")

/// Slab classes a worker can count for; class 0 stands for "no class known".
inline constexpr unsigned kMaxSlabClasses = 256;

struct ClassCounters {
#define X(name, help) Counter name;
  CAIRN_WORKER_CLASS_COUNTERS(X)
#undef X
};

/// One worker's counters. Written by that worker only, read and reset by any thread.
struct WorkerStats {
#define X(name, help) Counter name;
  CAIRN_WORKER_COUNTERS(X)
#undef X
  std::array<ClassCounters, kMaxSlabClasses> by_class;

  ClassCounters& ForClass(unsigned class_id) {
    return by_class[class_id < kMaxSlabClasses ? class_id : 0];
  }
  void Reset();
};

/// The same names as plain numbers: sums over workers, and over classes where wanted.
struct ClassTotals {
#define X(name, help) uint64_t name = 0;
  CAIRN_WORKER_CLASS_COUNTERS(X)
#undef X
  void Add(const ClassCounters& counters);
};

struct WorkerTotals {
#define X(name, help) uint64_t name = 0;
  CAIRN_WORKER_COUNTERS(X)
  CAIRN_WORKER_CLASS_COUNTERS(X)
#undef X
  void Add(const WorkerStats& stats);
};

}  // namespace cairn::server
