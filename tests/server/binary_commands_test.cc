#include <string>

#include "protocol/version.h"
#include "tests/catch.h"
#include "tests/server/binary_client.h"

namespace cairn::server {
namespace {

TEST_CASE("binary: what is set is read back with flags, CAS and, by GetK, the key") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const BinaryPacket stored = client.Send(StoreRequest(kOpSet, "key", "value", 0xdeadbeef));
  CHECK(stored.status == 0);
  CHECK(stored.cas != 0);
  CHECK(stored.value.empty());
  CHECK(stored.extras.empty());
  for (const uint8_t opcode : {kOpGet, kOpGetQ}) {
    const BinaryPacket got = client.Send(Request(opcode, "key"));
    CHECK(got.status == 0);
    CHECK(FromBigEndian(got.extras) == 0xdeadbeef);
    CHECK(got.extras.size() == 4);
    CHECK(got.key.empty());
    CHECK(got.value == "value");
    CHECK(got.cas == stored.cas);
  }
  for (const uint8_t opcode : {kOpGetK, kOpGetKQ}) {
    const BinaryPacket got = client.Send(Request(opcode, "key"));
    CHECK(got.key == "key");
    CHECK(got.value == "value");
    CHECK(got.cas == stored.cas);
  }
}

TEST_CASE("binary: a value may be empty and a key hold any byte") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const std::string key("a\0b \r\n\x80", 7);
  CHECK(client.Status(StoreRequest(kOpSet, key, "")) == 0);
  const BinaryPacket got = client.Send(Request(kOpGetK, key));
  CHECK(got.status == 0);
  CHECK(got.key == key);
  CHECK(got.value.empty());
}

TEST_CASE("binary: a miss says so, with the key where one was asked for, or nothing") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const BinaryPacket miss = client.Send(Request(kOpGet, "gone"));
  CHECK(miss.status == 0x01);
  CHECK(miss.value == "Not found");
  CHECK(miss.key.empty());
  for (const BinaryPacket& request : {Request(kOpGetK, "gone"), TouchRequest(kOpGatK, "gone", 0)}) {
    const BinaryPacket answer = client.Send(request);
    CHECK(answer.status == 0x01);
    CHECK(answer.key == "gone");
    CHECK(answer.value.empty());
    CHECK(answer.extras.empty());
  }
  for (const BinaryPacket& request :
       {TouchRequest(kOpTouch, "gone", 0), TouchRequest(kOpGat, "gone", 0)}) {
    const BinaryPacket answer = client.Send(request);
    CHECK(answer.status == 0x01);
    CHECK(answer.value == "Not found");
  }
  CHECK(client.Silent(Request(kOpGetQ, "gone")));
  CHECK(client.Silent(Request(kOpGetKQ, "gone")));
  CHECK(client.Silent(TouchRequest(kOpGatQ, "gone", 0)));
  CHECK(client.Silent(TouchRequest(kOpGatKQ, "gone", 0)));
}

TEST_CASE("binary: add, replace, append and prepend look whether the key is there") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  BinaryPacket answer = client.Send(StoreRequest(kOpReplace, "k", "1"));
  CHECK(answer.status == 0x01);
  CHECK(answer.value == "Not found");
  answer = client.Send(GrowRequest(kOpAppend, "k", "1"));
  CHECK(answer.status == 0x05);
  CHECK(answer.value == "Not stored.");
  CHECK(client.Status(GrowRequest(kOpPrepend, "k", "1")) == 0x05);
  CHECK(client.Status(StoreRequest(kOpAdd, "k", "m", 7)) == 0);
  answer = client.Send(StoreRequest(kOpAdd, "k", "2"));
  CHECK(answer.status == 0x02);
  CHECK(answer.value == "Data exists for key.");
  CHECK(answer.cas == 0);
  answer = client.Send(GrowRequest(kOpAppend, "k", "end"));
  CHECK(answer.status == 0);
  CHECK(answer.cas != 0);
  CHECK(client.Status(GrowRequest(kOpPrepend, "k", "begin")) == 0);
  CHECK(client.Status(GrowRequest(kOpPrepend, "k", "")) == 0);
  answer = client.Send(Request(kOpGet, "k"));
  CHECK(answer.value == "beginmend");
  CHECK(FromBigEndian(answer.extras) == 7);
  CHECK(client.Status(StoreRequest(kOpReplace, "k", "new")) == 0);
  CHECK(client.Value("k") == "new");
}

