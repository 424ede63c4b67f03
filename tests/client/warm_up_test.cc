// Filling a cache before it is asked: on threads, and on a loop without waiting; one test for both,
// where they are to mean the same.
#include "cairn/warm_up.h"

#include <event2/event.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async_warm_up.h"
#include "tests/catch.h"
#include "tests/client/fire.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;
using DoneMulti = AsyncLookAside::DoneMulti;
using Loaded = absl::StatusOr<std::vector<std::optional<std::string>>>;
using Load = std::function<Loaded(const std::vector<std::string>& keys)>;

std::vector<std::string> Names(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back("key:" + std::to_string(i));
  return names;
}

Loaded Echo(const std::vector<std::string>& keys) {
  return std::vector<std::optional<std::string>>(keys.begin(), keys.end());
}

std::vector<std::string_view> Views(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

// Either form, for those who do not care.
WarmUpProgress Fill(bool waits, LookAside* pages, const std::vector<std::string>& names,
                    const Load& load, const WarmUpOptions& options = {}) {
  if (waits) {
    const auto load_views = [&load](std::span<const std::string_view> keys) {
      return load({keys.begin(), keys.end()});
    };
    return WarmUp(pages, Views(names), load_views, options);
  }
  const auto begin_load = [load](const std::vector<std::string>& keys, const DoneMulti& done) {
    done(load(keys));
  };
  return Wait(AsyncWarmUp(AsyncLookAside(pages), names, begin_load, options));
}

}  // namespace

TEST_CASE("a cache is filled before it is asked", "[client][fill]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  const bool waits = GENERATE(true, false);
  OneServer one(protocol);
  LookAside pages(one.client.get());
  const std::vector<std::string> names = Names(250);
  REQUIRE(one.client->Set("key:3", "there").ok());
  REQUIRE(one.client->GetWithLease("key:4").value().won);
  std::atomic<int> at_once{0};
  std::atomic<int> most{0};
  const Load load = [&](const std::vector<std::string>& missing) -> Loaded {
    const int now = ++at_once;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::vector<std::optional<std::string>> values = *Echo(missing);
    for (auto& value : values) {
      if (value == "key:5") value.reset();
    }
    --at_once;
    return values;
  };
  WarmUpOptions options;
  options.batch = 20;
  options.concurrency = 3;
  const WarmUpProgress done = Fill(waits, &pages, names, load, options);
  CHECK(done.keys == 250);
  CHECK(done.stored == 247);
  CHECK(done.present == 1);
  CHECK(done.absent == 1);
  CHECK(done.taken == 1);
  CHECK(done.failed == 0);
  CHECK(done.failure.ok());
  CHECK(most <= 3);
  CHECK(one.client->Get("key:3").value() == "there");
  CHECK(one.client->Get("key:249").value() == "key:249");
  CHECK(Fill(waits, &pages, names, load, options).present == 248);
  options.batch = std::numeric_limits<size_t>::max();
  CHECK(Fill(waits, &pages, names, load, options).present == 248);
  CHECK(Fill(waits, &pages, {}, load, options).keys == 0);
}

TEST_CASE("filling keeps to its rate, and stops when told", "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer one;
  LookAside pages(one.client.get());
  const std::vector<std::string> names = Names(100);
  WarmUpOptions options;
  options.batch = 10;
  options.concurrency = 4;
  options.keys_per_second = 500;
  const auto begin = std::chrono::steady_clock::now();
  CHECK(Fill(waits, &pages, names, Echo, options).stored == 100);
  // Nine intervals of 20 ms stand between ten batches. (That it takes no longer depends on the
  // machine.)
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(180));
  options.concurrency = 1;
  options.progress = [](const WarmUpProgress& progress) { return progress.keys < 30; };
  CHECK(Fill(waits, &pages, names, Echo, options).keys == 30);
  // Also what waits for its time is not begun any more: that would be days.
  options.progress = [](const WarmUpProgress&) { return false; };
  options.concurrency = 2;
  options.keys_per_second = 1e-4;
  CHECK(Fill(waits, &pages, names, Echo, options).keys == 10);
}

