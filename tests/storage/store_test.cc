#include "storage/store.h"

#include <string>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

TEST_CASE("A value is found as it was stored") {
  StoreFixture f;
  for (const size_t size : {0, 1, 31, 100, 2000, 2048, 3000, 16384, 100000, 1000000}) {
    const std::string key = "key" + std::to_string(size);
    StoreOptions options;
    options.client_flags = size % 2 == 0 ? 0 : 77;
    CHECK(f.Put(key, Pattern(size), options).status == StoreStatus::kStored);
    const auto seen = f.Fetch(key);
    REQUIRE(seen.has_value());
    CHECK(seen->value == Pattern(size));
    CHECK(seen->client_flags == options.client_flags);
    CHECK(seen->view.value_bytes == size);
  }
  CHECK(f.store().Stats().curr_items == 10);
  CHECK(f.store().Stats().evictions == 0);
}

TEST_CASE("Small values of every size are found whole, by the first fetches and by later ones") {
  StoreFixture f;
  for (size_t size = 0; size <= 400; ++size) {
    for (const std::string key : {"k", "a longer key"}) {
      REQUIRE(f.Set(key, Pattern(size)) == StoreStatus::kStored);
      // The first write down that there were any; those behind them take no lock.
      for (int fetches = 0; fetches < 5; ++fetches) REQUIRE(f.Get(key) == Pattern(size));
    }
  }
}

TEST_CASE("A key that was never stored is a miss") {
  StoreFixture f;
  CHECK(!f.Get("nothing").has_value());
  CHECK(f.last_fetch == FetchStatus::kMiss);
}

TEST_CASE("An overwrite of any size replaces the value") {
  StoreFixture f;
  size_t size = 1;
  for (int i = 0; i < 60; ++i) {
    size = (size * 7919 + 13) % 60000;
    REQUIRE(f.Set("key", Pattern(size, static_cast<unsigned>(i))) == StoreStatus::kStored);
    REQUIRE(f.Get("key") == Pattern(size, static_cast<unsigned>(i)));
  }
  CHECK(f.store().Stats().curr_items == 1);
}

TEST_CASE("Keys of 1 and of 250 bytes with any bytes are kept apart") {
  StoreFixture f;
  const std::string longest(kMaxKeyBytes, '\0');
  CHECK(f.Set("a", "1") == StoreStatus::kStored);
  CHECK(f.Set(longest, "2") == StoreStatus::kStored);
  CHECK(f.Set(std::string(kMaxKeyBytes - 1, '\0'), "3") == StoreStatus::kStored);
  CHECK(f.Get("a") == "1");
  CHECK(f.Get(longest) == "2");
  CHECK(f.Get(std::string(kMaxKeyBytes - 1, '\0')) == "3");
}

TEST_CASE("A full store evicts and goes on storing, small and large", "[one_thread]") {
  StoreFixture f;
  for (int i = 0; i < 200000; ++i) {
    REQUIRE(f.Set("small" + std::to_string(i), Pattern(100)) == StoreStatus::kStored);
  }
  CHECK(f.store().Stats().evictions > 0);
  for (int i = 0; i < 100; ++i) {
    const std::string key = "large" + std::to_string(i);
    REQUIRE(f.Set(key, Pattern(700000)) == StoreStatus::kStored);
    REQUIRE(f.Get(key) == Pattern(700000));
  }
  for (int i = 0; i < 200000; ++i) {
    REQUIRE(f.Set("again" + std::to_string(i), Pattern(60)) == StoreStatus::kStored);
  }
  const StoreStats stats = f.store().Stats();
  CHECK(stats.curr_items > 60000);
  CHECK(stats.total_items == stats.curr_items + stats.evictions);
  CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes <=
        f.store().memory_limit_bytes() + (64 << 10));
}

}  // namespace
}  // namespace cairn::storage
