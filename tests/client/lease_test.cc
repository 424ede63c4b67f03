// Leases against real servers, by the meta protocol and by a lock beside the key; and what a peer
// that makes no sense does to them.
#include "cairn/lease.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "cairn/client.h"
#include "client/sha256.h"
#include "tests/catch.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;

std::unique_ptr<Client> Connect(const Server& server, Protocol protocol = Protocol::kAuto) {
  ClientOptions options;
  options.servers = {server};
  options.protocol = protocol;
  options.max_fails = 0;
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  options.call_timeout = absl::Seconds(60);
  return std::move(Client::Make(options).value());
}

// What both ways of keeping leases do alike.
void TestOneWinner(Client& client) {
  const LeasedItem first = client.GetWithLease("key").value();
  CHECK(first.won);
  CHECK_FALSE(first.taken);
  CHECK(first.value == std::nullopt);
  REQUIRE(first.token.held());
  const LeasedItem second = client.GetWithLease("key").value();
  CHECK(second.taken);
  CHECK_FALSE(second.won);
  CHECK_FALSE(second.token.held());
  CHECK(second.value == std::nullopt);
  CHECK(second.lease_id == first.lease_id);
  CHECK(client.SetWithLease("key", "value", first.token, {.flags = 5}).value());
  const LeasedItem third = client.GetWithLease("key").value();
  CHECK(third.value == "value");
  CHECK(third.flags == 5);
  CHECK_FALSE(third.won);
  CHECK_FALSE(third.taken);
  CHECK_FALSE(client.SetWithLease("key", "again", first.token).value());
  CHECK(client.Get("key").value() == "value");
  // Without a lease a miss is a miss, and nobody else's business.
  const LeasedItem plain = client.GetWithLease("absent", {.lease = absl::ZeroDuration()}).value();
  CHECK(plain.value == std::nullopt);
  CHECK_FALSE(plain.won);
  CHECK_FALSE(plain.taken);
  CHECK(client.Get("absent").value() == std::nullopt);
}

void TestLosing(Client& client) {
  const LeasedItem returned = client.GetWithLease("returned").value();
  CHECK(client.ReleaseLease("returned", returned.token).value());
  CHECK_FALSE(client.ReleaseLease("returned", returned.token).value());
  const LeasedItem next = client.GetWithLease("returned").value();
  CHECK(next.won);
  CHECK(next.lease_id != returned.lease_id);
  // What was computed from what was true before a delete is not stored after it.
  CHECK(client.DeleteAndLease("returned").ok());
  CHECK_FALSE(client.SetWithLease("returned", "old", next.token).value());
  const LeasedItem after = client.GetWithLease("returned").value();
  CHECK(after.won);
  CHECK_FALSE(client.SetWithLease("returned", "old", next.token).value());
  CHECK(client.SetWithLease("returned", "new", after.token).value());
  CHECK(client.GetWithLease("returned").value().value == "new");
  // Nor in place of what was set meanwhile.
  const LeasedItem set = client.GetWithLease("set").value();
  CHECK(client.Set("set", "theirs").ok());
  CHECK_FALSE(client.SetWithLease("set", "mine", set.token).value());
  CHECK(client.Get("set").value() == "theirs");
  CHECK(client.DeleteAndLease("set").value());
  CHECK(client.GetWithLease("set").value().won);
  // A value too large is refused, and its lease is still there to be given back.
  const LeasedItem large = client.GetWithLease("large").value();
  CHECK(absl::IsResourceExhausted(
      client.SetWithLease("large", std::string(1 << 20, 'x'), large.token).status()));
  CHECK(client.ReleaseLease("large", large.token).value());
  CHECK(client.SetWithLease("large", "x", LeaseToken()).status().code() ==
        absl::StatusCode::kFailedPrecondition);
}

