#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// Keys that can be made unreachable together, on all servers, by one call: all pages of a user,
/// all rows of a table. Every key carries the namespace's generation, a random number that lives in
/// the cache; raising it leaves the old keys to expire or be evicted. When the generation itself is
/// evicted a new random one takes its place, so that old keys never come back.
///
///   Namespace user(cache.get(), "user:42");
///   auto key = user.Key("profile");          // StatusOr<string>
///   if (key.ok()) cache->Set(*key, ...);
///   user.Invalidate();
///
/// Thread-safe. One object serves a namespace for as long as one likes.
class CAIRN_EXPORT Namespace {
 public:
  struct Options {
    /// For how long a generation is believed without asking: the time for which this process may
    /// still see what another one has invalidated, and the price is a request an interval.
    absl::Duration refresh = absl::Seconds(1);
    CallOptions call;
  };

  /// `client` outlives it. The generation's key is "ns:" + name, which has to be a valid key.
  Namespace(Client* client, std::string_view name) : Namespace(client, name, Options()) {}
  Namespace(Client* client, std::string_view name, const Options& options);

  /// The key under which the cache has `key` of this generation: "<name>:<generation>:<key>", 18
  /// bytes longer than name and key. An error when the generation is not known and its server is
  /// not reached: the caller then goes without the cache, as for any key that was not reached.
  absl::StatusOr<std::string> Key(std::string_view key) ABSL_LOCKS_EXCLUDED(mutex_);

  /// Makes every key unreachable: here at once, for other processes within their `refresh`. An
  /// error means that others may go on seeing them; this object then knows no generation until it
  /// has reached the server again.
  absl::Status Invalidate() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<std::string> Fetch();

  Client* const client_;
  const std::string name_;
  const std::string generation_key_;
  const Options options_;

  absl::Mutex mutex_;
  // Empty: not known. Counted, so that an answer that was asked for before an Invalidate() is not
  // taken for one from after it.
  std::string generation_ ABSL_GUARDED_BY(mutex_);
  absl::Time fetched_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  uint64_t invalidations_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn
