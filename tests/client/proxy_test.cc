// Through twemproxy, which speaks part of the classic text protocol: the whole pool is one server
// to the client, and the keys' places are the proxy's business.
#include <atomic>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "cairn/look_aside.h"
#include "cairn/namespace.h"
#include "cairn/session.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/proxy_process.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

/// twemproxy in front of `servers`. Not running when it is not installed.
class Twemproxy : public ProxyProcess {
 public:
  static constexpr const char* kProgram = "nutcracker";

  explicit Twemproxy(const std::vector<std::unique_ptr<ServerProcess>>& servers) {
    std::ofstream config(folder() + "/conf.yml");
    config << "pool:\n  listen: 127.0.0.1:" << port()
           << "\n  hash: fnv1a_64\n  distribution: ketama\n  timeout: 20000\n  servers:\n";
    for (size_t i = 0; i < servers.size(); ++i) {
      config << "   - " << servers[i]->server().Address() << ":1 server" << i << "\n";
    }
    config.close();
    Start({kProgram, "-c", folder() + "/conf.yml", "-o", folder() + "/log", "-p", folder() + "/pid",
           "-a", "127.0.0.1", "-s", std::to_string(FreePort())});
  }
};

struct TwemproxyPool : ProxiedPool<Twemproxy> {
  TwemproxyPool() : ProxiedPool(3) {}
};

std::vector<std::string> Keys(size_t count) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back("key:" + std::to_string(i));
  return keys;
}

}  // namespace

TEST_CASE("single keys through twemproxy", "[proxy]") {
  const TwemproxyPool pool;
  if (pool.client == nullptr) return;
  Client& client = *pool.client;
  CHECK(client.Get("key").value() == std::nullopt);
  CHECK(client.Set("key", "value", {.flags = 7}).ok());
  const std::optional<Item> item = client.Gets("key").value();
  REQUIRE(item.has_value());
  CHECK(item->value == "value");
  CHECK(item->flags == 7);
  CHECK(client.CompareAndSwap("key", "next", item->cas).value() == CasOutcome::kStored);
  CHECK(client.CompareAndSwap("key", "late", item->cas).value() == CasOutcome::kChanged);
  CHECK_FALSE(client.Add("key", "x").value());
  CHECK(client.Replace("key", "10").value());
  CHECK(client.Increment("key", 5).value() == 15);
  CHECK(client.Append("key", "0").value());
  CHECK(client.Get("key").value() == "150");
  CHECK(client.Touch("key", absl::Minutes(1)).value());
  CHECK(client.GetAndTouch("key", absl::Minutes(1)).value()->value == "150");
  CHECK(client.GetAndTouch("absent", absl::Minutes(1)).value() == std::nullopt);
  CHECK(Wait(client.Async().GetAndTouch("key", absl::ZeroDuration())).value()->value == "150");
  CHECK(client.Get("key").value() == std::nullopt);
  CHECK(client.Set("key", "150").ok());
  CHECK(client.Set("gone", "x", {.ttl = absl::ZeroDuration()}).ok());
  CHECK(client.Get("gone").value() == std::nullopt);
  const LeasedItem lease = client.GetWithLease("leased").value();
  CHECK(lease.won);
  CHECK(client.ReleaseLease("leased", lease.token).value());
  CHECK(client.GetWithLease("leased").value().won);
  CHECK(client.Delete("key").value());
  CHECK_FALSE(client.Delete("key").value());
  const uint64_t not_reached = client.Stats()[0].not_reached.total();
  for (const size_t bytes : {0, 1, 16384, 300000, 1000000}) {
    const std::string value(bytes, 'v');
    CHECK(client.Set("large", value).ok());
    CHECK(client.Get("large").value() == value);
  }
  // It hangs up on the question how much its servers take, and nothing is lost by it.
  CHECK(client.Stats()[0].not_reached.total() == not_reached);
}

TEST_CASE("many keys through twemproxy", "[proxy]") {
  const TwemproxyPool pool;
  if (pool.client == nullptr) return;
  Client& client = *pool.client;
  constexpr size_t kKeys = 5000;
  const std::vector<std::string> keys = Keys(kKeys);
  std::vector<SetItem> values;
  for (const std::string& key : keys) values.push_back({key, key});
  CHECK(client.SetAll(values).ok());
  const std::vector<std::string_view> asked(keys.begin(), keys.end());
  const MultiGetResult got = client.GetMulti(asked);
  REQUIRE(got.hits() == kKeys);
  for (size_t i = 0; i < kKeys; ++i) REQUIRE(got[i].value == keys[i]);
  CHECK(client.DeleteMulti(std::span(asked).first(100)).done_count() == 100);
  CHECK(client.GetMulti(asked).misses() == 100);
  AsyncClient& async = client.Async();
  CHECK(Wait(async.Get("key:100")).value() == "key:100");
}

TEST_CASE("the patterns through twemproxy", "[proxy]") {
  const TwemproxyPool pool;
  if (pool.client == nullptr) return;
  Client& client = *pool.client;
  // twemproxy says a version of its own, so that leases are locks beside the keys.
  LookAsideOptions options;
  options.ttl = absl::Minutes(1);
  LookAside look_aside(&client, options);
  std::atomic<int> computed = 0;
  std::mutex mutex;
  std::string not_cached;
  std::vector<std::thread> callers;
  for (int i = 0; i < 16; ++i) {
    callers.emplace_back([&] {
      const auto fetched = look_aside.GetOrCompute("page", [&]() -> LookAside::Value {
        ++computed;
        return "computed";
      });
      if (!fetched.ok() || fetched->value != "computed") computed = 1000;
      if (fetched.ok() && !fetched->cache.ok()) {
        const std::lock_guard lock(mutex);
        not_cached += fetched->cache.ToString() + "\n";
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  INFO(not_cached);
  CHECK(computed == 1);
  CHECK(client.Get("page").value() == "computed");

  Namespace user(&client, "user:42");
  const std::string before = user.Key("profile").value();
  CHECK(client.Set(before, "old").ok());
  CHECK(user.Invalidate().ok());
  CHECK(user.Key("profile").value() != before);

  Sessions sessions(&client, {.ttl = absl::Minutes(1)});
  const std::string id = sessions.Create("visits=1").value();
  const auto session = sessions.Load(id).value();
  REQUIRE(session.has_value());
  CHECK(session->data == "visits=1");
  CHECK(sessions.Save(id, "visits=2", session->cas).value() == CasOutcome::kStored);
  CHECK(sessions.Update(id, [](std::string_view data) { return std::string(data) + "!"; }).value());
  CHECK(sessions.Load(id).value()->data == "visits=2!");
  CHECK(sessions.Destroy(id).value());
  CHECK(sessions.Load(id).value() == std::nullopt);

  CHECK(client.Set("after", "it").ok());
  CHECK(client.Get("after").value() == "it");
}

}  // namespace cairn
