// Leases of many keys by locks, of servers that have nothing better: what is asked, how often, and
// who wins.
#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "cairn/async.h"
#include "cairn/async_filling_pool.h"
#include "cairn/async_look_aside.h"
#include "cairn/client.h"
#include "cairn/filling_pool.h"
#include "cairn/look_aside.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;

std::vector<std::string> Keys(size_t count, std::string_view prefix = "key:") {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back(std::string(prefix) + std::to_string(i));
  return keys;
}

std::vector<std::string_view> Views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

// A cache with nothing but classic text, that knows which commands it was given.
class TextCache {
 public:
  TextCache()
      : peer_([this](Conversation& conversation, int) {
          for (std::string line; !(line = conversation.Line()).empty();) {
            const std::string answer = AnswerTo(conversation, line);
            OthersAct(line);
            conversation.Send(answer);
          }
        }) {}

  Server server() const { return peer_.server(); }
  void Set(const std::string& key, std::string value) {
    const std::lock_guard lock(mutex_);
    items_[key] = {std::move(value), ++cas_};
  }
  std::string Get(const std::string& key) {
    const std::lock_guard lock(mutex_);
    return items_[key].value;
  }
  // Set when the first lock is added.
  void SetLate(const std::string& key, std::string value) {
    const std::lock_guard lock(mutex_);
    late_.emplace_back(key, std::move(value));
  }
  // After the next request that begins so, somebody sets a key; or deletes it.
  void Meanwhile(std::string request, std::string key, std::optional<std::string> value) {
    const std::lock_guard lock(mutex_);
    others_.push_back({std::move(request), std::move(key), std::move(value)});
  }
  // The verbs in their order, each once for as often as it came in a row. What is asked about one
  // key after the other has as many rows as keys.
  std::vector<std::string> TakeRows() {
    const std::lock_guard lock(mutex_);
    return std::exchange(rows_, {});
  }
  size_t locks() {
    const std::lock_guard lock(mutex_);
    size_t locks = 0;
    for (const auto& [key, item] : items_) locks += key.starts_with("lk:") ? 1 : 0;
    return locks;
  }

 private:
  struct Item {
    std::string value;
    uint64_t cas = 0;
  };

  struct Other {
    std::string request;
    std::string key;
    std::optional<std::string> value;
  };

  void OthersAct(const std::string& line) {
    const std::lock_guard lock(mutex_);
    for (auto other = others_.begin(); other != others_.end(); ++other) {
      if (!line.starts_with(other->request)) continue;
      if (other->value.has_value()) {
        items_[other->key] = {*other->value, ++cas_};
      } else {
        items_.erase(other->key);
      }
      others_.erase(other);
      return;
    }
  }

  std::string AnswerTo(Conversation& conversation, const std::string& line) {
    std::istringstream words(line);
    std::string verb;
    std::string key;
    words >> verb;
    std::string value;
    uint64_t cas = 0;
    if (verb == "add" || verb == "cas") {
      std::string flags;
      std::string exptime;
      size_t bytes = 0;
      words >> key >> flags >> exptime >> bytes >> cas;
      value = conversation.Bytes(bytes);
      conversation.Skip(2);
    }
    const std::lock_guard lock(mutex_);
    if (verb == "version") return "VERSION 1.4.39\r\n";
    if (rows_.empty() || rows_.back() != verb) rows_.push_back(verb);
    if (verb == "gets") {
      std::string answer;
      while (words >> key) {
        const auto found = items_.find(key);
        if (found == items_.end()) continue;
        const auto& [text, number] = found->second;
        answer += "VALUE " + key + " 0 " + std::to_string(text.size()) + " " +
                  std::to_string(number) + "\r\n" + text + "\r\n";
      }
      return answer + "END\r\n";
    }
    if (verb == "add") {
      for (auto& [late_key, late_value] : late_) items_[late_key] = {late_value, ++cas_};
      late_.clear();
      const bool added = items_.try_emplace(key, Item{value, cas_ + 1}).second;
      cas_ += added ? 1 : 0;
      return added ? "STORED\r\n" : "NOT_STORED\r\n";
    }
    if (verb == "cas") {  // of what is to be gone
      const auto found = items_.find(key);
      if (found == items_.end()) return "NOT_FOUND\r\n";
      if (found->second.cas != cas) return "EXISTS\r\n";
      items_.erase(found);
      return "STORED\r\n";
    }
    if (verb == "delete") {
      words >> key;
      return items_.erase(key) > 0 ? "DELETED\r\n" : "NOT_FOUND\r\n";
    }
    return "ERROR\r\n";
  }

  std::mutex mutex_;
  std::map<std::string, Item> items_;
  std::vector<std::pair<std::string, std::string>> late_;
  std::vector<Other> others_;
  uint64_t cas_ = 0;
  std::vector<std::string> rows_;
  ScriptedPeer peer_;
};

