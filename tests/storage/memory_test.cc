// Pins, reservations, limits and what happens when memory is short.
#include <fstream>
#include <string>
#include <vector>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

Config Refusing(uint64_t limit_mib) {
  Config config = StoreFixture::SmallConfig();
  config.memory_limit_bytes = limit_mib << 20;
  config.evict = false;
  return config;
}

struct Pinned {
  Pin pin;
  std::vector<std::string_view> pieces;

  std::string Value() const {
    std::string value;
    for (const std::string_view piece : pieces) value.append(piece);
    return value;
  }
};

Pinned PinOf(StoreFixture* f, std::string_view key) {
  Pinned pinned;
  static_cast<void>(
      f->store().Fetch(f->store().MakeKey(key), {}, f->now, [&](const ItemView& view) {
        pinned.pin = view.PinValue();
        pinned.pieces.assign(view.value.begin(), view.value.end());
      }));
  return pinned;
}

TEST_CASE("A pinned value survives deletion, overwrite, flush and eviction") {
  StoreFixture f;
  for (const size_t size : {1500, 20000, 1000000}) {
    for (int how = 0; how < 4; ++how) {
      const std::string value = Pattern(size, static_cast<unsigned>(how));
      REQUIRE(f.Set("key", value) == StoreStatus::kStored);
      Pinned pinned = PinOf(&f, "key");
      REQUIRE(pinned.pin.held());
      if (how == 0) CHECK(f.Delete("key") == DeleteStatus::kDeleted);
      if (how == 1) CHECK(f.Set("key", Pattern(size, 99)) == StoreStatus::kStored);
      if (how == 2) f.store().Flush(f.now, f.now);
      for (int i = 0; i < 6000; ++i) {
        REQUIRE(f.Set("other" + std::to_string(i), Pattern(size % 3000)) == StoreStatus::kStored);
      }
      CHECK(pinned.Value() == value);
      CHECK(f.store().CheckInvariants().ok());
      pinned.pin.Release();
      CHECK(f.store().CheckInvariants().ok());
    }
  }
}

TEST_CASE("Memory of pinned values that are gone is given back with the pin") {
  StoreFixture f(Refusing(8));
  for (int i = 0; i < 20; ++i) {
    REQUIRE(f.Set("key", Pattern(1000000)) == StoreStatus::kStored);
    Pinned pinned = PinOf(&f, "key");
    REQUIRE(f.Delete("key") == DeleteStatus::kDeleted);
  }
  CHECK(f.store().Stats().bytes == 0);
}

TEST_CASE("Small values are not pinned") {
  StoreFixture f;
  REQUIRE(f.Set("key", "small") == StoreStatus::kStored);
  CHECK_FALSE(PinOf(&f, "key").pin.held());
}

TEST_CASE("A pin can be moved, and released twice") {
  StoreFixture f;
  REQUIRE(f.Set("key", Pattern(5000)) == StoreStatus::kStored);
  Pin pin = PinOf(&f, "key").pin;
  Pin other = std::move(pin);
  pin = std::move(other);
  CHECK(pin.held());
  pin.Release();
  pin.Release();
  CHECK_FALSE(pin.held());
}

TEST_CASE("A reservation becomes an item when committed and nothing when dropped") {
  StoreFixture f;
  for (const size_t size : {0, 1, 100, 2047, 2048, 16000, 500000}) {
    StoreOptions options;
    options.client_flags = 5;
    CHECK(f.SetByReservation("key", Pattern(size), options) == StoreStatus::kStored);
    const auto seen = f.Fetch("key");
    REQUIRE(seen.has_value());
    CHECK(seen->value == Pattern(size));
    CHECK(seen->client_flags == 5);
    {
      StoreStatus status;
      Reservation dropped = f.store().Reserve(f.store().MakeKey("key"), size, 0, f.now, &status);
      REQUIRE(dropped.held());
      CHECK(dropped.value_bytes() == size);
    }
    CHECK(f.Get("key") == Pattern(size));
  }
}

