#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cairn/options.h"
#include "cairn/placement.h"
#include "client/server_state.h"
#include "client/tls.h"

namespace cairn {

/// Where a key's requests may go while the server that its placement says is left alone.
enum class Places : uint8_t {
  kAny,       ///< To another one, if the options know of one.
  kHomeOnly,  ///< To none: the request is not reached.
};

/// Which server a key's request goes to: where its placement says, or elsewhere while that server
/// is left alone and the options know of another. Owns what is known of the servers. Thread-safe.
class Router {
 public:
  /// `options` outlive it.
  explicit Router(const ClientOptions* options) : options_(*options) {}
  /// Resolves host names.
  absl::Status Init();

  const std::vector<std::unique_ptr<ServerState>>& servers() const { return servers_; }

  /// For a request that will be made now: the first one after a server's pause is its trial, and
  /// the only one that goes there until the trial is over.
  uint16_t Route(std::string_view key, Places places = Places::kAny) {
    return RouteAs(Purpose::kRequest, places, key);
  }
  void Route(std::span<const std::string_view> keys, std::span<uint16_t> chosen);
  /// Where a request would go now.
  uint16_t Look(std::string_view key) { return RouteAs(Purpose::kQuestion, Places::kAny, key); }

  /// In which `exptime`s of requests to this server are kept; 0: they are not.
  int64_t exptime_max(uint16_t server) const {
    return servers_[server]->server().backup ? backup_exptime_max_ : 0;
  }

 private:
  enum class Purpose : uint8_t { kRequest, kQuestion };
  using Live = std::vector<bool>;
  using Shared = std::shared_ptr<const Placement>;

  // What one request (or wave of requests) knows of the servers' trials.
  struct Trials {
    Live mine;    // it is their trial
    Live others;  // another request is
  };
  // The placements for this moment: where keys live, and for those whose server takes none.
  struct Detour {
    Shared first;
    Shared instead;  // null: there is no other place
    Live live;       // which servers of `first` take requests
    uint16_t Choose(std::string_view key) const;
  };

  uint16_t RouteAs(Purpose purpose, Places places, std::string_view key);
  uint16_t RouteHashed(Purpose purpose, Places places, std::string_view key);
  bool NothingToAvoid() const {
    return !finds_others_ || troubled_.load(std::memory_order_relaxed) == 0;
  }
  Detour DetourNow(const Trials& trials, Clock::time_point now) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Claim(uint16_t server, Trials* trials, Clock::time_point now);
  Shared PlacementOf(const Live& live) ABSL_LOCKS_EXCLUDED(mutex_);
  std::string_view Hashed(std::string_view key, std::string* prefixed) const;

  const ClientOptions& options_;
  std::unique_ptr<TlsContext> tls_;
  std::vector<std::unique_ptr<ServerState>> servers_;
  std::atomic<int> troubled_{0};  // servers that are paused or on trial
  bool finds_others_ = false;     // requests may go elsewhere than where keys live
  int64_t backup_exptime_max_ = 0;
  Live primaries_;
  Live backups_;
  bool has_backups_ = false;
  // Of the servers that take keys when all is well.
  Shared placement_;

  absl::Mutex mutex_;
  // Placements of some servers only, made when they were needed. A few: which servers fail together
  // changes seldom.
  std::vector<std::pair<Live, Shared>> made_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
