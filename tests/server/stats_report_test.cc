#include "server/stats_report.h"

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/catch.h"
#include "tests/server/session_fixture.h"
#include "tests/server/socket_addresses.h"

namespace cairn::server {
namespace {

using Catch::Matchers::ContainsSubstring;
using Lines = std::vector<std::pair<std::string, std::string>>;

Lines Report(const ServerFixture& fixture, std::string_view group) {
  Lines lines;
  REQUIRE(ReportStats(
      fixture.server, fixture.worker.now, group,
      [&](std::string_view name, std::string_view value) { lines.emplace_back(name, value); }));
  return lines;
}

std::string Names(const Lines& lines) {
  std::string names;
  for (const auto& [name, value] : lines) names += (names.empty() ? "" : " ") + name;
  return names;
}

std::string Value(const Lines& lines, std::string_view name) {
  for (const auto& line : lines) {
    if (line.first == name) return line.second;
  }
  return "(missing)";
}

// As memcached 1.6.45 lists them with its default options.
constexpr std::string_view kGeneralNames =
    "pid uptime time version libevent pointer_size rusage_user rusage_system max_connections "
    "curr_connections total_connections rejected_connections connection_structures "
    "response_obj_oom response_obj_count response_obj_bytes read_buf_count read_buf_bytes "
    "read_buf_bytes_free read_buf_oom reserved_fds cmd_get cmd_set cmd_flush cmd_touch cmd_meta "
    "get_hits get_misses get_expired get_flushed delete_misses delete_hits incr_misses incr_hits "
    "decr_misses decr_hits cas_misses cas_hits cas_badval touch_hits touch_misses store_too_large "
    "store_no_memory auth_cmds auth_errors bytes_read bytes_written limit_maxbytes accepting_conns "
    "listen_disabled_num time_in_listen_disabled_us threads conn_yields hash_power_level "
    "hash_bytes hash_is_expanding slab_reassign_rescues slab_reassign_chunk_rescues "
    "slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes "
    "slab_reassign_busy_nomem slab_reassign_last_busy_status slab_reassign_running slabs_moved "
    "lru_crawler_running lru_crawler_starts lru_maintainer_juggles malloc_fails "
    "log_worker_dropped log_worker_written log_watcher_skipped log_watcher_sent log_watchers "
    "unexpected_napi_ids round_robin_fallback bytes curr_items total_items slab_global_page_pool "
    "expired_unfetched evicted_unfetched evicted_active evictions reclaimed crawler_reclaimed "
    "crawler_items_checked lrutail_reflocked moves_to_cold moves_to_warm moves_within_lru "
    "direct_reclaims lru_bumps_dropped";

constexpr std::string_view kItemNames =
    "number number_hot number_warm number_cold age_hot age_warm age mem_requested evicted "
    "evicted_nonzero evicted_time outofmemory tailrepairs reclaimed expired_unfetched "
    "evicted_unfetched evicted_active crawler_reclaimed crawler_items_checked lrutail_reflocked "
    "moves_to_cold moves_to_warm moves_within_lru direct_reclaims hits_to_hot hits_to_warm "
    "hits_to_cold hits_to_temp";

constexpr std::string_view kSlabNames =
    "chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end "
    "get_hits cmd_set delete_hits incr_hits decr_hits cas_hits cas_badval touch_hits";

std::string WithPrefix(const std::string& prefix, std::string_view names) {
  std::istringstream stream{std::string(names)};
  std::string prefixed;
  for (std::string name; stream >> name;) {
    prefixed += (prefixed.empty() ? "" : " ") + prefix + name;
  }
  return prefixed;
}

std::string Without(std::string names, std::string_view unwanted) {
  std::istringstream stream{std::string(unwanted)};
  for (std::string name; stream >> name;) {
    const size_t at = names.find(name + " ");
    REQUIRE(at != std::string::npos);
    names.erase(at, name.size() + 1);
  }
  return names;
}

TEST_CASE("The general report has memcached's names in its order") {
  ServerFixture fixture;
  CHECK(Names(Report(fixture, "")) == kGeneralNames);
}

TEST_CASE("Lines of features that are off are left out, as memcached leaves them out") {
  Settings settings;
  settings.maxconns_fast = false;
  settings.slab_reassign = false;
  settings.lru_crawler = false;
  settings.idle_timeout_s = 10;
  ServerFixture fixture(settings);
  const std::string names = Names(Report(fixture, ""));
  std::string expected = Without(
      std::string(kGeneralNames),
      "rejected_connections slab_reassign_rescues slab_reassign_chunk_rescues "
      "slab_reassign_inline_reclaim slab_reassign_busy_items slab_reassign_busy_deletes "
      "slab_reassign_busy_nomem slab_reassign_last_busy_status slab_reassign_running slabs_moved "
      "lru_crawler_running lru_crawler_starts");
  expected.insert(expected.find("bytes_read"), "idle_kicks ");
  CHECK(names == expected);
}

TEST_CASE("Values are single tokens, and what was counted") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("set a 0 0 3\r\nabc\r\nset b 0 0 1\r\nx\r\n");
  client.Send("get a nope\r\ntouch a 0\r\ntouch nope 0\r\ndelete b\r\ndelete b\r\n");
  client.Send("set n 0 0 1\r\n5\r\nincr n 1\r\ndecr n 1\r\nincr nope 1\r\ndecr nope 1\r\n");
  client.Send("cas a 0 0 1 0\r\nx\r\ncas nope 0 0 1 1\r\nx\r\nme a\r\nflush_all 100\r\n");
  fixture.process.curr_connections = 3;
  const Lines lines = Report(fixture, "");
  for (const auto& [name, value] : lines) {
    INFO(name);
    CHECK_FALSE(value.empty());
    CHECK(value.find(' ') == std::string::npos);
  }
  const auto expect = [&](std::string_view name, std::string_view value) {
    INFO(name);
    CHECK(Value(lines, name) == value);
  };
  expect("version", "1.6.45");
  expect("cmd_get", "2");
  expect("get_hits", "1");
  expect("get_misses", "1");
  expect("cmd_set", "5");
  expect("cmd_touch", "2");
  expect("touch_hits", "1");
  expect("touch_misses", "1");
  expect("delete_hits", "1");
  expect("delete_misses", "1");
  expect("incr_hits", "1");
  expect("incr_misses", "1");
  expect("decr_hits", "1");
  expect("decr_misses", "1");
  expect("cas_badval", "1");
  expect("cas_misses", "1");
  expect("cmd_meta", "1");
  expect("cmd_flush", "1");
  expect("curr_items", "2");
  expect("total_items", "3");
  expect("curr_connections", "3");
  expect("limit_maxbytes", "67108864");
  expect("threads", "4");
  expect("slab_reassign_last_busy_status", "none");
  expect("time", std::to_string(fixture.clock.UnixSeconds(fixture.worker.now)));
}

TEST_CASE("Items and slabs are reported for the classes in use") {
  ServerFixture fixture;
  CHECK(Report(fixture, "items").empty());
  CHECK(Names(Report(fixture, "slabs")) == "active_slabs total_malloced");

  Client client(&fixture);
  client.Send("set a 0 0 3\r\nabc\r\nget a\r\n");
  const Lines items = Report(fixture, "items");
  REQUIRE_FALSE(items.empty());
  const std::string name = items.front().first;  // items:<class>:number
  const std::string id = name.substr(6, name.rfind(':') - 6);
  CHECK(Names(items) == WithPrefix("items:" + id + ":", kItemNames));
  CHECK(Value(items, "items:" + id + ":number") == "1");
  CHECK(Value(items, "items:" + id + ":hits_to_cold") == "1");

  const Lines slabs = Report(fixture, "slabs");
  CHECK(Names(slabs) == WithPrefix(id + ":", kSlabNames) + " active_slabs total_malloced");
  CHECK(Value(slabs, id + ":used_chunks") == "1");
  CHECK(Value(slabs, id + ":get_hits") == "1");
  CHECK(Value(slabs, id + ":cmd_set") == "1");
  CHECK(Value(slabs, "active_slabs") == "1");
  CHECK(std::stoull(Value(slabs, id + ":chunks_per_page")) > 0);
  CHECK(std::stoull(Value(slabs, id + ":total_chunks")) ==
        1 + std::stoull(Value(slabs, id + ":free_chunks")));
}

TEST_CASE("Sizes are counted when they are tracked") {
  ServerFixture off;
  CHECK(Client(&off).Send("stats sizes\r\n") == "STAT sizes_status disabled\r\nEND\r\n");

  Settings settings;
  settings.track_sizes = true;
  ServerFixture fixture(settings);
  Client client(&fixture);
  CHECK(client.Send("stats sizes\r\n") == "END\r\n");
  // 48 + 8 + 3 + 1 + 3 + 2 = 65 bytes, as memcached counts them.
  client.Send("set foo 0 0 3\r\nbar\r\nset fox 0 0 3\r\nbar\r\nset f 0 0 200\r\n" +
              std::string(200, 'x') + "\r\n");
  CHECK(client.Send("stats sizes\r\n") == "STAT 96 2\r\nSTAT 288 1\r\nEND\r\n");
  CHECK(Report(fixture, "sizes") == Lines{{"96", "2"}, {"288", "1"}});
}

TEST_CASE("Connections are reported by descriptor") {
  ServerFixture fixture;
  const auto socket_address = std::make_shared<const std::string>("tcp:127.0.0.1:11211");
  ConnectionRecord listener;
  listener.fd = 20;
  listener.kind = ConnectionRecord::Kind::kListener;
  listener.socket_address = socket_address;
  listener.state = "conn_listening";
  ConnectionRecord client;
  client.fd = 21;
  client.peer = PeerAddress(Inet(INADDR_LOOPBACK, 4711));
  client.socket_address = socket_address;
  client.last_command_ms = fixture.worker.now.ms - 2500;
  ConnectionRecord udp;
  udp.fd = 22;
  udp.kind = ConnectionRecord::Kind::kUdp;
  udp.socket_address = std::make_shared<const std::string>("udp:127.0.0.1:11211");
  udp.state = "conn_read";
  for (const ConnectionRecord* record : {&udp, &client, &listener}) {
    fixture.connections.Add(record);
  }
  listener.last_command_ms = udp.last_command_ms = fixture.worker.now.ms;
  CHECK(Client(&fixture).Send("stats conns\r\n") ==
        "STAT 20:addr tcp:127.0.0.1:11211\r\n"
        "STAT 20:state conn_listening\r\n"
        "STAT 20:secs_since_last_cmd 0\r\n"
        "STAT 21:addr tcp:127.0.0.1:4711\r\n"
        "STAT 21:listen_addr tcp:127.0.0.1:11211\r\n"
        "STAT 21:state conn_new_cmd\r\n"
        "STAT 21:secs_since_last_cmd 2\r\n"
        "STAT 22:UDP UDP\r\n"
        "STAT 22:addr udp:127.0.0.1:11211\r\n"
        "STAT 22:listen_addr udp:127.0.0.1:11211\r\n"
        "STAT 22:state conn_read\r\n"
        "STAT 22:secs_since_last_cmd 0\r\n"
        "END\r\n");
}

TEST_CASE("A reset zeroes counters and leaves gauges") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("set a 0 0 3\r\nabc\r\nget a\r\n");
  fixture.process.total_connections = 7;
  fixture.process.curr_connections = 2;
  CHECK(client.Send("stats reset\r\n") == "RESET\r\n");
  const Lines lines = Report(fixture, "");
  for (const char* name : {"cmd_set", "cmd_get", "get_hits", "total_items", "total_connections"}) {
    INFO(name);
    CHECK(Value(lines, name) == "0");
  }
  CHECK(Value(lines, "curr_items") == "1");
  CHECK(Value(lines, "curr_connections") == "2");
}

TEST_CASE("Groups that memcached has not are none, but for ours") {
  ServerFixture fixture;
  const auto none = [](std::string_view, std::string_view) { FAIL("a line"); };
  CHECK_FALSE(ReportStats(fixture.server, fixture.worker.now, "foo", none));
  CHECK_FALSE(ReportStats(fixture.server, fixture.worker.now, "proxy", none));
  CHECK(ReportStats(fixture.server, fixture.worker.now, "extstore", none));
  CHECK(Value(Report(fixture, "store"), "flushed_items") == "0");
  CHECK(Value(Report(fixture, "settings"), "maxbytes") == "67108864");
}

TEST_CASE("Every line is described") {
  ServerFixture fixture;
  const std::string text = DescribeStats();
  for (const auto& [name, value] : Report(fixture, "")) {
    CHECK_THAT(text, ContainsSubstring("| `" + name + "` |"));
  }
  CHECK_THAT(text, ContainsSubstring("| `items:<class>:number` |"));
  CHECK_THAT(text, ContainsSubstring("| `<class>:chunk_size` |"));
}

}  // namespace
}  // namespace cairn::server