TEST_CASE("A reservation can be appended, added, compared and outlive a flush") {
  StoreFixture f;
  StoreOptions append;
  append.mode = StoreMode::kAppend;
  CHECK(f.SetByReservation("key", Pattern(5000), append) == StoreStatus::kNotStored);
  CHECK(f.Set("key", "start") == StoreStatus::kStored);
  CHECK(f.SetByReservation("key", Pattern(5000), append) == StoreStatus::kStored);
  CHECK(f.Get("key") == "start" + Pattern(5000));
  append.mode = StoreMode::kPrepend;
  CHECK(f.SetByReservation("key", Pattern(70000, 2), append) == StoreStatus::kStored);
  CHECK(f.Get("key") == Pattern(70000, 2) + "start" + Pattern(5000));
  StoreOptions add;
  add.mode = StoreMode::kAdd;
  CHECK(f.SetByReservation("key", Pattern(5000), add) == StoreStatus::kNotStored);

  StoreStatus status;
  Reservation reservation = f.store().Reserve(f.store().MakeKey("late"), 40000, 0, f.now, &status);
  f.store().Flush(f.now, f.now);
  CHECK(f.store().CheckInvariants().ok());
  StoreFixture::Fill(&reservation, Pattern(40000));
  CHECK(f.store().Commit(std::move(reservation), f.store().MakeKey("late"), {}, f.now).status ==
        StoreStatus::kStored);
  CHECK(f.Get("late") == Pattern(40000));
  CHECK_FALSE(f.Get("key").has_value());
}

TEST_CASE("An explicit CAS of any width is kept by items of any size") {
  StoreFixture f;
  for (const size_t size : {10, 30000}) {
    for (const uint64_t cas : {uint64_t{7}, UINT64_MAX - 5}) {
      StoreOptions options;
      options.explicit_cas = cas;
      CHECK(f.SetByReservation("key", Pattern(size), options) == StoreStatus::kStored);
      CHECK(f.Fetch("key")->cas == cas);
      CHECK(f.Fetch("key")->value == Pattern(size));
      CHECK(f.Put("key", Pattern(size), options).cas == cas);
      DeleteOptions mark;
      mark.mark_stale = true;
      mark.explicit_cas = cas + 1;
      CHECK(f.Delete("key", mark) == DeleteStatus::kDeleted);
      const auto seen = f.Fetch("key");
      REQUIRE(seen.has_value());
      CHECK(seen->cas == cas + 1);
      CHECK(seen->value == Pattern(size));
      CHECK(seen->view.stale);
    }
  }
}

TEST_CASE("Many large uploads at once find memory as long as anything can be evicted",
          "[one_thread]") {
  Config config = StoreFixture::SmallConfig();
  config.memory_limit_bytes = uint64_t{64} << 20;
  config.shard_count = 4;
  StoreFixture f(config);
  for (int i = 0; i < 500000; ++i) {
    REQUIRE(f.Set("small" + std::to_string(i), Pattern(100)) == StoreStatus::kStored);
  }
  std::vector<Reservation> uploads;
  for (int i = 0; i < 50; ++i) {
    StoreStatus status = StoreStatus::kNoMemory;
    uploads.push_back(
        f.store().Reserve(f.store().MakeKey("up" + std::to_string(i)), 700000, 0, f.now, &status));
    REQUIRE(uploads.back().held());
    REQUIRE(f.Set("between" + std::to_string(i), Pattern(3000)) == StoreStatus::kStored);
  }
  for (int i = 0; i < 50; ++i) {
    const std::string key = "up" + std::to_string(i);
    StoreFixture::Fill(&uploads[static_cast<size_t>(i)], Pattern(700000, 3));
    CHECK(f.store()
              .Commit(std::move(uploads[static_cast<size_t>(i)]), f.store().MakeKey(key), {}, f.now)
              .status == StoreStatus::kStored);
  }
  CHECK(f.Get("up49") == Pattern(700000, 3));
  CHECK(f.store().Stats().outofmemory == 0);
}

