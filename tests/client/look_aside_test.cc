// GetOrCompute and its options. Two LookAside objects know nothing of each other, as two processes.
#include "cairn/look_aside.h"

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

using Source = Fetched::Source;
using Values = absl::StatusOr<std::vector<std::optional<std::string>>>;

// Nothing here is to end because a machine is slow.
LookAsideOptions Patient() {
  LookAsideOptions options;
  options.lease = absl::Minutes(5);
  options.wait_max = absl::Minutes(2);
  return options;
}

LookAside::Compute Says(const std::string& value) {
  return [value]() -> LookAside::Value { return value; };
}

LookAside::Compute Fails() {
  return []() -> LookAside::Value { return absl::InternalError("no database"); };
}

LookAside::Compute Never() {
  return []() -> LookAside::Value { return absl::InternalError("computed without need"); };
}

// The reads that the server has answered.
int CountOfGets(Client& client) {
  const auto stats = client.Stats(0).value();
  for (const auto& [name, value] : stats) {
    if (name == "cmd_get") return std::stoi(value);
  }
  return -1;
}

// Runs what it is given when it is told to.
struct Background {
  std::function<void(std::function<void()>)> Runner() {
    return [this](std::function<void()> work) { jobs.push_back(std::move(work)); };
  }
  void RunAll() {
    for (const auto& job : jobs) job();
    jobs.clear();
  }
  std::vector<std::function<void()>> jobs;
};

}  // namespace

TEST_CASE("a miss is computed and a hit is not", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside pages(one.client.get(), Patient());
  const Fetched first = pages.GetOrCompute("key", Says("v")).value();
  CHECK(first.value == "v");
  CHECK(first.source == Source::kComputed);
  CHECK(first.cache.ok());
  const Fetched second = pages.GetOrCompute("key", Never()).value();
  CHECK(second.value == "v");
  CHECK(second.source == Source::kCache);
  // An empty value is a value.
  CHECK(pages.GetOrCompute("empty", [] { return std::string(); }).value().value == "");
  CHECK(pages.GetOrCompute("empty", Never()).value().value == "");
  CHECK(pages.counters().hits == 2);
  CHECK(pages.counters().computed == 2);
  CHECK(pages.Peek("key").value()->value == "v");
  CHECK_FALSE(pages.Peek("absent").value().has_value());
}

TEST_CASE("that there is nothing is remembered if that is wanted", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  int computed = 0;
  const LookAside::Compute nothing = [&]() -> LookAside::Value {
    ++computed;
    return std::optional<std::string>();
  };
  LookAsideOptions options = Patient();
  LookAside forgetful(one.client.get(), options);
  CHECK(forgetful.GetOrCompute("a", nothing).value().value == std::nullopt);
  CHECK(forgetful.GetOrCompute("a", nothing).value().value == std::nullopt);
  CHECK(computed == 2);
  CHECK_FALSE(forgetful.Peek("a").value().has_value());
  options.negative_ttl = absl::Minutes(1);
  LookAside remembers(one.client.get(), options);
  CHECK(remembers.GetOrCompute("a", nothing).value().source == Source::kComputed);
  const Fetched second = remembers.GetOrCompute("a", Never()).value();
  CHECK(second.value == std::nullopt);
  CHECK(second.source == Source::kCache);
  CHECK(computed == 3);
  REQUIRE(remembers.Peek("a").value().has_value());
  CHECK(remembers.Peek("a").value()->value == std::nullopt);
}

TEST_CASE("a computation that fails leaves the lease to the next", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  CHECK(mine.GetOrCompute("key", Fails()).status() == absl::InternalError("no database"));
  CHECK(theirs.GetOrCompute("key", Says("v")).value().source == Source::kComputed);
  CHECK(mine.counters().failed == 1);
  const LookAside::Compute throws = []() -> LookAside::Value {
    throw std::runtime_error("of the application");
  };
  CHECK_THROWS_AS(mine.GetOrCompute("other", throws), std::runtime_error);
  CHECK(theirs.GetOrCompute("other", Says("v")).value().source == Source::kComputed);
  CHECK(mine.GetOrCompute("other", Never()).value().value == "v");
}

