#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "cairn/client.h"
#include "cairn/export.h"
#include "cairn/look_aside.h"

namespace cairn {

struct WarmUpProgress {
  uint64_t keys = 0;     ///< dealt with so far, of which:
  uint64_t stored = 0;   ///< loaded and stored
  uint64_t present = 0;  ///< in the cache before
  uint64_t absent = 0;   ///< the loader has nothing for them
  uint64_t taken = 0;    ///< somebody else was computing them just then
  uint64_t failed = 0;   ///< not loaded, or not stored
  absl::Status failure;  ///< the first one
};

struct WarmUpOptions {
  /// The most keys a second that are asked for, on average. 0: no limit.
  double keys_per_second = 0;
  /// Keys to a question, and how many questions are under way at a time: so many threads load, when
  /// they are threads.
  size_t batch = 100;
  size_t concurrency = 1;
  /// Called after each batch, on one thread at a time; false: no more batches are begun.
  std::function<bool(const WarmUpProgress&)> progress;
};

/// Fills the cache with `keys` before anybody waits for them, no faster than it is told to. What is
/// there stays as it is; what is deleted while it is loaded is not stored; who asks for a key that
/// is being loaded waits for it, as for any computation. `load` is asked for what is missing, of
/// one batch at a time, by several threads if `concurrency` says so; an error of it fails the
/// batch (as Unavailable where it said DeadlineExceeded). TTLs and the like are the LookAside's.
/// Returns when all keys were tried.
///
/// For event loops and coroutines: cairn/async_warm_up.h.
///
/// From another pool: a LookAside with LookAsideOptions::fill_from, and WarmUpFromPool.
CAIRN_EXPORT WarmUpProgress WarmUp(LookAside* look_aside, std::span<const std::string_view> keys,
                                   const LookAside::ComputeMulti& load,
                                   const WarmUpOptions& options = {});

/// Copies `keys` from one pool to another: values with what they have left to live if the servers
/// of `from` say it (the meta protocol), for `ttl` otherwise. Stale ones are not copied.
CAIRN_EXPORT WarmUpProgress WarmUpFromPool(Client* to, Client* from,
                                           std::span<const std::string_view> keys,
                                           absl::Duration ttl, const WarmUpOptions& options = {});

}  // namespace cairn
