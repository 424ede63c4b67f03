// libmemcached and libcairn on the same servers, each finding, and deleting, what the other wrote.
// libmemcached_interchange_test.py starts the servers and says what is to be the same.
//
//   libmemcached_interchange <ring> <placement> none|apart|hashed <keys> <host:port:weight>...
//
// ring: what libmemcached is told, one of kRings.  placement: libcairn's preset.  Then how both
// have a prefix before their keys: not at all, or with and without a say in where a key lives. Exit
// code 0 when all was found, 1 when something was not, which is printed; 2 when it was not asked
// rightly.
#include <libmemcached/memcached.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/client.h"

namespace {

constexpr const char* kPrefix = "v7:";
constexpr uint32_t kTheirFlags = 0x12345678;
constexpr uint32_t kOurFlags = 77;
constexpr size_t kKeyBytesMax = 250;

using Behaviors = std::vector<std::pair<memcached_behavior_t, uint64_t>>;
// In this order, and before servers are added: libmemcached makes of them what it then is told.
const std::map<std::string, Behaviors> kRings = {
    {"ketama-weighted", {{MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1}}},
    {"ketama", {{MEMCACHED_BEHAVIOR_KETAMA, 1}}},
    {"ketama-md5", {{MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5}, {MEMCACHED_BEHAVIOR_KETAMA, 1}}},
    {"default", {}},
};

int failures = 0;

void Check(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  if (failures <= 10) printf("%s\n", what.c_str());
}

struct Free {
  void operator()(memcached_st* handle) const { memcached_free(handle); }
};
using Handle = std::unique_ptr<memcached_st, Free>;

// Null when libmemcached does not take what it is told.
Handle MakeTheirs(const Behaviors& behaviors, const std::string& prefix,
                  const std::vector<cairn::Server>& servers) {
  Handle handle(memcached_create(nullptr));
  bool ok = handle != nullptr;
  for (const auto& [behavior, value] : behaviors) {
    ok = ok && memcached_behavior_set(handle.get(), behavior, value) == MEMCACHED_SUCCESS;
  }
  if (prefix != "none") {
    ok = ok && memcached_callback_set(handle.get(), MEMCACHED_CALLBACK_NAMESPACE, kPrefix) ==
                   MEMCACHED_SUCCESS;
  }
  if (prefix == "hashed") {
    ok = ok && memcached_behavior_set(handle.get(), MEMCACHED_BEHAVIOR_HASH_WITH_PREFIX_KEY, 1) ==
                   MEMCACHED_SUCCESS;
  }
  for (const cairn::Server& server : servers) {
    ok = ok && memcached_server_add_with_weight(handle.get(), server.host.c_str(), server.port,
                                                server.weight) == MEMCACHED_SUCCESS;
  }
  return ok ? std::move(handle) : nullptr;
}

absl::StatusOr<std::unique_ptr<cairn::Client>> MakeOurs(const std::string& placement,
                                                        const std::string& prefix,
                                                        const std::vector<cairn::Server>& servers) {
  const absl::StatusOr<cairn::PlacementPreset> preset = cairn::PresetFromName(placement);
  if (!preset.ok()) return preset.status();
  cairn::ClientOptions options;
  options.servers = servers;
  options.placement = cairn::PlacementOptions::For(*preset);
  if (prefix != "none") options.key_prefix = kPrefix;
  options.hash_key_prefix = prefix == "hashed";
  options.connect_timeout = options.request_timeout = absl::Seconds(30);
  options.call_timeout = absl::Seconds(120);
  return cairn::Client::Make(options);
}

std::vector<std::string> MakeKeys(size_t count) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) {
    std::string key = "user:" + std::to_string(i);
    // Bytes from 0x80 are where hashes differ in what a char is.
    if (i % 4 == 1) key += ":caf\u00e9";
    if (i % 100 == 2) key.resize(kKeyBytesMax - std::string_view(kPrefix).size(), 'x');
    keys.push_back(std::move(key));
  }
  return keys;
}

