// A pool that fills from another one: for threads that wait, and without waiting; one test for
// both, where they are to mean the same.
#include "cairn/filling_pool.h"

#include <event2/event.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async_filling_pool.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;
using Value = absl::StatusOr<std::optional<std::string>>;

// Either form, for those who do not care.
class Pool {
 public:
  Pool(bool waits, Client* to, Client* from)
      : waits_(waits), here_(to, from), async_(&to->Async(), &from->Async()) {}

  Value Get(std::string_view key) { return waits_ ? here_.Get(key) : Wait(async_.Get(key)); }
  std::vector<Value> GetMulti(std::span<const std::string_view> keys) {
    return waits_ ? here_.GetMulti(keys) : Wait(async_.GetMulti(keys));
  }
  absl::Status Set(std::string_view key, std::string_view value, const WriteOptions& options = {}) {
    return waits_ ? here_.Set(key, value, options) : Wait(async_.Set(key, value, options));
  }
  absl::StatusOr<bool> Delete(std::string_view key) {
    return waits_ ? here_.Delete(key) : Wait(async_.Delete(key));
  }

 private:
  const bool waits_;
  FillingPool here_;
  const AsyncFillingPool async_;
};

// An old pool that is asked for one value, and does something before it answers.
class SlowPool {
 public:
  explicit SlowPool(std::function<void()> before)
      : peer_([before = std::move(before)](Conversation& conversation, int) {
          while (!conversation.Line().empty()) {
            before();
            conversation.Send("VALUE key 3 1 7\r\nA\r\nEND\r\n");
          }
        }) {
    ClientOptions options = PatientOptions(peer_.server());
    options.protocol = Protocol::kText;
    client = std::move(Client::Make(options).value());
  }

 private:
  ScriptedPeer peer_;

 public:
  std::unique_ptr<Client> client;
};

}  // namespace

TEST_CASE("a new pool is filled as it is asked", "[client][fill]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  const bool waits = GENERATE(true, false);
  OneServer from(protocol);
  OneServer to(protocol);
  Pool pool(waits, to.client.get(), from.client.get());
  REQUIRE(from.client->Set("a", "A", {.ttl = absl::Minutes(10), .flags = 7}).ok());
  REQUIRE(to.client->Set("b", "B").ok());
  REQUIRE(from.client->Set("b", "older").ok());
  const std::vector<std::string_view> keys = {"a", "b", "absent", "gone"};
  const auto values = pool.GetMulti(keys);
  CHECK(values[0].value() == "A");
  CHECK(values[1].value() == "B");
  CHECK(values[2].value() == std::nullopt);
  CHECK(values[3].value() == std::nullopt);
  CHECK(to.client->Gets("a").value()->value == "A");
  CHECK(to.client->Gets("a").value()->flags == 7);
  CHECK(to.client->Get("absent").value() == std::nullopt);
  CHECK(pool.GetMulti({}).empty());
  // The right to store it was given back.
  CHECK(to.client->GetWithLease("gone").value().won);
  // What is changed does not come back from the old pool.
  CHECK(pool.Set("a", "new", {.flags = 9}).ok());
  CHECK(to.client->Gets("a").value()->flags == 9);
  REQUIRE(to.client->Delete("a").value());
  CHECK(pool.Get("a").value() == std::nullopt);
  CHECK(pool.Delete("b").value());
  CHECK(pool.Get("b").value() == std::nullopt);
  CHECK_FALSE(pool.Delete("b").value());
  // While somebody else copies a value it is read where it is.
  REQUIRE(from.client->Set("c", "C").ok());
  REQUIRE(to.client->GetWithLease("c").value().won);
  CHECK(pool.Get("c").value() == "C");
  to.server.Kill();
  CHECK(pool.Get("c").value() == "C");
  CHECK(absl::IsUnavailable(pool.Get("absent").status()));
  CHECK(absl::IsUnavailable(pool.Delete("c").status()));
  CHECK(absl::IsUnavailable(pool.Set("c", "x")));
}

TEST_CASE("stale values are taken from neither pool, and are left to be computed",
          "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer from;
  OneServer to;
  Pool pool(waits, to.client.get(), from.client.get());
  REQUIRE(from.client->Set("here", "1").ok());
  REQUIRE(to.client->Set("here", "2").ok());
  REQUIRE(to.client->Invalidate("here", absl::Minutes(1)).value());
  REQUIRE(from.client->Set("there", "3").ok());
  REQUIRE(from.client->Invalidate("there", absl::Minutes(1)).value());
  const std::vector<std::string_view> keys = {"here", "there"};
  for (const Value& value : pool.GetMulti(keys)) CHECK(value.value() == std::nullopt);
  CHECK(to.client->GetWithLease("here").value().won);
  CHECK(from.client->GetWithLease("there").value().won);
  CHECK(to.client->Get("there").value() == std::nullopt);
}

