#include "cairn/placement.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>

#include "client/key_hash.h"
#include "client/md5.h"
#include "tests/catch.h"

namespace cairn {
namespace {

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

// Of the tests that draw names, weights and numbers of servers; CAIRN_PLACEMENT_SEED sets it.
uint32_t Seed() {
  const char* const text = std::getenv("CAIRN_PLACEMENT_SEED");
  return text == nullptr ? 1 : static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

uint32_t Draw(std::mt19937& random, uint32_t least, uint32_t most) {
  return least + static_cast<uint32_t>(random() % (most - least + 1));
}

std::string DrawWord(std::mt19937& random, uint32_t bytes_max) {
  std::string word(Draw(random, 1, bytes_max), 'x');
  for (char& c : word) c = static_cast<char>(Draw(random, 'a', 'z'));
  return word;
}

// Servers of random names and keys that live on them.
struct Fleet {
  // `size`: 0 is a few servers, 1 some, 2 many.
  Fleet(std::mt19937& random, int size) {
    const uint32_t least[] = {1, 5, 30};
    const uint32_t most[] = {4, 29, 100};
    const uint32_t count = Draw(random, least[size], most[size]) + 1;
    const uint32_t weight = Draw(random, 1, 3);
    for (uint32_t i = 0; i < count; ++i) {
      Server server;
      // Names are like each other, or have nothing in common.
      server.host = Draw(random, 0, 1) == 0
                        ? "10.1." + std::to_string(i) + "." + std::to_string(Draw(random, 1, 254))
                        : DrawWord(random, 12) + std::to_string(i) + ".example";
      if (Draw(random, 0, 1) == 0) server.port = static_cast<uint16_t>(Draw(random, 1024, 65535));
      if (Draw(random, 0, 3) == 0) server.alias = DrawWord(random, 8) + std::to_string(i);
      server.weight = weight;
      equal.push_back(server);
      server.weight = Draw(random, i == 0 ? 2 : 1, 5);
      weighted.push_back(server);
    }
    for (uint32_t i = 0; i < 20000; ++i) {
      keys.push_back(DrawWord(random, 30) + ":" + std::to_string(i));
    }
  }

  std::vector<Server> equal;     // in weight
  std::vector<Server> weighted;  // the same servers, one with a weight above 1 at the least
  std::vector<std::string> keys;
};

std::vector<uint16_t> Chosen(std::span<const Server> servers, const PlacementOptions& options,
                             const std::vector<std::string>& keys,
                             const std::vector<bool>& live = {}) {
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<uint16_t> chosen(keys.size());
  MakeOk(servers, options, live).Choose(views, chosen);
  return chosen;
}

// Of those a change of the list moves most keys, and nobody expects otherwise.
constexpr PlacementPreset kWithoutModula[] = {
    PlacementPreset::kCairn,           PlacementPreset::kLibmemcachedWeighted,
    PlacementPreset::kLibmemcachedMd5, PlacementPreset::kLibmemcachedKetama,
    PlacementPreset::kLibmc,           PlacementPreset::kTwemproxy,
    PlacementPreset::kSpymemcached,    PlacementPreset::kPymemcache,
    PlacementPreset::kPymemcacheBytes};

constexpr PlacementPreset kModula[] = {PlacementPreset::kLibmemcachedModula,
                                       PlacementPreset::kTwemproxyModula};

bool IsRing(const PlacementOptions& options) {
  return options.scheme == PlacementOptions::Scheme::kRing160 ||
         options.scheme == PlacementOptions::Scheme::kRing100;
}

bool HasWeights(PlacementPreset preset) {
  return preset != PlacementPreset::kLibmc && preset != PlacementPreset::kPymemcache &&
         preset != PlacementPreset::kPymemcacheBytes;
}

// What a server should have of the keys.
double Share(const std::vector<Server>& servers, size_t index, bool weights_count) {
  if (!weights_count) return 1 / static_cast<double>(servers.size());
  double total = 0;
  for (const Server& server : servers) total += server.weight;
  return servers[index].weight / total;
}

std::vector<size_t> NumbersOf(const std::vector<bool>& which) {
  std::vector<size_t> numbers;
  for (size_t i = 0; i < which.size(); ++i) {
    if (which[i]) numbers.push_back(i);
  }
  return numbers;
}

std::vector<Server> Only(const std::vector<Server>& servers, const std::vector<bool>& which) {
  std::vector<Server> some;
  for (const size_t i : NumbersOf(which)) some.push_back(servers[i]);
  return some;
}

// Whether each of `servers`, whose numbers in `counts` these are, has its share of what was
// counted: each key draws, which allows six times the standard deviation of so many draws.
void CheckShares(const std::vector<double>& counts, const std::vector<Server>& servers,
                 const std::vector<size_t>& numbers, bool weights_count) {
  const double keys = std::accumulate(counts.begin(), counts.end(), 0.0);
  for (size_t i = 0; i < servers.size(); ++i) {
    const double fair = Share(servers, i, weights_count);
    const double slack = 6 * std::sqrt(fair * (1 - fair) * keys) + 6;
    INFO("server " << i << " has " << counts[numbers[i]] << " of " << keys << " keys");
    CHECK(std::abs(counts[numbers[i]] - fair * keys) <= slack);
  }
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

TEST_CASE("a new server takes its share of the keys and moves few others") {
  const uint32_t seed = Seed();
  std::mt19937 random(seed);
  for (int round = 0; round < 6; ++round) {
    const Fleet fleet(random, round % 3);
    // A server of the same weight as the others: with another one a weighted ring gives all of them
    // other numbers of points. (Of a weight above 1 libmemcached's plain rings are weighted ones.)
    const size_t count = fleet.equal.size() - 1;
    for (const PlacementPreset preset : kWithoutModula) {
      const auto options = PlacementOptions::For(preset);
      const auto before = Chosen(std::span(fleet.equal).first(count), options, fleet.keys);
      const auto after = Chosen(fleet.equal, options, fleet.keys);
      size_t to_new = 0;
      size_t to_others = 0;
      for (size_t i = 0; i < before.size(); ++i) {
        if (after[i] != before[i]) ++(after[i] == count ? to_new : to_others);
      }
      INFO("seed " << seed << ", round " << round << ": " << PresetName(preset) << ", " << count
                   << " servers and one more, of " << before.size() << " keys " << to_new
                   << " moved there and " << to_others << " elsewhere");
      const auto keys = static_cast<double>(before.size());
      const double moved = static_cast<double>(to_new + to_others) / keys;
      const double fair = 1 / static_cast<double>(count + 1);
      CHECK(to_new > 0);
      if (IsRing(options)) {
        // Its part of the ring is a sum of as many random gaps as it has points, 100 at the least:
        // six times the standard deviation is 0.6 of the part. 160 points may become 156.
        CHECK(moved <= 1.6 * fair + 0.05);
        CHECK(static_cast<double>(to_others) / keys <= 0.05);
      } else {
        // Each key draws: six times the standard deviation of so many draws is less than this.
        CHECK(moved <= fair + 0.02);
        CHECK(to_others == 0);
      }
    }
  }
}

TEST_CASE("a new server of any weight takes its share and moves no other key") {
  const uint32_t seed = Seed() + 1;
  std::mt19937 random(seed);
  const auto options = PlacementOptions::For(PlacementPreset::kCairn);
  for (int round = 0; round < 6; ++round) {
    const Fleet fleet(random, round % 3);
    const size_t count = fleet.weighted.size() - 1;
    const auto before = Chosen(std::span(fleet.weighted).first(count), options, fleet.keys);
    const auto after = Chosen(fleet.weighted, options, fleet.keys);
    INFO("seed " << seed << ", round " << round << ": " << count << " servers and one more");
    size_t moved = 0;
    size_t to_others = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      if (after[i] == before[i]) continue;
      ++moved;
      if (after[i] != count) ++to_others;
    }
    CHECK(to_others == 0);
    CHECK(static_cast<double>(moved) / static_cast<double>(before.size()) <=
          Share(fleet.weighted, count, true) + 0.02);
  }
}

TEST_CASE("servers get their weight's share of the keys") {
  const uint32_t seed = Seed() + 2;
  std::mt19937 random(seed);
  for (int round = 0; round < 6; ++round) {
    const Fleet fleet(random, round % 3);
    for (const PlacementPreset preset : kWithoutModula) {
      const auto options = PlacementOptions::For(preset);
      std::vector<double> counts(fleet.weighted.size());
      for (const uint16_t server : Chosen(fleet.weighted, options, fleet.keys)) ++counts[server];
      const auto keys = static_cast<double>(fleet.keys.size());
      const auto servers = static_cast<double>(counts.size());
      for (size_t i = 0; i < counts.size(); ++i) {
        const double fair = Share(fleet.weighted, i, HasWeights(preset));
        const double share = counts[i] / keys;
        INFO("seed " << seed << ", round " << round << ": " << PresetName(preset) << ", server "
                     << i << " of " << servers << " has " << share << ", should have " << fair);
        // Six times the standard deviation of so many keys; on a ring also that of points which are
        // as random, and one name of 40 that rounding down may cost each server.
        double slack = 6 * std::sqrt(fair * (1 - fair) / keys);
        if (IsRing(options)) {
          slack += 6 * std::sqrt(fair * (1 - fair) / (100 * servers)) + 1 / (40 * servers);
        }
        CHECK(std::abs(share - fair) <= slack);
      }
    }
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
  for (const PlacementPreset preset : kWithoutModula) {
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

TEST_CASE("with modula no key moves but those of servers that do not live") {
  const uint32_t seed = Seed() + 3;
  std::mt19937 random(seed);
  for (int round = 0; round < 12; ++round) {
    const Fleet fleet(random, round % 3);
    const bool has_weights = Draw(random, 0, 1) == 1;
    std::vector<Server> servers = has_weights ? fleet.weighted : fleet.equal;
    // Some are backups, as ClientOptions has them; kinds[b] is which servers take keys together.
    std::vector<bool> kinds[2] = {std::vector<bool>(servers.size()),
                                  std::vector<bool>(servers.size())};
    for (size_t i = 0; i < servers.size(); ++i) {
      servers[i].backup = i > 0 && Draw(random, 0, 3) == 0;
      kinds[servers[i].backup ? 1 : 0][i] = true;
    }
    for (const PlacementPreset preset : kModula) {
      PlacementOptions options = PlacementOptions::For(preset);
      const bool weights_count = preset == PlacementPreset::kTwemproxyModula;
      for (const std::vector<bool>& kind : kinds) {
        std::vector<bool> live = kind;
        const auto count_live = [&live] { return std::count(live.begin(), live.end(), true); };
        if (count_live() < 2) continue;
        INFO("seed " << seed << ", round " << round << ": " << PresetName(preset) << ", "
                     << count_live() << " of " << servers.size() << " servers"
                     << (has_weights ? " with weights" : ""));
        // The function is that of the list of these servers alone, and others are not counted.
        const std::vector<size_t> numbers = NumbersOf(kind);
        const auto at_home = Chosen(Only(servers, kind), options, fleet.keys);
        const auto all_well = Chosen(servers, options, fleet.keys, live);
        size_t wrong = 0;
        for (size_t i = 0; i < all_well.size(); ++i) wrong += all_well[i] != numbers[at_home[i]];
        // They fail one after the other, in any order, until one is left.
        auto before = all_well;
        std::vector<size_t> order = numbers;
        std::shuffle(order.begin(), order.end(), random);
        order.pop_back();
        if (order.size() > 6) order.resize(6);
        for (const size_t failed : order) {
          live[failed] = false;
          const auto after = Chosen(servers, options, fleet.keys, live);
          std::vector<double> gained(servers.size());
          for (size_t i = 0; i < after.size(); ++i) {
            // Whoever lost nothing just now stays: at home, or where he was already instead.
            const bool stays = before[i] != failed;
            wrong += stays ? after[i] != before[i] : !live[after[i]];
            if (all_well[i] == failed) ++gained[after[i]];
          }
          CheckShares(gained, Only(servers, live), NumbersOf(live), weights_count);
          before = after;
        }
        // And back, in any order: to those that are back, and to no other.
        std::shuffle(order.begin(), order.end(), random);
        for (const size_t back : order) {
          live[back] = true;
          const auto after = Chosen(servers, options, fleet.keys, live);
          for (size_t i = 0; i < after.size(); ++i) {
            wrong += all_well[i] == back && after[i] != back;
            wrong += after[i] != before[i] && after[i] != back;
          }
          before = after;
        }
        CHECK(wrong == 0);
        CHECK(before == all_well);
      }
    }
  }
}

TEST_CASE("modula counts backups with the others where both take keys") {
  std::vector<Server> servers = ManyServers(5);
  servers[1].backup = servers[4].backup = true;
  const auto options = PlacementOptions::For(PlacementPreset::kLibmemcachedModula);
  const Placement all = MakeOk(servers, options);
  const Placement plain = MakeOk(ManyServers(5), options);
  const Placement without = MakeOk(servers, options, {true, true, false, true, true});
  for (const std::string& key : ManyKeys(1000)) {
    CHECK(all.Choose(key) == plain.Choose(key));
    if (all.Choose(key) != 2) CHECK(without.Choose(key) == all.Choose(key));
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

TEST_CASE("a server with a UNIX socket has no port on a ring") {
  const auto keys = ManyKeys(500);
  std::vector<Server> parsed;
  std::vector<Server> filled_in;
  for (int i = 0; i < 4; ++i) {
    const std::string path = "/run/cache" + std::to_string(i);
    parsed.push_back(Server::Parse(path).value());
    filled_in.emplace_back().host = path;
  }
  for (const PlacementPreset preset : AllPresets()) {
    const auto options = PlacementOptions::For(preset);
    const Placement one = MakeOk(parsed, options);
    const Placement other = MakeOk(filled_in, options);
    for (const std::string& key : keys) CHECK(one.Choose(key) == other.Choose(key));
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