TEST_CASE("binary: a store with a CAS unique is a cas command, add and replace too") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  for (const uint8_t opcode : {kOpSet, kOpAdd, kOpReplace}) {
    const std::string key(1, static_cast<char>('a' + opcode));
    BinaryPacket answer = client.Send(StoreRequest(opcode, key, "v", 0, 0, 12345));
    CHECK(answer.status == 0x01);
    const uint64_t cas = client.Send(StoreRequest(kOpSet, key, "old")).cas;
    answer = client.Send(StoreRequest(opcode, key, "v", 0, 0, cas + 1));
    CHECK(answer.status == 0x02);
    CHECK(answer.cas == 0);
    CHECK(client.Value(key) == "old");
    answer = client.Send(StoreRequest(opcode, key, "new", 0, 0, cas));
    CHECK(answer.status == 0);
    CHECK(answer.cas > cas);
    CHECK(client.Value(key) == "new");
  }
}

TEST_CASE("binary: append and delete compare a CAS unique") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Status(GrowRequest(kOpAppend, "k", "x", 1)) == 0x05);
  uint64_t cas = client.Send(StoreRequest(kOpSet, "k", "v")).cas;
  CHECK(client.Status(GrowRequest(kOpAppend, "k", "x", cas + 1)) == 0x02);
  const BinaryPacket grown = client.Send(GrowRequest(kOpAppend, "k", "x", cas));
  CHECK(grown.status == 0);
  BinaryPacket remove = Request(kOpDelete, "k");
  remove.cas = cas;
  CHECK(client.Status(remove) == 0x02);
  CHECK(client.Value("k") == "vx");
  remove.cas = grown.cas;
  CHECK(client.Status(remove) == 0);
  remove.cas = 0;
  const BinaryPacket answer = client.Send(remove);
  CHECK(answer.status == 0x01);
  CHECK(answer.value == "Not found");
}

TEST_CASE("binary: quiet forms leave out success and nothing else") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Silent(StoreRequest(kOpSetQ, "k", "1")));
  CHECK(client.Silent(StoreRequest(kOpAddQ, "new", "1")));
  CHECK(client.Silent(StoreRequest(kOpReplaceQ, "k", "5")));
  CHECK(client.Silent(CountRequest(kOpIncrQ, "k", 2, 0, 0)));
  CHECK(client.Silent(CountRequest(kOpDecrQ, "k", 1, 0, 0)));
  CHECK(client.Value("k") == "6");
  CHECK(client.Silent(GrowRequest(kOpAppendQ, "k", "7")));
  CHECK(client.Silent(GrowRequest(kOpPrependQ, "k", "5")));
  CHECK(client.Value("k") == "567");
  CHECK(client.Silent(CountRequest(kOpIncrQ, "made", 1, 3, 0)));
  CHECK(client.Silent(Request(kOpDeleteQ, "k")));
  CHECK(client.Silent(Request(kOpFlushQ)));
  CHECK_FALSE(client.Has("made"));

  CHECK(client.Status(Request(kOpDeleteQ, "k")) == 0x01);
  CHECK(client.Status(StoreRequest(kOpReplaceQ, "k", "5")) == 0x01);
  CHECK(client.Status(GrowRequest(kOpAppendQ, "k", "5")) == 0x05);
  CHECK(client.Status(GrowRequest(kOpPrependQ, "k", "5")) == 0x05);
  CHECK(client.Status(CountRequest(kOpIncrQ, "k", 1, 0, kDoNotCreate)) == 0x01);
  CHECK(client.Status(StoreRequest(kOpSet, "k", "text")) == 0);
  CHECK(client.Status(StoreRequest(kOpAddQ, "k", "5")) == 0x02);
  CHECK(client.Status(StoreRequest(kOpSetQ, "k", "5", 0, 0, 99)) == 0x02);
  CHECK(client.Status(CountRequest(kOpDecrQ, "k", 1, 0, 0)) == 0x06);
  CHECK(client.Status(StoreRequest(kOpSetQ, "k", std::string(2 << 20, 'x'))) == 0x03);
}

TEST_CASE("binary: incr and decr create unless told not to, and answer in eight bytes") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  BinaryPacket answer = client.Send(CountRequest(kOpIncr, "n", 1, 7, kDoNotCreate));
  CHECK(answer.status == 0x01);
  CHECK(answer.value == "Not found");
  answer = client.Send(CountRequest(kOpIncr, "n", 1, 99, 0));
  CHECK(answer.status == 0);
  CHECK(answer.value == BigEndian(99, 8));
  CHECK(answer.cas != 0);
  CHECK(answer.extras.empty());
  const uint64_t cas = answer.cas;
  answer = client.Send(CountRequest(kOpIncr, "n", 1, 0, kDoNotCreate));
  CHECK(answer.value == BigEndian(100, 8));
  CHECK(answer.cas != cas);
  CHECK(client.Send(Request(kOpGet, "n")).cas == answer.cas);
  CHECK(client.Send(CountRequest(kOpDecr, "n", 95, 0, 0)).value == BigEndian(5, 8));
  CHECK(client.Value("n") == "5  ");
  CHECK(client.Send(CountRequest(kOpDecr, "n", 6, 0, 0)).value == BigEndian(0, 8));
  CHECK(client.Send(CountRequest(kOpIncr, "n", UINT64_MAX, 0, 0)).value ==
        BigEndian(UINT64_MAX, 8));
  CHECK(client.Send(CountRequest(kOpIncr, "n", 2, 0, 0)).value == BigEndian(1, 8));
}

