#include "cairn/placement.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>

#include "client/key_hash.h"
#include "client/md5.h"
#include "tests/catch.h"

namespace cairn {
namespace {

using Scheme = PlacementOptions::Scheme;
using PointName = PlacementOptions::PointName;

std::vector<std::string> Split(const std::string& text, char mark) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, mark);) parts.push_back(part);
  return parts;
}

std::vector<Server> ManyServers(size_t count, uint32_t weight = 1) {
  std::vector<Server> servers(count);
  for (size_t i = 0; i < count; ++i) {
    servers[i].host = "10.0.0." + std::to_string(i + 1);
    servers[i].weight = weight;
  }
  return servers;
}

Placement MakeOk(std::span<const Server> servers, const PlacementOptions& options,
                 const std::vector<bool>& live = {}) {
  auto placement = Placement::Make(servers, options, live);
  REQUIRE(placement.ok());
  return std::move(*placement);
}

std::vector<std::string> ManyKeys(size_t count) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back("key:" + std::to_string(i * 7919));
  return keys;
}

// The behaviours of the published vectors, as options.
PlacementOptions OptionsOf(const std::string& behaviour) {
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
  const auto found = kKnown.find(behaviour);
  INFO("behaviour " << behaviour);
  REQUIRE(found != kKnown.end());
  return found->second;
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

std::string ReadVectors(const std::string& path) {
  const std::string command = (path.ends_with(".zst") ? "zstd -dcq '" : "cat '") + path + "'";
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  char buffer[65536];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe.get())) {
    text.append(buffer, count);
  }
  return text;
}

}  // namespace

TEST_CASE("MD5 digests are those of RFC 1321") {
  auto hex = [](std::string_view text) {
    std::string digits;
    for (const uint32_t word : Md5Words(text)) {
      for (int byte = 0; byte < 4; ++byte) {
        char two[3];
        snprintf(two, sizeof(two), "%02x", (word >> (8 * byte)) & 0xff);
        digits += two;
      }
    }
    return digits;
  };
  CHECK(hex("") == "d41d8cd98f00b204e9800998ecf8427e");
  CHECK(hex("abc") == "900150983cd24fb0d6963f7d28e17f72");
  CHECK(hex("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") ==
        "d174ab98d277d9f5a5611c2c9f419d9f");
  CHECK(hex("1234567890123456789012345678901234567890123456789012345678901234567890123456789"
            "0") == "57edf4a22be3c955ac49da2e2107b67a");
}

TEST_CASE("the shorter ways to a digest's first word agree with the long one at every length") {
  for (size_t size = 0; size <= 250; ++size) {
    const std::string text(size, static_cast<char>('a' + size % 26));
    CHECK(Md5Word0(text) == Md5Words(text)[0]);
  }
  for (const size_t lanes : {size_t{4}, Md5Lanes()}) {
    for (size_t size = 0; size + lanes <= kMd5OneBlockBytesMax + 1; ++size) {
      std::vector<std::string> texts;
      for (size_t i = 0; i < lanes; ++i) {
        texts.emplace_back(size + i, static_cast<char>('a' + i));
      }
      const std::vector<std::string_view> views(texts.begin(), texts.end());
      uint32_t words[kMd5LanesMax];
      Md5Word0OfLanes(views, words);
      for (size_t i = 0; i < lanes; ++i) CHECK(words[i] == Md5Words(texts[i])[0]);
    }
  }
}

TEST_CASE("hashes are the textbook's where the textbook has them") {
  CHECK(HashKey(KeyHash::kCrc32, "123456789") == 0xcbf43926);
  CHECK(HashKey(KeyHash::kFnv1_32, "foobar") == 0x31f0b262);
  CHECK(HashKey(KeyHash::kFnv1a_32, "foobar") == 0xbf9cf968);
  CHECK(HashKey(KeyHash::kOneAtATimeSigned, "a") == 0xca2e9442);
  CHECK(Murmur3("") == 0);
  CHECK(Murmur3("hello") == 0x248bfa47);
  CHECK(Murmur3("hello, world") == 0x149bbb7f);
}

TEST_CASE("keys are where libmemcached and pymemcache put them") {
  std::ifstream file(CAIRN_SOURCE_DIR "/tests/client/placement_vectors.tsv");
  size_t count = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const auto fields = Split(line, '\t');
    REQUIRE(fields.size() == 4);
    const auto preset = PresetFromName(fields[0]);
    REQUIRE(preset.ok());
    const Placement placement = MakeOk(ServersOf(fields[1], ""), PlacementOptions::For(*preset));
    INFO(line);
    CHECK(placement.Choose(fields[2]) == std::stoul(fields[3]));
    ++count;
  }
  CHECK(count > 400);
}

