#include "server/log_hub.h"

#include <string>
#include <thread>
#include <vector>

#include "server/watch_stream.h"
#include "tests/catch.h"

namespace cairn::server {
namespace {

using Catch::Matchers::ContainsSubstring;

constexpr uint32_t kFetches = LogBit(LogKind::kFetchers);
constexpr uint32_t kMutations = LogBit(LogKind::kMutations);

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string Take(LogHub& hub, Watcher& watcher) {
  std::string text;
  hub.Take(watcher, &text);
  return text;
}

TEST_CASE("A watcher gets the lines of its kinds, numbered and dated") {
  LogHub hub(1 << 16);
  CHECK_FALSE(hub.Wants(LogKind::kFetchers));
  const auto watcher = hub.Add(kFetches, [] {});
  const auto other = hub.Add(kMutations, [] {});
  REQUIRE(watcher != nullptr);
  CHECK(hub.Wants(LogKind::kFetchers));
  CHECK_FALSE(hub.Wants(LogKind::kEvictions));

  hub.Publish(LogKind::kFetchers, "item_get key=a");
  hub.Publish(LogKind::kMutations, "item_store key=b");
  hub.Publish(LogKind::kEvictions, "eviction key=c");
  hub.Publish(LogKind::kFetchers, "item_get key=d");

  const std::vector<std::string> lines = Lines(Take(hub, *watcher));
  REQUIRE(lines.size() == 2);
  // ts=<seconds>.<6 digits> gid=1 type=...
  const size_t point = lines[0].find('.');
  CHECK(lines[0].starts_with("ts="));
  CHECK(lines[0].substr(point + 7) == " gid=1 type=item_get key=a");
  CHECK_THAT(lines[1], ContainsSubstring(" gid=3 type=item_get key=d"));
  CHECK_THAT(Take(hub, *other), ContainsSubstring(" gid=2 type=item_store key=b\n"));
  CHECK(Take(hub, *watcher).empty());

  const LogHub::Totals totals = hub.totals();
  CHECK(totals.worker_written == 3);  // nobody watched the eviction
  CHECK(totals.watcher_sent == 3);
  CHECK(totals.watcher_skipped == 0);
  CHECK(totals.watchers == 2);
}

TEST_CASE("A slow watcher loses lines, is told how many, and goes on") {
  LogHub hub(200);
  const auto slow = hub.Add(kFetches, [] {});
  const auto fast = hub.Add(kFetches, [] {});
  std::string all;
  for (int i = 0; i < 100; ++i) {
    hub.Publish(LogKind::kFetchers, "item_get key=" + std::to_string(i));
    hub.Take(*fast, &all);
  }
  CHECK(Lines(all).size() == 100);

  const std::vector<std::string> lines = Lines(Take(hub, *slow));
  REQUIRE(lines.size() >= 2);
  const size_t kept = lines.size() - 1;
  CHECK(kept < 10);
  CHECK(lines.back() == "skipped=" + std::to_string(100 - kept));
  CHECK(hub.totals().watcher_skipped == 100 - kept);

  hub.Publish(LogKind::kFetchers, "item_get key=after");
  const std::vector<std::string> after = Lines(Take(hub, *slow));
  REQUIRE(after.size() == 1);
  CHECK_THAT(after[0], ContainsSubstring("key=after"));
}

TEST_CASE("The gap is where the lines were lost, even when a shorter one would fit") {
  LogHub hub(100);
  const auto watcher = hub.Add(kFetches, [] {});
  hub.Publish(LogKind::kFetchers, "first");
  hub.Publish(LogKind::kFetchers, std::string(90, 'x'));
  hub.Publish(LogKind::kFetchers, "s");
  const std::vector<std::string> lines = Lines(Take(hub, *watcher));
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[0], ContainsSubstring("type=first"));
  CHECK(lines[1] == "skipped=2");
}

TEST_CASE("A watcher is woken once until it takes") {
  LogHub hub(1 << 16);
  int woken = 0;
  const auto watcher = hub.Add(kFetches, [&woken] { ++woken; });
  hub.Publish(LogKind::kMutations, "x");
  CHECK(woken == 0);
  hub.Publish(LogKind::kFetchers, "x");
  hub.Publish(LogKind::kFetchers, "x");
  CHECK(woken == 1);
  Take(hub, *watcher);
  hub.Publish(LogKind::kFetchers, "x");
  CHECK(woken == 2);
  hub.Remove(watcher);
  CHECK_FALSE(hub.Wants(LogKind::kFetchers));
  hub.Publish(LogKind::kFetchers, "x");
  CHECK(woken == 2);
}

TEST_CASE("There are at most twenty watchers") {
  LogHub hub(1 << 16);
  std::vector<std::shared_ptr<Watcher>> watchers;
  for (unsigned i = 0; i < LogHub::kMaxWatchers; ++i) {
    watchers.push_back(hub.Add(kFetches, [] {}));
    REQUIRE(watchers.back() != nullptr);
  }
  CHECK(hub.Add(kFetches, [] {}) == nullptr);
  CHECK(WatchStream::Open(
            &hub, kFetches, [](const auto&) {}, [] {}) == nullptr);
  hub.Remove(watchers.front());
  CHECK(hub.Add(kFetches, [] {}) != nullptr);
}

TEST_CASE("Who wants to know is told what is watched") {
  LogHub hub(1 << 16);
  std::vector<uint32_t> seen;
  hub.SetWantedObserver([&seen](uint32_t wanted) { seen.push_back(wanted); });
  const auto first = hub.Add(kFetches, [] {});
  const auto second = hub.Add(kMutations, [] {});
  hub.Remove(first);
  hub.Remove(second);
  CHECK(seen == std::vector<uint32_t>{kFetches, kFetches | kMutations, kMutations, 0});
}

TEST_CASE("Counters are reset, the number of watchers is not") {
  LogHub hub(1 << 16);
  const auto watcher = hub.Add(kFetches, [] {});
  hub.Publish(LogKind::kFetchers, "x");
  hub.ResetTotals();
  CHECK(hub.totals().worker_written == 0);
  CHECK(hub.totals().watcher_sent == 0);
  CHECK(hub.totals().watchers == 1);
}

TEST_CASE("Lines of one thread arrive in order while others publish and watchers come and go") {
  LogHub hub(1 << 22);
  const auto watcher = hub.Add(kFetches, [] {});
  constexpr int kLines = 2000;
  std::vector<std::thread> threads;
  for (const char* name : {"a", "b"}) {
    threads.emplace_back([&hub, name] {
      for (int i = 0; i < kLines; ++i) {
        hub.Publish(LogKind::kFetchers, std::string(name) + std::to_string(i) + ".");
      }
    });
  }
  threads.emplace_back([&hub] {
    for (int i = 0; i < 200; ++i) hub.Remove(hub.Add(kMutations, [] {}));
  });
  for (std::thread& thread : threads) thread.join();
  const std::string text = Take(hub, *watcher);
  CHECK(Lines(text).size() == 2 * kLines);
  for (const std::string name : {"a", "b"}) {
    size_t at = 0;
    for (int i = 0; i < kLines && at != std::string::npos; ++i) {
      at = text.find("type=" + name + std::to_string(i) + ".", at);
    }
    CHECK(at != std::string::npos);
  }
}

TEST_CASE("A stream takes lines only when its output is sent") {
  LogHub hub(1 << 16);
  auto stream = WatchStream::Open(
      &hub, kFetches, [](const auto&) {}, [] {});
  Output out;
  CHECK_FALSE(stream->Fill(&out));
  hub.Publish(LogKind::kFetchers, "one");
  CHECK(stream->Fill(&out));
  const size_t first = out.unsent_bytes();
  CHECK(first > 0);
  hub.Publish(LogKind::kFetchers, "two");
  CHECK_FALSE(stream->Fill(&out));
  CHECK(out.unsent_bytes() == first);
  out.Consume(first);
  CHECK(stream->Fill(&out));
  stream.reset();
  CHECK(hub.totals().watchers == 0);
}

}  // namespace
}  // namespace cairn::server
