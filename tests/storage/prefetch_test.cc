// A fetch may begin where Store::Prefetch has stopped. It answers the same, whatever has happened
// in between.
#include <array>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

constexpr size_t kGroup = Store::kPrefetchedKeys;

/// Prefetched keys, which others are then done something to.
class Group {
 public:
  Group(StoreFixture* f, std::vector<std::string> names) : f_(*f), names_(std::move(names)) {
    REQUIRE(names_.size() <= kGroup);
    for (size_t i = 0; i < names_.size(); ++i) keys_[i] = f_.store().MakeKey(names_[i]);
    f_.store().Prefetch(std::span(keys_).first(names_.size()));
  }
  std::optional<std::string> Get(size_t i) {
    std::optional<std::string> value;
    const FetchStatus status = f_.store().Fetch(
        keys_[i], {}, f_.now, [&value](const ItemView& view) { value = StoreFixture::Join(view); });
    CHECK((status == FetchStatus::kHit) == value.has_value());
    return value;
  }

 private:
  StoreFixture& f_;
  const std::vector<std::string> names_;
  std::array<Key, kGroup> keys_;
};

/// Asks for it until a fetch has nothing to write, and so needs no lock.
void MakeFamiliar(StoreFixture* f, const std::string& name) {
  for (int i = 0; i < 4; ++i) REQUIRE(f->Get(name).has_value());
}

TEST_CASE("What happens to an item after it was prefetched is seen") {
  StoreFixture f;
  StoreOptions mortal;
  mortal.expiry = f.After(5000);
  for (const char* name : {"same", "overwritten", "deleted"}) {
    CHECK(f.Set(name, "old") == StoreStatus::kStored);
    MakeFamiliar(&f, name);
  }
  CHECK(f.Put("mortal", "old", mortal).status == StoreStatus::kStored);
  MakeFamiliar(&f, "mortal");
  Group group(&f, {"same", "overwritten", "deleted", "mortal", "missing", "new"});
  CHECK(group.Get(0) == "old");
  CHECK(group.Get(3) == "old");
  CHECK_FALSE(group.Get(4).has_value());
  SECTION("by changes") {
    CHECK(f.Set("overwritten", "a new value") == StoreStatus::kStored);
    CHECK(f.Delete("deleted") == DeleteStatus::kDeleted);
    CHECK(f.Set("new", "here") == StoreStatus::kStored);
    CHECK(group.Get(0) == "old");
    CHECK(group.Get(1) == "a new value");
    CHECK_FALSE(group.Get(2).has_value());
    CHECK_FALSE(group.Get(4).has_value());
    CHECK(group.Get(5) == "here");
  }
  SECTION("by time") {
    f.now.ms += 6000;
    CHECK(group.Get(0) == "old");
    CHECK_FALSE(group.Get(3).has_value());
  }
  SECTION("by a flush") {
    f.store().Flush(f.now, f.now);
    for (size_t i = 0; i < 6; ++i) CHECK_FALSE(group.Get(i).has_value());
  }
  SECTION("by a flush whose time comes") {
    f.store().Flush(Time{f.now.ms + 1000}, f.now);
    CHECK(group.Get(0) == "old");
    f.now.ms += 1000;
    for (size_t i = 0; i < 6; ++i) CHECK_FALSE(group.Get(i).has_value());
  }
}

TEST_CASE("Prefetched keys are found among many, wherever their entries are") {
  StoreFixture f;
  constexpr int kItems = 20000;
  const auto name = [](int i) { return "key-" + std::to_string(i); };
  for (int i = 0; i < kItems; ++i) {
    REQUIRE(f.Set(name(i), std::to_string(i)) == StoreStatus::kStored);
    MakeFamiliar(&f, name(i));
  }
  for (int i = 0; i < kItems; i += kGroup / 2) {
    std::vector<std::string> names;
    for (int k = i; k < i + static_cast<int>(kGroup) / 2; ++k) {
      names.push_back(name(k));
      names.push_back(name(k) + "?");
    }
    Group group(&f, names);
    for (int k = 0; k < static_cast<int>(kGroup); k += 2) {
      CHECK(group.Get(k) == std::to_string(i + k / 2));
      CHECK_FALSE(group.Get(k + 1).has_value());
    }
  }
}