TEST_CASE("threads of a process compute once, cache server or not", "[client]") {
  const bool up = GENERATE(true, false);
  OneServer one;
  if (!up) one.server.Kill();
  LookAside pages(one.client.get(), Patient());
  constexpr int kThreads = 32;
  std::latch begun(kThreads);
  std::atomic<int> computed{0};
  std::atomic<int> right{0};
  std::atomic<int> complained{0};
  const LookAside::Compute compute = [&]() -> LookAside::Value {
    ++computed;
    begun.wait();
    // Only with the server down can a thread come too late to share: then there is no cache.
    while (!up && pages.counters().not_reached < kThreads) std::this_thread::yield();
    return "v";
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      begun.count_down();
      const auto fetched = pages.GetOrCompute("key", compute);
      if (fetched.ok() && fetched->value == "v") ++right;
      if (fetched.ok() && absl::IsUnavailable(fetched->cache)) ++complained;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == kThreads);
  if (up) {
    CHECK(computed == 1);
    CHECK(complained == 0);
    CHECK(pages.counters().not_stored == 0);
  } else {
    // Counted as not reached, a thread is about to join; by then the flight may be over.
    CHECK(computed <= kThreads / 2);
    CHECK(complained == kThreads);
  }
}

TEST_CASE("a server that hangs counts as one that has nothing", "[client]") {
  OneServer one;
  ClientOptions options = PatientOptions(one.server.server());
  options.request_timeout = options.connect_timeout = absl::Milliseconds(100);
  const auto client = std::move(Client::Make(options).value());
  REQUIRE(client->Set("key", "old").ok());
  one.server.Stop();
  LookAside pages(client.get(), Patient());
  const Fetched fetched = pages.GetOrCompute("key", Says("v")).value();
  CHECK(fetched.value == "v");
  CHECK(absl::IsDeadlineExceeded(fetched.cache));
  CHECK(pages.counters().not_stored == 1);
  one.server.Continue();
}

TEST_CASE("an invalidated value is computed by one and taken stale by the others", "[client]") {
  OneServer one;
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  REQUIRE(mine.GetOrCompute("key", Says("old")).ok());
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  const Fetched fetched = mine.GetOrCompute("key",
                                            [&]() -> LookAside::Value {
                                              const Fetched stale =
                                                  theirs.GetOrCompute("key", Never()).value();
                                              CHECK(stale.value == "old");
                                              CHECK(stale.source == Source::kStale);
                                              return "new";
                                            })
                              .value();
  CHECK(fetched.value == "new");
  CHECK(theirs.GetOrCompute("key", Never()).value().value == "new");
  CHECK(theirs.counters().stale == 1);
  // When computing fails, what is stale is better than nothing; and the next one tries again.
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  const Fetched kept = mine.GetOrCompute("key", Fails()).value();
  CHECK(kept.value == "new");
  CHECK(kept.source == Source::kStale);
  CHECK(kept.compute == absl::InternalError("no database"));
  CHECK(theirs.GetOrCompute("key", Says("newer")).value().value == "newer");
}

TEST_CASE("who does not take stale values waits for new ones", "[client]") {
  OneServer one;
  LookAsideOptions strict = Patient();
  strict.take_stale = false;
  LookAside mine(one.client.get(), strict);
  LookAside theirs(one.client.get(), strict);
  REQUIRE(one.client->Set("key", "old").ok());
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  std::thread other;
  absl::StatusOr<Fetched> shared;
  const Fetched fetched =
      mine.GetOrCompute("key",
                        [&]() -> LookAside::Value {
                          const int before = CountOfGets(*one.client);
                          other =
                              std::thread([&] { shared = theirs.GetOrCompute("key", Never()); });
                          while (CountOfGets(*one.client) == before) std::this_thread::yield();
                          return "new";
                        })
          .value();
  other.join();
  CHECK(shared.value().value == "new");
  CHECK(shared.value().source == Source::kShared);
  CHECK(fetched.value == "new");
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  CHECK(mine.GetOrCompute("key", Fails()).status() == absl::InternalError("no database"));
}

