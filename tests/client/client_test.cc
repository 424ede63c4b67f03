#include "cairn/client.h"

#include <atomic>
#include <memory>
#include <thread>

#include "cairn/counter.h"
#include "client/requests.h"
#include "tests/catch.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

// Three servers of a kind, and a client for them. The kinds that are installed.
struct Pool {
  explicit Pool(const std::string& program, ClientOptions::Protocol protocol) {
    for (int i = 0; i < 3; ++i) {
      servers.push_back(std::make_unique<ServerProcess>(program));
      if (!servers.back()->running()) return;
      options.servers.push_back(servers.back()->server());
    }
    options.protocol = protocol;
    // Sanitizers and a busy machine make servers slow; what is tested here is not how slow.
    options.connect_timeout = options.request_timeout = absl::Seconds(10);
    options.call_timeout = absl::Seconds(60);
    client = Connect();
  }
  std::unique_ptr<Client> Connect() const {
    auto made = Client::Make(options);
    REQUIRE(made.ok());
    return std::move(*made);
  }

  std::vector<std::unique_ptr<ServerProcess>> servers;
  ClientOptions options;
  std::unique_ptr<Client> client;
};

std::vector<std::string_view> Views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

std::vector<std::string> Keys(size_t count) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back("key:" + std::to_string(i));
  return keys;
}

void TestSingleValues(Client& client) {
  CHECK(client.Get("missing").value() == std::nullopt);
  CHECK(client.Set("key", "value", {.flags = 7}).ok());
  CHECK(client.Get("key").value() == "value");
  const auto item = client.Gets("key").value();
  REQUIRE(item.has_value());
  CHECK(item->value == "value");
  CHECK(item->flags == 7);
  CHECK(item->cas != 0);
  CHECK(client.Set("empty", "").ok());
  CHECK(client.Get("empty").value() == "");
  static constexpr char kBinary[] = "\0\r\nEND\r\nVALUE x 0 1\r\n\xff";
  const std::string binary(kBinary, sizeof(kBinary));
  CHECK(client.Set("binary", binary).ok());
  CHECK(client.Get("binary").value() == binary);
  const std::string large(1000000, 'L');
  CHECK(client.Set("large", large).ok());
  CHECK(client.Get("large").value() == large);
  CHECK(absl::IsResourceExhausted(client.Set("larger", std::string(1 << 20, 'x'))));
}

void TestConditions(Client& client) {
  CHECK(client.Add("new", "1").value());
  CHECK_FALSE(client.Add("new", "2").value());
  CHECK(client.Replace("new", "3").value());
  CHECK_FALSE(client.Replace("absent", "3").value());
  CHECK(client.Append("new", "4").value());
  CHECK(client.Prepend("new", "2").value());
  CHECK_FALSE(client.Append("absent", "x").value());
  CHECK_FALSE(client.Prepend("absent", "x").value());
  CHECK(client.Get("new").value() == "234");
  const uint64_t cas = client.Gets("new").value()->cas;
  CHECK(client.CompareAndSwap("new", "a", cas).value() == CasOutcome::kStored);
  CHECK(client.CompareAndSwap("new", "b", cas).value() == CasOutcome::kChanged);
  CHECK(client.CompareAndSwap("absent", "b", cas).value() == CasOutcome::kNotFound);
  CHECK(client.Get("new").value() == "a");
}

void TestTheRest(Client& client) {
  CHECK(client.Set("n", "10").ok());
  CHECK(client.Increment("n").value() == 11u);
  CHECK(client.Increment("n", 89).value() == 100u);
  CHECK(client.Decrement("n", 1).value() == 99u);
  CHECK(client.Decrement("n", 1000).value() == 0u);
  CHECK(client.Increment("absent").value() == std::nullopt);
  CHECK(client.Set("word", "abc").ok());
  CHECK(absl::IsInvalidArgument(client.Increment("word").status()));
  CHECK(client.Get("word").value() == "abc");

  CHECK(client.Touch("n", absl::Seconds(100)).value());
  CHECK_FALSE(client.Touch("absent", absl::Seconds(100)).value());
  CHECK(client.GetAndTouch("n", absl::Seconds(200)).value()->value.substr(0, 1) == "0");
  CHECK(client.GetAndTouch("absent", absl::Seconds(200)).value() == std::nullopt);
  CHECK(client.Touch("n", absl::ZeroDuration()).value());
  CHECK(client.Get("n").value() == std::nullopt);
  CHECK(client.Set("dead", "x", {.ttl = -absl::Seconds(1)}).ok());
  CHECK(client.Get("dead").value() == std::nullopt);
  CHECK(client.Set("far", "x", {.ttl = absl::Hours(24 * 365)}).ok());
  CHECK(client.Get("far").value() == "x");

  CHECK(client.Delete("word").value());
  CHECK_FALSE(client.Delete("word").value());
  for (size_t i = 0; i < client.server_count(); ++i) {
    CHECK_THAT(client.Version(i).value(), Catch::Matchers::ContainsSubstring("1.6"));
    const auto stats = client.Stats(i).value();
    CHECK(stats.size() > 20);
    CHECK(stats[0].first == "pid");
    CHECK(client.Stats(i, "settings").value().size() > 20);
  }
  CHECK(client.FlushAll().ok());
  CHECK(client.Get("far").value() == std::nullopt);
}

