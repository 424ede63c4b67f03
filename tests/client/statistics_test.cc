// What a client counts: the histogram by itself, and the counters against real servers and peers
// that fail in every way there is a counter for.
#include "cairn/statistics.h"

#include <atomic>
#include <cmath>
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

namespace cairn {
namespace {

ClientOptions TextOptions(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.protocol = ClientOptions::Protocol::kText;
  return options;
}

ServerStatistics Of(const Client& client) { return client.Stats().at(0); }

Server Nobody() {
  Server nobody;
  nobody.host = "127.0.0.1";
  nobody.port = FreePort();
  return nobody;
}

}  // namespace

TEST_CASE("percentiles are within 1/64 of what was recorded", "[client]") {
  for (int64_t nanos = 1024; nanos < int64_t{1} << 36; nanos += nanos / 7 + 1) {
    LatencyHistogram histogram;
    histogram.Record(absl::Nanoseconds(nanos));
    const auto said = static_cast<double>(absl::ToInt64Nanoseconds(histogram.Percentile(50)));
    INFO(nanos << " " << said);
    REQUIRE(std::abs(said - static_cast<double>(nanos)) <= static_cast<double>(nanos) / 64);
    REQUIRE(histogram.Mean() == absl::Nanoseconds(nanos));
  }
}

TEST_CASE("every duration is in the bucket that has its bounds", "[client]") {
  for (size_t i = 0; i + 1 < LatencyHistogram::kBuckets; ++i) {
    REQUIRE(LatencyHistogram::LowerBound(i) < LatencyHistogram::LowerBound(i + 1));
    LatencyHistogram histogram;
    histogram.Record(LatencyHistogram::LowerBound(i));
    histogram.Record(LatencyHistogram::LowerBound(i + 1) - absl::Nanoseconds(1));
    REQUIRE(histogram.bucket(i) == 2);
  }
}

TEST_CASE("a histogram takes whatever it is given", "[client]") {
  LatencyHistogram histogram;
  CHECK(histogram.count() == 0);
  CHECK(histogram.Percentile(50) == absl::ZeroDuration());
  CHECK(histogram.Mean() == absl::ZeroDuration());
  histogram.Record(-absl::Seconds(1));
  histogram.Record(absl::ZeroDuration());
  histogram.Record(absl::Hours(1));
  CHECK(histogram.count() == 3);
  CHECK(histogram.bucket(0) == 2);
  CHECK(histogram.bucket(LatencyHistogram::kBuckets - 1) == 1);
  CHECK(histogram.Percentile(100) >= absl::Seconds(68));
  CHECK(histogram.Percentile(1000) == histogram.Percentile(100));
  CHECK(histogram.Percentile(-1) == histogram.Percentile(0));
}

TEST_CASE("percentiles have the rank they are named after; histograms add and subtract",
          "[client]") {
  LatencyHistogram first;
  LatencyHistogram second;
  for (int i = 1; i <= 1000; ++i) (i % 2 == 0 ? first : second).Record(absl::Microseconds(100 * i));
  LatencyHistogram both = first;
  both.Merge(second);
  CHECK(both.count() == 1000);
  for (const double percent : {1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    INFO(percent);
    const double exact = 100 * std::ceil(percent * 10);
    const double said = absl::ToDoubleMicroseconds(both.Percentile(percent));
    CHECK(std::abs(said - exact) <= exact / 64);
  }
  CHECK(both.Percentile(0) < absl::Microseconds(103));
  CHECK(both.Mean() == absl::Nanoseconds(50'050'000));
  const LatencyHistogram since = both.Since(first);
  CHECK(since.count() == 500);
  CHECK(since.Sum() == second.Sum());
  CHECK(since.Percentile(100) == second.Percentile(100));
}

TEST_CASE("what a client asked is what it counts", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  REQUIRE(one.server.running());
  Client& client = *one.client;
  CHECK(Of(client).requests == 0);
  CHECK(Of(client).address == one.server.server().Address());
  CHECK(client.Set("a", "1").ok());
  CHECK(client.Get("a").value() == "1");
  CHECK(client.Get("b").value() == std::nullopt);
  CHECK_FALSE(client.Add("a", "2").value());
  CHECK_FALSE(client.Increment("absent").value().has_value());
  CHECK_FALSE(client.Get("not a key").ok());  // never asked of a server
  ServerStatistics now = Of(client);
  CHECK(now.requests == 5);
  CHECK(now.hits == 1);
  CHECK(now.misses == 1);
  CHECK(now.written == 3);
  CHECK(now.refused == 0);

  const std::string_view keys[] = {"a", "b", "c", "a"};
  CHECK(client.GetMulti(keys).hits() == 2);
  const SetItem items[] = {{"x", "1"}, {"y", "2"}, {"z", "3"}};
  CHECK(client.SetMulti(items).done_count() == 3);
  CHECK(client.SetAll(items).ok());
  now = Of(client);
  CHECK(now.requests == 8);
  CHECK(now.hits == 3);
  CHECK(now.misses == 3);
  CHECK(now.written == 9);

  CHECK(client.Set("word", "word").ok());
  CHECK(absl::IsInvalidArgument(client.Increment("word").status()));
  CHECK(client.Version(0).ok());
  CHECK(client.GetWithLease("missing").ok());
  now = Of(client);
  CHECK(now.refused == 1);
  CHECK(now.written >= 10);
  CHECK(now.misses >= 4);  // in classic text a lock is asked for, too
  CHECK(now.requests >= 12);
  CHECK(now.latency.count() == now.requests);
  CHECK(now.latency.Percentile(100) > absl::ZeroDuration());
  CHECK(now.not_reached.total() == 0);
  CHECK(now.connections == 1);
  CHECK(now.connections_made == 1);
  CHECK(now.connections_replaced == 0);
  CHECK(now.bytes_sent > 200);
  CHECK(now.bytes_received > 100);
  CHECK(now.state == ServerStatistics::State::kWell);
}

TEST_CASE("bytes are what the server says it has read and written", "[client]") {
  OneServer one;
  REQUIRE(one.server.running());
  const std::string large(300'000, 'v');
  CHECK(one.client->Set("large", large).ok());
  CHECK(one.client->Get("large").value() == large);
  const ServerStatistics before = Of(*one.client);
  uint64_t read = 0;
  uint64_t written = 0;
  const auto stats = one.client->Stats(0);
  REQUIRE(stats.ok());
  for (const auto& [name, value] : *stats) {
    if (name == "bytes_read") read = std::stoull(value);
    if (name == "bytes_written") written = std::stoull(value);
  }
  // The server may have counted the question for its statistics already.
  CHECK(before.bytes_sent <= read);
  CHECK(before.bytes_sent + 7 >= read);
  CHECK(before.bytes_received == written);
}

TEST_CASE("statistics of all groups are read, and none ends the connection", "[client]") {
  OneServer one;
  REQUIRE(one.client->Stats(0, "detail on").ok());
  REQUIRE(one.client->Set("user:1", "v").ok());
  const auto detail = one.client->Stats(0, "detail dump");
  REQUIRE(detail.ok());
  REQUIRE(detail->size() == 1);
  CHECK((*detail)[0].first == "user");
  CHECK(one.client->Stats(0, "detail off").ok());
  CHECK(one.client->Stats(0, "cachedump 1 10").ok());
  CHECK(one.client->Stats(0, "reset").ok());
  CHECK(one.client->Stats(0, "slabs").ok());
  CHECK(Of(*one.client).connections_made == 1);
}

TEST_CASE("asynchronous calls are counted, also after their client is gone", "[client]") {
  OneServer one;
  REQUIRE(one.server.running());
  const auto set = [&](AsyncClient& async, const std::string& key) {
    std::promise<absl::Status> done;
    async.Set(key, "value").Then([&done](const absl::Status& status) { done.set_value(status); });
    CHECK(done.get_future().get().ok());
  };
  for (int i = 0; i < 3; ++i) {
    AsyncClient* const async = &one.client->Async();
    set(*async, "a");
  }
  CHECK(Of(*one.client).written == 3);
  CHECK(Of(*one.client).connections == 1);
  CHECK(one.client->Get("a").value() == "value");
  CHECK(Of(*one.client).hits == 1);
  CHECK(Of(*one.client).connections == 2);
}

TEST_CASE("a port that refuses: connections that failed, then left alone, then well", "[client]") {
  const Server nobody = Nobody();
  ClientOptions options = TextOptions(nobody);
  options.max_fails = 2;
  options.fail_timeout = absl::Milliseconds(20);
  const auto client = Connect(options);
  CHECK_FALSE(client->Get("key").ok());
  ServerStatistics now = Of(*client);
  CHECK(now.connections_failed == 1);
  CHECK(now.not_reached.no_connection == 1);
  CHECK(now.pauses == 0);
  CHECK(now.requests == 0);
  CHECK_THAT(now.last_failure, Catch::Matchers::ContainsSubstring("cannot connect"));
  CHECK_FALSE(client->Set("key", "value").ok());
  const std::string_view keys[] = {"a", "b", "c"};
  CHECK(client->GetMulti(keys).not_reached() == 3);
  now = Of(*client);
  CHECK(now.pauses >= 1);
  CHECK(now.state != ServerStatistics::State::kWell);
  CHECK(now.not_reached.no_connection + now.not_reached.left_alone == 5);
  CHECK(now.connections == 0);
  ScriptedPeer peer(
      [](Conversation& conversation, int) {
        while (!conversation.Line().empty()) conversation.Send("END\r\n");
      },
      nobody.port);
  while (!client->Get("key").ok()) std::this_thread::yield();
  now = Of(*client);
  CHECK(now.state == ServerStatistics::State::kWell);
  CHECK(now.misses == 1);
  CHECK(now.connections_made == 1);
  CHECK(now.not_reached.left_alone > 0);
}

TEST_CASE("a server that is marked down is told as such", "[client]") {
  Server down = Nobody();
  down.down = true;
  ClientOptions options = TextOptions(Nobody());
  options.servers.push_back(down);
  const auto client = Connect(options);
  CHECK_FALSE(client->Version(1).ok());
  CHECK(client->Stats().at(1).state == ServerStatistics::State::kDown);
}

TEST_CASE("each way not to be reached has its counter", "[client]") {
  SECTION("silence") {
    ScriptedPeer peer([](Conversation& conversation, int) { conversation.Hang(); });
    ClientOptions options = TextOptions(peer.server());
    options.request_timeout = absl::Milliseconds(30);
    const auto client = Connect(options);
    const std::string_view keys[] = {"a", "b", "c"};
    CHECK(client->GetMulti(keys).not_reached() == 3);
    const ServerStatistics now = Of(*client);
    CHECK(now.request_timeouts == 1);
    CHECK(now.not_reached.timed_out == 3);
    CHECK(now.requests == 1);
    CHECK(now.latency.Percentile(100) >= absl::Milliseconds(29));
    CHECK(now.connections == 0);
  }
  SECTION("garbage") {
    ScriptedPeer peer([](Conversation& conversation, int) {
      conversation.Line();
      conversation.Send("HTTP/1.1 400 Bad Request\r\n");
      conversation.Hang();
    });
    const auto client = Connect(TextOptions(peer.server()));
    CHECK(absl::IsDataLoss(client->Get("key").status()));
    CHECK(Of(*client).not_reached.no_sense == 1);
  }
  SECTION("cut short, after the first of three values") {
    ScriptedPeer peer([](Conversation& conversation, int) {
      conversation.Line();
      conversation.Send("VALUE a 0 1\r\nA\r\nVALUE b 0 10\r\nxy");
    });
    const auto client = Connect(TextOptions(peer.server()));
    const std::string_view keys[] = {"a", "b", "c"};
    const MultiGetResult got = client->GetMulti(keys);
    CHECK(got.hits() == 1);
    const ServerStatistics now = Of(*client);
    CHECK(now.hits == 1);
    CHECK(now.misses == 0);
    CHECK(now.not_reached.broken == 2);
  }
  SECTION("the call's own timeout; its answer is late") {
    std::atomic<bool> answer{false};
    ScriptedPeer peer([&](Conversation& conversation, int) {
      conversation.Line();
      while (!answer) std::this_thread::yield();
      conversation.Send("VALUE a 0 1\r\nA\r\nEND\r\n");
      conversation.Line();
      conversation.Send("END\r\n");
      conversation.Hang();
    });
    const auto client = Connect(TextOptions(peer.server()));
    const std::string_view keys[] = {"a", "b"};
    CHECK(client->GetMulti(keys, {absl::Milliseconds(20)}).not_reached() == 2);
    CHECK(Of(*client).not_reached.call_timeout == 2);
    CHECK(Of(*client).late == 0);
    answer = true;
    CHECK(client->Get("c").value() == std::nullopt);
    const ServerStatistics now = Of(*client);
    CHECK(now.not_reached.call_timeout == 2);
    CHECK(now.late == 2);
    CHECK(now.hits == 0);
    CHECK(now.misses == 1);
    CHECK(now.requests == 2);
  }
}

TEST_CASE("connections that are made anew, and reads that are sent again, are counted",
          "[client]") {
  ScriptedPeer peer([&](Conversation& conversation, int number) {
    conversation.Line();
    conversation.Send("END\r\n");
    if (number == 0) {
      conversation.Line();  // the second question, to which it hangs up
      return;
    }
    while (!conversation.Line().empty()) conversation.Send("END\r\n");
  });
  const auto client = Connect(TextOptions(peer.server()));
  CHECK(client->Get("first").ok());
  CHECK(client->Get("second").ok());
  const ServerStatistics now = Of(*client);
  CHECK(now.requests_sent_again == 1);
  CHECK(now.connections_made == 2);
  CHECK(now.connections_replaced == 1);
  CHECK(now.misses == 2);
  CHECK(now.requests == 2);
}

TEST_CASE("nothing is lost of what many threads do while others look", "[client]") {
  OneServer one;
  REQUIRE(one.server.running());
  constexpr int kThreads = 6;
  constexpr int kRounds = 200;
  CHECK(one.client->Set("there", "x").ok());
  std::atomic<bool> done{false};
  std::thread looking([&] {
    uint64_t before = 0;
    while (!done) {
      const uint64_t hits = Of(*one.client).hits;
      if (hits < before) FAIL("a counter went back");
      before = hits;
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const std::string_view keys[] = {"there", "absent"};
      for (int i = 0; i < kRounds; ++i) {
        (void)one.client->Get("there");
        (void)one.client->GetMulti(keys);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  looking.join();
  const ServerStatistics now = Of(*one.client);
  CHECK(now.hits == 2 * kThreads * kRounds);
  CHECK(now.misses == kThreads * kRounds);
  CHECK(now.requests == 2 * kThreads * kRounds + 1);
  ServerStatistics sum = now;
  sum.Merge(now);
  CHECK(sum.hits == 2 * now.hits);
  CHECK(sum.latency.count() == 2 * now.requests);
}

}  // namespace cairn
