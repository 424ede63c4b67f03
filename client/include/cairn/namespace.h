#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// Keys that can be made unreachable together, on all servers, by one call: all pages of a user,
/// all rows of a table. Every key carries the namespace's generation, a random number that lives in
/// the cache; raising it leaves the old keys to expire or be evicted. When the generation itself is
/// evicted a new random one takes its place, so that old keys never come back. It has no other
/// place while its server is left alone, whatever ClientOptions::eject and backups do for other
/// keys: what is invalidated elsewhere would come back with the server.
///
///   Namespace user(cache.get(), "user:42");
///   auto key = user.Key("profile");          // StatusOr<string>
///   if (key.ok()) cache->Set(*key, ...);
///   user.Invalidate();
///
/// Thread-safe. One object serves a namespace for as long as one likes. For event loops and
/// coroutines: cairn/async_namespace.h.
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
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  /// The key under which the cache has `key` of this generation: "<name>:<generation>:<key>", 18
  /// bytes longer than name and key. An error when the generation is not known and its server is
  /// not reached, or left alone (Unavailable): the caller then goes without the cache, as for any
  /// key that was not reached.
  absl::StatusOr<std::string> Key(std::string_view key);

  /// Makes every key unreachable: here at once, for other processes within their `refresh`. An
  /// error, also while the generation's server is left alone, means that others may go on seeing
  /// them, and so may this object once it has reached the server again; until then it knows no
  /// generation.
  absl::Status Invalidate();

 private:
  friend class AsyncNamespace;
  friend class QueryCache;
  class State;  // private to the library
  Client* const client_;
  const std::shared_ptr<State> state_;
};

}  // namespace cairn