TEST_CASE("one refreshes a value ahead of its end", "[client]") {
  OneServer one;
  LookAsideOptions options = Patient();
  options.ttl = absl::Hours(1);
  options.refresh_ahead = absl::Minutes(10);
  LookAside mine(one.client.get(), options);
  LookAside theirs(one.client.get(), options);
  const auto store_old = [&] {
    REQUIRE(one.client->Set("key", "old", {.ttl = absl::Minutes(5)}).ok());
  };
  store_old();
  const Fetched fetched = mine.GetOrCompute("key",
                                            [&]() -> LookAside::Value {
                                              const Fetched good =
                                                  theirs.GetOrCompute("key", Never()).value();
                                              CHECK(good.value == "old");
                                              CHECK(good.source == Source::kCache);
                                              return "new";
                                            })
                              .value();
  CHECK(fetched.value == "new");
  CHECK(theirs.GetOrCompute("key", Never()).value().value == "new");
  // A refresh that fails costs nothing: the value is good.
  store_old();
  const Fetched kept = mine.GetOrCompute("key", Fails()).value();
  CHECK(kept.value == "old");
  CHECK(kept.source == Source::kCache);
  CHECK(kept.compute == absl::InternalError("no database"));
  // What has just been made is not early, however short it lives, and "nothing" never is.
  LookAsideOptions brief = options;
  brief.ttl = absl::Minutes(5);
  brief.negative_ttl = absl::Seconds(20);
  CHECK(mine.GetOrCompute("brief", brief, Says("v")).value().source == Source::kComputed);
  CHECK(mine.GetOrCompute("brief", brief, Never()).value().source == Source::kCache);
  const LookAside::Compute nothing = []() -> LookAside::Value {
    return std::optional<std::string>();
  };
  CHECK(mine.GetOrCompute("nothing", brief, nothing).value().source == Source::kComputed);
  CHECK(mine.GetOrCompute("nothing", brief, Never()).value().source == Source::kCache);
  CHECK(mine.GetOrCompute("nothing", brief, Never()).value().source == Source::kCache);
  // In the background it costs nobody time.
  Background background;
  options.background = background.Runner();
  store_old();
  {
    const std::string key = "key";  // gone when the function runs
    CHECK(mine.GetOrCompute(key, options, Says("newer")).value().value == "old");
  }
  REQUIRE(background.jobs.size() == 1);
  CHECK(theirs.GetOrCompute("key", Never()).value().value == "old");
  background.RunAll();
  CHECK(theirs.GetOrCompute("key", Never()).value().value == "newer");
}

TEST_CASE("a cache that fails in the midst of it costs the value's place in it", "[client]") {
  struct Case {
    const char* read;  // the answer to the read
    const char* store;
    absl::StatusCode cache;
  };
  const Case cases[] = {
      {"rubbish\r\n", "", absl::StatusCode::kDataLoss},
      {"SERVER_ERROR out of memory\r\nMN\r\n", "", absl::StatusCode::kResourceExhausted},
      {"EN\r\nMN\r\n", "", absl::StatusCode::kUnknown},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "", absl::StatusCode::kUnavailable},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "rubbish\r\n", absl::StatusCode::kDataLoss},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "NF\r\n", absl::StatusCode::kAborted},
      {"VA 0 f0 c1 t-1 O0 W\r\n\r\nMN\r\n", "HD\r\n", absl::StatusCode::kOk},
  };
  for (const Case& each : cases) {
    INFO(each.read << each.store);
    ScriptedPeer peer([&each](Conversation& conversation, int) {
      conversation.Expect("version");
      conversation.Send("VERSION 1.6.45\r\n");
      conversation.Expect("mn");
      conversation.Send("MN\r\n");
      conversation.Line();
      conversation.Expect("mn");
      conversation.Send(each.read);
      if (conversation.Line().empty()) return;
      conversation.Expect("v");
      conversation.Send(each.store);
    });
    const auto client = std::move(Client::Make(PatientOptions(peer.server())).value());
    LookAside pages(client.get(), Patient());
    const Fetched fetched = pages.GetOrCompute("key", Says("v")).value();
    CHECK(fetched.value == "v");
    CHECK(fetched.source == Source::kComputed);
    CHECK(fetched.cache.code() == each.cache);
  }
}