void TestMany(Client& client) {
  REQUIRE(client.Set("there", "1").ok());
  REQUIRE(client.GetWithLease("theirs").value().won);
  const std::vector<std::string_view> keys = {"there", "theirs", "mine", "bad key", "mine too"};
  const auto items = client.GetMultiWithLease({keys.data(), 4});
  REQUIRE(items.size() == 4);
  CHECK(items[0].value().value == "1");
  CHECK(items[1].value().taken);
  CHECK(items[2].value().won);
  CHECK(absl::IsInvalidArgument(items[3].status()));
  const std::vector<LeasedStore> stores = {{.key = "mine", .value = "2", .token = items[2]->token},
                                           {.key = "there", .value = "3", .token = {}}};
  const auto stored = client.SetMultiWithLease(stores);
  REQUIRE(stored.size() == 2);
  CHECK(stored[0].value());
  CHECK(stored[1].status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(client.Get("mine").value() == "2");
  CHECK(client.Get("there").value() == "1");
}

void TestConditionalDeletes(Client& client) {
  REQUIRE(client.Set("key", "1").ok());
  const uint64_t cas = client.Gets("key").value()->cas;
  REQUIRE(client.Set("key", "2").ok());
  CHECK(client.DeleteIf("key", cas).value() == CasOutcome::kChanged);
  CHECK(client.Get("key").value() == "2");
  CHECK(client.DeleteIf("key", client.Gets("key").value()->cas).value() == CasOutcome::kStored);
  CHECK(client.Get("key").value() == std::nullopt);
  CHECK(client.DeleteIf("key", cas).value() == CasOutcome::kNotFound);
}

void TestNumbersThatStart(Client& client) {
  CHECK(client.IncrementOrStart("n", 5, 100, absl::Minutes(1)).value() == 105);
  CHECK(client.IncrementOrStart("n", 5, 100, absl::Minutes(1)).value() == 110);
  CHECK(client.DecrementOrStart("n", 10, 100, absl::Minutes(1)).value() == 100);
  CHECK(client.DecrementOrStart("down", 3, 10, absl::InfiniteDuration()).value() == 7);
  CHECK(client.DecrementOrStart("low", 3, 1, absl::InfiniteDuration()).value() == 0);
  REQUIRE(client.Set("word", "abc").ok());
  CHECK(absl::IsInvalidArgument(client.IncrementOrStart("word", 1, 0, absl::Minutes(1)).status()));
}

}  // namespace

TEST_CASE("a lease has one winner, and is lost to a delete", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  ServerProcess server(program);
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  INFO(program << (protocol == Protocol::kText ? ", by a lock" : ", by the meta protocol"));
  const auto client = Connect(server.server(), protocol);
  TestOneWinner(*client);
  TestLosing(*client);
  TestMany(*client);
  TestConditionalDeletes(*client);
  TestNumbersThatStart(*client);
  // Keys that leave no room for the lock's prefix have one all the same.
  const std::string long_key(250, 'k');
  const LeasedItem won = client->GetWithLease(long_key).value();
  CHECK(won.won);
  CHECK(client->GetWithLease(long_key).value().taken);
  CHECK(client->SetWithLease(long_key, "v", won.token).value());
}

TEST_CASE("locks do without CAS numbers", "[client][lease]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program, {"-C"});
  if (!server.running()) return;
  const auto client = Connect(server.server(), Protocol::kText);
  const LeasedItem won = client->GetWithLease("key").value();
  REQUIRE(won.won);
  CHECK(client->SetWithLease("key", "value", won.token).value());
  CHECK(client->Get("key").value() == "value");
  CHECK(client->Get("lk:key").value() == std::nullopt);
}

TEST_CASE("a lease lasts no longer than a day", "[client][lease]") {
  ServerProcess server;
  REQUIRE(server.running());
  const LeaseOptions endless = {.lease = absl::InfiniteDuration()};
  const LeaseOptions plain = {.lease = absl::ZeroDuration()};
  const auto client = Connect(server.server());
  REQUIRE(client->GetWithLease("meta", endless)->won);
  REQUIRE(Connect(server.server(), Protocol::kText)->GetWithLease("text", endless)->won);
  for (const std::string_view key : {"meta", "lk:text"}) {
    const LeasedItem item = client->GetWithLease(key, plain).value();
    INFO(key);
    CHECK(item.cas != 0);
    if (item.ttl_left.has_value()) CHECK(*item.ttl_left <= absl::Hours(24));
  }
}