void TestBulk(Client& client) {
  const std::vector<std::string> keys = Keys(3000);
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, key});
  const MultiWriteResult set = client.SetMulti(items);
  CHECK(set.done_count() == keys.size());
  CHECK(set.failed_count() == 0);

  std::vector<std::string_view> asked = Views(keys);
  asked.insert(asked.begin() + 10, "absent");
  asked.push_back("key:5");  // a second time
  asked.push_back("bad key");
  asked.push_back("also-absent");
  const MultiGetResult got = client.GetMulti(asked, {}, true);
  CHECK(got.size() == asked.size());
  CHECK(got.hits() == keys.size() + 1);
  CHECK(got.misses() == 2);
  CHECK(got.not_reached() == 1);
  for (size_t i = 0; i < asked.size(); ++i) {
    if (asked[i] == "bad key") {
      CHECK(absl::IsInvalidArgument(got.status(i)));
    } else if (asked[i].ends_with("absent")) {
      CHECK(got[i].outcome == KeyOutcome::kMiss);
      CHECK(got.status(i).ok());
    } else {
      REQUIRE(got[i].hit());
      CHECK(got[i].value == asked[i]);
      CHECK(got[i].cas != 0);
    }
  }
  const std::vector<std::string_view> three = {"key:1", "absent", "key:2"};
  const MultiWriteResult touched = client.TouchMulti(three, absl::Seconds(50));
  CHECK(touched.done_count() == 2);
  CHECK_FALSE(touched.done(1));
  CHECK(touched.status(1).ok());
  const MultiWriteResult deleted = client.DeleteMulti(three);
  CHECK(deleted.done_count() == 2);
  CHECK(deleted.failed_count() == 0);
  CHECK(client.GetMulti(three).misses() == 3);
  CHECK(client.GetMulti({}).size() == 0);
  CHECK(client.SetMulti({}).size() == 0);
}

void TestManyLarge(Client& client) {
  const std::vector<std::string> keys = Keys(20000);
  const std::string value(1000, 'v');
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, value});
  CHECK(client.SetMulti(items).done_count() == keys.size());
  const MultiGetResult got = client.GetMulti(Views(keys));
  CHECK(got.hits() == keys.size());
  size_t right = 0;
  for (size_t i = 0; i < got.size(); ++i) right += got[i].value == value ? 1 : 0;
  CHECK(right == keys.size());
}

void TestQuietly(Client& client) {
  const std::vector<std::string> keys = Keys(5000);
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, "quiet"});
  CHECK(client.SetAll(items).ok());
  CHECK(client.SetAll({}).ok());
  const MultiGetResult got = client.GetMulti(Views(keys));
  CHECK(got.hits() == keys.size());
  CHECK(got[4999].value == "quiet");
  items.push_back({"bad key", "x"});
  CHECK(absl::IsInvalidArgument(client.SetAll(items)));
  // Larger than the servers' own limit, which is below what this client would send.
  const std::string large((1 << 20) - 20, 'x');
  items.back() = {"large", large};
  CHECK_FALSE(client.SetAll(items).ok());
  CHECK(client.Set("after", "it").ok());
  CHECK(client.Get("after").value() == "it");
}

