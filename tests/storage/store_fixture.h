#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "storage/store.h"
#include "tests/catch.h"

namespace cairn::storage {

/// A store with a clock that the test moves, and short forms of its operations.
class StoreFixture {
 public:
  static Config SmallConfig() {
    Config config;
    config.memory_limit_bytes = uint64_t{8} << 20;
    config.shard_count = 1;
    config.hash_seed = 12345;
    return config;
  }

  explicit StoreFixture(const Config& config = SmallConfig()) {
    auto made = Store::Create(config);
    INFO(made.status().ToString());
    REQUIRE(made.ok());
    store_ = *std::move(made);
  }
  ~StoreFixture() {
    const absl::Status status = store_->CheckInvariants();
    INFO(status.ToString());
    CHECK(status.ok());
  }

  struct Seen {
    std::string value;
    uint32_t client_flags;
    uint64_t cas;
    ItemView view;  // its pointers are dangling
  };

  std::optional<Seen> Fetch(std::string_view key, const FetchOptions& options = {}) {
    std::optional<Seen> seen;
    last_fetch = store_->Fetch(store_->MakeKey(key), options, now, [&](const ItemView& view) {
      seen = Seen{Join(view), view.client_flags, view.cas, view};
    });
    return seen;
  }
  std::optional<std::string> Get(std::string_view key) {
    auto seen = Fetch(key);
    if (!seen.has_value()) return std::nullopt;
    return std::move(seen->value);
  }
  StoreResult Put(std::string_view key, std::string_view value, const StoreOptions& options = {}) {
    return store_->Put(store_->MakeKey(key), value, options, now);
  }
  StoreStatus Set(std::string_view key, std::string_view value) { return Put(key, value).status; }
  DeleteStatus Delete(std::string_view key, const DeleteOptions& options = {}) {
    return store_->Delete(store_->MakeKey(key), options, now);
  }
  /// Fails the test when what it stores does not fit.
  StoreStatus SetByReservation(std::string_view key, std::string_view value,
                               const StoreOptions& options = {}) {
    StoreStatus status;
    Reservation reservation =
        store_->Reserve(store_->MakeKey(key), value.size(), options.client_flags, now, &status);
    if (!reservation.held()) return status;
    Fill(&reservation, value);
    return store_->Commit(std::move(reservation), store_->MakeKey(key), options, now).status;
  }
  static void Fill(Reservation* reservation, std::string_view value) {
    for (uint64_t at = 0; at < value.size();) {
      const std::span<char> room = reservation->WritableAt(at);
      REQUIRE(!room.empty());
      value.substr(at, room.size()).copy(room.data(), room.size());
      at += room.size();
    }
    REQUIRE(reservation->WritableAt(value.size()).empty());
  }

  static std::string Join(const ItemView& view) {
    std::string value;
    for (const std::string_view piece : view.value) value.append(piece);
    return value;
  }
  Expiry After(int64_t ms) const { return Expiry::At(Time{now.ms + ms}); }

  Store& store() { return *store_; }

  Time now{100000};
  FetchStatus last_fetch = FetchStatus::kMiss;

 private:
  std::unique_ptr<Store> store_;
};

/// Text of `size` bytes that differs from place to place.
inline std::string Pattern(size_t size, unsigned seed = 1) {
  std::string text(size, ' ');
  uint32_t x = seed * 2654435761u + 1;
  for (char& c : text) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>('a' + (x >> 24) % 26);
  }
  return text;
}

}  // namespace cairn::storage