std::unique_ptr<Client> TextClient(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.protocol = Protocol::kText;
  return std::move(Client::Make(options).value());
}

// The calls that wait, and the others, for those who do not care.
struct Either {
  bool waits;
  Client* client;

  auto Get(std::span<const std::string_view> keys) const {
    return waits ? client->GetMultiWithLease(keys) : Wait(client->Async().GetMultiWithLease(keys));
  }
  auto Set(std::span<const LeasedStore> stores) const {
    return waits ? client->SetMultiWithLease(stores)
                 : Wait(client->Async().SetMultiWithLease(stores));
  }
  auto Release(std::span<const HeldLease> leases) const {
    return waits ? client->ReleaseMulti(leases) : Wait(client->Async().ReleaseMulti(leases));
  }
  auto Invalidate(std::span<const std::string_view> keys) const {
    return waits ? client->InvalidateMulti(keys, absl::ZeroDuration())
                 : Wait(client->Async().InvalidateMulti(keys, absl::ZeroDuration()));
  }
};

using Rows = std::vector<std::string>;

}  // namespace

TEST_CASE("misses of many keys by locks are as many round trips as one", "[client][lease]") {
  const bool waits = GENERATE(true, false);
  const size_t count = GENERATE(1, 2, 300, 5000);  // the last ones in two waves
  INFO((waits ? "waiting, " : "on a loop, ") << count);
  TextCache cache;
  const auto client = TextClient(cache.server());
  const Either either = {waits, client.get()};
  const std::vector<std::string> keys = Keys(count);
  const std::vector<std::string_view> views = Views(keys);
  const Rows once = {"gets", "add", "gets"};

  auto got = either.Get(views);
  CHECK(cache.TakeRows() == once);
  std::vector<HeldLease> leases;
  for (size_t i = 0; i < count; ++i) {
    REQUIRE(got[i].ok());
    CHECK(got[i]->won);
    leases.push_back({keys[i], got[i]->token});
  }
  for (const auto& taken : either.Get(views)) {
    CHECK((taken.ok() && taken->taken && !taken->won && taken->lease_id != 0));
  }
  CHECK(cache.TakeRows() == once);

  for (const auto& released : either.Release(leases)) CHECK(released.value());
  CHECK(cache.TakeRows() == Rows{"gets", "cas"});
  CHECK(cache.locks() == 0);
  for (const auto& released : either.Release(leases)) CHECK_FALSE(released.value());

  got = either.Get(views);
  std::vector<LeasedStore> stores;
  for (size_t i = 0; i < count; ++i) {
    stores.push_back({keys[i], keys[i], got[i]->token, absl::InfiniteDuration(), 0});
  }
  (void)cache.TakeRows();
  for (const auto& stored : either.Set(stores)) CHECK(stored.value());
  CHECK(cache.TakeRows() == Rows{"gets", "add", "gets", "cas"});
  CHECK(cache.locks() == 0);
  for (const auto& again : either.Set(stores)) CHECK_FALSE(again.value());
  got = either.Get(views);
  for (size_t i = 0; i < count; ++i) CHECK(got[i]->value == keys[i]);
  (void)cache.TakeRows();
  for (const auto& gone : either.Invalidate(views)) CHECK(gone.value());
  CHECK(cache.TakeRows() == Rows{"delete"});
}

