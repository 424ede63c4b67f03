// Leases without waiting: the same as with a thread that waits, by the meta protocol and by locks.
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

void TestLeases(Client& client) {
  AsyncClient& async = client.Async();
  const LeasedItem won = Wait(async.GetWithLease("key")).value();
  CHECK(won.won);
  CHECK(won.token.held());
  CHECK_FALSE(won.value.has_value());
  const LeasedItem taken = Wait(async.GetWithLease("key")).value();
  CHECK(taken.taken);
  CHECK_FALSE(taken.won);
  CHECK(taken.lease_id == won.lease_id);
  // A thread that waits sees the same lease.
  CHECK(client.GetWithLease("key").value().lease_id == won.lease_id);
  CHECK(Wait(async.SetWithLease("key", "value", won.token, {.flags = 3})).value());
  const LeasedItem there = Wait(async.GetWithLease("key")).value();
  CHECK(there.value == "value");
  CHECK(there.flags == 3);
  CHECK_FALSE(there.won);
  CHECK_FALSE(there.taken);

  // What was computed before a delete is not stored after it.
  const LeasedItem second = Wait(async.GetWithLease("other")).value();
  CHECK(second.won);
  CHECK(Wait(async.DeleteAndLease("other")).ok());
  CHECK_FALSE(Wait(async.SetWithLease("other", "old", second.token)).value());

  // Given back, it is the next one's.
  const LeasedItem third = Wait(async.GetWithLease("third")).value();
  CHECK(Wait(async.ReleaseLease("third", third.token)).value());
  CHECK_FALSE(Wait(async.ReleaseLease("third", third.token)).value());
  CHECK(Wait(async.GetWithLease("third")).value().won);

  CHECK(Wait(async.DeleteIf("key", there.cas + 1000)).value() == CasOutcome::kChanged);
  CHECK(Wait(async.DeleteIf("key", there.cas)).value() == CasOutcome::kStored);
  CHECK(client.Get("key").value() == std::nullopt);

  // No lease is asked for.
  LeaseOptions plain;
  plain.lease = absl::ZeroDuration();
  CHECK_FALSE(Wait(async.GetWithLease("absent", plain)).value().won);
  // What can be said without asking.
  CHECK(absl::IsFailedPrecondition(Wait(async.SetWithLease("key", "x", {})).status()));
  CHECK(absl::IsFailedPrecondition(Wait(async.ReleaseLease("key", {})).status()));
  CHECK(absl::IsInvalidArgument(Wait(async.GetWithLease("not a key")).status()));
  CHECK(absl::IsInvalidArgument(Wait(async.Invalidate("not a key", absl::Seconds(1))).status()));
}

void TestManyLeases(Client& client) {
  AsyncClient& async = client.Async();
  REQUIRE(client.Set("there", "v", {.flags = 3}).ok());
  std::vector<absl::StatusOr<LeasedItem>> items;
  {
    const std::vector<std::string> names = {"a", "there", "not a key", "b", "a"};
    const std::vector<std::string_view> keys(names.begin(), names.end());
    auto prepared = async.GetMultiWithLease(keys);
    items = Wait(std::move(prepared));
  }
  REQUIRE(items.size() == 5);
  CHECK(items[0].value().won);
  CHECK(items[1].value().value == "v");
  CHECK(items[1].value().flags == 3);
  CHECK(absl::IsInvalidArgument(items[2].status()));
  CHECK(items[3].value().won);
  CHECK(items[4].value().taken);
  CHECK(items[4].value().lease_id == items[0].value().lease_id);

  // Each is stored by its own lease, and only by that.
  std::vector<LeasedStore> stores(4);
  const std::string value = "stored";
  stores[0] = {"a", value, items[0].value().token};
  stores[1] = {"b", value, items[0].value().token};
  stores[2] = {"none", value, {}};
  stores[3] = {"b", value, items[3].value().token, absl::Minutes(1), 5};
  const auto stored = Wait(async.SetMultiWithLease(stores));
  REQUIRE(stored.size() == 4);
  CHECK(stored[0].value());
  CHECK_FALSE(stored[1].value());
  CHECK(absl::IsFailedPrecondition(stored[2].status()));
  CHECK(stored[3].value());
  CHECK(client.Get("a").value() == "stored");
  CHECK(client.Gets("b").value()->flags == 5);

  const std::string_view keys[] = {"a", "absent", "c"};
  const LeasedItem pending = client.GetWithLease("c").value();
  CHECK(pending.won);
  const auto gone = Wait(async.InvalidateMulti(keys, absl::ZeroDuration()));
  REQUIRE(gone.size() == 3);
  CHECK(gone[0].value());
  CHECK_FALSE(gone[1].value());
  CHECK_FALSE(client.SetWithLease("c", "old", pending.token).value());
  CHECK(client.Get("a").value() == std::nullopt);

  CHECK(Wait(async.GetMultiWithLease({})).empty());
  CHECK(Wait(async.SetMultiWithLease({})).empty());
}

}  // namespace

TEST_CASE("leases without waiting, by meta and by locks", "[client][lease]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  REQUIRE(one.server.running());
  TestLeases(*one.client);
  TestManyLeases(*one.client);
}