TEST_CASE("keys are where the published vectors say") {
  const char* path = std::getenv("CAIRN_PLACEMENT_VECTORS");
  if (path == nullptr) {
    WARN("skipped: CAIRN_PLACEMENT_VECTORS does not name the file of published vectors");
    return;
  }
  const std::string text = ReadVectors(path);
  std::map<std::string, Placement> placements;
  size_t count = 0;
  std::map<std::string, int> wrong;
  for (const std::string& line : Split(text, '\n')) {
    const auto fields = Split(line, '\t');
    if (fields.size() != 5 || fields[0] == "set-name") continue;
    const std::vector<Server> servers = ServersOf(fields[2], fields[1]);
    auto found = placements.find(fields[1] + fields[2]);
    if (found == placements.end()) {
      found =
          placements.emplace(fields[1] + fields[2], MakeOk(servers, OptionsOf(fields[1]))).first;
    }
    const bool prefixed = fields[1].find("HASH_WITH_PREFIX") != std::string::npos;
    const Server& chosen = servers[found->second.Choose(prefixed ? "ns1:" + fields[3] : fields[3])];
    const std::string address = chosen.host + ":" + std::to_string(chosen.port);
    if (address != fields[4]) ++wrong[fields[0] + " " + fields[1]];
    ++count;
  }
  for (const auto& [what, times] : wrong) FAIL_CHECK(what << ": " << times << " wrong");
  CHECK(count > 30000);
}

TEST_CASE("choosing for many keys is choosing for each") {
  std::vector<std::string> keys = ManyKeys(103);
  keys[17] = std::string(200, 'l');
  keys[50].clear();
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  for (const PlacementPreset preset : AllPresets()) {
    for (const char* tag : {"", "{}"}) {
      PlacementOptions options = PlacementOptions::For(preset);
      options.hash_tag = tag;
      const Placement placement = MakeOk(ManyServers(7), options);
      std::vector<uint16_t> chosen(keys.size());
      placement.Choose(views, chosen);
      for (size_t i = 0; i < keys.size(); ++i) CHECK(chosen[i] == placement.Choose(keys[i]));
    }
  }
}

TEST_CASE("a new server takes its share of the keys from the others and moves no other key") {
  const auto keys = ManyKeys(20000);
  for (const size_t count : {size_t{1}, size_t{2}, size_t{3}, size_t{9}, size_t{24}, size_t{99}}) {
    const auto options = PlacementOptions::For(PlacementPreset::kCairn);
    const Placement before = MakeOk(ManyServers(count), options);
    const Placement after = MakeOk(ManyServers(count + 1), options);
    size_t moved = 0;
    for (const std::string& key : keys) {
      const size_t now = after.Choose(key);
      if (now == before.Choose(key)) continue;
      CHECK(now == count);
      ++moved;
    }
    const double share = static_cast<double>(moved) / static_cast<double>(keys.size());
    INFO(count << " servers and one more: " << share);
    CHECK(share <= 1.0 / static_cast<double>(count + 1) + 0.02);
    CHECK(moved > 0);
  }
}

TEST_CASE("servers get their weight's share of the keys") {
  const auto keys = ManyKeys(50000);
  std::vector<Server> servers = ManyServers(5);
  const uint32_t weights[] = {1, 2, 3, 4, 10};
  for (size_t i = 0; i < servers.size(); ++i) servers[i].weight = weights[i];
  const Placement placement = MakeOk(servers, PlacementOptions::For(PlacementPreset::kCairn));
  std::vector<double> counts(servers.size());
  for (const std::string& key : keys) ++counts[placement.Choose(key)];
  for (size_t i = 0; i < servers.size(); ++i) {
    const double share = counts[i] / static_cast<double>(keys.size());
    CHECK(std::abs(share - weights[i] / 20.0) < 0.01);
  }
}

TEST_CASE("more weight moves keys to that server only") {
  const auto keys = ManyKeys(5000);
  std::vector<Server> servers = ManyServers(6);
  for (size_t i = 0; i < servers.size(); ++i) servers[i].weight = static_cast<uint32_t>(i + 1);
  const auto options = PlacementOptions::For(PlacementPreset::kCairn);
  const Placement before = MakeOk(servers, options);
  servers[2].weight = 9;
  const Placement after = MakeOk(servers, options);
  for (const std::string& key : keys) {
    if (before.Choose(key) != after.Choose(key)) CHECK(after.Choose(key) == 2);
  }
}

