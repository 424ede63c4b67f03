#include "storage/index.h"

#include <memory>
#include <random>
#include <set>
#include <unordered_map>

#include "storage/hash.h"
#include "tests/catch.h"

namespace cairn::storage {
namespace {

class IndexFixture {
 public:
  explicit IndexFixture(uint64_t limit_bytes = uint64_t{64} << 20) {
    auto pool = PagePool::Create({.limit_bytes = limit_bytes,
                                  .page_bytes = 16 << 10,
                                  .place_shift = 2,
                                  .reserve_bytes = uint64_t{1} << 30,
                                  .lock_memory = false});
    REQUIRE(pool.ok());
    pool_ = *std::move(pool);
    auto index = Index::Create(pool_.get(), uint64_t{256} << 20, false);
    REQUIRE(index.ok());
    index_ = *std::move(index);
  }

  static uint64_t HashOf(uint64_t n) {
    uint64_t state = n;
    return KeyedHash::SplitMix(&state);
  }
  /// The place is the number, so that it can be told from others with the same tag.
  bool Insert(uint64_t n, bool force = true) {
    if (!index_->PrepareInsert(HashOf(n), force)) return false;
    index_->Insert(HashOf(n), n);
    return true;
  }
  uint64_t* Find(uint64_t n) {
    return index_->Find(HashOf(n), [n](Place place) { return place == n; });
  }
  std::set<Place> WalkAll() {
    std::set<Place> seen;
    uint64_t cursor = 0;
    do {
      index_->WalkStep(&cursor, [&](Place place) { seen.insert(place); });
    } while (cursor != 0);
    return seen;
  }

  Index& index() { return *index_; }
  PagePool& pool() { return *pool_; }

