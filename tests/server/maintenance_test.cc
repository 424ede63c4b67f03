#include "server/maintenance.h"

#include <atomic>
#include <string>
#include <thread>

#include "tests/catch.h"
#include "tests/server/session_fixture.h"

namespace cairn::server {
namespace {

using Catch::Matchers::ContainsSubstring;

// Waits without sleeping; a test that hangs is ended by its time limit.
template <typename Condition>
void Await(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

void Fill(ServerFixture* fixture, int items, int64_t ttl_ms) {
  for (int i = 0; i < items; ++i) {
    const std::string key = "k" + std::to_string(ttl_ms) + ":" + std::to_string(i);
    storage::StoreOptions options;
    if (ttl_ms != 0) {
      options.expiry = storage::Expiry::At({fixture->worker.now.ms + ttl_ms});
    }
    const auto result = fixture->store->Put(fixture->store->MakeKey(key), std::string(100, 'v'),
                                            options, fixture->worker.now);
    REQUIRE(result.status == storage::StoreStatus::kStored);
  }
}

TEST_CASE("Expired memory is given back in the background") {
  ServerFixture fixture;
  Fill(&fixture, 5000, 1000);
  Fill(&fixture, 1000, 0);
  fixture.AdvanceSeconds(2);
  fixture.maintenance.Start();
  Await([&] { return fixture.store->Stats().curr_items == 1000; });
  const storage::StoreStats stats = fixture.store->Stats();
  CHECK(stats.crawler_reclaimed == 5000);
  CHECK(stats.expired_unfetched == 5000);
  CHECK(fixture.process.crawler_starts > 0);
}

TEST_CASE("With the crawler off nothing is given back, until it is switched on") {
  Settings settings;
  settings.lru_crawler = false;
  ServerFixture fixture(settings);
  Fill(&fixture, 100, 1000);
  fixture.AdvanceSeconds(2);
  CHECK(fixture.maintenance.StartCrawl({}) == Maintenance::CrawlStart::kDisabled);
  fixture.maintenance.Start();
  fixture.maintenance.Stop();
  CHECK(fixture.store->Stats().curr_items == 100);
  CHECK(fixture.maintenance.SetCrawling(true));
  CHECK_FALSE(fixture.maintenance.SetCrawling(true));
  fixture.maintenance.Start();
  Await([&] { return fixture.store->Stats().curr_items == 0; });
}

TEST_CASE("A pass that was asked for sees everything, and is counted") {
  ServerFixture fixture;
  fixture.maintenance.Start();
  Fill(&fixture, 3000, 1000);
  // The background may be anywhere in its pass when the items expire.
  fixture.AdvanceSeconds(2);
  const uint64_t starts = fixture.process.crawler_starts;
  REQUIRE(fixture.maintenance.StartCrawl({}) == Maintenance::CrawlStart::kStarted);
  Await([&] { return !fixture.process.crawler_running; });
  CHECK(fixture.store->Stats().curr_items == 0);
  CHECK(fixture.process.crawler_starts > starts);
}

TEST_CASE("A pass of few items ends, and does not see everything") {
  ServerFixture fixture;
  Fill(&fixture, 30000, 1000);
  fixture.AdvanceSeconds(2);
  Maintenance::Crawl crawl;
  crawl.max_items = 1;
  REQUIRE(fixture.maintenance.StartCrawl(crawl) == Maintenance::CrawlStart::kStarted);
  CHECK(fixture.maintenance.StartCrawl(crawl) == Maintenance::CrawlStart::kBusy);
  fixture.maintenance.Start();
  Await([&] { return !fixture.process.crawler_running; });
  fixture.maintenance.Stop();
  CHECK(fixture.store->Stats().curr_items > 0);
}

TEST_CASE("A lowered memory limit is met soon") {
  ServerFixture fixture;
  Fill(&fixture, 200000, 0);
  const auto resident = [&] {
    const storage::StoreStats stats = fixture.store->Stats();
    return stats.pages_total * stats.page_bytes;
  };
  const uint64_t limit = uint64_t{8} << 20;
  REQUIRE(resident() > limit);
  fixture.maintenance.Start();
  CHECK(Client(&fixture).Send("cache_memlimit 8\r\n") == "OK\r\n");
  Await([&] { return resident() <= limit; });
  CHECK(fixture.store->Stats().evictions > 0);
}

TEST_CASE("The end of a pass is an event") {
  ServerFixture fixture;
  const auto watcher = fixture.log.Add(LogBit(LogKind::kSysEvents), [] {});
  Fill(&fixture, 10, 1000);
  fixture.AdvanceSeconds(2);
  fixture.maintenance.Start();
  std::string text;
  Await([&] {
    fixture.log.Take(*watcher, &text);
    return text.find('\n') != std::string::npos;
  });
  CHECK_THAT(text, ContainsSubstring("type=lru_crawler crawler=0 lru=cold ") &&
                       ContainsSubstring(" reclaimed=10\n"));
}

TEST_CASE("The thread rests: a small cache costs next to no CPU time") {
  ServerFixture fixture;
  Fill(&fixture, 1000, 0);
  fixture.maintenance.Start();
  Await([&] { return fixture.process.crawler_starts > 0; });
  fixture.maintenance.Stop();
  // Stop interrupts the rest; nothing else ended it.
  CHECK(fixture.process.crawler_starts == 1);
}

}  // namespace
}  // namespace cairn::server