TEST_CASE("without its old pool a new one is just a pool", "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer from;
  OneServer to;
  Pool pool(waits, to.client.get(), from.client.get());
  from.server.Kill();
  REQUIRE(to.client->Set("a", "A").ok());
  CHECK(pool.Get("a").value() == "A");
  CHECK(absl::IsUnavailable(pool.Get("b").status()));
  CHECK(to.client->GetWithLease("b").value().won);
  CHECK(absl::IsUnavailable(pool.Set("c", "C")));
  CHECK(to.client->Get("c").value() == "C");
  CHECK(absl::IsUnavailable(pool.Delete("c").status()));
  CHECK(to.client->Get("c").value() == std::nullopt);
}

TEST_CASE("a value on its way from the old pool is not stored after a delete or a set",
          "[client][fill]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  const bool waits = GENERATE(true, false);
  const bool sets = GENERATE(true, false);
  OneServer to(protocol);
  // What the other's delete or set does in the new pool, when it has been in the old one.
  std::atomic<int> done{0};
  SlowPool from([&] {
    if (sets ? to.client->Set("key", "new").ok() : to.client->DeleteAndLease("key").ok()) ++done;
  });
  Pool pool(waits, to.client.get(), from.client.get());
  CHECK(pool.Get("key").value() == "A");
  CHECK(done == 1);
  const auto left = to.client->GetWithLease("key").value();
  CHECK(left.value == (sets ? std::optional<std::string>("new") : std::nullopt));
}

TEST_CASE("a value on its way from the old pool is not stored where a larger one was refused",
          "[client][fill]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  const bool waits = GENERATE(true, false);
  OneServer to(protocol);
  OneServer old(protocol);
  const std::string large(2 << 20, 'x');
  FillingPool theirs(to.client.get(), old.client.get());
  std::atomic<int> refused{0};
  SlowPool from([&] {
    if (absl::IsResourceExhausted(theirs.Set("key", large))) ++refused;
  });
  Pool pool(waits, to.client.get(), from.client.get());
  CHECK(pool.Get("key").value() == "A");
  CHECK(refused == 1);
  CHECK(to.client->GetWithLease("key").value().value == std::nullopt);
}

TEST_CASE("what threads and loops delete from both pools at once does not come back",
          "[client][fill]") {
  OneServer from;
  OneServer to;
  constexpr size_t kKeys = 40;
  std::vector<std::string> names;
  for (size_t i = 0; i < kKeys; ++i) names.push_back("key:" + std::to_string(i));
  const std::vector<std::string_view> keys(names.begin(), names.end());
  for (const std::string& name : names) REQUIRE(from.client->Set(name, name).ok());
  FillingPool pool(to.client.get(), from.client.get());
  const AsyncFillingPool async(&to.client->Async(), &from.client->Async());
  std::atomic<bool> deleted{false};
  std::atomic<int> wrong{0};
  std::atomic<int> reading{2};
  const auto check = [&](const std::vector<Value>& values) {
    for (size_t i = 0; i < kKeys; ++i) {
      if (!values[i].ok() || values[i]->value_or(names[i]) != names[i]) ++wrong;
    }
  };
  std::thread reader([&] {
    while (!deleted) check(pool.GetMulti(keys));
    --reading;
  });
  const std::function<void()> read_on = [&] {
    async.GetMulti(keys).Then([&](const std::vector<Value>& values) {
      check(values);
      if (deleted) {
        --reading;
      } else {
        read_on();
      }
    });
  };
  read_on();
  std::atomic<size_t> left{kKeys};
  for (size_t i = 0; i < kKeys; ++i) {
    if (i % 2 == 0) {
      CHECK(pool.Delete(names[i]).ok());
      --left;
    } else {
      async.Delete(names[i]).Then([&](const absl::StatusOr<bool>& done) {
        if (!done.ok()) ++wrong;
        --left;
      });
    }
  }
  while (left > 0) std::this_thread::yield();
  deleted = true;
  while (reading > 0) std::this_thread::yield();
  reader.join();
  CHECK(wrong == 0);
  for (const Value& value : pool.GetMulti(keys)) CHECK(value.value() == std::nullopt);
  for (const std::string& name : names) CHECK(to.client->Get(name).value_or("") == std::nullopt);
}