 private:
  std::unique_ptr<PagePool> pool_;
  std::unique_ptr<Index> index_;
};

TEST_CASE("An index finds all it was given while it grows and shrinks") {
  IndexFixture f;
  constexpr uint64_t kCount = 100000;
  for (uint64_t n = 1; n <= kCount; ++n) {
    REQUIRE(f.Insert(n));
    if (n % 10007 == 0) {
      for (uint64_t m = 1; m <= n; ++m) REQUIRE(f.Find(m) != nullptr);
    }
  }
  CHECK(f.index().size() == kCount);
  CHECK(f.Find(kCount + 1) == nullptr);
  const uint64_t grown = f.index().bytes();
  CHECK(grown < kCount * 14);
  CHECK(static_cast<int64_t>(grown) == f.pool().charged_bytes());
  for (uint64_t n = 1; n <= kCount; ++n) {
    if (n % 100 == 0) continue;
    uint64_t* entry = f.Find(n);
    REQUIRE(entry != nullptr);
    f.index().Erase(IndexFixture::HashOf(n), entry);
  }
  for (uint64_t n = 1; n <= kCount; ++n) REQUIRE((f.Find(n) != nullptr) == (n % 100 == 0));
  CHECK(f.index().size() == kCount / 100);
  CHECK(f.index().bytes() < grown / 2);
  CHECK(static_cast<int64_t>(f.index().bytes()) == f.pool().charged_bytes());
}

TEST_CASE("A walk meets all that stays, however the index changes meanwhile") {
  for (const bool growing : {true, false}) {
    IndexFixture f;
    constexpr uint64_t kStaying = 20000;
    constexpr uint64_t kOthers = 200000;
    for (uint64_t n = 1; n <= kStaying; ++n) REQUIRE(f.Insert(n));
    if (!growing) {
      for (uint64_t n = 1; n <= kOthers; ++n) REQUIRE(f.Insert(kStaying + n));
    }
    std::set<Place> seen;
    uint64_t cursor = 0;
    uint64_t next = kStaying;
    do {
      f.index().WalkStep(&cursor, [&](Place place) { seen.insert(place); });
      for (int i = 0; i < 20 && next < kStaying + kOthers; ++i) {
        ++next;
        if (growing) {
          REQUIRE(f.Insert(next));
        } else {
          f.index().Erase(IndexFixture::HashOf(next), f.Find(next));
        }
      }
    } while (cursor != 0);
    for (uint64_t n = 1; n <= kStaying; ++n) REQUIRE(seen.count(n) == 1);
  }
}

TEST_CASE("Joining the pages of an index takes those that are full, and changes nothing") {
  IndexFixture f;
  constexpr uint64_t kCount = 700000;  // lines of nearly 6 MB
  const auto join_all = [&f] {
    int joined = 0;
    while (f.index().JoinPages()) ++joined;
    return joined;
  };
  const auto erase_half = [&f] {
    for (uint64_t n = 1; n <= kCount / 2; ++n) {
      f.index().Erase(IndexFixture::HashOf(n), f.Find(n));
    }
  };
  CHECK(join_all() == 0);
  for (uint64_t n = 1; n <= kCount; ++n) REQUIRE(f.Insert(n));
  const uint64_t bytes = f.index().bytes();
  CHECK(join_all() == 2);
  CHECK(f.index().bytes() == bytes);
  for (uint64_t n = 1; n <= kCount; ++n) REQUIRE(f.Find(n) != nullptr);
  erase_half();
  CHECK(join_all() == 0);
  for (uint64_t n = 1; n <= kCount; ++n) REQUIRE((f.Find(n) != nullptr) == (n > kCount / 2));
  for (uint64_t n = 1; n <= kCount / 2; ++n) REQUIRE(f.Insert(n));
  CHECK(join_all() == 1);
  for (uint64_t n = 1; n <= kCount; ++n) REQUIRE(f.Find(n) != nullptr);
  f.index().Reset();
  CHECK(join_all() == 0);
  CHECK(f.WalkAll().empty());
}

TEST_CASE("An index without memory says so before anything is inserted") {
  IndexFixture f(uint64_t{256} << 10);
  uint64_t n = 1;
  while (f.Insert(n, /*force=*/false)) ++n;
  CHECK(n > 10000);
  CHECK(f.pool().charged_bytes() <= 256 << 10);
  for (uint64_t m = 1; m < n; ++m) REQUIRE(f.Find(m) != nullptr);
  CHECK(f.Find(n) == nullptr);
}

TEST_CASE("A reset index is empty and small") {
  IndexFixture f;
  for (uint64_t n = 1; n <= 50000; ++n) REQUIRE(f.Insert(n));
  const uint64_t grown = f.index().bytes();
  f.index().Reset();
  CHECK(f.index().size() == 0);
  CHECK(f.index().bytes() < grown / 4);
  CHECK(f.WalkAll().empty());
  for (uint64_t n = 1; n <= 1000; ++n) REQUIRE(f.Insert(n));
  CHECK(f.WalkAll().size() == 1000);
}

TEST_CASE("The keyed hash differs by key, length and seed") {
  std::set<uint64_t> seen;
  for (const uint64_t seed : {1, 2}) {
    const KeyedHash hash(seed);
    for (size_t length = 1; length <= 250; ++length) {
      CHECK(seen.insert(hash(std::string(length, '\0'))).second);
      CHECK(seen.insert(hash(std::string(length, 'x'))).second);
    }
    CHECK(hash("abc") == KeyedHash(seed)("abc"));
  }
}

TEST_CASE("Every bit of the hash of similar keys is set half of the time") {
  const KeyedHash hash(77);
  constexpr int kCount = 20000;
  int set[64] = {};
  for (int i = 0; i < kCount; ++i) {
    const uint64_t h = hash("key:" + std::to_string(i));
    for (int bit = 0; bit < 64; ++bit) set[bit] += static_cast<int>(h >> bit & 1);
  }
  for (const int count : set) {
    CHECK(count > kCount * 0.47);
    CHECK(count < kCount * 0.53);
  }
}

}  // namespace
}  // namespace cairn::storage