TEST_CASE("who waits for a refresh that is never run is told so", "[client]") {
  OneServer one;
  LookAsideOptions options = Patient();
  Background background;
  options.background = background.Runner();
  LookAsideOptions strict = Patient();
  strict.take_stale = false;
  strict.wait_max = absl::Seconds(5);
  LookAside pages(one.client.get(), options);
  REQUIRE(one.client->Set("key", "old").ok());
  REQUIRE(one.client->Invalidate("key", absl::Minutes(1)).value());
  CHECK(pages.GetOrCompute("key", Never()).value().source == Source::kStale);
  const int before = CountOfGets(*one.client);
  absl::StatusOr<Fetched> waited;
  std::thread waiting([&] { waited = pages.GetOrCompute("key", strict, Never()); });
  while (CountOfGets(*one.client) == before) std::this_thread::yield();
  background.jobs.clear();
  waiting.join();
  // It was told; or it joined when that was over, and waited for the lease's end in vain.
  CHECK((absl::IsAborted(waited.status()) || absl::IsDeadlineExceeded(waited.status())));
}

TEST_CASE("what was deleted while it was computed is not stored", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  const Fetched fetched =
      mine.GetOrCompute(
              "key",
              [&]() -> LookAside::Value {
                // Somebody changes the database, and the page is asked for once more.
                REQUIRE(one.client->DeleteAndLease("key").ok());
                CHECK(theirs.GetOrCompute("key", Says("new")).value().source == Source::kComputed);
                return "old";
              })
          .value();
  CHECK(fetched.value == "old");
  CHECK(absl::IsAborted(fetched.cache));
  CHECK(mine.counters().not_stored == 1);
  CHECK(mine.GetOrCompute("key", Never()).value().value == "new");
}

TEST_CASE("threads do not share what was begun before a delete", "[client]") {
  OneServer one;
  LookAside pages(one.client.get(), Patient());
  pages
      .GetOrCompute("key",
                    [&]() -> LookAside::Value {
                      REQUIRE(one.client->DeleteAndLease("key").ok());
                      // The same process, the same key, another lease: computed anew.
                      std::thread([&] {
                        CHECK(pages.GetOrCompute("key", Says("new")).value().value == "new");
                      }).join();
                      return "old";
                    })
      .IgnoreError();
  CHECK(pages.GetOrCompute("key", Never()).value().value == "new");
}

TEST_CASE("a value that is too large is returned, and nobody waits for it", "[client]") {
  OneServer one;
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  const Fetched large = mine.GetOrCompute("key", Says(std::string(2 << 20, 'x'))).value();
  CHECK(large.value->size() == 2 << 20);
  CHECK(absl::IsResourceExhausted(large.cache));
  CHECK(theirs.GetOrCompute("key", Says("small")).value().source == Source::kComputed);
}

TEST_CASE("keys that are none are not counted as not reached", "[client]") {
  OneServer one;
  LookAside pages(one.client.get());
  CHECK(pages.GetOrCompute("not a key", Says("v")).value().value == "v");
  CHECK(pages.counters().not_reached == 0);
}

TEST_CASE("what was computed takes the older value's place, though it is not stored", "[client]") {
  OneServer one;
  LookAsideOptions options = Patient();
  options.ttl = absl::Hours(1);
  options.refresh_ahead = absl::Minutes(10);
  Background background;
  const bool waits = GENERATE(true, false);
  if (!waits) options.background = background.Runner();
  LookAside pages(one.client.get(), options);
  const bool is_stale = GENERATE(true, false);
  REQUIRE(one.client->Set("key", "old", {.ttl = absl::Minutes(5)}).ok());
  if (is_stale) REQUIRE(one.client->Invalidate("key", absl::Minutes(5)).value());
  const bool is_nothing = GENERATE(true, false);
  const LookAside::Compute compute = [is_nothing]() -> LookAside::Value {
    if (is_nothing) return std::nullopt;
    return std::string(2 << 20, 'x');
  };
  const Fetched first = pages.GetOrCompute("key", compute).value();
  CHECK(first.value.value_or("").size() == (waits ? (is_nothing ? 0u : 2u << 20) : 3u));
  background.RunAll();
  CHECK(pages.Peek("key").value() == std::nullopt);
  CHECK(pages.GetOrCompute("key", Says("new"))->value == "new");
}