TEST_CASE("a server that does not live gives its keys up, and gets the same ones back") {
  const auto keys = ManyKeys(3000);
  const auto servers = ManyServers(5);
  for (const PlacementPreset preset : AllPresets()) {
    const auto options = PlacementOptions::For(preset);
    const Placement all = MakeOk(servers, options);
    const Placement without = MakeOk(servers, options, {true, true, false, true, true});
    std::vector<Server> four = servers;
    four.erase(four.begin() + 2);
    const Placement only_four = MakeOk(four, options);
    for (const std::string& key : keys) {
      const size_t chosen = without.Choose(key);
      CHECK(chosen != 2);
      CHECK(servers[chosen].host == four[only_four.Choose(key)].host);
      if (preset == PlacementPreset::kCairn && all.Choose(key) != 2) {
        CHECK(chosen == all.Choose(key));
      }
    }
  }
}

TEST_CASE("an alias keeps every key when the address changes") {
  const auto keys = ManyKeys(500);
  std::vector<Server> servers = ManyServers(4);
  for (size_t i = 0; i < servers.size(); ++i) servers[i].alias = "node" + std::to_string(i);
  std::vector<Server> moved = servers;
  for (Server& server : moved) {
    server.host = "elsewhere";
    server.port = 4000;
  }
  for (const PlacementPreset preset : AllPresets()) {
    const auto options = PlacementOptions::For(preset);
    const Placement before = MakeOk(servers, options);
    const Placement after = MakeOk(moved, options);
    for (const std::string& key : keys) CHECK(before.Choose(key) == after.Choose(key));
  }
}

TEST_CASE("keys with the same hash tag live together") {
  PlacementOptions options = PlacementOptions::For(PlacementPreset::kLibmemcachedWeighted);
  options.hash_tag = "{}";
  const Placement placement = MakeOk(ManyServers(10), options);
  for (int i = 0; i < 100; ++i) {
    CHECK(placement.Choose("{user42}:" + std::to_string(i)) == placement.Choose("user42"));
  }
}

TEST_CASE("what cannot be placed is refused with a reason") {
  const auto options = PlacementOptions::For(PlacementPreset::kCairn);
  CHECK(absl::IsInvalidArgument(Placement::Make({}, options).status()));
  const auto servers = ManyServers(2);
  CHECK(absl::IsInvalidArgument(Placement::Make(servers, options, {true}).status()));
  CHECK(absl::IsInvalidArgument(Placement::Make(servers, options, {false, false}).status()));
  PlacementOptions bad_tag = options;
  bad_tag.hash_tag = "{";
  CHECK(absl::IsInvalidArgument(Placement::Make(servers, bad_tag).status()));
  CHECK(absl::IsInvalidArgument(Placement::Make(ManyServers(2, 65536), options).status()));
  CHECK(absl::IsInvalidArgument(PresetFromName("ketama").status()));
  for (const PlacementPreset preset : AllPresets()) {
    CHECK(PresetFromName(PresetName(preset)).value() == preset);
  }
}

TEST_CASE("servers are read from text") {
  auto parsed = [](std::string_view text) {
    auto server = Server::Parse(text);
    INFO(text);
    REQUIRE(server.ok());
    return *server;
  };
  CHECK(parsed("cache1").port == 11211);
  CHECK(parsed("cache1:4000").port == 4000);
  CHECK(parsed("cache1:4000:7 blue").weight == 7);
  CHECK(parsed("cache1:4000:7 blue").alias == "blue");
  CHECK(parsed("[::1]:4000").host == "::1");
  CHECK(parsed("[::1]:4000").Address() == "[::1]:4000");
  CHECK(parsed("[::1]").port == 11211);
  CHECK(parsed("/run/cache.sock:3").weight == 3);
  CHECK(parsed("/run/cache.sock").Address() == "/run/cache.sock");
  for (const char* text :
       {"", ":1", "a:b", "a:0", "a:65536", "a:1:x", "a:1:2:3", "[::1", "[::1]x", "a:", "a:1:"}) {
    INFO(text);
    const auto server = Server::Parse(text);
    if (std::string_view(text) == "a:" || std::string_view(text) == "a:1:") {
      CHECK(server.ok());  // nothing after a colon is nothing said
    } else {
      CHECK(absl::IsInvalidArgument(server.status()));
    }
  }
}

}  // namespace cairn
