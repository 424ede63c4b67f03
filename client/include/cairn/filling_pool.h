#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// A new pool that fills from the old one as it is asked: for the time in which a ring is changed,
/// or servers are replaced, and the new ones would begin empty. For applications that get and set;
/// those with a LookAside have LookAsideOptions::fill_from. For event loops and coroutines:
/// cairn/async_filling_pool.h. Thread-safe.
///
/// Reads ask the new pool, and what it has not the old one, whose value is then stored in the new.
/// Writes and deletes go to both, so that nothing comes back from the old pool that was changed
/// since; leases see to it that a value on its way between the two is not stored after a delete or
/// a set. All processes have to change over before the first one writes only to the new pool.
class CAIRN_EXPORT FillingPool {
 public:
  struct Options {
    /// For values of which the old pool's servers do not say how long they have left (those without
    /// the meta protocol).
    absl::Duration ttl = absl::Hours(1);
    CallOptions call = {};
  };

  /// Both outlive it.
  FillingPool(Client* to, Client* from) : FillingPool(to, from, Options()) {}
  FillingPool(Client* to, Client* from, const Options& options)
      : to_(*to), from_(*from), options_(options) {}

  /// The value; nothing when neither has one. When the new pool is not reached the old one's; an
  /// error when there is none there either, or it is not reached.
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key);
  /// One answer a key, from at most one question to each pool.
  std::vector<absl::StatusOr<std::optional<std::string>>> GetMulti(
      std::span<const std::string_view> keys);

  /// Stores in the new pool, and deletes from the old one. An error of either: the old value may be
  /// seen again.
  absl::Status Set(std::string_view key, std::string_view value, const WriteOptions& options = {});
  /// Deletes from both; whether there was a value. An error of either: it may be seen again.
  absl::StatusOr<bool> Delete(std::string_view key);

 private:
  Client& to_;
  Client& from_;
  const Options options_;
};

}  // namespace cairn
