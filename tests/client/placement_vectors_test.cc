// Where other client libraries put keys: placement_vectors.tsv.zst, a table of
//
//   set  behaviour  server (host:port:weight),...  key  the server that was chosen
//
// which the libraries themselves answered: libmemcached 1.1.4 (behaviours are named by the calls
// that set them, in order), libmc at 1069477, twemproxy 0.5.0 (by which of its servers had the
// key), spymemcached at eb5d6ee (SPY_SPY, and SPY_LIB for the LIBMEMCACHED node format; _W with
// weights), pymemcache 4.0.0. Among them rings whose points fall together or wrap around, weights
// that round differently in double precision, and keys outside of ASCII.
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>
#include <utility>

#include "cairn/placement.h"
#include "tests/catch.h"

#ifdef CAIRN_HAVE_ZSTD
#include <zstd.h>
#endif

namespace cairn {
namespace {

using PointName = PlacementOptions::PointName;

std::vector<std::string> Split(const std::string& text, char mark) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, mark);) parts.push_back(part);
  return parts;
}

// The behaviours of the table, as options.
const std::map<std::string, PlacementOptions>& KnownBehaviours() {
  using Preset = PlacementPreset;
  auto with = [](Preset preset, const std::function<void(PlacementOptions&)>& change) {
    PlacementOptions options = PlacementOptions::For(preset);
    change(options);
    return options;
  };
  auto hashed_by = [&](Preset preset, KeyHash hash) {
    return with(preset, [&](PlacementOptions& options) { options.key_hash = hash; });
  };
  static const std::map<std::string, PlacementOptions> kKnown = {
      {"KETAMA", PlacementOptions::For(Preset::kLibmemcachedKetama)},
      {"CONSISTENT", PlacementOptions::For(Preset::kLibmemcachedKetama)},
      {"KETAMA,KETAMA_HASH_MD5", PlacementOptions::For(Preset::kLibmemcachedKetama)},
      {"servers,KETAMA", with(Preset::kLibmemcachedKetama,
                              [](PlacementOptions& o) { o.weights_make_ring160 = false; })},
      {"KETAMA,servers,HASH_MD5", hashed_by(Preset::kLibmemcachedKetama, KeyHash::kMd5)},
      {"HASH_MD5,KETAMA", PlacementOptions::For(Preset::kLibmemcachedMd5)},
      {"HASH_MD5,KETAMA_SPY",
       with(Preset::kLibmemcachedMd5,
            [](PlacementOptions& o) { o.point_name = PointName::kLibmemcachedSpy; })},
      {"KETAMA_WEIGHTED", PlacementOptions::For(Preset::kLibmemcachedWeighted)},
      {"servers,KETAMA_WEIGHTED", PlacementOptions::For(Preset::kLibmemcachedWeighted)},
      {"KETAMA_WEIGHTED,KETAMA_SPY",
       with(Preset::kLibmemcachedWeighted,
            [](PlacementOptions& o) { o.point_name = PointName::kLibmemcachedSpy; })},
      {"KETAMA_WEIGHTED,HASH_CRC",
       hashed_by(Preset::kLibmemcachedWeighted, KeyHash::kCrc32Upper15)},
      {"KETAMA_WEIGHTED,HASH_FNV1A_64",
       hashed_by(Preset::kLibmemcachedWeighted, KeyHash::kFnv1a_64Low32Signed)},
      {"KETAMA_WEIGHTED,PREFIX_ns1:", PlacementOptions::For(Preset::kLibmemcachedWeighted)},
      {"KETAMA_WEIGHTED,PREFIX_ns1:,HASH_WITH_PREFIX",
       PlacementOptions::For(Preset::kLibmemcachedWeighted)},
      {"LIBMC_MD5", PlacementOptions::For(Preset::kLibmc)},
      {"LIBMC_FNV1_32", hashed_by(Preset::kLibmc, KeyHash::kFnv1_32)},
      {"LIBMC_FNV1A_32", hashed_by(Preset::kLibmc, KeyHash::kFnv1a_32)},
      {"LIBMC_CRC_32", hashed_by(Preset::kLibmc, KeyHash::kCrc32)},
      {"MODULA", PlacementOptions::For(Preset::kLibmemcachedModula)},
      {"PYMEMCACHE_STR", PlacementOptions::For(Preset::kPymemcache)},
      {"PYMEMCACHE_BYTES", PlacementOptions::For(Preset::kPymemcacheBytes)},
      {"SPY_SPY", PlacementOptions::For(Preset::kSpymemcached)},
      {"SPY_SPY_W", PlacementOptions::For(Preset::kSpymemcached)},
      {"SPY_LIB", PlacementOptions::For(Preset::kLibmemcachedWeighted)},
      {"SPY_LIB_W", PlacementOptions::For(Preset::kLibmemcachedWeighted)},
      {"TWEMPROXY_MD5", hashed_by(Preset::kTwemproxy, KeyHash::kMd5)},
      {"TWEMPROXY_MD5,UNIX", hashed_by(Preset::kTwemproxy, KeyHash::kMd5)},
      {"TWEMPROXY_MD5,HASH_TAG{}", with(Preset::kTwemproxy,
                                        [](PlacementOptions& o) {
                                          o.key_hash = KeyHash::kMd5;
                                          o.hash_tag = "{}";
                                        })},
      {"TWEMPROXY_FNV1A_64", PlacementOptions::For(Preset::kTwemproxy)},
      {"TWEMPROXY_ONE_AT_A_TIME", hashed_by(Preset::kTwemproxy, KeyHash::kOneAtATimeSigned)},
      {"TWEMPROXY_CRC32", hashed_by(Preset::kTwemproxy, KeyHash::kCrc32Upper15)},
      {"TWEMPROXY_CRC32A", hashed_by(Preset::kTwemproxy, KeyHash::kCrc32)},
      {"TWEMPROXY_MODULA_MD5", PlacementOptions::For(Preset::kTwemproxyModula)},
      {"TWEMPROXY_NAMED(alpha,beta,gamma,delta,eps)", hashed_by(Preset::kTwemproxy, KeyHash::kMd5)},
  };
  return kKnown;
}

