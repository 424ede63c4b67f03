#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/admin.h"
#include "tests/catch.h"
#include "tests/server/session_fixture.h"

namespace cairn::server {
namespace {

using Catch::Matchers::ContainsSubstring;

struct Expectation {
  std::string answer;
  std::vector<std::string> lines;
};

// What memcached 1.6.45 answers on an empty cache with its default options, but for class ids,
// which end at 63 there.
const std::vector<Expectation>& Answers() {
  static const std::vector<Expectation> kAnswers = {
      {"ERROR\r\n",
       {"stats foo",
        "stats proxyfuncs",
        "stats proxybe",
        "stats sizes_enable",
        "slabs",
        "slabs reassign",
        "slabs reassign 1",
        "slabs reassign 1 2 3",
        "slabs automove",
        "slabs automove 3",
        "slabs automove ratio",
        "slabs automove ratio x",
        "slabs automove ratio 0.5x",
        "slabs automove freeratio",
        "slabs automove freeratio x",
        "slabs foo",
        "slabs foo 1",
        "slabs foo 1 2",
        "lru tune",
        "lru tune 10 20 0.1",
        "lru tune a 25 0.1 2.0",
        "lru tune 10 25 a 2.0",
        "lru mode",
        "lru mode foo",
        "lru temp_ttl",
        "lru temp_ttl a",
        "lru temp_ttl 9999999999999",
        "lru foo",
        "lru foo bar",
        "lru_crawler",
        "lru_crawler foo",
        "lru_crawler sleep",
        "lru_crawler sleep 1 2",
        "lru_crawler tocrawl",
        "lru_crawler crawl",
        "lru_crawler crawl 1 2",
        "lru_crawler metadump",
        "lru_crawler metadump all x",
        "lru_crawler mgdump",
        "cache_memlimit",
        "cache_memlimit x",
        "cache_memlimit -1",
        "extstore",
        "extstore item_size",
        "extstore item_size x",
        "extstore item_age 4294967296",
        "extstore max_frag x",
        "extstore free_memchunks 1",
        "extstore free_memchunks 256 2",
        "extstore foo 1",
        "extstore foo",
        "lru",
        "slabs "}},
      {"END\r\n",
       {"stats items x", "stats cachedump 0 0", "stats cachedump 63 0", "stats extstore"}},
      {"CLIENT_ERROR usage: stats detail on|off|dump\r\n", {"stats detail", "stats detail foo"}},
      {"CLIENT_ERROR bad command line\r\n", {"stats cachedump", "stats cachedump 1"}},
      {"CLIENT_ERROR bad command line format\r\n",
       {"stats cachedump a 1", "stats cachedump 1 a", "stats cachedump 1 -1",
        "stats cachedump 99999999999 0", "slabs reassign a 1", "slabs automove x",
        "slabs automove -1", "slabs automove window", "slabs automove window x",
        "lru_crawler sleep x", "lru_crawler sleep -1", "lru_crawler tocrawl x",
        "lru_crawler tocrawl 99999999999", "verbosity", "verbosity x", "verbosity -1",
        "verbosity 99999999999"}},
      {"CLIENT_ERROR Illegal slab id\r\n", {"stats cachedump 256 0"}},
      {"STAT sizes_status disabled\r\nEND\r\n", {"stats sizes"}},
      {"NOSPARE source class has no spare pages\r\n",
       {"slabs reassign 1 2", "slabs reassign 0 1", "slabs reassign 1 0"}},
      {"SAME src and dst class are identical\r\n",
       {"slabs reassign 1 1", "slabs reassign -1 -1", "slabs reassign 0 0"}},
      {"BADCLASS invalid src or dst class id\r\n",
       {"slabs reassign -1 1", "slabs reassign -1 256", "slabs reassign 5 256",
        "slabs reassign 256 5"}},
      {"",
       {"slabs reassign 1 2 noreply", "lru_crawler sleep 100 noreply", "verbosity 0 noreply",
        "verbosity noreply", "verbosity 0 x noreply", "cache_memlimit 64 noreply",
        "cache_memlimit noreply"}},
      {"OK\r\n",
       {"slabs automove 0",
        "slabs automove 1",
        "slabs automove 2",
        "slabs automove 1 2 3",
        "slabs automove ratio 0.5",
        "slabs automove ratio -0.5",
        "slabs automove freeratio 0.05",
        "slabs automove window 3",
        "lru tune 10 25 0.1 2.0",
        "lru tune 10 25 0.1 2.0 x",
        "lru mode flat",
        "lru mode segmented",
        "lru temp_ttl 10",
        "lru temp_ttl -1",
        "lru_crawler sleep 100",
        "lru_crawler sleep 1000000",
        "lru_crawler tocrawl 5",
        "lru_crawler tocrawl 0",
        "verbosity 1",
        "verbosity 0",
        "verbosity 5",
        "verbosity 0 x",
        "verbosity 0 0 0 0 0",
        "cache_memlimit 64",
        "cache_memlimit 64 x y",
        "extstore item_size 512",
        "extstore item_age 4294967295",
        "extstore low_ttl 0",
        "extstore recache_rate 2000",
        "extstore compact_under 0",
        "extstore drop_under 0",
        "extstore max_sleep 1000000",
        "extstore max_frag 0.8",
        "extstore drop_unread 0",
        "extstore free_memchunks 1 2"}},
      {"CLIENT_ERROR automove window too low or too high\r\n",
       {"slabs automove window 2", "slabs automove window 1801"}},
      {"ERROR hot and warm pcts must not exceed 80\r\n", {"lru tune 40 41 0.1 2.0"}},
      {"ERROR hot/warm age factors must be greater than 0\r\n",
       {"lru tune 10 25 0 2.0", "lru tune 10 25 -1 2.0"}},
      {"CLIENT_ERROR sleep must be one second or less\r\n", {"lru_crawler sleep 1000001"}},
      {"ERROR an unknown error happened\r\n", {"lru_crawler crawl hash"}},
      {"BADCLASS invalid class id\r\n",
       {"lru_crawler crawl 0", "lru_crawler crawl 256", "lru_crawler crawl x",
        "lru_crawler crawl 1,x", "lru_crawler metadump 0", "lru_crawler metadump 256",
        "lru_crawler metadump x", "lru_crawler mgdump 256"}},
      {"NOTSTARTED no items to crawl\r\n", {"lru_crawler crawl ,"}},
      {"OK\r\nEND\r\n",
       {"lru_crawler metadump all", "lru_crawler metadump hash", "lru_crawler metadump 1",
        "lru_crawler metadump 2"}},
      {"OK\r\nEN\r\n",
       {"lru_crawler mgdump all", "lru_crawler mgdump hash", "lru_crawler mgdump 1",
        "lru_crawler mgdump 2"}},
      {"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n", {"cache_memlimit 7"}},
      {"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n",
       {"cache_memlimit 1000000001"}},
      {"Error TLS not enabled\r\n", {"refresh_certs", "refresh_certs x", "refresh_certs noreply"}},
      {"SERVER_ERROR: shutdown not enabled\r\n",
       {"shutdown", "shutdown graceful", "shutdown foo", "shutdown graceful now"}},
  };
  return kAnswers;
}

std::string Ask(ServerFixture* fixture, const std::string& line) {
  return Client(fixture).Send(line + "\r\n");
}

/// Waits for the pass that was asked for; a test that hangs is ended by its time limit.
void AwaitCrawl(const ServerFixture& fixture) {
  while (fixture.process.crawler_running) std::this_thread::yield();
}

TEST_CASE("Operators' commands answer as memcached does") {
  ServerFixture fixture;
  for (const Expectation& expectation : Answers()) {
    for (const std::string& line : expectation.lines) {
      INFO(line);
      CHECK(Ask(&fixture, line) == expectation.answer);
    }
  }
}

TEST_CASE("What does not begin with an operator's verb is none of their commands") {
  ServerFixture fixture;
  CHECK(Ask(&fixture, "statsx") == "ERROR\r\n");
  CHECK(Ask(&fixture, "STATS") == "ERROR\r\n");
  CHECK(Ask(&fixture, " stats") == "ERROR\r\n");
}

TEST_CASE("Settings that were changed are reported") {
  ServerFixture fixture;
  for (const char* line :
       {"slabs automove 2", "slabs automove ratio 0.5", "slabs automove freeratio 0.05",
        "slabs automove window 30", "lru tune 10 25 0.1 2.5", "lru mode flat", "lru temp_ttl 10",
        "lru_crawler sleep 7", "lru_crawler tocrawl 5", "verbosity 9", "cache_memlimit 32"}) {
    INFO(line);
    CHECK(Ask(&fixture, line) == "OK\r\n");
  }
  const std::string settings = Ask(&fixture, "stats settings");
  for (const char* line :
       {"slab_automove 2", "slab_automove_ratio 0.50", "slab_automove_freeratio 0.050",
        "slab_automove_window 30", "hot_lru_pct 10", "warm_lru_pct 25", "hot_max_factor 0.10",
        "warm_max_factor 2.50", "lru_segmented no", "temp_lru yes", "temporary_ttl 10",
        "lru_crawler_sleep 7", "lru_crawler_tocrawl 5", "verbosity 2", "maxbytes 33554432"}) {
    CHECK_THAT(settings, ContainsSubstring("STAT " + std::string(line) + "\r\n"));
  }
  CHECK(Ask(&fixture, "lru temp_ttl -1") == "OK\r\n");
  CHECK_THAT(Ask(&fixture, "stats settings"), ContainsSubstring("STAT temp_lru no\r\n"));
  CHECK(fixture.store->memory_limit_bytes() == uint64_t{32} << 20);
}

TEST_CASE("Features that are off refuse") {
  Settings settings;
  settings.slab_reassign = false;
  settings.lru_maintainer = false;
  settings.dump_enabled = false;
  settings.watch_enabled = false;
  ServerFixture fixture(settings);
  CHECK(Ask(&fixture, "slabs reassign 1 2") == "CLIENT_ERROR slab reassignment disabled\r\n");
  CHECK(Ask(&fixture, "lru mode flat") == "ERROR\r\n");
  CHECK(Ask(&fixture, "lru temp_ttl 1") == "ERROR\r\n");
  CHECK(Ask(&fixture, "lru tune 10 25 0.1 2.0") == "OK\r\n");
  CHECK(Ask(&fixture, "stats detail on") == "CLIENT_ERROR stats detail not allowed\r\n");
  CHECK(Ask(&fixture, "stats cachedump 1 0") == "CLIENT_ERROR stats cachedump not allowed\r\n");
  CHECK(Ask(&fixture, "lru_crawler metadump all") == "ERROR metadump not allowed\r\n");
  CHECK(Ask(&fixture, "lru_crawler mgdump all") == "ERROR key dump not allowed\r\n");
  CHECK(Ask(&fixture, "watch") == "CLIENT_ERROR watch commands not allowed\r\n");
}

TEST_CASE("shutdown asks the process to end and closes without an answer") {
  Settings settings;
  settings.enable_shutdown = true;
  ServerFixture fixture(settings);
  CHECK(Ask(&fixture, "shutdown foo") == "CLIENT_ERROR invalid shutdown mode\r\n");
  CHECK(Ask(&fixture, "shutdown graceful now") == "CLIENT_ERROR invalid shutdown mode\r\n");
  CHECK(fixture.shutdown == 0);
  Client client(&fixture);
  CHECK(client.Send("shutdown\r\nversion\r\n").empty());
  CHECK(client.closed());
  CHECK(fixture.shutdown == 1);
  CHECK(Ask(&fixture, "shutdown graceful").empty());
  CHECK(fixture.shutdown == 2);
}

TEST_CASE("The crawler is switched, and passes are asked for") {
  ServerFixture fixture;
  CHECK(Ask(&fixture, "lru_crawler enable") == "ERROR failed to start lru crawler thread\r\n");
  CHECK(Ask(&fixture, "lru_crawler disable") == "OK\r\n");
  CHECK(Ask(&fixture, "lru_crawler disable") == "OK\r\n");
  for (const char* command : {"crawl", "metadump", "mgdump"}) {
    CHECK(Ask(&fixture, "lru_crawler " + std::string(command) + " all") ==
          "CLIENT_ERROR lru crawler disabled\r\n");
  }
  CHECK_THAT(Ask(&fixture, "stats"), !ContainsSubstring("lru_crawler_running"));
  CHECK_THAT(Ask(&fixture, "stats settings"), ContainsSubstring("STAT lru_crawler no\r\n"));
  CHECK(Ask(&fixture, "lru_crawler enable") == "OK\r\n");

  CHECK(Ask(&fixture, "lru_crawler crawl all") == "OK\r\n");
  CHECK(Ask(&fixture, "lru_crawler crawl 1,2") == "BUSY currently processing crawler request\r\n");
  CHECK_THAT(Ask(&fixture, "stats"), ContainsSubstring("STAT lru_crawler_running 1\r\n"));
  fixture.maintenance.Start();
  AwaitCrawl(fixture);
  for (const char* classes : {"1", "1,2", "63", "all"}) {
    CHECK(Ask(&fixture, "lru_crawler crawl " + std::string(classes)) == "OK\r\n");
    AwaitCrawl(fixture);
  }
}

TEST_CASE("watch turns the connection into a watcher") {
  ServerFixture fixture;
  const auto kinds_of = [&fixture](const std::string& line) -> std::optional<uint32_t> {
    Client client(&fixture);
    if (client.Send(line + "\r\n") != "OK\r\n" || client.session.watch == nullptr) return {};
    return client.session.watch->kinds;
  };
  CHECK(kinds_of("watch") == LogBit(LogKind::kFetchers));
  CHECK(kinds_of("watch mutations evictions") ==
        (LogBit(LogKind::kMutations) | LogBit(LogKind::kEvictions)));
  CHECK(kinds_of("watch deletions connevents sysevents rawcmds") ==
        (LogBit(LogKind::kDeletions) | LogBit(LogKind::kConnEvents) | LogBit(LogKind::kSysEvents) |
         LogBit(LogKind::kRawCmds)));
  CHECK(kinds_of("watch proxyreqs") == 0u);
  CHECK(Ask(&fixture, "watch foo") == "ERROR\r\n");
  CHECK(Ask(&fixture, "watch fetchers foo") == "ERROR\r\n");
  CHECK(Client(&fixture).Send("me x\r\nwatch\r\n") ==
        "EN\r\nERROR cannot pipeline other commands before watch\r\n");
  CHECK(Client(&fixture).Send("mn\r\nwatch\r\n") == "MN\r\nOK\r\n");
  SessionOptions datagram;
  datagram.datagram = true;
  CHECK(Client(&fixture, datagram).Send("watch\r\n") == "ERROR\r\n");

  std::vector<std::shared_ptr<Watcher>> watchers;
  for (unsigned i = 0; i < LogHub::kMaxWatchers; ++i) {
    watchers.push_back(fixture.log.Add(1, [] {}));
  }
  CHECK(Ask(&fixture, "watch") == "WATCHER_TOO_MANY log watcher limit reached\r\n");
}

TEST_CASE("stats detail counts by prefix while it is on") {
  ServerFixture fixture;
  Client client(&fixture);
  CHECK(client.Send("set a:1 0 0 1\r\nx\r\n") == "STORED\r\n");
  CHECK(client.Send("stats detail on\r\n") == "OK\r\n");
  CHECK_THAT(client.Send("stats settings\r\n"), ContainsSubstring("STAT detail_enabled yes\r\n"));
  CHECK(client.Send("set a:1 0 0 1\r\nx\r\n") == "STORED\r\n");
  client.Send("get a:1 a:2\r\n");
  CHECK(client.Send("stats detail off extra\r\n") == "OK\r\n");
  client.Send("get a:1\r\n");
  CHECK(client.Send("stats detail dump\r\n") == "PREFIX a get 2 hit 1 set 1 del 0\r\nEND\r\n");
  CHECK(client.Send("stats reset\r\n") == "RESET\r\n");
  CHECK(client.Send("stats detail dump\r\n") == "END\r\n");
}

#if CAIRN_DEBUG_COMMANDS
TEST_CASE("debugtime moves the clock of what follows") {
  ServerFixture fixture;
  Client client(&fixture);
  CHECK(client.Send("set k 0 100 1\r\nx\r\ndebugtime 99\r\nget k\r\ndebugtime +2\r\nget k\r\n") ==
        "STORED\r\nOK\r\nVALUE k 0 1\r\nx\r\nEND\r\nOK\r\nEND\r\n");
  CHECK(client.Send("debugtime p\r\n") == "OK\r\n");
  CHECK(client.Send("debugtime r\r\n") == "OK\r\n");
  CHECK(client.Send("debugtime\r\n") == "ERROR\r\n");
  CHECK(client.Send("debugtime x\r\n") == "ERROR\r\n");
}

TEST_CASE("debugitem and misbehave answer") {
  ServerFixture fixture;
  Client client(&fixture);
  client.Send("set k 0 0 1\r\nx\r\n");
  CHECK(client.Send("debugitem ref k\r\n") == "OK\r\n");
  CHECK(client.Send("debugitem unref none\r\n") == "MISS\r\n");
  CHECK(client.Send("debugitem lock k\r\n") == "OK\r\n");
  CHECK(client.Send("debugitem foo k\r\n") == "ERROR\r\n");
  CHECK(client.Send("debugitem ref\r\n") == "ERROR\r\n");
  CHECK(client.Send("misbehave\r\n") == "ERROR\r\n");
}
#else
TEST_CASE("A release answers no debug command") {
  ServerFixture fixture;
  for (const char* line : {"debugtime p", "debugitem ref k", "misbehave"}) {
    CHECK(Ask(&fixture, line) == "ERROR\r\n");
  }
}
#endif

TEST_CASE("Every command is described") {
  const std::string rows = DescribeAdminCommands();
  for (const char* verb : {"stats", "slabs", "lru", "lru_crawler", "watch", "verbosity",
                           "cache_memlimit", "refresh_certs", "shutdown", "extstore"}) {
    CHECK_THAT(rows, ContainsSubstring("| `" + std::string(verb)));
  }
}

}  // namespace
}  // namespace cairn::server
