#include "server/dumps.h"

#include <algorithm>
#include <set>
#include <string>

#include "tests/catch.h"
#include "tests/server/session_fixture.h"

namespace cairn::server {
namespace {

using Catch::Matchers::ContainsSubstring;

/// "items:<class>:number" of the only class in use.
std::string ClassInUse(Client* client) {
  const std::string items = client->Send("stats items\r\n");
  const size_t begin = items.find("items:") + 6;
  return items.substr(begin, items.find(':', begin) - begin);
}

TEST_CASE("metadump shows what is known of an item") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("set a%b 7 0 3\r\nbar\r\n");
  const std::string now = std::to_string(fixture.clock.UnixSeconds(fixture.worker.now));
  const std::string id = ClassInUse(&client);
  const std::string first = client.Send("lru_crawler metadump all\r\n");
  CHECK(first.starts_with("OK\r\nkey=a%25b exp=-1 la=" + now + " cas="));
  // 48 + 8 + 3 + 1 + 4 + 3 + 2
  CHECK(first.ends_with(" fetch=no cls=" + id + " size=69 flags=7 \nEND\r\n"));

  client.Send("gat 100 a%b\r\n");
  const std::string expiry = std::to_string(fixture.clock.UnixSeconds(fixture.worker.now) + 100);
  CHECK_THAT(client.Send("lru_crawler metadump hash\r\n"),
             ContainsSubstring("key=a%25b exp=" + expiry + " la=" + now) &&
                 ContainsSubstring(" fetch=yes "));
  fixture.AdvanceSeconds(101);
  CHECK(client.Send("lru_crawler metadump all\r\n") == "OK\r\nEND\r\n");
}

TEST_CASE("mgdump gives commands that can be replayed") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("set plain 0 0 1\r\nx\r\n");
  client.Send("ms YSBi 1 b\r\nx\r\n");
  const std::string dump = client.Send("lru_crawler mgdump all\r\n");
  const std::string one = "mg plain\r\n";
  const std::string other = "mg YSBi b\r\n";
  CHECK((dump == "OK\r\n" + one + other + "EN\r\n" || dump == "OK\r\n" + other + one + "EN\r\n"));
}

TEST_CASE("Dumps show the classes that were asked for") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("set k 0 0 1\r\nx\r\n");
  const std::string id = ClassInUse(&client);
  const std::string other = id == "1" ? "2" : "1";
  CHECK(client.Send("lru_crawler mgdump " + other + "\r\n") == "OK\r\nEN\r\n");
  CHECK(client.Send("lru_crawler mgdump " + other + "," + id + "\r\n") == "OK\r\nmg k\r\nEN\r\n");
  CHECK(client.Send("stats cachedump " + other + " 0\r\n") == "END\r\n");
  CHECK(client.Send("stats cachedump " + id + " 0\r\n") == "ITEM k [1 b; 0 s]\r\nEND\r\n");
}

TEST_CASE("cachedump stops at its limits and passes over base64 keys") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("ms YSBi 3 b\r\nxxx\r\n");
  client.Send("set k1 0 50 3\r\nxxx\r\nset k2 0 50 3\r\nxxx\r\nset k3 0 50 3\r\nxxx\r\n");
  const std::string expiry = std::to_string(fixture.clock.UnixSeconds(fixture.worker.now) + 50);
  const std::string id = ClassInUse(&client);
  const auto lines = [&](const std::string& limit) {
    const std::string dump = client.Send("stats cachedump " + id + " " + limit + "\r\n");
    CHECK(dump.ends_with("END\r\n"));
    CHECK_THAT(dump, !ContainsSubstring("YSBi") && !ContainsSubstring("a b"));
    return std::count(dump.begin(), dump.end(), '\n') - 1;
  };
  CHECK(lines("0") == 3);
  CHECK(lines("2") == 2);
  CHECK(lines("9") == 3);
  CHECK_THAT(client.Send("stats cachedump " + id + " 1\r\n"),
             ContainsSubstring(" [3 b; " + expiry + " s]\r\n"));
}

TEST_CASE("A dump comes in pieces, complete, while writers go on") {
  ServerFixture fixture;
  Client writer(&fixture);
  constexpr int kItems = 20000;
  for (int i = 0; i < kItems; ++i) {
    writer.Send("set key:" + std::to_string(i) + " 0 0 2\r\nvv\r\n");
  }
  Client reader(&fixture);
  const std::string dump = reader.Send("lru_crawler metadump all\r\n");
  CHECK(reader.blocked() > 1);
  std::set<std::string> keys;
  for (size_t at = dump.find("key="); at != std::string::npos; at = dump.find("\nkey=", at)) {
    at += dump[at] == '\n' ? 5 : 4;
    keys.insert(dump.substr(at, dump.find(' ', at) - at));
  }
  CHECK(keys.size() == kItems);
  CHECK(dump.ends_with(" \nEND\r\n"));
  // What follows in the same packet is answered behind it.
  CHECK(reader.Send("lru_crawler mgdump all\r\nmn\r\n").ends_with("EN\r\nMN\r\n"));
}

TEST_CASE("Dumps must be the first of their packet, and have no place in a datagram") {
  ServerFixture fixture;
  CHECK(Client(&fixture).Send("me x\r\nlru_crawler metadump all\r\n") ==
        "EN\r\nERROR cannot pipeline other commands before metadump\r\n");
  CHECK(Client(&fixture).Send("mn\r\nme x\r\nlru_crawler mgdump all\r\n") ==
        "MN\r\nEN\r\nERROR cannot pipeline other commands before mgdump\r\n");
  // An mn ends a packet.
  CHECK(Client(&fixture).Send("me x\r\nmn\r\nlru_crawler metadump all\r\n") ==
        "EN\r\nMN\r\nOK\r\nEND\r\n");
  CHECK(Client(&fixture).Send("mn\r\nlru_crawler mgdump 1x\r\nlru_crawler mgdump 1x\r\n") ==
        "MN\r\nBADCLASS invalid class id\r\n"
        "ERROR cannot pipeline other commands before mgdump\r\n");
  SessionOptions datagram;
  datagram.datagram = true;
  CHECK(Client(&fixture, datagram).Send("lru_crawler metadump all\r\n") == "ERROR\r\n");
}

}  // namespace
}  // namespace cairn::server
