#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cairn/export.h"
#include "cairn/server.h"

namespace cairn {

/// Which keys live on which server. "Ketama" is a family of rings that do not agree with each
/// other; a site that shares its servers with another client library names that library's here, and
/// every key is found where that library put it.
enum class PlacementPreset : uint8_t {
  /// For new sites: weighted rendezvous hashing. A server that comes or goes moves its own share of
  /// the keys and no other; even to within what chance allows; no ring to tune.
  kCairn,
  /// libmemcached with MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED; php-memcached's
  /// OPT_LIBKETAMA_COMPATIBLE; pylibmc's ketama_weighted; twemproxy's ketama with hash md5;
  /// spymemcached's LIBMEMCACHED node format.
  kLibmemcachedWeighted,
  /// libmemcached with HASH = MD5, then KETAMA; pylibmc {"ketama": True, "hash": "md5"}. Once a
  /// server has a weight above 1, this is the weighted ring, as it is there.
  kLibmemcachedMd5,
  /// libmemcached with KETAMA alone, pylibmc {"ketama": True}: one-at-a-time, not MD5. With weights
  /// the ring is the weighted one (servers added after the behavior), keys still one-at-a-time.
  kLibmemcachedKetama,
  /// libmemcached's default: one-at-a-time modulo the number of servers. A change of the list moves
  /// most keys.
  kLibmemcachedModula,
  /// libmc (and its Python wrapper): the 100-point MD5 ring; no weights.
  kLibmc,
  /// twemproxy's `distribution: ketama` with its default hash, fnv1a_64.
  kTwemproxy,
  /// twemproxy's `distribution: modula` with hash md5: servers repeated by weight.
  kTwemproxyModula,
  /// spymemcached's KetamaNodeLocator with its own node format; servers given as addresses.
  kSpymemcached,
  /// pymemcache's HashClient with keys of type str (UTF-8 here).
  kPymemcache,
  /// The same with keys of type bytes, which it places elsewhere.
  kPymemcacheBytes,
};

/// "cairn", "libmemcached-weighted", ...: the enumerators' names in lower case, with hyphens.
CAIRN_EXPORT std::string_view PresetName(PlacementPreset preset);
/// InvalidArgument, listing the names there are, for any other.
CAIRN_EXPORT absl::StatusOr<PlacementPreset> PresetFromName(std::string_view name);
CAIRN_EXPORT std::span<const PlacementPreset> AllPresets();

/// The hash of a key. "Signed" takes bytes from 0x80 as negative, as libmemcached and twemproxy on
/// x86-64 do; it differs for keys outside ASCII only.
enum class KeyHash : uint8_t {
  kMd5,               ///< The first four bytes of the digest, little-endian.
  kOneAtATimeSigned,  ///< Jenkins.
  kFnv1_32,
  kFnv1a_32,
  kFnv1a_64Low32Signed,  ///< libmemcached's FNV1A_64, which has 32 bits only.
  kCrc32,
  kCrc32Upper15,  ///< libmemcached's CRC: 15 bits, so that a ring is nearly all one server's.
};

/// A preset taken apart, for what sites have made of their libraries' options.
struct CAIRN_EXPORT PlacementOptions {
  enum class Scheme : uint8_t {
    kRendezvous,  ///< kCairn
    kRing160,     ///< 40 names a server and four points a name, scaled by weight
    kRing100,     ///< 100 names a server and a point each
    kModula,
    kModulaWeighted,
    kPymemcacheStr,
    kPymemcacheBytes,
  };
  /// What a server is called on a ring when it has no alias, before "-0", "-1", ...
  enum class PointName : uint8_t {
    kLibmemcached,     ///< host, or host:port when the port is not 11211; /path:0
    kTwemproxy,        ///< the same, but "/path:"
    kSpymemcached,     ///< host:port, always
    kLibmemcachedSpy,  ///< /host:port, always: what libmemcached's KETAMA_SPY does
  };

  Scheme scheme = Scheme::kRendezvous;
  KeyHash key_hash = KeyHash::kMd5;
  /// Of kRing100's points; kRing160's are MD5.
  KeyHash point_hash = KeyHash::kMd5;
  PointName point_name = PointName::kLibmemcached;
  /// kRing100 becomes kRing160 when a server has a weight above 1.
  bool weights_make_ring160 = false;
  /// Two servers on one point: the later one of the list has it, instead of the earlier.
  bool last_server_wins_ties = false;
  /// Two characters such as "{}": when a key has the first and later the second with something in
  /// between, only what is between them is hashed, so that keys can be made to live together.
  /// Empty: whole keys. twemproxy's hash_tag.
  std::string hash_tag;

  static PlacementOptions For(PlacementPreset preset);
};

/// The function from keys to servers. Immutable, hence thread-safe. Algorithms: libketama's ring
/// with the details of each library as its source and its placements show them; rendezvous hashing
/// after Thaler and Ravishankar, weights after Schindelhauer and Schomaker.
class CAIRN_EXPORT Placement {
 public:
  /// InvalidArgument without servers, with more than 10,000, with a weight above 65,535, or a
  /// hash tag that is not two characters. A weight of 0 counts as 1. Servers that are not `live`
  /// (empty: all are) take no keys; at least one has to live. With rings and rendezvous the others
  /// take keys as if they were alone. With modula, where that would move most of them, every key
  /// stays whose server lives, and the others are spread over those that live, as kCairn does: who
  /// wants the function of a shorter list gives that. There the modulus counts servers that are not
  /// live, too, but no backups (Server::backup) when none of those lives, nor any others when only
  /// backups do.
  static absl::StatusOr<Placement> Make(std::span<const Server> servers,
                                        const PlacementOptions& options,
                                        const std::vector<bool>& live = {});

  Placement(Placement&&) noexcept;
  Placement& operator=(Placement&&) noexcept;
  ~Placement();

  /// The index of the key's server in the list given to Make.
  size_t Choose(std::string_view key) const;

  /// The same for many keys at once, which is cheaper: chosen[i] is keys[i]'s.
  /// REQUIRES: chosen.size() == keys.size()
  void Choose(std::span<const std::string_view> keys, std::span<uint16_t> chosen) const;

 private:
  class Impl;
  explicit Placement(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

}  // namespace cairn