TEST_CASE("a pool is filled on the caller's event loop, from one that is on it or not",
          "[client][fill]") {
  const bool both = GENERATE(true, false);
  OneServer from;
  OneServer to;
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  const std::thread::id here = std::this_thread::get_id();
  REQUIRE(from.client->Set("a", "A").ok());
  {
    AsyncClient from_loop(from.client.get(), base);
    AsyncClient to_loop(to.client.get(), base);
    const AsyncFillingPool pool(&to_loop, both ? &from_loop : &from.client->Async());
    bool elsewhere = false;
    int over = 0;
    const auto count = [&](bool right) {
      elsewhere = elsewhere || std::this_thread::get_id() != here;
      if (right) ++over;
    };
    pool.Get("a").Then([&](const Value& value) {
      count(value.value() == "A");
      // From a completion, which the old pool's loop had a part in.
      pool.Set("a", "B").Then([&](const absl::Status& status) {
        count(status.ok());
        pool.Delete("a").Then([&](const absl::StatusOr<bool>& there) { count(*there); });
      });
    });
    { const auto dropped = pool.Delete("a"); }  // was never begun
    CHECK(over == 0);
    while (over < 3) event_base_loop(base, EVLOOP_ONCE);
    CHECK_FALSE(elsewhere);
  }
  event_base_free(base);
}

TEST_CASE("calls to both pools end as cancelled with the new one's loop", "[client][fill]") {
  const bool both = GENERATE(true, false);
  std::atomic<int> asked{0};
  ScriptedPeer silent([&](Conversation& conversation, int) {
    while (!conversation.Line().empty()) ++asked;
  });
  ClientOptions options = PatientOptions(silent.server());
  options.protocol = Protocol::kText;
  const auto hanging = std::move(Client::Make(options).value());
  OneServer to;
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  int over = 0;
  const auto cancelled = [&](const absl::Status& status) {
    CHECK(absl::IsCancelled(status));
    ++over;
  };
  REQUIRE(to.client->Set("known", "1").ok());
  {
    AsyncClient from_loop(hanging.get(), base);
    AsyncClient to_loop(to.client.get(), base);
    const AsyncFillingPool pool(&to_loop, both ? &from_loop : &hanging->Async());
    const std::string_view keys[] = {"known", "c"};
    pool.GetMulti(keys).Then([&](const std::vector<Value>& values) {
      CHECK(values[0].value() == "1");
      cancelled(values[1].status());
    });
    while (asked < 1) event_base_loop(base, EVLOOP_NONBLOCK);
    pool.Get("a").Then([&](const Value& value) {
      cancelled(value.status());
      // What is begun now ends so, too.
      pool.Get("b").Then([&](const Value& more) { cancelled(more.status()); });
      pool.Set("b", "2").Then(cancelled);
      pool.Delete("b").Then([&](const absl::StatusOr<bool>& more) { cancelled(more.status()); });
    });
    pool.Set("known", "2").Then(cancelled);
    pool.Delete("known").Then([&](const absl::StatusOr<bool>& done) { cancelled(done.status()); });
    while (asked < 2) event_base_loop(base, EVLOOP_NONBLOCK);
    CHECK(over == 0);
  }
  CHECK(over == 7);
  CHECK(to.client->Get("known").value() == "1");
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire ReadAndWrite(AsyncFillingPool pool, std::string key, std::atomic<int>& right,
                  std::atomic<int>& over) {
  const Value old = co_await pool.Get(key);
  const absl::Status set = co_await pool.Set(key, "new");
  const Value now = co_await pool.Get(key);
  const absl::StatusOr<bool> deleted = co_await pool.Delete(key);
  const Value gone = co_await pool.Get(key);
  if (old.value() == "old" && set.ok() && now.value() == "new" && *deleted &&
      gone.value() == std::nullopt) {
    ++right;
  }
  ++over;
}

}  // namespace

TEST_CASE("coroutines use a pool that fills", "[client][fill]") {
  OneServer from;
  OneServer to;
  std::atomic<int> right{0};
  std::atomic<int> over{0};
  const AsyncFillingPool pool(&to.client->Async(), &from.client->Async());
  for (int i = 0; i < 100; ++i) {
    REQUIRE(from.client->Set("key:" + std::to_string(i), "old").ok());
    ReadAndWrite(pool, "key:" + std::to_string(i), right, over);
  }
  while (over < 100) std::this_thread::yield();
  CHECK(right == 100);
}

#endif

}  // namespace cairn