TEST_CASE("binary: incr compares a CAS unique, of what there is") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  // memcached creates whatever CAS was given.
  CHECK(client.Status(CountRequest(kOpIncr, "n", 1, 1, 0, 4711)) == 0);
  const uint64_t cas = client.Send(Request(kOpGet, "n")).cas;
  CHECK(client.Status(CountRequest(kOpIncr, "n", 1, 1, 0, cas + 1)) == 0x02);
  CHECK(client.Status(CountRequest(kOpIncr, "n", 1, 1, 0, cas)) == 0);
  CHECK(client.Value("n") == "2");
}

TEST_CASE("binary: what is no number is not counted on") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Status(StoreRequest(kOpSet, "k", "text")) == 0);
  const BinaryPacket answer = client.Send(CountRequest(kOpIncr, "k", 1, 1, 0));
  CHECK(answer.status == 0x06);
  CHECK(answer.value == "Non-numeric server-side value for incr or decr");
}

TEST_CASE("binary: expiry times are unsigned") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  CHECK(client.Status(StoreRequest(kOpSet, "soon", "v", 0, 10)) == 0);
  CHECK(client.Status(StoreRequest(kOpSet, "never", "v", 0, 0)) == 0);
  CHECK(client.Status(StoreRequest(kOpSet, "2106", "v", 0, 0xffffffff)) == 0);
  CHECK(client.Status(StoreRequest(kOpSet, "1970", "v", 0, 2592001)) == 0);
  CHECK(client.Status(CountRequest(kOpIncr, "counter", 1, 5, 10)) == 0);
  CHECK(client.Has("soon"));
  CHECK_FALSE(client.Has("1970"));
  fixture.AdvanceSeconds(11);
  CHECK_FALSE(client.Has("soon"));
  CHECK_FALSE(client.Has("counter"));
  CHECK(client.Has("never"));
  CHECK(client.Has("2106"));
}

TEST_CASE("binary: touch and GAT give a new expiry and the flags") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  for (const uint8_t opcode : {kOpTouch, kOpGat, kOpGatK, kOpGatQ, kOpGatKQ}) {
    const uint64_t cas = client.Send(StoreRequest(kOpSet, "k", "value", 0x01020304, 10)).cas;
    const BinaryPacket answer = client.Send(TouchRequest(opcode, "k", 100));
    CHECK(answer.status == 0);
    CHECK(answer.cas == cas);
    CHECK(answer.extras == "\x01\x02\x03\x04");
    CHECK(answer.value == (opcode == kOpTouch ? "" : "value"));
    CHECK(answer.key == (opcode == kOpGatK || opcode == kOpGatKQ ? "k" : ""));
    fixture.AdvanceSeconds(50);
    CHECK(client.Has("k"));
    fixture.AdvanceSeconds(51);
    CHECK_FALSE(client.Has("k"));
  }
}

TEST_CASE("binary: flush forgets now or later, unless it is forbidden") {
  Settings settings;
  {
    ServerFixture fixture(settings);
    BinaryClient client(&fixture);
    CHECK(client.Status(StoreRequest(kOpSet, "k", "v")) == 0);
    CHECK(client.Status(Request(kOpFlush)) == 0);
    CHECK_FALSE(client.Has("k"));
    CHECK(client.Status(StoreRequest(kOpSet, "k", "v")) == 0);
    CHECK(client.Status(TouchRequest(kOpFlush, "", 10)) == 0);
    CHECK(client.Has("k"));
    fixture.AdvanceSeconds(11);
    CHECK_FALSE(client.Has("k"));
    // There was nothing in 1970; what was to come is called off.
    CHECK(client.Status(StoreRequest(kOpSet, "k", "v")) == 0);
    CHECK(client.Status(TouchRequest(kOpFlush, "", 10)) == 0);
    CHECK(client.Status(TouchRequest(kOpFlush, "", 2592001)) == 0);
    fixture.AdvanceSeconds(11);
    CHECK(client.Has("k"));
    CHECK(fixture.worker_stats->cmd_flush.value() == 4);
  }
  settings.flush_enabled = false;
  ServerFixture fixture(settings);
  BinaryClient client(&fixture);
  CHECK(client.Status(StoreRequest(kOpSet, "k", "v")) == 0);
  const BinaryPacket answer = client.Send(Request(kOpFlush));
  CHECK(answer.status == 0x20);
  CHECK(answer.value == "Auth failure.");
  CHECK(client.Status(Request(kOpFlushQ)) == 0x20);
  CHECK(client.Has("k"));
  CHECK_FALSE(client.closed());
}