TEST_CASE("an invalidated value is stale for all and won by one", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program);
  if (!server.running()) return;
  const auto client = Connect(server.server());
  REQUIRE(client->Set("key", "old", {.ttl = absl::Hours(1)}).ok());
  CHECK_FALSE(client->Invalidate("absent", absl::Seconds(60)).value());
  CHECK(client->Invalidate("key", absl::Seconds(60)).value());
  const LeasedItem first = client->GetWithLease("key").value();
  CHECK(first.won);
  CHECK(first.stale);
  CHECK(first.value == "old");
  REQUIRE(first.ttl_left.has_value());
  CHECK(*first.ttl_left <= absl::Seconds(61));
  const LeasedItem second = client->GetWithLease("key").value();
  CHECK(second.taken);
  CHECK(second.stale);
  CHECK(second.value == "old");
  // Given back, it is won by the next.
  CHECK(client->ReleaseLease("key", first.token).value());
  const LeasedItem third = client->GetWithLease("key").value();
  CHECK(third.won);
  CHECK(third.stale);
  CHECK_FALSE(client->SetWithLease("key", "bad", second.token).ok());
  // Invalidated again while it is computed, or set: what comes is not stored.
  CHECK(client->Invalidate("key", absl::Seconds(60)).value());
  CHECK_FALSE(client->SetWithLease("key", "newer", third.token).value());
  const LeasedItem again = client->GetWithLease("key").value();
  CHECK(again.stale);
  CHECK(again.won);
  CHECK(again.value == "old");
  REQUIRE(client->Set("key", "set").ok());
  CHECK_FALSE(client->SetWithLease("key", "newer", again.token).value());
  CHECK(client->Get("key").value() == "set");
  CHECK(client->Invalidate("key", absl::Seconds(60)).value());
  const LeasedItem fourth = client->GetWithLease("key").value();
  CHECK(fourth.won);
  CHECK(fourth.value == "set");
  CHECK(client->SetWithLease("key", "newest", fourth.token).value());
  const LeasedItem fifth = client->GetWithLease("key").value();
  CHECK_FALSE(fifth.stale);
  CHECK_FALSE(fifth.won);
  CHECK(fifth.value == "newest");
  CHECK(fifth.ttl_left == absl::InfiniteDuration());
}

TEST_CASE("a touch takes no lease, and is not puzzled by one", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program);
  if (!server.running()) return;
  const auto client = Connect(server.server());
  REQUIRE(client->Set("stale", "v").ok());
  REQUIRE(client->Invalidate("stale", absl::Seconds(60)).value());
  REQUIRE(client->GetWithLease("missing").value().won);
  CHECK(client->Touch("stale", absl::Seconds(60)).value());
  CHECK(client->Touch("missing", absl::Seconds(60)).value());
  CHECK(client->GetWithLease("stale").value().won);
  const std::string_view keys[] = {"stale", "missing", "absent"};
  const MultiWriteResult touched = client->TouchMulti(keys, absl::Seconds(60));
  CHECK((touched.done(0) && touched.done(1) && !touched.done(2)));
  CHECK(touched.status(2).ok());
  CHECK(client->Stats()[0].connections == 1);
}

TEST_CASE("a value near its end is won once, and good for everybody else", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program);
  if (!server.running()) return;
  const auto client = Connect(server.server());
  const LeaseOptions ahead = {.refresh_ahead = absl::Minutes(5)};
  REQUIRE(client->Set("key", "v", {.ttl = absl::Minutes(10)}).ok());
  CHECK_FALSE(client->GetWithLease("key", ahead).value().won);
  REQUIRE(client->Set("key", "v", {.ttl = absl::Minutes(2)}).ok());
  const LeasedItem first = client->GetWithLease("key", ahead).value();
  CHECK(first.won);
  CHECK_FALSE(first.stale);
  CHECK(first.value == "v");
  const LeasedItem second = client->GetWithLease("key", ahead).value();
  CHECK(second.taken);
  CHECK_FALSE(second.stale);
  CHECK(second.value == "v");
  CHECK(client->SetWithLease("key", "w", first.token, {.ttl = absl::Minutes(10)}).value());
  CHECK_FALSE(client->GetWithLease("key", ahead).value().won);
}