TEST_CASE("leases without waiting, with memcached", "[client][lease]") {
  ServerProcess server("memcached");
  if (!server.running()) {
    WARN("skipped: memcached is not installed");
    return;
  }
  ClientOptions options = PatientOptions(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  TestLeases(*client);
  TestManyLeases(*client);
}

TEST_CASE("an invalidated value is won stale by one", "[client][lease]") {
  OneServer one;
  REQUIRE(one.server.running());
  AsyncClient& async = one.client->Async();
  CHECK(Wait(async.Set("key", "old")).ok());
  CHECK(Wait(async.Invalidate("key", absl::Seconds(50))).value());
  const LeasedItem won = Wait(async.GetWithLease("key")).value();
  CHECK(won.won);
  CHECK(won.stale);
  CHECK(won.value == "old");
  CHECK(Wait(async.GetWithLease("key")).value().taken);
  CHECK(Wait(async.ReleaseLease("key", won.token)).value());
  const LeasedItem again = Wait(async.GetWithLease("key")).value();
  CHECK(again.won);
  CHECK(Wait(async.SetWithLease("key", "new", again.token)).value());
  CHECK(one.client->Get("key").value() == "new");
}

TEST_CASE("of a thousand who ask at the same time one wins", "[client][lease]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  REQUIRE(one.server.running());
  ClientOptions options = PatientOptions(one.server.server());
  options.protocol = protocol;
  const auto other = Connect(options);
  constexpr int kEach = 500;
  std::atomic<int> won{0};
  std::atomic<int> taken{0};
  std::atomic<int> left{2 * kEach};
  std::promise<void> done;
  for (int i = 0; i < kEach; ++i) {
    for (Client* client : {one.client.get(), other.get()}) {
      client->Async().GetWithLease("key").Then([&](const absl::StatusOr<LeasedItem>& item) {
        if (item.ok() && item->won) ++won;
        if (item.ok() && item->taken) ++taken;
        if (--left == 0) done.set_value();
      });
    }
  }
  done.get_future().wait();
  CHECK(won == 1);
  CHECK(taken == 2 * kEach - 1);
}

TEST_CASE("a lease by a lock keeps one timeout for all its requests", "[client][lease]") {
  // The miss is told at once, and then nothing more.
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Line();
    conversation.Send("END\r\n");
    conversation.Hang();
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = Connect(options);
  LeaseOptions lease;
  lease.timeout = absl::Milliseconds(50);
  CHECK(absl::IsDeadlineExceeded(Wait(client->Async().GetWithLease("key", lease)).status()));
  CHECK(absl::IsDeadlineExceeded(client->GetWithLease("key", lease).status()));
}

TEST_CASE("leases of many keys by locks keep one timeout for all their requests",
          "[client][lease]") {
  // All are misses; then a lock is added, and nothing more is said.
  ScriptedPeer peer([](Conversation& conversation, int) {
    while (conversation.Line().starts_with("get")) conversation.Send("END\r\n");
    conversation.Hang();
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto client = Connect(options);
  LeaseOptions lease;
  lease.timeout = absl::Milliseconds(50);
  const std::string_view keys[] = {"a", "b", "c"};
  for (const bool waits : {false, true}) {
    const auto items = waits ? client->GetMultiWithLease(keys, lease)
                             : Wait(client->Async().GetMultiWithLease(keys, lease));
    REQUIRE(items.size() == 3);
    for (const auto& item : items) CHECK(absl::IsDeadlineExceeded(item.status()));
  }
}

TEST_CASE("calls about leases end as cancelled with their client, whatever step they are at",
          "[client][lease]") {
  std::atomic<int> lines{0};
  ScriptedPeer peer([&](Conversation& conversation, int) {
    const std::string line = conversation.Line();
    ++lines;
    if (line.starts_with("get")) conversation.Send("END\r\n");
    while (!conversation.Line().empty()) ++lines;
  });
  ClientOptions options = PatientOptions(peer.server());
  options.protocol = ClientOptions::Protocol::kText;
  auto client = Connect(options);
  std::promise<absl::Status> first;
  std::promise<absl::Status> second;
  client->Async().GetWithLease("key").Then(
      [&](const absl::StatusOr<LeasedItem>& item) { first.set_value(item.status()); });
  while (lines < 2) std::this_thread::yield();  // it is adding its lock
  std::promise<std::vector<absl::StatusOr<LeasedItem>>> third;
  const std::string_view keys[] = {"a", "b"};
  client->Async().GetMultiWithLease(keys).Then(
      [&](std::vector<absl::StatusOr<LeasedItem>> items) { third.set_value(std::move(items)); });
  client->Async().Invalidate("other", absl::Seconds(1)).Then([&](const absl::StatusOr<bool>& done) {
    second.set_value(done.status());
  });
  client.reset();
  CHECK(absl::IsCancelled(first.get_future().get()));
  CHECK(absl::IsCancelled(second.get_future().get()));
  for (const auto& item : third.get_future().get()) CHECK(absl::IsCancelled(item.status()));
}

}  // namespace cairn