TEST_CASE("filling says what failed", "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer one;
  LookAside pages(one.client.get());
  const std::vector<std::string> names = Names(100);
  WarmUpOptions options;
  options.batch = 10;
  options.concurrency = 2;
  const WarmUpProgress failed = Fill(
      waits, &pages, names, [](auto) -> Loaded { return absl::DeadlineExceededError("slow"); },
      options);
  CHECK(failed.failed == 100);
  CHECK(failed.failure == absl::UnavailableError("slow"));
  const Load wrong = [](auto) -> Loaded { return std::vector<std::optional<std::string>>(); };
  CHECK(absl::IsInternal(Fill(waits, &pages, names, wrong, options).failure));
  // What is deleted while it is loaded is not stored.
  const Load deletes = [&](const std::vector<std::string>& keys) -> Loaded {
    if (!one.client->DeleteAndLease("key:95").ok()) return absl::UnknownError("not deleted");
    return Echo(keys);
  };
  options.batch = 100;
  const WarmUpProgress deleted = Fill(waits, &pages, names, deletes, options);
  CHECK(deleted.stored == 99);
  CHECK(deleted.failed == 1);
  CHECK(absl::IsAborted(deleted.failure));
  CHECK(one.client->Get("key:95").value() == std::nullopt);
  REQUIRE(one.client->FlushAll().ok());
  options.batch = 10;
  CHECK(Fill(waits, &pages, names, wrong, options).failed == 100);
  // What was not loaded can be tried again at once.
  CHECK(Fill(waits, &pages, Names(10), Echo, options).stored == 10);
  one.server.Kill();
  const WarmUpProgress down = Fill(waits, &pages, names, Echo, options);
  CHECK(down.failed == 100);
  CHECK(absl::IsUnavailable(down.failure));
}

TEST_CASE("an exception of the application's ends filling on threads, and fails a batch on a loop",
          "[client][fill]") {
  OneServer one;
  LookAside pages(one.client.get());
  const std::vector<std::string> names = Names(40);
  WarmUpOptions options;
  options.batch = 10;
  options.concurrency = 2;
  const Load throws = [](auto) -> Loaded { throw std::runtime_error("of the application"); };
  CHECK_THROWS_AS(Fill(true, &pages, names, throws, options), std::runtime_error);
  const WarmUpProgress thrown = Fill(false, &pages, names, throws, options);
  CHECK(thrown.failed == 40);
  CHECK(absl::IsAborted(thrown.failure));
  const auto drops = [](const auto&, const DoneMulti&) {};
  const WarmUpProgress dropped = Wait(AsyncWarmUp(AsyncLookAside(&pages), names, drops, options));
  CHECK(dropped.failed == 40);
  CHECK(absl::IsAborted(dropped.failure));
  options.concurrency = 1;
  options.progress = [](const WarmUpProgress&) -> bool { throw std::runtime_error("again"); };
  CHECK_THROWS_AS(Fill(true, &pages, names, Echo, options), std::runtime_error);
  REQUIRE(one.client->FlushAll().ok());
  const WarmUpProgress stopped = Fill(false, &pages, names, Echo, options);
  CHECK(stopped.keys == 10);
  CHECK(stopped.stored == 10);
  CHECK(stopped.failure.ok());
}