TEST_CASE("a lease whose holder says nothing more goes to the next after its time", "[client]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  ServerProcess server;
  const auto client = Connect(server.server(), protocol);
  const LeaseOptions brief = {.lease = absl::Seconds(1)};
  const LeasedItem first = client->GetWithLease("key", brief).value();
  REQUIRE(first.won);
  LeasedItem second = client->GetWithLease("key", brief).value();
  while (!second.won) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    second = client->GetWithLease("key", brief).value();
  }
  CHECK(second.lease_id != first.lease_id);
  CHECK_FALSE(client->SetWithLease("key", "late", first.token).value());
  CHECK(client->SetWithLease("key", "good", second.token).value());
  CHECK(client->Get("key").value() == "good");
}

TEST_CASE("a stale value's lease whose holder says nothing more goes to the next", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const bool many = GENERATE(false, true);
  ServerProcess server(program);
  if (!server.running()) return;
  const auto dead = Connect(server.server());
  const auto client = Connect(server.server());
  const auto modest = Connect(server.server());
  const LeaseOptions brief = {.lease = absl::Seconds(1)};
  const LeaseOptions leaves = {.lease = absl::Seconds(1), .takes_over_stale = false};
  const auto ask = [&] {
    if (!many) return client->GetWithLease("key", brief).value();
    const std::string_view keys[] = {"good", "key"};
    auto items = client->GetMultiWithLease(keys, brief);
    CHECK(items[0].value().value == "good");
    return std::move(items[1]).value();
  };
  REQUIRE(client->Set("good", "good").ok());
  REQUIRE(client->Set("key", "old").ok());
  REQUIRE(client->Invalidate("key", absl::Hours(1)).value());
  const LeasedItem first = dead->GetWithLease("key", brief).value();
  REQUIRE(first.won);
  LeasedItem second = ask();
  CHECK(second.taken);
  CHECK(second.lease_id == first.lease_id);
  while (!second.won) {
    CHECK(second.stale);
    CHECK(second.value == "old");
    // Who has won it does not take it from himself, nor does who was told not to.
    CHECK(dead->GetWithLease("key", brief).value().lease_id == first.lease_id);
    CHECK(modest->GetWithLease("key", leaves).value().taken);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    second = ask();
  }
  CHECK(second.stale);
  CHECK(second.value == "old");
  // Who was dead was only slow.
  CHECK_FALSE(dead->SetWithLease("key", "late", first.token).value());
  CHECK(client->SetWithLease("key", "good", second.token).value());
  CHECK(client->GetWithLease("key").value().value == "good");
}