// What libmemcached has of the keys: each with its value and flags.
using Found = std::map<std::string, std::pair<std::string, uint32_t>>;
Found TheirMultiGet(memcached_st* theirs, const std::vector<std::string>& keys) {
  std::vector<const char*> texts;
  std::vector<size_t> sizes;
  for (const std::string& key : keys) {
    texts.push_back(key.data());
    sizes.push_back(key.size());
  }
  memcached_return_t result = memcached_mget(theirs, texts.data(), sizes.data(), keys.size());
  Check(result == MEMCACHED_SUCCESS, "libmemcached's mget failed");
  memcached_result_st item;
  memcached_result_create(theirs, &item);
  Found found;
  while (memcached_fetch_result(theirs, &item, &result) != nullptr) {
    found[std::string(memcached_result_key_value(&item), memcached_result_key_length(&item))] = {
        std::string(memcached_result_value(&item), memcached_result_length(&item)),
        memcached_result_flags(&item)};
  }
  memcached_result_free(&item);
  return found;
}

void WeFindWhatTheyWrote(memcached_st* theirs, cairn::Client& ours,
                         const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    const std::string value = "theirs " + key;
    Check(memcached_set(theirs, key.data(), key.size(), value.data(), value.size(), 0,
                        kTheirFlags) == MEMCACHED_SUCCESS,
          "libmemcached did not store " + key);
  }
  const cairn::MultiGetResult got =
      ours.GetMulti(std::vector<std::string_view>(keys.begin(), keys.end()));
  for (size_t i = 0; i < keys.size(); ++i) {
    Check(got[i].hit() && got[i].value == "theirs " + keys[i] && got[i].flags == kTheirFlags,
          "libcairn did not find " + keys[i] + " " + got.status(i).ToString());
  }
}

void TheyFindWhatWeWrote(memcached_st* theirs, cairn::Client& ours,
                         const std::vector<std::string>& keys) {
  std::vector<std::string> values;
  std::vector<cairn::SetItem> items;
  values.reserve(keys.size());
  for (const std::string& key : keys) {
    values.push_back("ours " + key);
    items.push_back({key, values.back()});
  }
  Check(ours.SetMulti(items, {.flags = kOurFlags}).done_count() == keys.size(),
        "libcairn did not store everything");
  const Found found = TheirMultiGet(theirs, keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto at = found.find(keys[i]);
    Check(at != found.end() && at->second == std::pair(values[i], kOurFlags),
          "libmemcached did not find " + keys[i]);
  }
}

// REQUIRES: the keys are there
void EachDeletesHalf(memcached_st* theirs, cairn::Client& ours,
                     const std::vector<std::string>& keys) {
  std::vector<std::string_view> half;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i % 2 == 0) {
      half.push_back(keys[i]);
    } else {
      Check(memcached_delete(theirs, keys[i].data(), keys[i].size(), 0) == MEMCACHED_SUCCESS,
            "libmemcached did not delete " + keys[i]);
    }
  }
  Check(ours.DeleteMulti(half).done_count() == half.size(), "libcairn did not delete all of its");
  Check(TheirMultiGet(theirs, keys).empty(), "libmemcached finds what was deleted");
  Check(ours.GetMulti(std::vector<std::string_view>(keys.begin(), keys.end())).misses() ==
            keys.size(),
        "libcairn finds what was deleted");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6 || kRings.find(argv[1]) == kRings.end()) return 2;
  const std::string prefix = argv[3];
  std::vector<cairn::Server> servers;
  for (int i = 5; i < argc; ++i) servers.push_back(cairn::Server::Parse(argv[i]).value());
  const Handle theirs = MakeTheirs(kRings.at(argv[1]), prefix, servers);
  const auto ours = MakeOurs(argv[2], prefix, servers);
  if (theirs == nullptr || !ours.ok()) {
    printf("%s\n", theirs == nullptr ? "libmemcached does not take what it is told"
                                     : ours.status().ToString().c_str());
    return 2;
  }
  const std::vector<std::string> keys = MakeKeys(strtoul(argv[4], nullptr, 10));
  Check((*ours)->FlushAll().ok(), "nothing was flushed");
  WeFindWhatTheyWrote(theirs.get(), **ours, keys);
  Check((*ours)->FlushAll().ok(), "nothing was flushed");
  TheyFindWhatWeWrote(theirs.get(), **ours, keys);
  EachDeletesHalf(theirs.get(), **ours, keys);
  for (const std::string& key : keys) {
    Check(memcached_generate_hash(theirs.get(), key.data(), key.size()) == (*ours)->ServerOf(key),
          "they do not agree where " + key + " lives");
  }
  if (failures > 10) printf("and %d more\n", failures - 10);
  return failures == 0 ? 0 : 1;
}