// host:port:weight, where a UNIX socket has the port 0.
std::vector<Server> ServersOf(const std::string& list, const std::string& behaviour) {
  std::vector<Server> servers;
  for (const std::string& text : Split(list, ',')) {
    const auto fields = Split(text, ':');
    Server server;
    server.host = fields.at(0);
    server.port = static_cast<uint16_t>(std::stoi(fields.at(1)));
    server.weight = static_cast<uint32_t>(std::stoul(fields.at(2)));
    servers.push_back(server);
  }
  if (behaviour.find("NAMED") != std::string::npos) {
    const char* names[] = {"alpha", "beta", "gamma", "delta", "eps"};
    for (size_t i = 0; i < servers.size(); ++i) servers[i].alias = names[i];
  }
  return servers;
}

Placement MakeOk(std::span<const Server> servers, const PlacementOptions& options) {
  auto placement = Placement::Make(servers, options);
  REQUIRE(placement.ok());
  return std::move(*placement);
}

#ifdef CAIRN_HAVE_ZSTD
std::string ReadVectors() {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/client/placement_vectors.tsv.zst", std::ios::binary);
  const std::string packed((std::istreambuf_iterator<char>(file)), {});
  const unsigned long long bytes = ZSTD_getFrameContentSize(packed.data(), packed.size());
  REQUIRE(bytes < (1 << 24));
  std::string text(bytes, '\0');
  REQUIRE(ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size()) == bytes);
  return text;
}
#endif

}  // namespace

TEST_CASE("keys are where other libraries put them") {
#ifdef CAIRN_HAVE_ZSTD
  struct Pool {
    std::vector<Server> servers;
    Placement placement;
  };
  std::map<std::string, Pool> pools;
  std::map<std::string, int> asked;  // of each behaviour
  std::map<std::string, int> wrong;
  size_t count = 0;
  std::istringstream table(ReadVectors());
  for (std::string line; std::getline(table, line);) {
    const auto fields = Split(line, '\t');
    REQUIRE(fields.size() == 5);
    if (fields[0] == "set-name") continue;
    const std::string& behaviour = fields[1];
    auto pool = pools.find(behaviour + fields[2]);
    if (pool == pools.end()) {
      INFO("behaviour " << behaviour);
      REQUIRE(KnownBehaviours().contains(behaviour));
      std::vector<Server> servers = ServersOf(fields[2], behaviour);
      Placement placement = MakeOk(servers, KnownBehaviours().at(behaviour));
      pool = pools.emplace(behaviour + fields[2], Pool{std::move(servers), std::move(placement)})
                 .first;
    }
    const bool prefixed = behaviour.find("HASH_WITH_PREFIX") != std::string::npos;
    const std::string key = prefixed ? "ns1:" + fields[3] : fields[3];
    const Server& chosen = pool->second.servers[pool->second.placement.Choose(key)];
    const std::string address = chosen.host + ":" + std::to_string(chosen.port);
    if (address != fields[4]) ++wrong[fields[0] + " " + behaviour];
    ++asked[behaviour];
    ++count;
  }
  for (const auto& [what, times] : wrong) FAIL_CHECK(what << ": " << times << " wrong");
  CHECK(count == 36460);
  CHECK(asked.size() == KnownBehaviours().size());
#else
  WARN("skipped: this build has no zstd to unpack the table with");
#endif
}

TEST_CASE("a point that two servers share is the first one's, with spymemcached the last one's") {
  // Names of the table that have a point in common, and a key just before it.
  std::vector<Server> servers(2);
  servers[0].alias = "10.9.0.7";
  servers[1].alias = "10.9.1.106";
  for (int order = 0; order < 2; ++order) {
    auto chosen = [&](PlacementPreset preset) {
      return MakeOk(servers, PlacementOptions::For(preset)).Choose("collide55");
    };
    CHECK(chosen(PlacementPreset::kLibmemcachedWeighted) == 0);
    CHECK(chosen(PlacementPreset::kSpymemcached) == 1);
    std::swap(servers[0], servers[1]);
  }
}

TEST_CASE("keys with characters beyond 16 bits are where pymemcache put them") {
  // Asked of pymemcache 3.5.2; the table has none.
  struct Row {
    const char* servers;
    size_t as_str;
    size_t as_bytes;
  };
  constexpr Row kRows[] = {
      {"10.7.0.1:11211:1,10.7.0.2:11211:1,10.7.0.3:11211:1,10.7.0.4:11211:1,10.7.0.5:11211:1", 3,
       0},
      {"cache-a:11211:1,cache-b:11300:1,10.1.1.1:11301:1", 2, 1},
  };
  for (const Row& row : kRows) {
    const auto servers = ServersOf(row.servers, "");
    auto chosen = [&](PlacementPreset preset) {
      return MakeOk(servers, PlacementOptions::For(preset)).Choose("\U0001f600");
    };
    CHECK(chosen(PlacementPreset::kPymemcache) == row.as_str);
    CHECK(chosen(PlacementPreset::kPymemcacheBytes) == row.as_bytes);
  }
}

}  // namespace cairn