TEST_CASE("a stale value is kept when nobody says whether its lease can be had", "[client]") {
  std::atomic<bool> takes_over{false};
  ScriptedPeer peer([&](Conversation& conversation, int) {
    conversation.Expect("version");
    conversation.Send("VERSION 1.6.45\r\n");
    for (std::string line = conversation.Line(); !line.empty(); line = conversation.Line()) {
      if (line == "mn") conversation.Send("MN\r\n");
      if (line.starts_with("mg ") && !takes_over) {
        conversation.Send("VA 3 f0 c7 t100 Z X O0\r\nold\r\n");
      }
      if (line == "md key I C7") {
        takes_over = true;
        conversation.Send("HD\r\n");
      }
    }
  });
  const auto client = Connect(peer.server());
  const LeaseOptions brief = {.lease = absl::Seconds(1), .timeout = absl::Seconds(2)};
  LeasedItem item;
  while (!takes_over) {
    item = client->GetWithLease("key", brief).value();
    CHECK((item.taken && item.stale && item.value == "old"));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(item.value == "old");
}

TEST_CASE("answers to leased reads are believed only if they make sense", "[client]") {
  struct Case {
    const char* answer;
    bool good;
  };
  const Case cases[] = {
      {"VA 1 f0 c7 t-1 O0\r\nv\r\nMN\r\n", true},
      {"VA 1 f0 c7 t-1 O0 q9 W\r\nv\r\nMN\r\n", true},
      {"EN O0\r\nMN\r\n", true},
      {"EN\r\nMN\r\n", true},
      {"EN O3\r\nMN\r\n", false},
      {"VA 1 f0 c7 t-1 O1\r\nv\r\nMN\r\n", false},
      {"VA 1 f0 c7 t-1\r\nv\r\nMN\r\n", false},
      {"VA x f0 c7 t-1 O0\r\nv\r\nMN\r\n", false},
      {"VA 1 fx c7 t-1 O0\r\nv\r\nMN\r\n", false},
      {"VA 1 f0 c7 t-1 O0\r\nvv\r\nMN\r\n", false},
      {"VA 1 f0 c7 t-1 O0\r\nv\r\nEN\r\nMN\r\n", false},
      {"HD\r\nMN\r\n", false},
      {"VA 99999999999 f0 O0\r\n", false},
      {"VA 1 f0 c7 t-1 O0\r\nv\r\nHD\r\n", false},
  };
  for (const Case& each : cases) {
    INFO(each.answer);
    ScriptedPeer peer([&each](Conversation& conversation, int) {
      conversation.Expect("version");
      conversation.Send("VERSION 1.6.45\r\n");
      conversation.Expect("mn");
      conversation.Send("MN\r\n");
      conversation.Expect("mg key v f c t N10 O0");
      conversation.Expect("mn");
      conversation.Send(each.answer);
      conversation.Hang();
    });
    // It has to say what it speaks first: until then both protocols' requests are prepared.
    const auto got = Connect(peer.server())->GetWithLease("key");
    CHECK(got.ok() == each.good);
    if (!each.good) CHECK(got.status().code() == absl::StatusCode::kDataLoss);
  }
}

// One of the callers does the reading for all of them: it is still writing down answers when others
// whose time is up look at what they have.
TEST_CASE("callers of leases leave while their answers arrive", "[client]") {
  ServerProcess server("cairnd");
  const auto client = Connect(server.server());
  std::vector<std::string> names;
  for (int i = 0; i < 3000; ++i) names.push_back("k" + std::to_string(i));
  const std::vector<std::string_view> keys(names.begin(), names.end());
  std::vector<SetItem> items;
  for (const std::string_view key : keys) items.push_back({key, "v"});
  REQUIRE(client->SetAll(items).ok());
  REQUIRE(client->InvalidateMulti(keys, absl::Minutes(5)).size() == keys.size());
  const absl::Time begin = absl::Now();
  REQUIRE(client->GetMultiWithLease(keys)[0].ok());
  const absl::Duration whole = absl::Now() - begin;  // so that times run out in the midst of it
  std::atomic<int> wrong{0};
  std::atomic<int> in_time{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 30; ++i) {
        LeaseOptions options;
        options.timeout = t == 0 ? absl::Seconds(60) : whole * (i + 1) / 10;
        for (const auto& item : client->GetMultiWithLease(keys, options)) {
          const bool right = item.ok() ? item->stale && item->value == "v"
                                       : t > 0 && absl::IsDeadlineExceeded(item.status());
          wrong += right ? 0 : 1;
          in_time += item.ok() ? 1 : 0;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(in_time >= 30 * 3000);
}

TEST_CASE("a lease's answer that is lost is not asked for twice", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int number) {
    conversation.Expect("version");
    conversation.Send("VERSION 1.6.45\r\n");
    conversation.Expect("mn");
    conversation.Send("MN\r\n");
    if (number > 0) return conversation.Hang();
    conversation.Expect("mg a v f c t N10 O0");
    conversation.Expect("mn");
    conversation.Send("VA 1 f0 c7 t-1 O0\r\nv\r\nMN\r\n");
    conversation.Expect("mg b v f c t N10 O0");
  });
  const auto client = Connect(peer.server());
  REQUIRE(client->GetWithLease("a").ok());
  CHECK(absl::IsUnavailable(client->GetWithLease("b").status()));
  CHECK(peer.connections() == 1);
}

TEST_CASE("SHA-256 is what FIPS 180-4 says", "[client]") {
  const auto hex = [](std::string_view text) { return absl::BytesToHexString(Sha256(text)); };
  CHECK(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace cairn
