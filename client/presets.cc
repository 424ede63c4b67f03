#include <iterator>

#include "cairn/placement.h"

namespace cairn {
namespace {

using Scheme = PlacementOptions::Scheme;
using PointName = PlacementOptions::PointName;

struct PresetRow {
  PlacementPreset preset;
  std::string_view name;
  Scheme scheme;
  KeyHash key_hash = KeyHash::kMd5;
  KeyHash point_hash = KeyHash::kMd5;
  PointName point_name = PointName::kLibmemcached;
  bool weights_make_ring160 = false;
  bool last_server_wins_ties = false;
};

constexpr PresetRow kRows[] = {
    {PlacementPreset::kCairn, "cairn", Scheme::kRendezvous},
    {PlacementPreset::kLibmemcachedWeighted, "libmemcached-weighted", Scheme::kRing160},
    {PlacementPreset::kLibmemcachedMd5, "libmemcached-md5", Scheme::kRing100, KeyHash::kMd5,
     KeyHash::kMd5, PointName::kLibmemcached, true},
    {PlacementPreset::kLibmemcachedKetama, "libmemcached-ketama", Scheme::kRing100,
     KeyHash::kOneAtATimeSigned, KeyHash::kOneAtATimeSigned, PointName::kLibmemcached, true},
    {PlacementPreset::kLibmemcachedModula, "libmemcached-modula", Scheme::kModula,
     KeyHash::kOneAtATimeSigned},
    {PlacementPreset::kLibmc, "libmc", Scheme::kRing100},
    {PlacementPreset::kTwemproxy, "twemproxy", Scheme::kRing160, KeyHash::kFnv1a_64Low32Signed,
     KeyHash::kMd5, PointName::kTwemproxy},
    {PlacementPreset::kTwemproxyModula, "twemproxy-modula", Scheme::kModulaWeighted},
    {PlacementPreset::kSpymemcached, "spymemcached", Scheme::kRing160, KeyHash::kMd5, KeyHash::kMd5,
     PointName::kSpymemcached, false, true},
    {PlacementPreset::kPymemcache, "pymemcache", Scheme::kPymemcacheStr},
    {PlacementPreset::kPymemcacheBytes, "pymemcache-bytes", Scheme::kPymemcacheBytes},
};

constexpr PlacementPreset kPresets[] = {
    PlacementPreset::kCairn,
    PlacementPreset::kLibmemcachedWeighted,
    PlacementPreset::kLibmemcachedMd5,
    PlacementPreset::kLibmemcachedKetama,
    PlacementPreset::kLibmemcachedModula,
    PlacementPreset::kLibmc,
    PlacementPreset::kTwemproxy,
    PlacementPreset::kTwemproxyModula,
    PlacementPreset::kSpymemcached,
    PlacementPreset::kPymemcache,
    PlacementPreset::kPymemcacheBytes,
};
static_assert(std::size(kPresets) == std::size(kRows));

const PresetRow& RowOf(PlacementPreset preset) {
  for (const PresetRow& row : kRows) {
    if (row.preset == preset) return row;
  }
  return kRows[0];
}

}  // namespace

std::span<const PlacementPreset> AllPresets() { return kPresets; }

std::string_view PresetName(PlacementPreset preset) { return RowOf(preset).name; }

absl::StatusOr<PlacementPreset> PresetFromName(std::string_view name) {
  std::string known;
  for (const PresetRow& row : kRows) {
    if (row.name == name) return row.preset;
    known.append(known.empty() ? "" : ", ").append(row.name);
  }
  return absl::InvalidArgumentError("no placement \"" + std::string(name) + "\"; there are " +
                                    known);
}

PlacementOptions PlacementOptions::For(PlacementPreset preset) {
  const PresetRow& row = RowOf(preset);
  PlacementOptions options;
  options.scheme = row.scheme;
  options.key_hash = row.key_hash;
  options.point_hash = row.point_hash;
  options.point_name = row.point_name;
  options.weights_make_ring160 = row.weights_make_ring160;
  options.last_server_wins_ties = row.last_server_wins_ties;
  return options;
}

}  // namespace cairn