// Beyond the dates that servers know.
void TestDistantEnds(Client& client, bool is_meta) {
  constexpr absl::Duration kTtl = absl::Hours(24 * 365 * 20);
  const std::vector<std::string> names = Keys(9);
  const std::vector<std::string_view> keys = Views(names);
  CHECK(client.Set(keys[0], "x", {.ttl = kTtl}).ok());
  const SetItem one_by_one[] = {{keys[1], "x"}, {keys[2], "x"}};
  CHECK(client.SetMulti(one_by_one, {.ttl = kTtl}).done_count() == 2);
  const SetItem quietly[] = {{keys[3], "x"}, {keys[4], "x"}};
  CHECK(client.SetAll(quietly, {.ttl = kTtl}).ok());
  for (size_t i = 5; i < keys.size(); ++i) REQUIRE(client.Set(keys[i], "x").ok());
  CHECK(client.Touch(keys[5], kTtl).value());
  CHECK(client.TouchMulti({&keys[6], 1}, kTtl).done_count() == 1);
  CHECK(client.GetAndTouch(keys[7], kTtl).value().has_value());
  // In classic text it deletes.
  if (is_meta) CHECK(client.Invalidate(keys[8], kTtl).value());
  CHECK(client.GetMulti(keys).hits() == keys.size());
  if (is_meta) CHECK(client.GetWithLease(keys[8], {.lease = absl::ZeroDuration()})->stale);

  REQUIRE(client.Delete("counter").ok());
  Counter counter(&client, "counter", {.initial = 5, .ttl = kTtl});
  CHECK(counter.Add().value() == 6);
  CHECK(counter.Get().value() == 6);
}

void TestManyThreads(Client& client) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&client, &wrong, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string key = "t" + std::to_string(t) + ":" + std::to_string(i % 7);
        const std::string value = key + "=" + std::to_string(i);
        if (!client.Set(key, value).ok()) ++wrong;
        const auto got = client.Get(key);
        if (!got.ok() || *got != value) ++wrong;
        const std::string_view pair[] = {key, "never"};
        const MultiGetResult multi = client.GetMulti(pair);
        if (!multi[0].hit() || multi[0].value != value) ++wrong;
        if (multi[1].outcome != KeyOutcome::kMiss) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("every call against real servers", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  Pool pool(program, protocol);
  if (pool.client == nullptr) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  INFO(program << (protocol == ClientOptions::Protocol::kText ? ", text" : ", meta"));
  TestSingleValues(*pool.client);
  TestConditions(*pool.client);
  TestTheRest(*pool.client);
  TestBulk(*pool.client);
  TestDistantEnds(*pool.client, protocol == ClientOptions::Protocol::kAuto);
  pool.options.value_bytes_max = 1 << 20;
  TestQuietly(*pool.Connect());
  TestManyThreads(*pool.client);
  TestManyLarge(*pool.client);
  pool.options.connections_per_server = 4;
  TestManyThreads(*pool.Connect());
}

TEST_CASE("a prefix separates caches and keeps keys on their servers", "[client]") {
  Pool pool("cairnd", ClientOptions::Protocol::kAuto);
  REQUIRE(pool.client != nullptr);
  REQUIRE(pool.client->Set("key", "plain").ok());
  pool.options.key_prefix = "v7:";
  const auto seventh = pool.Connect();
  CHECK(seventh->Get("key").value() == std::nullopt);
  CHECK(seventh->Set("key", "seventh").ok());
  CHECK(seventh->Get("key").value() == "seventh");
  CHECK(pool.client->Get("key").value() == "plain");
  const std::vector<std::string> keys = Keys(100);
  for (const std::string& key : keys) CHECK(seventh->ServerOf(key) == pool.client->ServerOf(key));
  const std::string_view asked[] = {"key", "absent"};
  CHECK(seventh->GetMulti(asked)[0].value == "seventh");
  CHECK(absl::IsInvalidArgument(seventh->Get(std::string(248, 'k')).status()));
  CHECK(seventh->Get(std::string(247, 'k')).ok());
  pool.options.hash_key_prefix = true;
  const auto hashed = pool.Connect();
  for (const std::string& key : keys) {
    CHECK(hashed->ServerOf(key) == pool.client->ServerOf("v7:" + key));
  }
}

TEST_CASE("keys that no server takes are refused before they are sent", "[client]") {
  Pool pool("cairnd", ClientOptions::Protocol::kAuto);
  for (const std::string& key :
       {std::string(), std::string(251, 'k'), std::string("a b"), std::string("a\r\nflush_all"),
        std::string("a\0b", 3), std::string("\x7f")}) {
    CHECK(absl::IsInvalidArgument(pool.client->Get(key).status()));
    CHECK(absl::IsInvalidArgument(pool.client->Set(key, "x")));
    CHECK(absl::IsInvalidArgument(pool.client->Delete(key).status()));
  }
  // A bad byte is found wherever it stands, and only where there is one.
  for (const size_t size : {1, 7, 8, 9, 16, 23}) {
    for (size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string key(size, 'k');
        key[at] = static_cast<char>(byte);
        const bool good = byte > 0x20 && byte != 0x7f;
        CHECK(CheckKey("", key).ok() == good);
      }
    }
  }
  CHECK(pool.client->Set("caf\xc3\xa9", "x").ok());
  CHECK(pool.client->Get("caf\xc3\xa9").value() == "x");
}

}  // namespace cairn