TEST_CASE("Prefetched keys are fetched while others come and go") {
  StoreFixture f;
  std::mt19937 random(7);  // NOLINT: the same each time
  std::map<std::string, std::string> model;
  const auto any_name = [&random] { return "k" + std::to_string(random() % 300); };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> names;
    for (size_t i = 0; i < kGroup; ++i) names.push_back(any_name());
    Group group(&f, names);
    for (size_t i = 0; i < kGroup; ++i) {
      if (round % 2 == 0 && random() % 16 == 0) {
        const std::string changed = any_name();
        if (random() % 2 == 0) {
          model[changed] = Pattern(random() % 500);
          REQUIRE(f.Set(changed, model[changed]) == StoreStatus::kStored);
        } else {
          CHECK((f.Delete(changed) == DeleteStatus::kDeleted) == (model.erase(changed) != 0));
        }
      }
      const auto wanted = model.find(names[i]);
      const std::optional<std::string> got = group.Get(i);
      REQUIRE(got.has_value() == (wanted != model.end()));
      if (got.has_value()) REQUIRE(*got == wanted->second);
    }
  }
}

/// Items that readers know well, prefetched before the store around them is turned over. A fetch
/// then has them whole, or not at all where they may have been evicted.
class Upheaval {
 public:
  explicit Upheaval(const Config& config) : f_(config) {
    std::vector<std::string> names;
    for (size_t i = 0; i < kGroup; ++i) {
      names.push_back("kept" + std::to_string(i));
      REQUIRE(f_.Set(names.back(), Value(i)) == StoreStatus::kStored);
      MakeFamiliar(&f_, names.back());
    }
    group_ = std::make_unique<Group>(&f_, names);
  }
  StoreFixture& f() { return f_; }
  void Fill(int items) {
    const std::string value = Pattern(100);
    for (; filled_ < items; ++filled_) REQUIRE(f_.Set(Other(filled_), value) == kStored);
  }
  void Empty() {
    while (filled_ > 0) CHECK(f_.Delete(Other(--filled_)) != DeleteStatus::kExists);
  }
  /// Returns how many were there.
  size_t CheckAll() {
    size_t found = 0;
    for (size_t i = 0; i < kGroup; ++i) {
      const std::optional<std::string> got = group_->Get(i);
      CHECK(got.value_or(Value(i)) == Value(i));
      CHECK(got == f_.Get("kept" + std::to_string(i)));
      found += got.has_value() ? 1 : 0;
    }
    return found;
  }

 private:
  static constexpr StoreStatus kStored = StoreStatus::kStored;
  static std::string Value(size_t i) { return Pattern(10 * i); }
  static std::string Other(int i) { return "other" + std::to_string(i); }

  StoreFixture f_;
  std::unique_ptr<Group> group_;
  int filled_ = 0;
};

TEST_CASE("Prefetched keys are fetched from a store that has been turned over") {
  Config config = StoreFixture::SmallConfig();
  config.shard_count = 2;
  Upheaval upheaval(config);
  StoreFixture& f = upheaval.f();
  SECTION("the index has grown") {
    upheaval.Fill(20000);
    CHECK(upheaval.CheckAll() == kGroup);
  }
  SECTION("the index has grown and shrunk") {
    upheaval.Fill(20000);
    upheaval.Empty();
    CHECK(upheaval.CheckAll() == kGroup);
  }
  SECTION("pages have been evicted and taken by others") {
    upheaval.Fill(200000);
    upheaval.CheckAll();
  }
  SECTION("memory has been given back") {
    upheaval.Fill(50000);
    REQUIRE(f.store().SetMemoryLimit(uint64_t{3} << 20, f.now));
    while (f.store().Stats().pages_total * f.store().Stats().page_bytes > uint64_t{3} << 20) {
      static_cast<void>(f.store().Maintain(1000, f.now));
    }
    upheaval.CheckAll();
  }
  SECTION("all was flushed, and the places have other items") {
    f.store().Flush(f.now, f.now);
    upheaval.Fill(2000);
    CHECK(upheaval.CheckAll() == 0);
  }
}

}  // namespace
}  // namespace cairn::storage