TEST_CASE("waiting ends, and is not busy", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  REQUIRE(one.client->GetWithLease("key", {.lease = absl::Minutes(10)}).value().won);
  LookAsideOptions options = Patient();
  options.wait_max = absl::Milliseconds(600);
  LookAside pages(one.client.get(), options);
  const int before = CountOfGets(*one.client);
  CHECK(absl::IsDeadlineExceeded(pages.GetOrCompute("key", Says("v")).status()));
  CHECK(pages.counters().waits_ended == 1);
  // 2, 4, ... 100 ms, a quarter less at the least; with a lock three questions each time.
  const int asked = CountOfGets(*one.client) - before;
  CHECK(asked > 3);
  CHECK(asked <= 3 * 20);
  options.after_waiting = LookAsideOptions::AfterWaiting::kCompute;
  const Fetched alone = pages.GetOrCompute("key", options, Says("v")).value();
  CHECK(alone.source == Source::kComputed);
  CHECK(absl::IsDeadlineExceeded(alone.cache));
  options.wait_max = absl::ZeroDuration();
  CHECK(pages.GetOrCompute("key", options, Says("v")).value().value == "v");
}

TEST_CASE("many keys are one question and one computation", "[client]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  OneServer one(protocol);
  LookAside pages(one.client.get(), Patient());
  REQUIRE(pages.GetOrCompute("b", Says("B")).ok());
  const std::vector<std::string_view> keys = {"a", "b", "c", "nothing"};
  std::vector<std::string> asked;
  const LookAside::ComputeMulti compute = [&](std::span<const std::string_view> missing) -> Values {
    std::vector<std::optional<std::string>> values;
    for (const std::string_view key : missing) {
      asked.emplace_back(key);
      if (key == "nothing") {
        values.emplace_back();
      } else {
        values.emplace_back(std::string(key) + "!");
      }
    }
    return values;
  };
  const auto fetched = pages.GetMultiOrCompute(keys, compute);
  REQUIRE(fetched.size() == 4);
  CHECK(asked == std::vector<std::string>{"a", "c", "nothing"});
  CHECK(fetched[0].value().value == "a!");
  CHECK(fetched[0].value().source == Source::kComputed);
  CHECK(fetched[1].value().value == "B");
  CHECK(fetched[1].value().source == Source::kCache);
  CHECK(fetched[2].value().value == "c!");
  CHECK(fetched[3].value().value == std::nullopt);
  CHECK(pages.GetMultiOrCompute({keys.data(), 3}, compute)[2].value().source == Source::kCache);
  CHECK(asked.size() == 3);
  // An error is all keys', as is an answer that is none.
  const std::vector<std::string_view> more = {"b", "d", "e"};
  const auto failed = pages.GetMultiOrCompute(
      more, [](auto) -> Values { return absl::InternalError("no database"); });
  CHECK(failed[0].value().value == "B");
  CHECK(failed[2].status() == absl::InternalError("no database"));
  const auto wrong = pages.GetMultiOrCompute(
      more, [](auto) -> Values { return std::vector<std::optional<std::string>>(); });
  CHECK(absl::IsInternal(wrong[1].status()));
  CHECK(pages.GetMultiOrCompute(more, compute)[1].value().source == Source::kComputed);
  CHECK(pages.GetMultiOrCompute({}, compute).empty());
  // The same key twice is one key; a bad one costs the others nothing.
  const std::vector<std::string_view> twice = {"twice", "twice", "bad key"};
  asked.clear();
  const auto both = pages.GetMultiOrCompute(twice, compute);
  CHECK(asked == std::vector<std::string>{"twice", "bad key"});
  CHECK(both[0].value().value == "twice!");
  CHECK(both[1].value().value == "twice!");
  CHECK(both[2].value().value == "bad key!");
  CHECK(absl::IsInvalidArgument(both[2].value().cache));
}

TEST_CASE("who computed one key while another caller gave up waiting for the other asks again",
          "[client]") {
  OneServer one;
  const LeasedItem elsewhere = one.client->GetWithLease("x", {.lease = absl::Minutes(10)}).value();
  REQUIRE(elsewhere.won);
  LookAside pages(one.client.get(), Patient());
  LookAsideOptions brief = Patient();
  brief.wait_max = absl::Milliseconds(300);
  std::atomic<bool> gave_up{false};
  const int before = CountOfGets(*one.client);
  std::thread impatient([&] {
    CHECK(absl::IsDeadlineExceeded(pages.GetOrCompute("x", brief, Never()).status()));
    gave_up = true;
  });
  while (CountOfGets(*one.client) == before) std::this_thread::yield();
  const std::vector<std::string_view> keys = {"x", "y"};
  const auto fetched =
      pages.GetMultiOrCompute(keys, [&](std::span<const std::string_view> missing) -> Values {
        while (!gave_up) std::this_thread::yield();
        if (missing[0] == "y") CHECK(one.client->ReleaseLease("x", elsewhere.token).value());
        return std::vector<std::optional<std::string>>(missing.size(), std::string(missing[0]));
      });
  impatient.join();
  CHECK(fetched[0].value().value == "x");
  CHECK(fetched[1].value().value == "y");
}

