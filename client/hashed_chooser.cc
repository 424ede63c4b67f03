#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "client/chooser.h"
#include "client/key_hash.h"
#include "client/md5.h"
#include "client/ring.h"

namespace cairn {
namespace {

using Scheme = PlacementOptions::Scheme;
using PointName = PlacementOptions::PointName;

constexpr size_t kPlainPoints = 100;
constexpr float kWeightedPoints = 160;
constexpr float kPointsPerName = 4;
constexpr uint16_t kPortLeftOut = 11211;
// A longer key hashes to 0 in libmemcached; no server takes it in any case.
constexpr size_t kKeyBytesMax = 250;

// What stands on the ring for a server, before its points' numbers.
std::string NameOnRing(const Server& server, PointName style) {
  if (!server.alias.empty()) return server.alias;
  const uint16_t number = server.IsUnixSocket() ? 0 : server.port;
  const std::string port = std::to_string(number);
  switch (style) {
    case PointName::kSpymemcached:
      return server.host + ":" + port;
    case PointName::kLibmemcachedSpy:
      return "/" + server.host + ":" + port;
    case PointName::kTwemproxy:
      if (server.IsUnixSocket()) return server.host + ":";
      break;
    case PointName::kLibmemcached:
      break;
  }
  return number == kPortLeftOut ? server.host : server.host + ":" + port;
}

// Rounds to single precision here, whatever the compiler would like to fuse.
float Rounded(float value) {
  volatile float rounded = value;
  return rounded;
}

// How many names a server has on the weighted ring. All in single precision: in double, rings of
// some sizes and weights come out with one name more (25 servers of equal weight have 39, not 40).
size_t WeightedNames(uint32_t weight, uint64_t total_weight, size_t live_servers) {
  const float share = Rounded(static_cast<float>(weight) / static_cast<float>(total_weight));
  const float points = Rounded(share * kWeightedPoints);
  const float names = Rounded(points / kPointsPerName);
  const float scaled = Rounded(names * static_cast<float>(live_servers));
  return static_cast<size_t>(std::floor(Rounded(scaled + 1e-10f)));
}

std::vector<Ring::Point> MakePoints(std::span<const Server> servers,
                                    const PlacementOptions& options, bool weighted,
                                    const std::vector<bool>& live) {
  uint64_t total_weight = 0;
  size_t live_count = 0;
  for (size_t i = 0; i < servers.size(); ++i) {
    if (!live[i]) continue;
    total_weight += WeightOf(servers[i]);
    ++live_count;
  }
  std::vector<Ring::Point> points;
  for (size_t i = 0; i < servers.size(); ++i) {
    if (!live[i]) continue;
    const auto server = static_cast<uint16_t>(i);
    const std::string name = NameOnRing(servers[i], options.point_name);
    const size_t names =
        weighted ? WeightedNames(WeightOf(servers[i]), total_weight, live_count) : kPlainPoints;
    for (size_t n = 0; n < names; ++n) {
      const std::string text = name + "-" + std::to_string(n);
      if (weighted) {
        for (const uint32_t word : Md5Words(text)) points.push_back({word, server});
      } else {
        points.push_back({HashKey(options.point_hash, text), server});
      }
    }
  }
  // A sum of weights far above the number of servers can leave all of them without a name.
  if (points.empty()) {
    const auto first = std::find(live.begin(), live.end(), true);
    points.push_back({0, static_cast<uint16_t>(first - live.begin())});
  }
  if (options.last_server_wins_ties) std::reverse(points.begin(), points.end());
  return points;
}

uint32_t HashBounded(KeyHash hash, std::string_view key) {
  return key.size() > kKeyBytesMax ? 0 : HashKey(hash, key);
}

class RingChooser final : public Chooser {
 public:
  RingChooser(std::vector<Ring::Point> points, KeyHash hash)
      : ring_(std::move(points)), hash_(hash) {}

  uint16_t Choose(std::string_view key) const override {
    return ring_.ServerAt(HashBounded(hash_, key));
  }

