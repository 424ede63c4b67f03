// Writes of a look-aside cache that fills from an older pool: what that has from before a write
// must not come back. For threads that wait, and without waiting.
#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "cairn/async_look_aside.h"
#include "cairn/look_aside.h"
#include "cairn/warm_up.h"
#include "tests/catch.h"
#include "tests/client/async_look_aside.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

using Protocol = ClientOptions::Protocol;
using Source = Fetched::Source;

// A cache, the pool that it fills from, where "key" is "old", and the two ways to write.
class Pools {
 public:
  Pools(Protocol protocol, bool waits)
      : from(protocol), to(protocol), pages(to.client.get(), Options()), waits_(waits) {
    REQUIRE(from.client->Set("key", "old").ok());
  }

  LookAsideOptions Options() const {
    LookAsideOptions options = Patient();
    options.fill_from = from.client.get();
    return options;
  }
  Written DeleteOnWrite(const absl::Status& outcome, absl::Duration stale_for = {}) {
    const std::string_view keys[] = {"key", "other"};
    if (waits_)
      return pages.DeleteOnWrite(
          keys, [&] { return outcome; }, stale_for);
    return Wait(AsyncLookAside(&pages).DeleteOnWrite(keys, Tells(outcome), stale_for));
  }
  Written WriteThrough(const absl::Status& outcome) {
    if (waits_) return pages.WriteThrough("key", "new", [&] { return outcome; });
    return Wait(AsyncLookAside(&pages).WriteThrough("key", "new", Tells(outcome)));
  }
  Fetched Ask() {
    return pages.GetOrCompute("key", []() -> LookAside::Value { return "computed"; }).value();
  }

  OneServer from;
  OneServer to;
  LookAside pages;

 private:
  static AsyncLookAside::Write Tells(const absl::Status& outcome) {
    return [outcome](const auto& done) { done(outcome); };
  }

  const bool waits_;
};

}  // namespace

TEST_CASE("what was written is not filled with what was before it", "[client][fill]") {
  const auto protocol = GENERATE(Protocol::kAuto, Protocol::kText);
  Pools pools(protocol, GENERATE(true, false));
  SECTION("deleted") {
    const Written written = pools.DeleteOnWrite(absl::OkStatus());
    CHECK(written.cache.ok());
    CHECK(pools.Ask().source == Source::kComputed);
  }
  SECTION("deleted, when the write may have failed") {
    CHECK(pools.DeleteOnWrite(absl::UnknownError("lost")).cache.ok());
    CHECK(pools.Ask().source == Source::kComputed);
  }
  SECTION("deleted where it was filled before") {
    CHECK(pools.Ask().source == Source::kFilled);
    CHECK(pools.DeleteOnWrite(absl::OkStatus()).cache.ok());
    CHECK(pools.Ask().source == Source::kComputed);
  }
  SECTION("left stale") {
    CHECK(pools.Ask().source == Source::kFilled);
    CHECK(pools.DeleteOnWrite(absl::OkStatus(), absl::Minutes(1)).cache.ok());
    CHECK(pools.Ask().source == Source::kComputed);
  }
  SECTION("written through") {
    CHECK(pools.WriteThrough(absl::OkStatus()).cache.ok());
    CHECK(pools.Ask().value != "old");
    // Evicted.
    REQUIRE(pools.to.client->Delete("key").value());
    CHECK(pools.Ask().source == Source::kComputed);
  }
  SECTION("written through, when the write may have failed") {
    CHECK_FALSE(pools.WriteThrough(absl::UnknownError("lost")).write.ok());
    CHECK(pools.Ask().source == Source::kComputed);
  }
  CHECK(pools.from.client->Get("key").value() == std::nullopt);
}

TEST_CASE("a write says when the pool that is filled from keeps what was before it",
          "[client][fill]") {
  Pools pools(Protocol::kAuto, GENERATE(true, false));
  REQUIRE(pools.to.client->Set("key", "here").ok());
  pools.from.server.Kill();
  CHECK(absl::IsUnavailable(pools.DeleteOnWrite(absl::OkStatus()).cache));
  CHECK(pools.to.client->Get("key").value() == std::nullopt);
  const Written written = pools.WriteThrough(absl::OkStatus());
  CHECK(written.write.ok());
  CHECK(absl::IsUnavailable(written.cache));
  CHECK(pools.to.client->Get("key").value() == "new");
}

TEST_CASE("what is here, though stale or near its end, is newer than what it would be filled with",
          "[client][fill]") {
  Pools pools(Protocol::kAuto, true);
  Client& here = *pools.to.client;
  SECTION("stale") {
    REQUIRE(here.Set("key", "newer").ok());
    REQUIRE(here.Invalidate("key", absl::Minutes(1)).value());
    CHECK(pools.Ask().source == Source::kComputed);
    // Nor is it copied.
    REQUIRE(here.Invalidate("key", absl::Minutes(1)).value());
    const WarmUpProgress copied = WarmUpFromPool(
        &here, pools.from.client.get(), std::array{std::string_view("key")}, absl::Hours(1));
    CHECK(copied.stored == 0);
    CHECK(here.Get("key").value() != "old");
  }
  SECTION("near its end") {
    REQUIRE(here.Set("key", "newer", {.ttl = absl::Seconds(30)}).ok());
    LookAsideOptions options = pools.Options();
    options.refresh_ahead = absl::Minutes(1);
    const auto compute = []() -> LookAside::Value { return "computed"; };
    CHECK(pools.pages.GetOrCompute("key", options, compute)->source == Source::kComputed);
  }
}

}  // namespace cairn