TEST_CASE("those who ask for the same keys in any order compute each once", "[client]") {
  OneServer one;
  LookAside mine(one.client.get(), Patient());
  LookAside theirs(one.client.get(), Patient());
  constexpr int kKeys = 60;
  constexpr int kThreads = 12;
  std::vector<std::string> names;
  for (int i = 0; i < kKeys; ++i) names.push_back("k" + std::to_string(i));
  std::vector<std::atomic<int>> computed(kKeys);
  std::atomic<int> right{0};
  std::latch begin(kThreads);
  const LookAside::ComputeMulti compute = [&](std::span<const std::string_view> missing) -> Values {
    std::vector<std::optional<std::string>> values;
    for (const std::string_view key : missing) {
      ++computed[static_cast<size_t>(std::stoi(std::string(key.substr(1))))];
      values.emplace_back(std::string(key));
    }
    std::this_thread::yield();
    return values;
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      // Overlapping pieces, forwards and backwards.
      std::vector<std::string_view> keys;
      for (int i = 0; i < 30; ++i) {
        keys.push_back(names[static_cast<size_t>((t * 5 + (t % 2 == 0 ? i : 29 - i)) % kKeys)]);
      }
      begin.arrive_and_wait();
      const auto fetched = (t % 3 == 0 ? theirs : mine).GetMultiOrCompute(keys, compute);
      for (size_t i = 0; i < keys.size(); ++i) {
        if (fetched[i].ok() && fetched[i]->value == keys[i]) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == kThreads * 30);
  for (const std::atomic<int>& times : computed) CHECK(times <= 1);
}

TEST_CASE("values made together do not expire together", "[client]") {
  OneServer one;
  LookAsideOptions options = Patient();
  options.ttl = absl::Seconds(10000);
  options.ttl_jitter = 0.2;
  LookAside pages(one.client.get(), options);
  std::set<absl::Duration> seen;
  for (int i = 0; i < 40; ++i) {
    const std::string key = "k" + std::to_string(i);
    REQUIRE(pages.GetOrCompute(key, Says("v")).ok());
    const absl::Duration left = *one.client->GetWithLease(key).value().ttl_left;
    CHECK(left <= absl::Seconds(10001));
    CHECK(left >= absl::Seconds(7900));
    seen.insert(left);
  }
  CHECK(seen.size() > 20);
}

TEST_CASE("a new pool fills from the old one before anything is computed", "[client]") {
  OneServer from;
  OneServer to;
  LookAside old_pages(from.client.get(), Patient());
  LookAsideOptions options = Patient();
  options.fill_from = from.client.get();
  options.ttl = absl::Hours(10);
  options.negative_ttl = absl::Minutes(1);
  LookAside pages(to.client.get(), options);
  REQUIRE(from.client->Set("key", "v", {.ttl = absl::Minutes(30)}).ok());
  CHECK(pages.GetOrCompute("key", Never()).value().source == Source::kFilled);
  CHECK(pages.GetOrCompute("key", Never()).value().source == Source::kCache);
  CHECK(*to.client->GetWithLease("key").value().ttl_left <= absl::Minutes(31));
  CHECK(pages.GetOrCompute("absent", Says("w")).value().source == Source::kComputed);
  // What is stale there is computed here, and is won there as before.
  REQUIRE(from.client->Set("stale", "old").ok());
  REQUIRE(from.client->Invalidate("stale", absl::Minutes(1)).value());
  CHECK(pages.GetOrCompute("stale", Says("new")).value().value == "new");
  CHECK(from.client->GetWithLease("stale").value().won);
  from.server.Kill();
  CHECK(pages.GetOrCompute("other", Says("x")).value().value == "x");
  CHECK(pages.counters().filled == 1);
}

}  // namespace cairn