TEST_CASE("More uploads than memory are refused, and what they hold is not lost") {
  StoreFixture f;
  std::vector<Reservation> uploads;
  StoreStatus status = StoreStatus::kStored;
  while (uploads.size() < 100) {
    Reservation upload = f.store().Reserve(f.store().MakeKey("up"), 900000, 0, f.now, &status);
    if (!upload.held()) break;
    uploads.push_back(std::move(upload));
  }
  CHECK(status == StoreStatus::kNoMemory);
  CHECK(uploads.size() >= 7);
  CHECK(f.store().Stats().outofmemory == 1);
  uploads.clear();
  CHECK(f.Set("key", Pattern(900000)) == StoreStatus::kStored);
}

TEST_CASE("A store that may not evict refuses, keeps all it has, and reuses what was deleted") {
  StoreFixture f(Refusing(8));
  int stored = 0;
  while (f.Set("key" + std::to_string(stored), Pattern(1000)) == StoreStatus::kStored) ++stored;
  CHECK(stored > 7400);
  uint64_t refused = 0;
  for (const ClassStats& c : f.store().StatsByClass(f.now)) refused += c.outofmemory;
  CHECK(refused == 1);
  CHECK(f.store().Stats().outofmemory == 1);
  CHECK(f.store().Stats().evictions == 0);
  for (int i = 0; i < stored; ++i) REQUIRE(f.Get("key" + std::to_string(i)) == Pattern(1000));
  CHECK(f.Set("key0", Pattern(1000, 2)) == StoreStatus::kStored);
  CHECK(f.Delete("key1") == DeleteStatus::kDeleted);
  CHECK(f.Set("new", Pattern(1000)) == StoreStatus::kStored);
  // Memory of one size serves another once it is free.
  for (int i = 0; i < stored; ++i) static_cast<void>(f.Delete("key" + std::to_string(i)));
  static_cast<void>(f.Delete("new"));
  CHECK(f.Set("large", Pattern(1000000)) == StoreStatus::kStored);
}

TEST_CASE("A store that may not evict reuses expired memory") {
  StoreFixture f(Refusing(4));
  StoreOptions brief;
  brief.expiry = f.After(1000);
  int stored = 0;
  while (f.Put("key" + std::to_string(stored), Pattern(500), brief).status ==
         StoreStatus::kStored) {
    ++stored;
  }
  CHECK(f.Set("large", Pattern(300000)) == StoreStatus::kNoMemory);
  f.now.ms += 1100;
  CHECK(f.Set("large", Pattern(300000)) == StoreStatus::kStored);
  CHECK(f.store().Stats().reclaimed == static_cast<uint64_t>(stored));
}

