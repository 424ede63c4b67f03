// Values that are larger than their server takes are not sent to it.
#include <event2/event.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/client_end.h"
#include "tests/client/connect.h"
#include "tests/client/large_values.h"
#include "tests/client/one_server.h"
#include "tests/client/server_process.h"
#include "tests/client/wait.h"
#include "tests/server/temporary_folder.h"

namespace cairn {
namespace {

// The longest value that the server takes.
size_t LongestTaken(const Server& server, const std::string& key) {
  ClientEnd client(server);
  size_t taken = 1;
  size_t refused = size_t{4} << 20;
  while (refused - taken > 1) {
    const size_t bytes = (taken + refused) / 2;
    client.conversation.Send("set " + key + " 0 0 " + std::to_string(bytes) + "\r\n" +
                             std::string(bytes, 'x') + "\r\n");
    const std::string answer = client.conversation.Line();
    REQUIRE((answer == "STORED" || answer.starts_with("SERVER_ERROR")));
    (answer == "STORED" ? taken : refused) = bytes;
  }
  return taken;
}

}  // namespace

TEST_CASE("what a server takes is sent to it, and nothing that is far too large", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  const std::string limit = GENERATE("2k", "16k", "512k", "2m");
  INFO(program << " -I " << limit);
  // It does not start with that, or falls over when its chunks are made as small.
  if (program == "memcached" && limit.ends_with("k") && limit != "512k") return;
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  ServerProcess server(program, {"-I", limit});
  if (!server.running()) {
    WARN("skipped: " << program << " is not installed");
    return;
  }
  const std::string key = GENERATE(as<std::string>(), "k", std::string(200, 'k'));
  const size_t longest = LongestTaken(server.server(), key);
  ClientOptions options = LargeValueOptions(server.server());
  options.protocol = protocol;
  const auto client = Connect(options);
  // Each connection that is made asks.
  const std::string asks(1100, 'x');
  REQUIRE(Wait(client->Async().Set(key, asks)).ok());
  REQUIRE(client->Set(key, asks).ok());

  CHECK(absl::IsResourceExhausted(client->Set(key, std::string(longest + 1, 'x'))));
  CHECK(client->Set(key, std::string(longest, 'x')).ok());
  // The header that memcached counts, and flags.
  const std::string large(longest + 40, 'x');
  const std::string_view small = "small";
  const int64_t before = Stat(*client, "bytes_read");
  const SetItem items[] = {{key, large}, {"other", small}};
  CHECK(absl::IsResourceExhausted(client->Add(key, large).status()));
  CHECK(absl::IsResourceExhausted(client->Append(key, large).status()));
  CHECK(absl::IsResourceExhausted(client->CompareAndSwap(key, large, 1).status()));
  // What was stored is still there; but not after what was to take its place.
  CHECK(client->Get(key).value().value().size() == longest);
  const auto is_gone = [&client, &key] {
    return !client->Get(key).value().has_value() && client->Set(key, "old").ok();
  };
  CHECK(absl::IsResourceExhausted(client->Set(key, large)));
  CHECK(is_gone());
  CHECK(absl::IsResourceExhausted(client->SetAll(items)));
  CHECK(is_gone());
  CHECK(absl::IsResourceExhausted(Wait(client->Async().Set(key, large))));
  CHECK(is_gone());
  const MultiWriteResult multi = client->SetMulti(items);
  CHECK(absl::IsResourceExhausted(multi.status(0)));
  CHECK_FALSE(multi.done(0));
  CHECK(multi.done(1));
  CHECK(is_gone());
  CHECK(client->Get("other").value() == small);
  const std::string lease_key = "l" + key.substr(1);
  const LeasedItem leased = client->GetWithLease(lease_key).value();
  REQUIRE(leased.token.held());
  const LeasedStore stores[] = {{lease_key, large, leased.token}};
  CHECK(absl::IsResourceExhausted(client->SetWithLease(lease_key, large, leased.token).status()));
  CHECK(absl::IsResourceExhausted(client->SetMultiWithLease(stores)[0].status()));
  CHECK(Stat(*client, "bytes_read") - before < 4000);
}

TEST_CASE("the first value that a client sends may be too large, too", "[client]") {
  const std::string program = GENERATE("cairnd", "memcached");
  ServerProcess server(program, {"-I", "512k"});
  if (!server.running()) return;
  const auto other = Connect(LargeValueOptions(server.server()));
  const std::string large(600'000, 'x');
  const std::string smaller(400'000, 'x');
  REQUIRE(other->Set("key", "old").ok());
  REQUIRE(other->Set("small", "old").ok());
  ClientOptions options = LargeValueOptions(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const LeasedItem leased = Connect(options)->GetWithLease("leased").value();
  const int64_t before = Stat(*other, "bytes_read");
  const auto client = Connect(options);
  const SetItem items[] = {{"key", large}, {"small", "new"}, {"smaller", smaller}, {"gone", large}};
  size_t sent = 0;
  bool deletes = true;
  SECTION("set") { CHECK(absl::IsResourceExhausted(client->Set("key", large))); }
  SECTION("set on a loop") {
    CHECK(absl::IsResourceExhausted(Wait(client->Async().Set("key", large))));
  }
  SECTION("many") {
    const MultiWriteResult multi = client->SetMulti(items);
    CHECK(absl::IsResourceExhausted(multi.status(0)));
    CHECK(multi.done(1));
    CHECK(multi.done(2));
    CHECK(absl::IsResourceExhausted(multi.status(3)));
    CHECK(client->Get("small").value() == "new");
    CHECK(client->Get("smaller").value() == smaller);
    sent = smaller.size();
  }
  SECTION("many on a loop") {
    const MultiWriteResult multi = Wait(client->Async().SetMulti(items));
    CHECK(absl::IsResourceExhausted(multi.status(0)));
    CHECK((multi.done(1) && multi.done(2) && !multi.done(3)));
    sent = smaller.size();
  }
  SECTION("many quietly, by a client that has spoken before") {
    REQUIRE(client->Get("key").value() == "old");
    CHECK(absl::IsResourceExhausted(client->SetAll(items)));
    CHECK(client->Get("small").value() == "new");
    CHECK(client->Get("smaller").value() == smaller);
    sent = smaller.size();
  }
  SECTION("what leaves what is there") {
    deletes = false;
    CHECK(absl::IsResourceExhausted(client->Replace("key", large).status()));
    CHECK(absl::IsResourceExhausted(client->SetWithLease("leased", large, leased.token).status()));
    CHECK(client->Stats()[0].written == 0);
  }
  CHECK(client->Get("key").value().has_value() == !deletes);
  CHECK(client->Get("gone").value() == std::nullopt);
  const auto read = static_cast<size_t>(Stat(*other, "bytes_read") - before);
  CHECK(read >= sent);
  CHECK(read - sent < 2000);
  CHECK(client->Stats()[0].connections <= 2);
}

TEST_CASE("a small limit holds from the first value on, too", "[client]") {
  ServerProcess server("cairnd", {"-I", "2k"});
  ClientOptions options = LargeValueOptions(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto other = Connect(options);
  const int64_t before = Stat(*other, "bytes_read");
  const auto client = Connect(options);
  const std::string large(2100, 'x');
  const std::string smaller(1100, 'x');
  const SetItem items[] = {{"a", large}, {"b", smaller}, {"c", large}};
  const bool alone = GENERATE(true, false);
  if (alone) {
    CHECK(absl::IsResourceExhausted(client->Set("a", large)));
  } else {
    const MultiWriteResult multi = client->SetMulti(items);
    CHECK(absl::IsResourceExhausted(multi.status(0)));
    CHECK(multi.done(1));
    CHECK(absl::IsResourceExhausted(multi.status(2)));
  }
  CHECK(Stat(*other, "bytes_read") - before < 2000);
}

TEST_CASE("while one connection asks for the limit, another sends nothing too large either",
          "[client]") {
  std::atomic<int> waiting{1};
  Storing storing({.settings = kSixteen,
                   .waits = &waiting,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(LargeValueOptions(storing.peer.server()));
  const std::string large(20'000, 'x');
  absl::Status blocking;
  absl::Status asynchronous;
  std::atomic<int> over{0};
  std::thread first([&] {
    blocking = client->Set("k", large);
    ++over;
  });
  std::thread second([&] {
    asynchronous = Wait(client->Async().Set("k", large));
    ++over;
  });
  while (storing.asked < 2 && storing.stored == 0 && over < 2) std::this_thread::yield();
  waiting = 0;
  first.join();
  second.join();
  CHECK(absl::IsResourceExhausted(blocking));
  CHECK(absl::IsResourceExhausted(asynchronous));
  CHECK(storing.asked == 2);
  CHECK(storing.stored == 0);
}

TEST_CASE("of values of one key in a call the last one stays, however large", "[client]") {
  ServerProcess server("cairnd");
  const auto client = Connect(LargeValueOptions(server.server()));
  const std::string large(kLarge, 'x');
  const SetItem items[] = {{"a", "x"}, {"key", large}, {"key", "small"}, {"b", large}, {"b", "y"}};
  CHECK(client->SetMulti(items).done_count() == 5);
  CHECK(client->Get("key").value() == "small");
  CHECK(client->Get("b").value() == "y");
}

TEST_CASE("what is refused and what is not keep their order", "[client]") {
  ServerProcess server("cairnd");
  ClientOptions options = PatientOptions(server.server());
  options.value_bytes_max = 100;
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const bool quiet = GENERATE(false, true);
  const auto client = Connect(options);
  const std::string large(101, 'x');
  const SetItem items[] = {{"a", "x"},      {"key", large},  {"key", "small"}, {"b", large},
                           {"gone", "old"}, {"gone", large}, {"c", "y"}};
  if (quiet) {
    CHECK(absl::IsResourceExhausted(client->SetAll(items)));
  } else {
    const MultiWriteResult result = client->SetMulti(items);
    for (const size_t i : {0, 2, 4, 6}) CHECK(result.done(i));
    for (const size_t i : {1, 3, 5}) CHECK(absl::IsResourceExhausted(result.status(i)));
  }
  CHECK(client->Get("key").value() == "small");
  CHECK(client->Get("gone").value() == std::nullopt);
  CHECK(client->Get("c").value() == "y");
}

TEST_CASE("callers leave while what they set is found to be too large", "[client]") {
  std::atomic<int> waiting{0};
  Storing storing({.settings = "STAT item_size_max 4096\r\nEND\r\n",
                   .waits = &waiting,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const std::string large(kLarge, 'x');
  const std::vector<SetItem> items(100, {"key", large});
  const auto client = Connect(LargeValueOptions(storing.peer.server()));
  REQUIRE(client->Set("key", "small").ok());
  waiting = 1;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      WriteOptions options;
      options.timeout = t == 0 ? absl::Seconds(60) : absl::Milliseconds(5 * t);
      const MultiWriteResult result = client->SetMulti(items, options);
      for (size_t i = 0; i < items.size(); ++i) {
        const absl::Status status = result.status(i);
        const bool right =
            absl::IsResourceExhausted(status) || (t > 0 && absl::IsDeadlineExceeded(status));
        wrong += right ? 0 : 1;
      }
    });
  }
  for (int t = 4; t < 8; ++t) threads[static_cast<size_t>(t)].join();
  waiting = 0;
  for (int t = 0; t < 4; ++t) threads[static_cast<size_t>(t)].join();
  CHECK(wrong == 0);
  CHECK(storing.stored == 1);
}

TEST_CASE("what is refused as too large leaves no older value, whatever is spoken", "[client]") {
  ServerProcess server("cairnd");
  ClientOptions options = PatientOptions(server.server());
  options.value_bytes_max = 100;
  options.key_prefix = "v7:";
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  const std::string large(101, 'x');
  REQUIRE(client->Set("a", "old").ok());
  CHECK(absl::IsResourceExhausted(client->Set("a", large)));
  CHECK_FALSE(client->Get("a").value().has_value());
  // Of many, too, of which some have no value, and some no key that may be.
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("k" + std::to_string(i));
  keys.push_back("not a key");
  std::vector<SetItem> items;
  for (const std::string& key : keys) items.push_back({key, "old"});
  items.pop_back();
  REQUIRE(client->SetAll(std::span(items).subspan(5000)).ok());
  items.push_back({keys.back(), large});
  for (size_t i = 0; i < items.size(); i += 2) items[i].value = large;
  const MultiWriteResult multi = client->SetMulti(items);
  const std::vector<std::string_view> asked(keys.begin(), keys.end() - 1);
  const MultiGetResult got = client->GetMulti(asked);
  for (size_t i = 0; i < 10'000; ++i) {
    INFO(i);
    REQUIRE(multi.done(i) == (i % 2 == 1));
    REQUIRE((multi.done(i) || absl::IsResourceExhausted(multi.status(i))));
    REQUIRE(got[i].outcome == (i % 2 == 1 ? KeyOutcome::kHit : KeyOutcome::kMiss));
  }
  CHECK(absl::IsInvalidArgument(multi.status(10'000)));
  CHECK(absl::IsInvalidArgument(client->Set(std::string(300, 'k'), "x")));
}

TEST_CASE("servers with limits of their own have one each", "[client]") {
  ServerProcess small("cairnd", {"-I", "16k"});
  ServerProcess large("cairnd", {"-I", "2m"});
  ClientOptions options = LargeValueOptions(small.server());
  options.servers.push_back(large.server());
  const auto client = Connect(options);
  std::vector<std::string> keys;
  const std::string value(100'000, 'x');
  for (int i = 0; i < 20; ++i) {
    keys.push_back("key:" + std::to_string(i));
    REQUIRE(client->Set(keys.back(), std::string(kLarge, 'x')).ok());
  }
  for (const std::string& key : keys) {
    CHECK(client->Set(key, value).ok() == (client->ServerOf(key) == 1));
  }
  CHECK(client->Stats()[0].bytes_sent < 200'000);
}

}  // namespace cairn
