// What the binary protocol has beyond answering one whole packet: large values that arrive
// piecemeal, packets cut anywhere, authentication, statistics, logs and counters.
#include <algorithm>
#include <map>
#include <string>

#include "server/sasl.h"
#include "server/worker_stats.h"
#include "tests/catch.h"
#include "tests/server/binary_client.h"

namespace cairn::server {
namespace {

std::string Pattern(size_t bytes) {
  std::string value(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) value[i] = static_cast<char>('a' + i * i % 23);
  return value;
}

TEST_CASE("binary: a large value goes straight into the store's memory") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const std::string value = Pattern(900000);
  const std::string bytes = StoreRequest(kOpSet, "large", value, 77, 10).Encode();
  CHECK(client.client.Send(bytes.substr(0, 40)).empty());
  Session& session = client.client.session;
  CHECK_FALSE(session.at_rest());
  Output out;
  size_t sent = 40;
  while (sent < bytes.size()) {
    const std::span<char> target = session.BodyTarget();
    REQUIRE_FALSE(target.empty());
    const size_t n = std::min({target.size(), bytes.size() - sent, size_t{5000}});
    std::copy_n(bytes.data() + sent, n, target.data());
    sent += n;
    CHECK(out.empty());
    CHECK(session.BodyReceived(n, &out) == SessionStatus::kNeedInput);
  }
  CHECK(session.BodyTarget().empty());
  CHECK(session.at_rest());
  CHECK(out.unsent_bytes() == 24);
  const BinaryPacket got = client.Send(Request(kOpGetK, "large"));
  CHECK(got.value == value);
  CHECK(FromBigEndian(got.extras) == 77);
  fixture.AdvanceSeconds(11);
  CHECK_FALSE(client.Has("large"));
}

TEST_CASE("binary: large values are stored by every command, in pieces of any size") {
  const size_t piece = GENERATE(as<size_t>{}, 1000, 16384, 100000);
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const auto send = [&](const BinaryPacket& request) {
    const std::string bytes = request.Encode();
    std::string answer;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      answer += client.client.Send(bytes.substr(at, piece));
    }
    return Packets(answer);
  };
  const std::string value = Pattern(200000);
  REQUIRE(send(StoreRequest(kOpReplace, "k", value)).at(0).status == 0x01);
  REQUIRE(send(GrowRequest(kOpAppend, "k", value)).at(0).status == 0x05);
  REQUIRE(send(StoreRequest(kOpAdd, "k", value)).at(0).status == 0);
  REQUIRE(send(StoreRequest(kOpAdd, "k", value)).at(0).status == 0x02);
  REQUIRE(send(GrowRequest(kOpAppend, "k", value)).at(0).status == 0);
  REQUIRE(send(GrowRequest(kOpPrependQ, "k", value)).empty());
  CHECK(client.Value("k") == value + value + value);
  const uint64_t cas = client.Send(Request(kOpGet, "k")).cas;
  REQUIRE(send(StoreRequest(kOpSet, "k", value, 0, 0, cas + 1)).at(0).status == 0x02);
  REQUIRE(send(StoreRequest(kOpSetQ, "k", value, 0, 0, cas)).empty());
  CHECK(client.Value("k") == value);
}

TEST_CASE("binary: a connection that ends inside a value stores nothing") {
  ServerFixture fixture;
  BinaryClient other(&fixture);
  CHECK(other.Status(StoreRequest(kOpSet, "k", "old")) == 0);
  {
    BinaryClient client(&fixture);
    const std::string bytes = StoreRequest(kOpSet, "k", Pattern(100000)).Encode();
    CHECK(client.client.Send(bytes.substr(0, bytes.size() - 1)).empty());
  }
  CHECK(other.Value("k") == "old");
}

TEST_CASE("binary: a client that does not read is answered no further") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Status(StoreRequest(kOpSet, "k", Pattern(100000))) == 0);
  std::string bytes;
  for (int i = 0; i < 50; ++i) bytes += Request(kOpGet, "k").Encode();
  Session& session = client.client.session;
  Output out;
  const Progress progress = session.Process(bytes, &out, 1000);
  CHECK(progress.status == SessionStatus::kBlocked);
  CHECK(progress.consumed < bytes.size() / 2);
  CHECK(out.unsent_bytes() < Output::kHighWaterBytes + 100100);
}