TEST_CASE("Maintenance gives expired memory back, a bounded step at a time") {
  StoreFixture f;
  StoreOptions brief;
  for (int i = 0; i < 20000; ++i) {
    brief.expiry = i % 10 == 0 ? Expiry::Never() : f.After(1000);
    REQUIRE(f.Put("key" + std::to_string(i), Pattern(100), brief).status == StoreStatus::kStored);
  }
  f.now.ms += 1100;
  uint64_t reclaimed = 0;
  for (MaintenanceResult step; !step.pass_completed; reclaimed += step.items_reclaimed) {
    step = f.store().Maintain(500, f.now);
    CHECK(step.items_checked < 1000);
  }
  CHECK(reclaimed == 18000);
  const StoreStats stats = f.store().Stats();
  CHECK(stats.curr_items == 2000);
  CHECK(stats.crawler_reclaimed == 18000);
  CHECK(stats.expired_unfetched == 18000);
  CHECK(stats.evictions == 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMeasurable = false;  // the sanitizer's own memory is in the way
#else
constexpr bool kMeasurable = true;
#endif

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

TEST_CASE("Resident memory follows the limit down and up", "[one_thread]") {
  Config config = StoreFixture::SmallConfig();
  config.memory_limit_bytes = uint64_t{128} << 20;
  config.shard_count = 4;
  StoreFixture f(config);
  const uint64_t before = ResidentBytes();
  const auto fill = [&](int count) {
    for (int i = 0; i < count; ++i) {
      REQUIRE(f.Set("key" + std::to_string(i), Pattern(200)) == StoreStatus::kStored);
    }
  };
  fill(700000);
  const uint64_t filled = ResidentBytes() - before;
  CHECK((!kMeasurable || filled < uint64_t{136} << 20));
  CHECK((!kMeasurable || filled > uint64_t{120} << 20));
  REQUIRE(f.store().SetMemoryLimit(uint64_t{32} << 20, f.now));
  for (int i = 0; i < 200; ++i) static_cast<void>(f.store().Maintain(1000, f.now));
  StoreStats stats = f.store().Stats();
  CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes <= uint64_t{32} << 20);
  const uint64_t lowered = ResidentBytes() - before;
  CHECK((!kMeasurable || lowered < uint64_t{40} << 20));
  CHECK(f.store().CheckInvariants().ok());
  REQUIRE(f.store().SetMemoryLimit(uint64_t{64} << 20, f.now));
  fill(400000);
  stats = f.store().Stats();
  CHECK(stats.pages_total * stats.page_bytes > uint64_t{50} << 20);
  CHECK_FALSE(f.store().SetMemoryLimit(1000, f.now));
  CHECK_FALSE(f.store().SetMemoryLimit(uint64_t{1} << 60, f.now));
  CHECK(f.store().memory_limit_bytes() == uint64_t{64} << 20);
}

TEST_CASE("Memory charged by others is not used for items") {
  StoreFixture f;
  f.store().ChargeExternal(3 << 20);
  for (int i = 0; i < 100000; ++i) {
    REQUIRE(f.Set("key" + std::to_string(i), Pattern(100)) == StoreStatus::kStored);
  }
  StoreStats stats = f.store().Stats();
  CHECK(stats.external_bytes == 3 << 20);
  CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes <= (5 << 20) + (64 << 10));
  f.store().ChargeExternal(-(3 << 20));
  for (int i = 0; i < 100000; ++i) {
    REQUIRE(f.Set("key" + std::to_string(i), Pattern(100)) == StoreStatus::kStored);
  }
  stats = f.store().Stats();
  CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes > 7 << 20);
}

TEST_CASE("Half of the memory stays for items, whatever others use") {
  StoreFixture f;
  f.store().ChargeExternal(100 << 20);
  CHECK(f.store().Stats().external_bytes == 4 << 20);
  for (int i = 0; i < 100000; ++i) {
    REQUIRE(f.Set("key" + std::to_string(i), Pattern(100)) == StoreStatus::kStored);
  }
  StoreStats stats = f.store().Stats();
  CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes > 3 << 20);
  CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes <= (4 << 20) + (64 << 10));
  // Of another limit it is another half; what is not used any more is not counted.
  REQUIRE(f.store().SetMemoryLimit(16 << 20, f.now));
  CHECK(f.store().Stats().external_bytes == 8 << 20);
  f.store().ChargeExternal(-(99 << 20));
  CHECK(f.store().Stats().external_bytes == 1 << 20);
  CHECK(f.store().CheckInvariants().ok());
}

TEST_CASE("Locked memory can be used and given back, whatever may be locked") {
  Config config = StoreFixture::SmallConfig();
  config.lock_memory = true;
  StoreFixture f(config);
  for (int i = 0; i < 100000; ++i) {
    REQUIRE(f.Set("key" + std::to_string(i), Pattern(100)) == StoreStatus::kStored);
  }
  REQUIRE(f.store().SetMemoryLimit(uint64_t{4} << 20, f.now));
  for (int i = 0; i < 50; ++i) static_cast<void>(f.store().Maintain(1000, f.now));
  f.store().Flush(f.now, f.now);
  CHECK(f.Set("key", Pattern(100000)) == StoreStatus::kStored);
  CHECK(f.Get("key") == Pattern(100000));
}

