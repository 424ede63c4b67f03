#include "client/router.h"

#include <algorithm>

#include "client/requests.h"

namespace cairn {
namespace {

constexpr size_t kPlacementsKept = 16;

bool Any(const std::vector<bool>& flags) {
  return std::find(flags.begin(), flags.end(), true) != flags.end();
}

}  // namespace

absl::Status Router::Init() {
  for (const Server& server : options_.servers) {
    primaries_.push_back(!server.down && !server.backup);
    backups_.push_back(!server.down && server.backup);
  }
  if (!options_.servers.empty() && !Any(primaries_)) {
    return absl::InvalidArgumentError("every server is down or a backup");
  }
  absl::StatusOr<Placement> placement =
      Placement::Make(options_.servers, options_.placement, primaries_);
  if (!placement.ok()) return placement.status();
  placement_ = std::make_shared<const Placement>(std::move(*placement));
  has_backups_ = Any(backups_);
  finds_others_ = options_.eject || has_backups_;
  if (options_.backup_ttl_max != absl::InfiniteDuration()) {
    backup_exptime_max_ = ExptimeOf(options_.backup_ttl_max, absl::UnixEpoch());
  }
  if (options_.tls.has_value()) {
    absl::StatusOr<std::unique_ptr<TlsContext>> tls = TlsContext::Make(*options_.tls);
    if (!tls.ok()) return tls.status();
    tls_ = std::move(*tls);
  }
  for (const Server& server : options_.servers) {
    servers_.push_back(std::make_unique<ServerState>(server, options_, tls_.get(), &troubled_));
    if (!server.down) servers_.back()->addresses().BeginLookUp();
  }
  // All at once, and no longer than a call takes: a name that does not resolve is a server that is
  // down.
  const Clock::time_point until = Clock::now() + ToClock(options_.call_timeout);
  for (const std::unique_ptr<ServerState>& server : servers_) {
    server->addresses().AwaitLookUp(until);
  }
  return absl::OkStatus();
}

std::string_view Router::Hashed(std::string_view key, std::string* prefixed) const {
  if (!options_.hash_key_prefix || options_.key_prefix.empty()) return key;
  prefixed->assign(options_.key_prefix).append(key);
  return *prefixed;
}

Router::Shared Router::PlacementOf(const Live& live) {
  absl::MutexLock lock(&mutex_);
  for (const auto& [of, placement] : made_) {
    if (of == live) return placement;
  }
  absl::StatusOr<Placement> made = Placement::Make(options_.servers, options_.placement, live);
  if (!made.ok()) return placement_;
  if (made_.size() == kPlacementsKept) made_.erase(made_.begin());
  made_.emplace_back(live, std::make_shared<const Placement>(std::move(*made)));
  return made_.back().second;
}

uint16_t Router::Detour::Choose(std::string_view key) const {
  const size_t home = first->Choose(key);
  return static_cast<uint16_t>(instead == nullptr || live[home] ? home : instead->Choose(key));
}

Router::Detour Router::DetourNow(const Trials& trials, Clock::time_point now) {
  Live live(servers_.size());
  Live backups(servers_.size());
  for (size_t i = 0; i < servers_.size(); ++i) {
    if (options_.servers[i].down || trials.others[i]) continue;
    const bool takes =
        trials.mine[i] || servers_[i]->standing(now) != ServerState::Standing::kLeftAlone;
    (backups_[i] ? backups : live)[i] = takes;
  }
  Detour detour = {placement_, nullptr, std::move(live)};
  if (options_.eject && Any(detour.live)) {
    if (detour.live != primaries_) detour.first = PlacementOf(detour.live);
  } else if (Any(backups)) {
    detour.instead = PlacementOf(backups);
  }
  // With nobody left there is nowhere to go: every key fails where it lives.
  return detour;
}

// Whether a request may go to `server`; if not, somebody else's is its trial.
bool Router::Claim(uint16_t server, Trials* trials, Clock::time_point now) {
  if (trials->mine[server] || trials->others[server]) return true;
  if (servers_[server]->standing(now) != ServerState::Standing::kTrialDue) return true;
  const bool mine = servers_[server]->ClaimTrial(now);
  (mine ? trials->mine : trials->others)[server] = true;
  return mine;
}

uint16_t Router::RouteAs(Purpose purpose, Places places, std::string_view key) {
  if (servers_.size() == 1) return 0;
  if (options_.hash_key_prefix && !options_.key_prefix.empty()) {
    return RouteHashed(purpose, places, options_.key_prefix + std::string(key));
  }
  return RouteHashed(purpose, places, key);
}

uint16_t Router::RouteHashed(Purpose purpose, Places places, std::string_view key) {
  // Without a detour it is the connection that refuses, or begins the trial.
  if (places == Places::kHomeOnly || NothingToAvoid()) {
    return static_cast<uint16_t>(placement_->Choose(key));
  }
  const Clock::time_point now = Clock::now();
  Trials trials = {Live(servers_.size()), Live(servers_.size())};
  for (;;) {
    const uint16_t chosen = DetourNow(trials, now).Choose(key);
    if (purpose == Purpose::kQuestion || Claim(chosen, &trials, now)) return chosen;
  }
}

void Router::Route(std::span<const std::string_view> keys, std::span<uint16_t> chosen) {
  if (servers_.size() == 1) return std::fill(chosen.begin(), chosen.end(), uint16_t{0});
  const bool prefixed = options_.hash_key_prefix && !options_.key_prefix.empty();
  if (NothingToAvoid() && !prefixed) return placement_->Choose(keys, chosen);
  const Clock::time_point now = Clock::now();
  Trials trials = {Live(servers_.size()), Live(servers_.size())};
  std::string text;
  bool claimed = false;
  while (!claimed) {
    const Detour detour = DetourNow(trials, now);
    claimed = true;
    for (size_t i = 0; i < keys.size(); ++i) {
      chosen[i] = detour.Choose(Hashed(keys[i], &text));
      // What may not be asked for tries no server.
      const bool tries = finds_others_ && CheckKey(options_.key_prefix, keys[i]).ok();
      claimed = claimed && (!tries || Claim(chosen[i], &trials, now));
    }
  }
}

}  // namespace cairn