  void Choose(std::span<const std::string_view> keys, std::span<uint16_t> chosen) const override {
    size_t i = 0;
    const size_t lanes = Md5Lanes();
    while (hash_ == KeyHash::kMd5 && i + lanes <= keys.size()) {
      for (size_t k = i + lanes; k < std::min(i + 2 * lanes, keys.size()); ++k) {
        __builtin_prefetch(keys[k].data());
      }
      const auto group = keys.subspan(i, lanes);
      const bool short_enough = std::all_of(group.begin(), group.end(), [](std::string_view key) {
        return key.size() <= kMd5OneBlockBytesMax;
      });
      uint32_t hashes[kMd5LanesMax];
      if (short_enough) Md5Word0OfLanes(group, hashes);
      for (size_t k = 0; k < lanes; ++k) {
        chosen[i + k] = short_enough ? ring_.ServerAt(hashes[k]) : Choose(group[k]);
      }
      i += lanes;
    }
    for (; i < keys.size(); ++i) chosen[i] = Choose(keys[i]);
  }

 private:
  const Ring ring_;
  const KeyHash hash_;
};

// The number of servers decides, so that those which take no keys just now are counted as well: the
// others' keys stay where they are. Theirs go to what `instead` chooses among the others.
class ModulaChooser final : public Chooser {
 public:
  ModulaChooser(std::vector<uint16_t> slots, KeyHash hash, std::vector<bool> live,
                std::unique_ptr<const Chooser> instead)
      : slots_(std::move(slots)),
        hash_(hash),
        live_(std::move(live)),
        instead_(std::move(instead)) {}

  uint16_t Choose(std::string_view key) const override {
    const uint16_t home = slots_[HashBounded(hash_, key) % slots_.size()];
    return instead_ == nullptr || live_[home] ? home : instead_->Choose(key);
  }

 private:
  const std::vector<uint16_t> slots_;
  const KeyHash hash_;
  const std::vector<bool> live_;
  const std::unique_ptr<const Chooser> instead_;  // null: every server that is counted lives
};

std::unique_ptr<const Chooser> MakeModulaChooser(std::span<const Server> servers,
                                                 const PlacementOptions& options,
                                                 const std::vector<bool>& live) {
  // Backups and the others have nothing to do with each other, but where both are to take keys.
  std::array<bool, 2> counted = {false, false};
  for (size_t i = 0; i < servers.size(); ++i) {
    if (live[i]) counted[servers[i].backup ? 1 : 0] = true;
  }
  std::vector<Server> weighted(servers.begin(), servers.end());
  std::vector<uint16_t> slots;
  bool all_live = true;
  for (size_t i = 0; i < servers.size(); ++i) {
    if (options.scheme == Scheme::kModula) weighted[i].weight = 1;
    if (!counted[servers[i].backup ? 1 : 0]) continue;
    all_live = all_live && live[i];
    slots.insert(slots.end(), WeightOf(weighted[i]), static_cast<uint16_t>(i));
  }
  // Its hash has nothing in common with those of modula.
  std::unique_ptr<const Chooser> instead;
  if (!all_live) {
    instead = MakeRendezvousChooser(weighted, PlacementOptions::For(PlacementPreset::kCairn), live);
  }
  return std::make_unique<ModulaChooser>(std::move(slots), options.key_hash, live,
                                         std::move(instead));
}

}  // namespace

std::unique_ptr<const Chooser> MakeHashedChooser(std::span<const Server> servers,
                                                 const PlacementOptions& options,
                                                 const std::vector<bool>& live) {
  if (options.scheme == Scheme::kModula || options.scheme == Scheme::kModulaWeighted) {
    return MakeModulaChooser(servers, options, live);
  }
  const bool has_weights =
      std::any_of(servers.begin(), servers.end(), [](const Server& s) { return s.weight > 1; });
  const bool weighted =
      options.scheme == Scheme::kRing160 || (options.weights_make_ring160 && has_weights);
  return std::make_unique<RingChooser>(MakePoints(servers, options, weighted, live),
                                       options.key_hash);
}

}  // namespace cairn