TEST_CASE("one pool is copied to another with what values have left to live", "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer from;
  OneServer to;
  REQUIRE(from.client->Set("brief", "1", {.ttl = absl::Minutes(10), .flags = 9}).ok());
  REQUIRE(from.client->Set("lasting", "2").ok());
  REQUIRE(from.client->Set("stale", "3").ok());
  REQUIRE(from.client->Invalidate("stale", absl::Minutes(5)).value());
  LookAsideOptions remembers;
  remembers.negative_ttl = absl::Minutes(5);
  LookAside old_pages(from.client.get(), remembers);
  const auto nothing = []() -> LookAside::Value { return std::nullopt; };
  REQUIRE(old_pages.GetOrCompute("nothing", nothing).ok());
  const std::vector<std::string> names = {"brief", "lasting", "stale", "absent", "nothing"};
  Client* const there = to.client.get();
  Client* const here = from.client.get();
  const WarmUpProgress done = waits ? WarmUpFromPool(there, here, Views(names), absl::Hours(1))
                                    : Wait(AsyncWarmUpFromPool(there, here, names, absl::Hours(1)));
  CHECK(done.stored == 2);
  CHECK(done.absent == 3);
  const LeaseOptions plain = {.lease = absl::ZeroDuration()};
  const LeasedItem brief = to.client->GetWithLease("brief", plain).value();
  CHECK(brief.value == "1");
  CHECK(brief.flags == 9);
  CHECK(*brief.ttl_left <= absl::Seconds(601));
  CHECK(to.client->GetWithLease("lasting", plain).value().ttl_left == absl::InfiniteDuration());
  CHECK(to.client->Get("absent").value() == std::nullopt);
  LookAside pages(to.client.get());
  const auto remembered = pages.Peek("nothing").value();
  REQUIRE(remembered.has_value());
  CHECK(remembered->value == std::nullopt);
}

TEST_CASE("copying leaves stale values where they are", "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer from;
  OneServer to;
  Client* const there = to.client.get();
  Client* const here = from.client.get();
  const std::vector<std::string> names = {"key:0"};
  REQUIRE(there->Set(names[0], "stale").ok());
  REQUIRE(there->Invalidate(names[0], absl::Minutes(1)).value());
  if (GENERATE(true, false)) from.server.Kill();
  const WarmUpProgress done = waits ? WarmUpFromPool(there, here, Views(names), absl::Hours(1))
                                    : Wait(AsyncWarmUpFromPool(there, here, names, absl::Hours(1)));
  CHECK(done.stored == 0);
  const LeasedItem item = there->GetWithLease(names[0]).value();
  CHECK(item.value == "stale");
  CHECK(item.won);
}

TEST_CASE("copying says that there was nobody to copy from", "[client][fill]") {
  const bool waits = GENERATE(true, false);
  OneServer from;
  OneServer to;
  from.server.Kill();
  const std::vector<std::string> names = Names(10);
  Client* const there = to.client.get();
  Client* const here = from.client.get();
  const WarmUpProgress done = waits ? WarmUpFromPool(there, here, Views(names), absl::Hours(1))
                                    : Wait(AsyncWarmUpFromPool(there, here, names, absl::Hours(1)));
  CHECK(done.keys == names.size());
  CHECK(done.failed == names.size());
  CHECK(done.absent == 0);
  CHECK(absl::IsUnavailable(done.failure));
  // Nobody has to wait for what was not copied.
  CHECK(to.client->GetWithLease(names[0])->won);
}

TEST_CASE("a cache is filled on the caller's event loop, as many batches at a time as it is told",
          "[client][fill]") {
  OneServer one;
  auto pages = std::make_unique<LookAside>(one.client.get());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  const std::thread::id here = std::this_thread::get_id();
  {
    AsyncClient loop(one.client.get(), base);
    struct Batch {
      std::vector<std::string> keys;
      DoneMulti done;
    };
    std::vector<Batch> under_way;
    bool elsewhere = false;
    const auto load = [&](std::vector<std::string> keys, DoneMulti done) {
      elsewhere = elsewhere || std::this_thread::get_id() != here;
      under_way.push_back({std::move(keys), std::move(done)});
    };
    WarmUpOptions options;
    options.batch = 10;
    options.concurrency = 3;
    int told = 0;
    options.progress = [&](const WarmUpProgress& progress) {
      elsewhere = elsewhere || std::this_thread::get_id() != here;
      return progress.keys == ++told * uint64_t{10};
    };
    const AsyncLookAside async(pages.get(), &loop);
    { const auto dropped = AsyncWarmUp(async, Names(5), load, options); }  // was never begun
    std::optional<WarmUpProgress> progress;
    AsyncWarmUp(async, Names(100), load, options).Then([&](const WarmUpProgress& done) {
      progress = done;
    });
    pages = nullptr;
    size_t most = 0;
    for (size_t batches_left = 10; batches_left > 0; --batches_left) {
      while (under_way.size() < std::min<size_t>(3, batches_left)) {
        event_base_loop(base, EVLOOP_ONCE);
      }
      most = std::max(most, under_way.size());
      const Batch last = std::move(under_way.back());
      under_way.pop_back();
      // From wherever it comes.
      std::thread([&last] { last.done(Echo(last.keys)); }).join();
    }
    while (!progress.has_value()) event_base_loop(base, EVLOOP_ONCE);
    CHECK(most == 3);
    CHECK(progress->stored == 100);
    CHECK(told == 10);
    CHECK_FALSE(elsewhere);
  }
  event_base_free(base);
}