/// Every command, answered and silent, good and bad, so that none ends the connection.
std::string Conversation() {
  const std::vector<BinaryPacket> packets = {
      StoreRequest(kOpSet, "a", "1", 5),
      StoreRequest(kOpAddQ, "a", "2"),
      StoreRequest(kOpSetQ, "b", "long enough for something", 0, 100),
      GrowRequest(kOpAppend, "a", "0"),
      GrowRequest(kOpPrependQ, "missing", "0"),
      Request(kOpGetKQ, "a"),
      Request(kOpGetQ, "missing"),
      CountRequest(kOpIncr, "a", 5, 0, 0),
      CountRequest(kOpDecrQ, "c", 5, 20, 0),
      TouchRequest(kOpGatK, "b", 50),
      TouchRequest(kOpTouch, "missing", 50),
      Request(0x1b, "unknown"),
      StoreRequest(kOpSet, "big", std::string(3000, 'x')),
      Request(kOpDelete, "b"),
      Request(kOpStat, "nothing"),
      StoreRequest(kOpReplace, "c", "", 1, 0, uint64_t{1} << 40),
      Request(kOpSaslList),
      Request(kOpGetK, "c"),
      Request(kOpFlushQ),
      Request(kOpNoop),
  };
  std::string bytes;
  uint32_t opaque = 0;
  for (BinaryPacket packet : packets) {
    packet.opaque = ++opaque;
    bytes += packet.Encode();
  }
  return bytes;
}

TEST_CASE("binary: packets cut anywhere are answered as if they were not") {
  Settings settings;
  settings.max_item_bytes = 2048;  // "big" is refused
  const std::string bytes = Conversation();
  std::string whole;
  {
    ServerFixture fixture(settings);
    whole = Client(&fixture).Send(bytes);
    REQUIRE(Packets(whole).size() >= 14);
  }
  // The store's CAS uniques go on from one conversation to the next.
  const auto without_cas = [](std::string_view answer) {
    std::string text;
    for (BinaryPacket packet : Packets(answer)) {
      packet.cas = 0;
      text += packet.Encode();
    }
    return text;
  };
  ServerFixture fixture(settings);
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    INFO(cut);
    Client client(&fixture);
    std::string answer = client.Send(bytes.substr(0, cut));
    answer += client.Send(bytes.substr(cut));
    REQUIRE_FALSE(client.closed());
    REQUIRE(without_cas(answer) == without_cas(whole));
  }
  Client client(&fixture);
  std::string answer;
  for (const char byte : bytes) answer += client.Send({&byte, 1});
  CHECK(without_cas(answer) == without_cas(whole));
}

/// A mechanism that lets "secret" in, at once or at the second step.
class FakeSasl : public SaslMechanisms {
 public:
  class Login : public SaslSession {
   public:
    SaslOutcome Start(std::string_view mechanism, std::string_view data) override {
      started_ = mechanism == "ASK";
      if (started_) return {SaslResult::kContinue, "who is it?"};
      if (mechanism != "TELL") return {};
      return {data == "secret" ? SaslResult::kOk : SaslResult::kFail, ""};
    }
    SaslOutcome Step(std::string_view data) override {
      if (!started_) return {};
      return {data == "secret" ? SaslResult::kOk : SaslResult::kFail, ""};
    }

   private:
    bool started_ = false;
  };

  std::string List() const override { return "ASK TELL"; }
  std::unique_ptr<SaslSession> NewSession() const override { return std::make_unique<Login>(); }
  bool Reload(std::string*) override { return true; }
};

constexpr SessionOptions kSaslOptions{.protocol = WireProtocol::kBinary, .needs_sasl = true};

TEST_CASE("binary: with SASL nothing is served before authentication") {
  ServerFixture fixture;
  FakeSasl sasl;
  fixture.server.sasl = &sasl;
  for (const BinaryPacket& request :
       {Request(kOpNoop), Request(kOpGet, "k"), Request(0x50), Request(kOpQuit)}) {
    BinaryClient client(&fixture, kSaslOptions);
    const BinaryPacket answer = client.Send(request);
    CHECK(answer.status == 0x20);
    CHECK(answer.value == "Auth failure.");
    CHECK(client.closed());
  }
  BinaryClient client(&fixture, kSaslOptions);
  CHECK(client.Status(Request(kOpVersion)) == 0);
  CHECK(client.Send(Request(kOpSaslList)).value == "ASK TELL");
  CHECK_FALSE(client.closed());
}