TEST_CASE("Limits that do not fit each other are refused") {
  Config config = StoreFixture::SmallConfig();
  config.max_item_bytes = config.memory_limit_bytes;
  CHECK(Store::Create(config).status().code() == absl::StatusCode::kInvalidArgument);
  config = StoreFixture::SmallConfig();
  config.memory_limit_bytes = 1000;
  CHECK(Store::Create(config).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Expired memory is reused before anything alive is evicted", "[one_thread]") {
  for (const bool crawling : {false, true}) {
    Config config = StoreFixture::SmallConfig();
    config.memory_limit_bytes = uint64_t{16} << 20;
    StoreFixture f(config);
    StoreOptions brief;
    uint64_t lasting = 0;
    uint64_t written = 0;
    for (uint64_t i = 0; written < 4 * config.memory_limit_bytes; ++i) {
      const size_t size = 50 + i * 7919 % 400;
      written += size;
      f.now.ms = 100000 + static_cast<int64_t>(written / 3000);  // 3 MB a second
      brief.expiry = f.After(2000);
      const bool lasts = i % 10 == 0;
      const std::string key = lasts ? "lasting" + std::to_string(lasting) : std::to_string(i);
      lasting += lasts;
      REQUIRE(f.Put(key, Pattern(size), lasts ? StoreOptions() : brief).status ==
              StoreStatus::kStored);
      if (crawling && i % 1000 == 0) static_cast<void>(f.store().Maintain(1000, f.now));
    }
    uint64_t kept = 0;
    for (uint64_t i = 0; i < lasting; ++i) {
      kept += f.Get("lasting" + std::to_string(i)).has_value();
    }
    INFO(kept << " of " << lasting << " lasted");
    CHECK(kept * 100 >= lasting * 99);
    CHECK(f.store().Stats().evictions * 100 < lasting);
  }
}

TEST_CASE("Free slots of one size make room for another without evicting") {
  StoreFixture f;
  int count = 0;
  for (; f.store().Stats().evictions == 0; ++count) {
    REQUIRE(f.Set("small" + std::to_string(count), Pattern(100)) == StoreStatus::kStored);
  }
  const uint64_t evicted = f.store().Stats().evictions;
  for (int i = 0; i < count; ++i) {
    if (i % 4 != 0) static_cast<void>(f.Delete("small" + std::to_string(i)));
  }
  for (int i = 0; i < 900; ++i) {
    REQUIRE(f.Set("other" + std::to_string(i), Pattern(5000)) == StoreStatus::kStored);
  }
  CHECK(f.store().Stats().evictions == evicted);
}

TEST_CASE("After a change of sizes the memory serves the new ones", "[one_thread]") {
  Config config = StoreFixture::SmallConfig();
  config.memory_limit_bytes = uint64_t{16} << 20;
  uint64_t from_empty[3];
  const size_t sizes[3] = {100, 4096, 300};
  const auto write = [&](StoreFixture* f, int phase) {
    const size_t size = sizes[phase];
    for (size_t i = 0; i < config.memory_limit_bytes / size; ++i) {
      REQUIRE(f->Set(std::to_string(phase) + "key" + std::to_string(i), Pattern(size)) ==
              StoreStatus::kStored);
    }
    uint64_t held = 0;
    WalkCursor cursor;
    while (!cursor.done) {
      f->store().Walk(&cursor, 1000, f->now,
                      [&](const ItemView& view) { held += view.value_bytes == size; });
    }
    return held;
  };
  for (int phase = 0; phase < 3; ++phase) {
    StoreFixture f(config);
    from_empty[phase] = write(&f, phase);
  }
  StoreFixture f(config);
  for (int phase = 0; phase < 3; ++phase) {
    const uint64_t held = write(&f, phase);
    INFO("phase " << phase << ": " << held << " of " << from_empty[phase]);
    CHECK(held >= from_empty[phase] * 9 / 10);
  }
  CHECK(f.store().Stats().pages_moved > 2000);
}

}  // namespace
}  // namespace cairn::storage