TEST_CASE("of keys with locks each has its own fate", "[client][lease]") {
  const bool waits = GENERATE(true, false);
  TextCache cache;
  const auto client = TextClient(cache.server());
  const Either either = {waits, client.get()};
  cache.Set("there", "1");
  cache.Set("lk:taken", "theirs");
  cache.SetLate("late", "2");
  const std::string_view keys[] = {"won", "there", "taken", "late", "bad key", "won"};
  const auto got = either.Get(keys);
  CHECK(got[0].value().won);
  CHECK(got[0]->value == std::nullopt);
  CHECK(got[1].value().value == "1");
  CHECK_FALSE(got[1]->won);
  CHECK(got[2].value().taken);
  // It came when its lock was added; that one is gone again.
  CHECK(got[3].value().value == "2");
  CHECK(got[3]->cas != 0);
  CHECK_FALSE(got[3]->won);
  CHECK(absl::IsInvalidArgument(got[4].status()));
  CHECK(got[5].value().taken);
  CHECK(got[5]->lease_id == got[0]->lease_id);
  CHECK(cache.locks() == 2);

  const auto second = either.Get(keys);
  CHECK(second[0].value().taken);
  CHECK(second[2].value().lease_id == got[2]->lease_id);

  // What is stored, what was lost, what nobody may store, and what was never anybody's.
  const std::string large(2 << 20, 'x');
  const std::string_view more[] = {"lost", "large", "set"};
  const auto other = either.Get(more);
  REQUIRE(client->DeleteAndLease("lost").ok());
  cache.Set("set", "since");
  const LeasedStore stores[] = {
      {"won", "3", got[0]->token, absl::Minutes(1), 0},
      {"lost", "4", other[0]->token, absl::Minutes(1), 0},
      {"large", large, other[1]->token, absl::Minutes(1), 0},
      {"set", "5", other[2]->token, absl::Minutes(1), 0},
      {"none", "6", LeaseToken(), absl::Minutes(1), 0},
      {"bad key", "7", got[0]->token, absl::Minutes(1), 0},
  };
  const auto stored = either.Set(stores);
  CHECK(stored[0].value());
  CHECK_FALSE(stored[1].value());
  CHECK(absl::IsResourceExhausted(stored[2].status()));
  CHECK_FALSE(stored[3].value());
  CHECK(absl::IsFailedPrecondition(stored[4].status()));
  CHECK(absl::IsInvalidArgument(stored[5].status()));
  CHECK(cache.Get("won") == "3");
  CHECK(cache.Get("set") == "since");
  CHECK(cache.locks() == 2);  // of what is too large, and theirs

  const HeldLease leases[] = {{"large", other[1]->token},
                              {"lost", other[0]->token},
                              {"none", LeaseToken()},
                              {"bad key", other[1]->token}};
  const auto released = either.Release(leases);
  CHECK(released[0].value());
  CHECK_FALSE(released[1].value());
  CHECK(absl::IsFailedPrecondition(released[2].status()));
  CHECK(absl::IsInvalidArgument(released[3].status()));
  CHECK(cache.locks() == 1);
}

TEST_CASE("a delete is not outlived by what is stored with a lock at the same moment",
          "[client][lease]") {
  const bool waits = GENERATE(true, false);
  TextCache cache;
  const auto client = TextClient(cache.server());
  const Either calls = {waits, client.get()};
  const std::vector<std::string> keys = Keys(3);
  const auto won = calls.Get(Views(keys));
  REQUIRE(won[1]->won);
  std::vector<LeasedStore> stores(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    stores[i].key = keys[i];
    stores[i].value = "old";
    stores[i].token = won[i]->token;
  }
  SECTION("the lock is lost when the value is stored") {
    cache.Meanwhile("add key:1 ", "lk:key:1", std::nullopt);
    const auto set = calls.Set(stores);
    CHECK(set[0].value());
    CHECK_FALSE(set[1].value());
    CHECK(set[2].value());
    CHECK(cache.Get("key:0") == "old");
    CHECK(cache.Get("key:1").empty());
  }
  SECTION("the value is stored when the lock is lost") {
    cache.Meanwhile("delete lk:key:1", "key:1", "old");
    CHECK(calls.Invalidate(Views(keys))[1].ok());
    CHECK(cache.Get("key:1").empty());
    CHECK(cache.locks() == 0);
  }
}

TEST_CASE("leases of every kind are given back in one call", "[client][lease]") {
  const bool waits = GENERATE(true, false);
  OneServer one;
  Client& client = *one.client;
  const Either either = {waits, &client};
  REQUIRE(client.Set("stale", "1").ok());
  REQUIRE(client.Invalidate("stale", absl::Minutes(1)).value());
  REQUIRE(client.Set("early", "2", {.ttl = absl::Seconds(60)}).ok());
  const LeaseToken early =
      client.GetWithLease("early", {.refresh_ahead = absl::Seconds(600)}).value().token;
  const LeaseToken stale = client.GetWithLease("stale").value().token;
  const LeaseToken missing = client.GetWithLease("missing").value().token;
  REQUIRE((early.held() && stale.held() && missing.held()));
  const HeldLease leases[] = {
      {"early", early}, {"stale", stale}, {"missing", missing}, {"gone", missing}};
  const auto released = either.Release(leases);
  CHECK(released[0].value());
  CHECK(released[1].value());
  CHECK(released[2].value());
  CHECK_FALSE(released[3].value());
  CHECK(client.GetWithLease("stale").value().won);
  CHECK(client.GetWithLease("missing").value().won);
  CHECK(either.Release({}).empty());
}