TEST_CASE("filling ends with its loop", "[client][fill]") {
  OneServer one;
  LookAside pages(one.client.get());
  event_base* const base = event_base_new();
  REQUIRE(base != nullptr);
  std::vector<DoneMulti> held;
  std::vector<WarmUpProgress> ended;
  int told = 0;
  const auto hold = [&](const auto&, DoneMulti done) { held.push_back(std::move(done)); };
  const auto echo = [](const std::vector<std::string>& keys, const DoneMulti& done) {
    done(Echo(keys));
  };
  WarmUpOptions options;
  options.batch = 10;
  options.concurrency = 2;
  std::vector<std::string> others = Names(20);
  for (std::string& name : others) name = "other:" + name;
  {
    AsyncClient loop(one.client.get(), base);
    const AsyncLookAside async(&pages, &loop);
    const auto note = [&](const WarmUpProgress& progress) { ended.push_back(progress); };
    // One loads, one waits for its time, and one is begun when the loop ends.
    AsyncWarmUp(async, Names(100), hold, options).Then([&](const WarmUpProgress& progress) {
      note(progress);
      AsyncWarmUp(async, Names(100), echo, options).Then(note);
    });
    WarmUpOptions slow = options;
    slow.keys_per_second = 1e-4;
    slow.progress = [&](const WarmUpProgress&) {
      ++told;
      return true;
    };
    AsyncWarmUp(async, others, echo, slow).Then(note);
    while (held.size() < 2 || told == 0) event_base_loop(base, EVLOOP_ONCE);
    CHECK(ended.empty());
  }
  REQUIRE(ended.size() == 3);
  for (const WarmUpProgress& progress : ended) {
    CHECK(absl::IsCancelled(progress.failure));
    if (progress.stored == 10) {
      CHECK(progress.keys == 10);
    } else {
      CHECK(progress.stored == 0);
      CHECK(progress.failed == progress.keys);
      CHECK((progress.keys == 20 || progress.keys == 0));
    }
  }
  for (const DoneMulti& done : held) done(Echo(Names(10)));  // too late
  held.clear();
  event_base_free(base);
}

#if defined(__cpp_impl_coroutine)

namespace {

Fire FillTwice(AsyncLookAside pages, std::atomic<int>& right, std::atomic<bool>& over) {
  const AsyncLookAside::ComputeMulti load = [](const std::vector<std::string>& keys,
                                               const DoneMulti& done) { done(Echo(keys)); };
  const WarmUpProgress first = co_await AsyncWarmUp(pages, Names(300), load);
  const WarmUpProgress second = co_await AsyncWarmUp(pages, Names(300), load);
  if (first.stored == 300 && second.present == 300) ++right;
  over = true;
}

}  // namespace

TEST_CASE("a coroutine fills a cache", "[client][fill]") {
  OneServer one;
  LookAside pages(one.client.get());
  std::atomic<int> right{0};
  std::atomic<bool> over{false};
  FillTwice(AsyncLookAside(&pages), right, over);
  while (!over) std::this_thread::yield();
  CHECK(right == 1);
}

#endif

}  // namespace cairn