TEST_CASE("binary: SASL authenticates at once, by steps, or not") {
  ServerFixture fixture;
  FakeSasl sasl;
  fixture.server.sasl = &sasl;
  BinaryClient client(&fixture, kSaslOptions);
  CHECK(client.Status(GrowRequest(kOpSaslStep, "ASK", "secret")) == 0x20);
  CHECK(client.Status(GrowRequest(kOpSaslAuth, "TELL", "guess")) == 0x20);
  CHECK(client.Status(GrowRequest(kOpSaslAuth, "NONE", "secret")) == 0x20);
  CHECK(client.Status(GrowRequest(kOpSaslAuth, std::string(33, 'M'), "secret")) == 0x04);
  CHECK(client.Status(GrowRequest(kOpSaslAuth, "TELL", std::string(20000, 'x'))) == 0x82);
  CHECK_FALSE(client.closed());
  CHECK(fixture.worker_stats->auth_cmds.value() == 3);
  CHECK(fixture.worker_stats->auth_errors.value() == 3);
  BinaryPacket answer = client.Send(GrowRequest(kOpSaslAuth, "ASK", ""));
  CHECK(answer.status == 0x21);
  CHECK(answer.value == "who is it?");
  answer = client.Send(GrowRequest(kOpSaslStep, "ASK", "secret"));
  CHECK(answer.status == 0);
  CHECK(answer.value == "Authenticated");
  CHECK(fixture.worker_stats->auth_cmds.value() == 4);
  CHECK(fixture.worker_stats->auth_errors.value() == 3);
  CHECK(client.Status(Request(kOpNoop)) == 0);
  // A later attempt that fails takes it back.
  CHECK(client.Status(GrowRequest(kOpSaslAuth, "TELL", "guess")) == 0x20);
  CHECK(client.Status(GrowRequest(kOpSaslAuth, "TELL", "secret")) == 0);
  CHECK(client.Status(Request(kOpNoop)) == 0);
}

TEST_CASE("binary: without SASL its commands are unknown") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Status(Request(kOpSaslList)) == 0x81);
  CHECK(client.Status(GrowRequest(kOpSaslAuth, "PLAIN", std::string(20000, 'x'))) == 0x81);
  CHECK(client.Status(GrowRequest(kOpSaslStep, "PLAIN", "x")) == 0x81);
  CHECK(client.Status(Request(kOpNoop)) == 0);
}

std::map<std::string, std::string> Stats(BinaryClient& client, std::string_view group) {
  std::map<std::string, std::string> stats;
  const std::vector<BinaryPacket> answers = client.SendAll(Request(kOpStat, group));
  REQUIRE_FALSE(answers.empty());
  for (const BinaryPacket& answer : answers) {
    REQUIRE(answer.status == 0);
    if (&answer == &answers.back()) {
      CHECK(answer.key.empty());
      CHECK(answer.value.empty());
    } else {
      CHECK_FALSE(answer.key.empty());
      CHECK(stats.emplace(answer.key, answer.value).second);
    }
  }
  return stats;
}

TEST_CASE("binary: statistics come a packet each, ended by an empty one") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Status(StoreRequest(kOpSet, "k", "v")) == 0);
  CHECK(Stats(client, "").at("cmd_set") == "1");
  CHECK(Stats(client, "settings").contains("maxbytes"));
  CHECK_FALSE(Stats(client, "items").empty());
  CHECK_FALSE(Stats(client, "slabs").empty());
  CHECK(Stats(client, "sizes").at("sizes_status") == "disabled");
  CHECK(Stats(client, "reset").empty());
  CHECK(Stats(client, "").at("cmd_set") == "0");
  for (const std::string_view group : {"conns", "cachedump", "item", "x", "detail"}) {
    CHECK(client.Status(Request(kOpStat, group)) == 0x01);
  }
}

TEST_CASE("binary: counts by prefix are turned on, shown and turned off") {
  Settings settings;
  ServerFixture fixture(settings);
  BinaryClient client(&fixture);
  CHECK(Stats(client, "detail on").empty());
  CHECK(client.Status(StoreRequest(kOpSet, "p:1", "v")) == 0);
  CHECK(client.Status(Request(kOpGet, "p:1")) == 0);
  CHECK(client.Status(Request(kOpGet, "p:2")) == 0x01);
  CHECK(client.Status(TouchRequest(kOpGat, "p:1", 0)) == 0);
  CHECK(client.Status(Request(kOpDelete, "p:1")) == 0);
  CHECK(Stats(client, "detail dump").at("detailed") ==
        "PREFIX p get 3 hit 2 set 1 del 1\r\nEND\r\n");
  CHECK(Stats(client, "detail off").empty());
  CHECK_FALSE(fixture.prefix_stats.enabled());
  settings.dump_enabled = false;
  ServerFixture strict(settings);
  BinaryClient refused(&strict);
  CHECK(refused.Status(Request(kOpStat, "detail on")) == 0x01);
  CHECK_FALSE(strict.prefix_stats.enabled());
}

