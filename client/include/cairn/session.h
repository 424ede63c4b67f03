#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// What is kept of a visitor between requests, for as long as he keeps coming: each Load() prolongs
/// it. A cache may lose sessions; keep there what a visitor can be asked for again, such as his
/// login. Thread-safe. For event loops and coroutines: cairn/async_session.h.
class CAIRN_EXPORT Sessions {
 public:
  struct Options {
    /// From the last Load() or Save() on.
    absl::Duration ttl = absl::Minutes(30);
    /// Before ids, to make keys of them.
    std::string prefix = "session:";
    CallOptions call = {};
  };
  struct Session {
    std::string data;
    uint64_t cas = 0;  ///< for Save()
  };

  /// `client` outlives it.
  explicit Sessions(Client* client) : Sessions(client, Options()) {}
  Sessions(Client* client, Options options);

  /// A new session's id: 32 hexadecimal digits that nobody can guess.
  absl::StatusOr<std::string> Create(std::string_view data);
  /// Nothing when there is no such session, or (without asking) when `id`, which comes from the
  /// visitor, is not of the form that Create gives.
  absl::StatusOr<std::optional<Session>> Load(std::string_view id);
  /// Stores new data if nobody has since the Load() that gave `cas`; kChanged: load again.
  absl::StatusOr<CasOutcome> Save(std::string_view id, std::string_view data, uint64_t cas);
  /// Loads, changes and saves, again and again until nobody came between. `change` gets the data
  /// and returns what is to be stored. False: there is no such session. Aborted: too many others.
  absl::StatusOr<bool> Update(std::string_view id,
                              const std::function<std::string(std::string_view)>& change);
  /// Whether there was one.
  absl::StatusOr<bool> Destroy(std::string_view id);

 private:
  Client* const client_;
  const Options options_;
};

}  // namespace cairn