TEST_CASE("binary: noop, version and quit") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  const BinaryPacket noop = client.Send(Request(kOpNoop));
  CHECK(noop.status == 0);
  CHECK(noop.value.empty());
  CHECK(client.Send(Request(kOpVersion)).value == protocol::kMemcachedVersion);
  CHECK_FALSE(client.closed());
  // What comes after quit is not looked at.
  const std::vector<BinaryPacket> answers =
      Packets(client.client.Send(Request(kOpQuit).Encode() + Request(kOpNoop).Encode()));
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].opcode == kOpQuit);
  CHECK(client.closed());
  BinaryClient quiet(&fixture);
  CHECK(quiet.Silent(Request(kOpQuitQ)));
  CHECK(quiet.closed());
}

TEST_CASE("binary: what no opcode stands for is skipped whole and refused") {
  ServerFixture fixture;
  BinaryClient client(&fixture);
  for (const int opcode : {0x1b, 0x1f, 0x30, 0xff}) {
    BinaryPacket packet = Request(static_cast<uint8_t>(opcode), "key");
    packet.extras = "1234";
    packet.value = std::string(100000, 'v');
    const BinaryPacket answer = client.Send(packet);
    CHECK(answer.status == 0x81);
    CHECK(answer.value == "Unknown command");
    CHECK(client.Status(Request(kOpNoop)) == 0);
  }
}

TEST_CASE("binary: a packet that cannot be is answered and ends the connection") {
  ServerFixture fixture;
  const auto check = [&fixture](const std::string& bytes, int status) {
    BinaryClient client(&fixture, {.protocol = WireProtocol::kBinary});
    const std::vector<BinaryPacket> answers =
        Packets(client.client.Send(bytes + Request(kOpNoop).Encode()));
    CHECK(client.closed());
    if (status < 0) {
      CHECK(answers.empty());
      return;
    }
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == status);
    CHECK(answers[0].value == (status == 0x04 ? "Invalid arguments" : "Unknown command"));
  };
  check(Request(kOpGet).Encode(), 0x04);
  check(Request(kOpGet, std::string(251, 'k')).Encode(), 0x04);
  check(Request(kOpNoop, "key").Encode(), 0x04);
  check(Request(kOpSet, "no extras").Encode(), 0x04);
  check(TouchRequest(kOpStat, "", 1).Encode(), 0x04);
  check(Request(kOpSet).Header(3, 8, 0x80000000), 0x04);
  check(Request(kOpGet).Header(3, 0, 2), 0x81);
  check(Request(kOpNoop, "").Encode().replace(0, 1, "\x81"), -1);
}

TEST_CASE("binary: a value that is too large is skipped, then refused") {
  Settings settings;
  settings.max_item_bytes = 100000;
  ServerFixture fixture(settings);
  BinaryClient client(&fixture);
  const std::string huge(100001, 'x');
  CHECK(client.Status(StoreRequest(kOpSet, "k", "old")) == 0);
  for (const uint8_t opcode : {kOpAdd, kOpReplace, kOpSet}) {
    CHECK(client.Value("k") == "old");
    const std::string bytes = StoreRequest(opcode, "k", huge).Encode();
    CHECK(client.client.Send(bytes.substr(0, bytes.size() - 1)).empty());
    const std::vector<BinaryPacket> answers = Packets(client.client.Send("x"));
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].status == 0x03);
    CHECK(answers[0].value == "Too large.");
  }
  // Set alone does not leave a value behind that its client wanted replaced.
  CHECK_FALSE(client.Has("k"));
  CHECK(client.Status(StoreRequest(kOpSet, "k", "old")) == 0);
  CHECK(client.Status(GrowRequest(kOpAppend, "k", huge)) == 0x03);
  CHECK(client.Value("k") == "old");
  CHECK(fixture.worker_stats->store_too_large.value() == 4);
}

TEST_CASE("binary: an append that would grow too large is not stored") {
  Settings settings;
  settings.max_item_bytes = 100000;
  ServerFixture fixture(settings);
  BinaryClient client(&fixture);
  const std::string half(60000, 'x');
  CHECK(client.Status(StoreRequest(kOpSet, "k", half)) == 0);
  CHECK(client.Status(GrowRequest(kOpAppend, "k", half)) == 0x05);
  CHECK(client.Status(GrowRequest(kOpAppendQ, "k", half)) == 0x05);
  CHECK(client.Value("k") == half);
}

}  // namespace
}  // namespace cairn::server
