#include "server/event_log.h"

#include <string>

#include "server/access_log.h"
#include "server/uri_encode.h"
#include "tests/catch.h"
#include "tests/server/session_fixture.h"
#include "tests/server/socket_addresses.h"

namespace cairn::server {
namespace {

using Catch::Matchers::ContainsSubstring;

/// Watches everything; gives the next line from "type=" on.
class LogReader {
 public:
  explicit LogReader(LogHub* hub) : hub_(hub), watcher_(hub->Add(~0u, [] {})) {}
  ~LogReader() { hub_->Remove(watcher_); }

  std::string Next() {
    if (text_.empty()) hub_->Take(*watcher_, &text_);
    const size_t begin = text_.find("type=");
    const size_t end = text_.find('\n');
    if (begin == std::string::npos) return "";
    const std::string line = text_.substr(begin, end - begin);
    text_.erase(0, end + 1);
    return line;
  }

 private:
  LogHub* hub_;
  std::shared_ptr<Watcher> watcher_;
  std::string text_;
};

TEST_CASE("Keys are URI-encoded") {
  CHECK(UriEncoded("aZ09-._~") == "aZ09-._~");
  CHECK(UriEncoded(std::string_view("f%o:\xff\x01\0/", 8)) == "f%25o%3A%FF%01%00%2F");
}

TEST_CASE("Lines of requests are memcached's") {
  ServerFixture fixture;
  SessionOptions options;
  options.fd = 29;
  Client client(&fixture, options);
  LogReader reader(&fixture.log);
  LogFetch(client.session, "f o", storage::FetchStatus::kHit, 1, 3);
  CHECK(reader.Next() == "type=item_get key=f%20o status=found clsid=1 cfd=29 size=3");
  LogMutation(client.session, "foo", "stored", "set", 50, 2, 3);
  CHECK(reader.Next() ==
        "type=item_store key=foo status=stored cmd=set ttl=50 clsid=2 cfd=29 size=3");
  LogDeletion(client.session, "fl", "md", 1, 1);
  CHECK(reader.Next() == "type=deleted key=fl cmd=md clsid=1 size=1");
}

TEST_CASE("Lines of connections and of the background are memcached's") {
  LogHub hub(1 << 16);
  LogReader reader(&hub);
  const PeerAddress peer(Inet(INADDR_LOOPBACK, 54552));
  LogConnectionNew(hub, peer, 29);
  CHECK(reader.Next() == "type=conn_new rip=127.0.0.1 rport=54552 transport=tcp cfd=29");
  LogConnectionClosed(hub, peer, "normal", 29);
  CHECK(reader.Next() ==
        "type=conn_close rip=127.0.0.1 rport=54552 transport=tcp reason=normal cfd=29");
  LogConnectionNew(hub, PeerAddress(), 5);
  CHECK(reader.Next() == "type=conn_new rip=unix rport=0 transport=local cfd=5");
  LogConnectionError(hub, 7, "refused");
  CHECK(reader.Next() == "type=connerr fd=7 msg=refused");
  LogTlsError(hub, 7, "no cipher");
  CHECK(reader.Next() == "type=conntlserr fd=7 msg=no cipher");
  LogCrawl(hub, {.elapsed_seconds = 2, .examined = 30, .reclaimed = 4, .next_run_seconds = 8});
  CHECK(reader.Next() ==
        "type=lru_crawler crawler=0 lru=cold low_mark=0 next_reclaims=0 since_run=2 next_run=8 "
        "elapsed=2 examined=30 reclaimed=4");
}

TEST_CASE("Evictions are logged while somebody watches them") {
  Settings settings;
  settings.memory_limit_bytes = uint64_t{8} << 20;
  ServerFixture fixture(settings);
  EvictionLog eviction_log(&fixture.log);
  fixture.log.SetWantedObserver([&](uint32_t wanted) {
    const bool evictions = (wanted & LogBit(LogKind::kEvictions)) != 0;
    fixture.store->SetLossObserver(evictions ? &eviction_log : nullptr);
  });
  const std::string value(1000, 'v');
  int stored = 0;
  const auto fill = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const std::string key = "k:" + std::to_string(stored++);
      const auto result =
          fixture.store->Put(fixture.store->MakeKey(key), value, {}, fixture.worker.now);
      REQUIRE(result.status == storage::StoreStatus::kStored);
    }
  };
  fill(12000);
  const uint64_t unwatched = fixture.store->Stats().evictions;
  CHECK(unwatched > 0);
  CHECK(fixture.log.totals().worker_written == 0);

  LogReader reader(&fixture.log);
  fill(2000);
  const uint64_t watched = fixture.store->Stats().evictions - unwatched;
  CHECK(watched > 0);
  CHECK(fixture.log.totals().worker_written == watched);
  const std::string line = reader.Next();
  CHECK(line.starts_with("type=eviction key=k%3A"));
  CHECK_THAT(line, ContainsSubstring(" fetch=no ttl=-1 la=0 clsid="));
  CHECK_THAT(line, ContainsSubstring(" size=1000"));
}

}  // namespace
}  // namespace cairn::server