TEST_CASE("one of many callers wins each of many keys", "[client][lease]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  OneServer one(protocol);
  constexpr size_t kKeys = 300;
  constexpr size_t kCallers = 6;  // every other one on the loop
  const std::vector<std::string> keys = Keys(kKeys);
  std::vector<std::vector<absl::StatusOr<LeasedItem>>> got(kCallers);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kCallers; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::string_view> views = Views(keys);
      if (t % 3 == 0) std::reverse(views.begin(), views.end());
      got[t] = Either{t % 2 == 0, one.client.get()}.Get(views);
      if (t % 3 == 0) std::reverse(got[t].begin(), got[t].end());
    });
  }
  for (std::thread& thread : threads) thread.join();
  size_t wrong = 0;
  for (size_t i = 0; i < kKeys; ++i) {
    size_t won = 0;
    size_t taken = 0;
    uint64_t id = 0;
    for (const auto& items : got) {
      if (items[i].ok() && items[i]->won) id = items[i]->lease_id;
    }
    for (const auto& items : got) {
      won += items[i].ok() && items[i]->won ? 1 : 0;
      taken += items[i].ok() && items[i]->taken && items[i]->lease_id == id ? 1 : 0;
    }
    wrong += won == 1 && taken == kCallers - 1 ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("leases of a pool of which one server has none", "[client][lease]") {
  const bool waits = GENERATE(true, false);
  const ServerProcess meta;
  TextCache text;
  ClientOptions options = PatientOptions(meta.server());
  options.servers[0].alias = "meta";
  options.servers.push_back(text.server());
  options.servers[1].alias = "text";
  const auto client = Client::Make(options).value();
  const Either either = {waits, client.get()};
  const std::vector<std::string> keys = Keys(200);
  const std::vector<std::string_view> views = Views(keys);
  const auto got = either.Get(views);
  size_t by_lock = 0;
  std::vector<LeasedStore> stores;
  std::vector<HeldLease> leases;
  for (size_t i = 0; i < keys.size(); ++i) {
    REQUIRE((got[i].ok() && got[i]->won));
    by_lock += client->ServerOf(keys[i]);
    if (i % 2 == 0) stores.push_back({keys[i], keys[i], got[i]->token, absl::Minutes(1), 0});
    if (i % 2 != 0) leases.push_back({keys[i], got[i]->token});
  }
  CHECK(by_lock > 0);
  CHECK(by_lock < keys.size());
  CHECK(text.locks() == by_lock);
  CHECK(text.TakeRows() == Rows{"gets", "add", "gets"});
  for (const auto& stored : either.Set(stores)) CHECK(stored.value());
  for (const auto& released : either.Release(leases)) CHECK(released.value());
  CHECK(text.locks() == 0);
  const auto again = either.Get(views);
  for (size_t i = 0; i < keys.size(); ++i) {
    REQUIRE(again[i].ok());
    if (i % 2 == 0) CHECK(again[i]->value == keys[i]);
    if (i % 2 != 0) CHECK(again[i]->won);
  }
}

TEST_CASE("a look-aside of many misses by locks asks, stores and gives back for all at once",
          "[client][look]") {
  const bool waits = GENERATE(true, false);
  TextCache cache;
  const auto client = TextClient(cache.server());
  LookAside pages(client.get(), {});
  AsyncLookAside async(&pages);
  const std::vector<std::string> keys = Keys(100);
  const std::vector<std::string_view> views = Views(keys);
  const auto get = [&](bool fails) {
    std::vector<std::optional<std::string>> values(keys.begin(), keys.end());
    absl::StatusOr<std::vector<std::optional<std::string>>> computed = std::move(values);
    if (fails) computed = absl::InternalError("broken");
    if (waits) return pages.GetMultiOrCompute(views, [&](auto) { return computed; });
    return Wait(async.GetMultiOrCompute(
        views, [&](const auto&, const AsyncLookAside::DoneMulti& done) { done(computed); }));
  };
  for (const auto& page : get(true)) CHECK(absl::IsInternal(page.status()));
  CHECK(cache.TakeRows() == Rows{"gets", "add", "gets", "cas"});
  CHECK(cache.locks() == 0);
  for (const auto& page : get(false)) CHECK(page.value().source == Fetched::Source::kComputed);
  CHECK(cache.TakeRows() == Rows{"gets", "add", "gets", "add", "gets", "cas"});
  CHECK(cache.locks() == 0);
  for (const auto& page : get(false)) CHECK(page.value().source == Fetched::Source::kCache);
}

TEST_CASE("a pool that fills gives all leases back at once that it has no use for",
          "[client][fill]") {
  const bool waits = GENERATE(true, false);
  TextCache cache;
  const auto to = TextClient(cache.server());
  const OneServer from(Protocol::kText);
  FillingPool pool(to.get(), from.client.get());
  const AsyncFillingPool async(&to->Async(), &from.client->Async());
  const std::vector<std::string> keys = Keys(100);
  const std::vector<std::string_view> views = Views(keys);
  const auto values = waits ? pool.GetMulti(views) : Wait(async.GetMulti(views));
  for (const auto& value : values) CHECK(value.value() == std::nullopt);
  CHECK(cache.TakeRows() == Rows{"gets", "add", "gets", "cas"});
  CHECK(cache.locks() == 0);
}

}  // namespace cairn