TEST_CASE("binary: commands are counted as memcached counts them") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const uint64_t cas = client.Send(StoreRequest(kOpSet, "k", "5")).cas;
  (void)client.Status(StoreRequest(kOpAdd, "k", "5"));
  (void)client.Status(StoreRequest(kOpSet, "k", "5", 0, 0, cas + 1));
  (void)client.Status(StoreRequest(kOpSet, "k", "5", 0, 0, cas));
  (void)client.Status(StoreRequest(kOpReplace, "gone", "5", 0, 0, cas));
  (void)client.Status(GrowRequest(kOpAppend, "k", "5", cas));
  (void)client.Status(Request(kOpGet, "k"));
  (void)client.Silent(Request(kOpGetQ, "gone"));
  (void)client.Status(TouchRequest(kOpTouch, "k", 0));
  (void)client.Status(TouchRequest(kOpGat, "k", 0));
  (void)client.Status(TouchRequest(kOpGat, "gone", 0));
  (void)client.Status(CountRequest(kOpIncr, "k", 1, 0, 0));
  (void)client.Status(CountRequest(kOpDecr, "k", 1, 0, 0));
  (void)client.Status(CountRequest(kOpIncr, "gone", 1, 0, kDoNotCreate));
  (void)client.Status(CountRequest(kOpDecr, "made", 1, 0, 0));
  (void)client.Status(Request(kOpDelete, "made"));
  (void)client.Status(Request(kOpDelete, "gone"));
  WorkerTotals totals;
  totals.Add(*fixture.worker_stats);
  CHECK(totals.set_cmds == 6);
  CHECK(totals.cas_hits == 1);
  CHECK(totals.cas_badval == 1);
  CHECK(totals.cas_misses == 1);
  CHECK(totals.cmd_get == 2);
  CHECK(totals.get_hits == 1);
  CHECK(totals.get_misses == 1);
  CHECK(totals.cmd_touch == 3);
  CHECK(totals.touch_hits == 2);
  CHECK(totals.touch_misses == 1);
  CHECK(totals.incr_hits == 1);
  CHECK(totals.decr_hits == 1);
  CHECK(totals.incr_misses == 1);
  CHECK(totals.decr_misses == 0);
  CHECK(totals.delete_hits == 1);
  CHECK(totals.delete_misses == 1);
}

TEST_CASE("binary: watchers see what is fetched, stored and deleted") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const std::shared_ptr<Watcher> watcher = fixture.log.Add(
      LogBit(LogKind::kFetchers) | LogBit(LogKind::kMutations) | LogBit(LogKind::kDeletions),
      [] {});
  REQUIRE(watcher != nullptr);
  const auto lines = [&] {
    std::string text;
    fixture.log.Take(*watcher, &text);
    return text;
  };
  using Catch::Matchers::ContainsSubstring;
  (void)client.Status(StoreRequest(kOpSet, "k y", "value", 0, 60));
  CHECK_THAT(lines(), ContainsSubstring("type=item_store key=k%20y status=stored cmd=set ttl=60"));
  (void)client.Status(StoreRequest(kOpAdd, "k y", "value", 0, 0, 999));
  CHECK_THAT(lines(), ContainsSubstring("status=exists cmd=cas"));
  (void)client.Status(StoreRequest(kOpSet, "big", std::string(2 << 20, 'x')));
  CHECK_THAT(lines(), ContainsSubstring("key=big status=too_large cmd=set"));
  (void)client.Status(CountRequest(kOpIncr, "n", 1, 100, 60));
  CHECK_THAT(lines(), ContainsSubstring("key=n status=stored cmd=add ttl=60"));
  (void)client.Status(Request(kOpGet, "k y"));
  CHECK_THAT(lines(), ContainsSubstring("type=item_get key=k%20y status=found"));
  (void)client.Status(TouchRequest(kOpGat, "gone", 0));
  CHECK_THAT(lines(), ContainsSubstring("type=item_get key=gone status=not_found"));
  (void)client.Status(Request(kOpDelete, "k y"));
  CHECK_THAT(lines(), ContainsSubstring("type=deleted key=k%20y cmd=delete"));
  fixture.log.Remove(watcher);
}

}  // namespace
}  // namespace cairn::server
