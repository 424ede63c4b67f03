#include "storage/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <random>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "storage/shard.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CAIRN_SMALL_ADDRESS_SPACE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define CAIRN_SMALL_ADDRESS_SPACE 1
#endif
#endif

namespace cairn::storage {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kLeastMemory = kMiB;
constexpr uint64_t kMostMemory = kGiB << 12;
// A 256th of the memory remembers a ghost for each half kilobyte.
constexpr uint64_t kGhostsShare = 256;
// Address space costs next to nothing; what is reserved bounds how far the limit can be raised.
#ifdef CAIRN_SMALL_ADDRESS_SPACE
constexpr uint64_t kReserveAtLeast = kGiB;
#else
constexpr uint64_t kReserveAtLeast = 64 * kGiB;
#endif

/// Smaller pages leave less memory in half-filled ones, larger ones cost less to look after.
uint32_t ChoosePageBytes(uint64_t limit) {
  if (limit <= 64 * kMiB) return 8 << 10;
  if (limit <= 512 * kMiB) return 16 << 10;
  return limit <= 4 * kGiB ? 32 << 10 : 64 << 10;
}

/// Every shard keeps open pages, so that small stores have few.
unsigned ChooseShards(const Config& config) {
  if (config.shard_count != 0) return std::bit_floor(std::min(config.shard_count, 1024u));
  const uint64_t by_memory = config.memory_limit_bytes / (32 * kMiB);
  const uint64_t by_threads = uint64_t{4} * std::max(config.thread_count, 1u);
  const uint64_t wanted = std::clamp<uint64_t>(std::min(by_memory, by_threads), 1, 1024);
  return static_cast<unsigned>(std::bit_floor(wanted));
}

}  // namespace

struct Store::Impl {
  explicit Impl(const Config& config, SizeClasses classes) : shared(config, std::move(classes)) {}

  Shard& ShardOf(const Key& key) { return *shards[key.hash >> 32 & shard_mask]; }

  /// Makes another shard than `needy` give a page up: false when none can.
  bool Steal(const Shard* needy, Time now) {
    std::vector<Shard*> by_size;
    for (const auto& shard : shards) {
      if (shard.get() != needy) by_size.push_back(shard.get());
    }
    std::sort(by_size.begin(), by_size.end(),
              [](const Shard* a, const Shard* b) { return a->page_count() > b->page_count(); });
    return std::any_of(by_size.begin(), by_size.end(),
                       [now](Shard* shard) { return shard->GiveUpPage(now); });
  }

  /// Runs an operation of `shard` again while it lacks memory that others can give.
  template <typename Operation, typename LacksMemory>
  auto WithMemory(Shard* shard, Time now, const Operation& operation,
                  const LacksMemory& lacks_memory) {
    for (;;) {
      auto result = operation();
      if (!lacks_memory(result)) return result;
      if (!shared.config.evict || !Steal(shard, now)) {
        refused.fetch_add(1, std::memory_order_relaxed);
        return result;
      }
    }
  }

  // Not inlined: the frame that it needs is not for every fetch.
  __attribute__((noinline)) FetchStatus FetchOrMake(const Key& key, const FetchOptions& options,
                                                    Time now, Visitor visit) {
    Shard& shard = ShardOf(key);
    return WithMemory(
        &shard, now, [&] { return shard.Fetch(key, options, now, visit); },
        [](FetchStatus status) { return status == FetchStatus::kNoMemory; });
  }

  StoreStatus Reserve(const Key& key, const ItemLayout& layout, uint32_t client_flags, Time now,
                      std::unique_ptr<Reservation::Impl>* reservation) {
    auto made = std::make_unique<Reservation::Impl>();
    made->shard = &ShardOf(key);
    made->key = std::string(key.bytes);
    made->hash = key.hash;
    made->client_flags = client_flags;
    made->layout = layout;
    while (!made->complete()) {
      const bool more = WithMemory(
          made->shard, now, [&] { return made->shard->ReserveSome(made.get(), now); },
          [](bool done) { return !done; });
      if (!more) return StoreStatus::kNoMemory;
    }
    *reservation = std::move(made);
    return StoreStatus::kStored;
  }

  StoreResult Put(const Key& key, Pieces value, uint64_t value_bytes, const StoreOptions& options,
                  Time now) {
    Shard& shard = ShardOf(key);
    const auto lacks_memory = [](const StoreResult& r) {
      return r.status == StoreStatus::kNoMemory;
    };
    for (;;) {
      Shard::ChainPlan plan;
      const StoreResult small = WithMemory(
          &shard, now,
          [&] {
            plan = {};
            return shard.Put(key, value, value_bytes, options, now, &plan);
          },
          lacks_memory);
      if (!plan.needed) return small;
      const ItemLayout layout =
          LayOut(shared.classes, key.bytes.size(), plan.client_flags, plan.cas, plan.value_bytes);
      std::unique_ptr<Reservation::Impl> reservation;
      const StoreStatus reserved = Reserve(key, layout, plan.client_flags, now, &reservation);
      if (reserved != StoreStatus::kStored) return {reserved, 0, value_bytes, 0};
      plan = {};
      const StoreResult result =
          shard.Link(reservation.get(), key, &value, value_bytes, options, now, &plan);
      if (!plan.needed) return result;
    }
  }

  /// Stores an item anew, as it is but for a CAS that needs more room. False: no memory. What
  /// others did to it meanwhile stays.
  bool WidenCas(const Key& key, uint64_t cas, uint64_t new_cas, Time now) {
    FetchOptions quietly;
    quietly.count_access = false;
    std::string value;
    StoreOptions options;
    options.mode = StoreMode::kReplace;
    options.compare_cas = cas;
    options.explicit_cas = new_cas;
    const FetchStatus found = ShardOf(key).Fetch(key, quietly, now, [&](const ItemView& view) {
      value.clear();
      for (const std::string_view piece : view.value) value.append(piece);
      options.client_flags = view.client_flags;
      options.expiry = view.expiry;
      options.key_is_binary = view.key_is_binary;
    });
    if (found != FetchStatus::kHit) return true;
    const std::string_view piece = value;
    return Put(key, {&piece, 1}, value.size(), options, now).status != StoreStatus::kNoMemory;
  }
  void ChargeExternal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(external_mutex) {
    const auto most = static_cast<int64_t>(shared.pool->limit() / 2);
    const int64_t charge = std::clamp<int64_t>(external, 0, most);
    shared.pool->Charge(charge - external_charged);
    external_charged = charge;
  }

  Shared shared;
  std::vector<std::unique_ptr<Shard>> shards;
  uint64_t shard_mask = 0;
  std::atomic<uint64_t> refused{0};
  absl::Mutex external_mutex;
  int64_t external ABSL_GUARDED_BY(external_mutex) = 0;
  int64_t external_charged ABSL_GUARDED_BY(external_mutex) = 0;  // to the pool
  absl::Mutex maintenance_mutex;
  PageId next_page ABSL_GUARDED_BY(maintenance_mutex) = 1;
  uint64_t next_joined ABSL_GUARDED_BY(maintenance_mutex) = 0;  // a shard
};

// --- Pin, ItemView, Reservation

Pin& Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    handle_ = other.handle_;
  }
  return *this;
}

void Pin::Release() {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->Unpin(handle_);
}

Pin ItemView::PinValue() const {
  if (internal == nullptr) return Pin();
  const auto* context = static_cast<const VisitContext*>(internal);
  return context->shard->PinItem(context->place);
}

uint64_t ItemView::accounted_bytes() const {
  return overhead_bytes + key.size() + (client_flags != 0 ? sizeof(client_flags) : 0) + value_bytes;
}

Time ItemView::last_access() const {
  const int64_t now_seconds = now.ms / 1000;
  const uint32_t age = (static_cast<uint32_t>(now_seconds) - access_seconds) & kAccessMask;
  // An age near the wrap is a clock that went back a little.
  const bool went_back = age > kAccessMask - 86400;
  return {(now_seconds - (went_back ? 0 : static_cast<int64_t>(age))) * 1000};
}

Reservation::Reservation() = default;
Reservation::Reservation(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reservation::Reservation(Reservation&&) noexcept = default;
Reservation& Reservation::operator=(Reservation&&) noexcept = default;
Reservation::~Reservation() = default;

uint64_t Reservation::value_bytes() const { return impl_->layout.value_bytes; }

std::span<char> Reservation::WritableAt(uint64_t offset) {
  const std::vector<Impl::Piece>& pieces = impl_->pieces;
  auto piece = std::upper_bound(pieces.begin(), pieces.end(), offset,
                                [](uint64_t at, const Impl::Piece& p) { return at < p.offset; });
  --piece;
  if (offset >= piece->offset + piece->bytes) return {};
  const uint64_t skip = offset - piece->offset;
  return {piece->data + skip, piece->bytes - skip};
}

// --- Store

Store::Store(uint64_t hash_seed) : hash_(hash_seed) {}
Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Create(const Config& given) {
  Config config = given;
  if (config.memory_limit_bytes < kLeastMemory || config.memory_limit_bytes > kMostMemory) {
    return absl::InvalidArgumentError(fmt::format("memory limit of {} bytes is not in {}..{}",
                                                  config.memory_limit_bytes, kLeastMemory,
                                                  kMostMemory));
  }
  if (config.max_item_bytes < 1024 || config.max_item_bytes > config.memory_limit_bytes / 2) {
    return absl::InvalidArgumentError(
        fmt::format("an item limit of {} bytes is not in 1024..half of the memory limit",
                    config.max_item_bytes));
  }
  while (config.hash_seed == 0) {
    std::random_device random;
    config.hash_seed = static_cast<uint64_t>(random()) << 32 | random();
  }
  uint64_t reserve = std::max(kReserveAtLeast, config.memory_limit_bytes * 2);
  // Places count granules in 36 bits.
  int place_shift = 2;
  while (reserve >> place_shift >= uint64_t{1} << kPlaceBits) ++place_shift;
  const uint32_t page_bytes = ChoosePageBytes(config.memory_limit_bytes);

  auto store = std::unique_ptr<Store>(new Store(config.hash_seed));
  store->impl_ = std::make_unique<Impl>(
      config, SizeClasses(page_bytes, config.growth_factor, uint32_t{1} << place_shift));
  Impl& impl = *store->impl_;
  auto pool = PagePool::Create({.limit_bytes = config.memory_limit_bytes,
                                .page_bytes = page_bytes,
                                .place_shift = place_shift,
                                .reserve_bytes = reserve,
                                .lock_memory = config.lock_memory});
  if (!pool.ok()) return pool.status();
  impl.shared.pool = *std::move(pool);
  reserve = impl.shared.pool->max_limit_bytes();

  const unsigned shards = ChooseShards(config);
  impl.shard_mask = shards - 1;
  impl.shared.shard_count = shards;
  for (unsigned i = 0; i < shards; ++i) {
    // An item takes 40 bytes or more, an eighth of that its share of the index: twice of it, for
    // shards are not equal.
    auto index =
        Index::Create(impl.shared.pool.get(), reserve / shards / 2 + kMiB, config.lock_memory);
    if (!index.ok()) return index.status();
    auto ghosts = std::make_unique<GhostTable>();
    const absl::Status remembers =
        ghosts->Init(impl.shared.pool.get(), config.memory_limit_bytes / shards / kGhostsShare);
    if (!remembers.ok()) return remembers;
    impl.shards.push_back(std::make_unique<Shard>(static_cast<uint16_t>(i), &impl.shared,
                                                  *std::move(index), std::move(ghosts)));
  }
  return store;
}

void Store::Prefetch(std::span<Key> keys) const {
  // Each round looks at what the one before has asked for.
  std::array<Shard::Search, kPrefetchedKeys> searches;
  size_t count = 0;
  for (Key& key : keys) searches[count++] = impl_->ShardOf(key).BeginSearch(&key);
  for (int lines = 0; count != 0 && lines < Index::kMostLines; ++lines) {
    size_t unfinished = 0;
    for (Shard::Search& search : std::span(searches).first(count)) {
      if (search.shard->ContinueSearch(&search)) searches[unfinished++] = search;
    }
    count = unfinished;
  }
}

uint64_t Store::AccountedBytes(size_t key_bytes, uint32_t client_flags,
                               uint64_t value_bytes) const {
  return impl_->shared.AccountedBytes(key_bytes, client_flags, value_bytes);
}

FetchStatus Store::Fetch(const Key& key, const FetchOptions& options, Time now, Visitor visit) {
  if (options.vivify.has_value()) return impl_->FetchOrMake(key, options, now, visit);
  return impl_->ShardOf(key).Fetch(key, options, now, visit);
}

StoreResult Store::Put(const Key& key, std::string_view value, const StoreOptions& options,
                       Time now) {
  if (AccountedBytes(key.bytes.size(), options.client_flags, value.size()) >
      impl_->shared.config.max_item_bytes) {
    return {StoreStatus::kTooLarge, 0, value.size(), 0};
  }
  return impl_->Put(key, {&value, 1}, value.size(), options, now);
}

Reservation Store::Reserve(const Key& key, uint64_t value_bytes, uint32_t client_flags, Time now,
                           StoreStatus* status) {
  const uint64_t most = impl_->shared.config.max_item_bytes;
  if (value_bytes > most || AccountedBytes(key.bytes.size(), client_flags, value_bytes) > most) {
    *status = StoreStatus::kTooLarge;
    return Reservation();
  }
  const ItemLayout layout =
      LayOut(impl_->shared.classes, key.bytes.size(), client_flags, 0, value_bytes);
  std::unique_ptr<Reservation::Impl> reservation;
  *status = impl_->Reserve(key, layout, client_flags, now, &reservation);
  return Reservation(std::move(reservation));
}

StoreResult Store::Commit(Reservation reservation, const Key& key, const StoreOptions& options,
                          Time now) {
  Reservation::Impl& reserved = *reservation.impl_;
  const uint64_t value_bytes = reserved.layout.value_bytes;
  Shard::ChainPlan plan;
  const StoreResult result =
      impl_->ShardOf(key).Link(&reserved, key, nullptr, value_bytes, options, now, &plan);
  if (!plan.needed) return result;
  std::vector<std::string_view> pieces;
  for (const Reservation::Impl::Piece& piece : reserved.pieces) {
    pieces.emplace_back(piece.data, piece.bytes);
  }
  return impl_->Put(key, pieces, value_bytes, options, now);
}

ArithmeticResult Store::Arithmetic(const Key& key, const ArithmeticOptions& options, Time now,
                                   Visitor visit) {
  Shard& shard = impl_->ShardOf(key);
  return impl_->WithMemory(
      &shard, now, [&] { return shard.Arithmetic(key, options, now, visit); },
      [](const ArithmeticResult& r) { return r.status == ArithmeticStatus::kNoMemory; });
}

DeleteStatus Store::Delete(const Key& key, const DeleteOptions& options, Time now,
                           unsigned* class_id) {
  DeleteOptions again = options;
  for (;;) {
    uint64_t grow_cas = 0;
    const DeleteStatus status = impl_->ShardOf(key).Delete(key, again, now, class_id, &grow_cas);
    if (grow_cas == 0) return status;
    const uint64_t new_cas = options.explicit_cas.value_or(0);
    if (impl_->WidenCas(key, grow_cas, new_cas, now)) {
      again.compare_cas = new_cas != 0 ? options.explicit_cas : std::nullopt;
    } else {
      // No memory for that: an item that is gone serves its readers no worse than a stale one.
      again = DeleteOptions();
      again.compare_cas = grow_cas;
    }
  }
}

void Store::Flush(Time when, Time now) {
  for (const auto& shard : impl_->shards) shard->Flush(when, now);
}

void Store::Walk(WalkCursor* cursor, size_t max_items, Time now, Visitor visit) {
  size_t visited = 0;
  while (!cursor->done && visited < max_items) {
    if (cursor->shard >= impl_->shards.size()) {
      cursor->done = true;
      return;
    }
    visited +=
        impl_->shards[cursor->shard]->Walk(&cursor->position, max_items - visited, now, visit);
    if (cursor->position == 0) cursor->done = ++cursor->shard >= impl_->shards.size();
  }
}

MaintenanceResult Store::Maintain(size_t max_items, Time now) {
  constexpr int kPagesGivenUp = 64;
  MaintenanceResult result;
  PagePool& pool = *impl_->shared.pool;
  for (int n = 0; n < kPagesGivenUp && pool.Overdraft() > 0; ++n) {
    if (!impl_->Steal(nullptr, now)) break;
  }
  pool.Trim();
  absl::MutexLock lock(&impl_->maintenance_mutex);
  // Takes no lock of a shard, for it takes long.
  impl_->shards[impl_->next_joined++ & impl_->shard_mask]->JoinIndexPages();
  PageId& page = impl_->next_page;
  size_t steps = 0;
  while (result.items_checked < max_items && ++steps < max_items) {
    if (page > pool.high_page()) {
      page = 1;
      result.pass_completed = true;
      for (const auto& shard : impl_->shards) shard->CheckFlush(now);
      return result;
    }
    const uint16_t owner = pool.info(page).owner.load(std::memory_order_acquire);
    if (owner != 0) impl_->shards[owner - 1u]->MaintainPage(page, now, &result);
    ++page;
  }
  return result;
}

bool Store::SetMemoryLimit(uint64_t bytes, Time now) {
  PagePool& pool = *impl_->shared.pool;
  if (bytes < kLeastMemory || bytes / 2 < impl_->shared.config.max_item_bytes ||
      bytes > pool.max_limit_bytes()) {
    return false;
  }
  absl::MutexLock lock(&impl_->external_mutex);
  pool.SetLimit(bytes);
  impl_->ChargeExternal();
  static_cast<void>(now);
  return true;
}

uint64_t Store::memory_limit_bytes() const { return impl_->shared.pool->limit(); }

void Store::ChargeExternal(int64_t delta_bytes) {
  absl::MutexLock lock(&impl_->external_mutex);
  impl_->external += delta_bytes;
  impl_->ChargeExternal();
}

void Store::SetLossObserver(LossObserver* observer) {
  for (const auto& shard : impl_->shards) shard->SetLossObserver(observer);
}

StoreStats Store::Stats() const {
  StoreStats stats;
  uint64_t lines = 0;
  for (const auto& shard : impl_->shards) {
    shard->AddStats(&stats);
    lines += shard->index_lines();
  }
  stats.outofmemory = impl_->refused.load(std::memory_order_relaxed);
  stats.index_power = static_cast<uint64_t>(std::bit_width(lines * 7) - 1);
  const PagePool& pool = *impl_->shared.pool;
  stats.page_bytes = pool.page_bytes();
  stats.pages_total = pool.pages_resident();
  stats.pages_free = pool.pages_free();
  absl::MutexLock lock(&impl_->external_mutex);
  stats.external_bytes = static_cast<uint64_t>(impl_->external_charged);
  return stats;
}

std::vector<ClassStats> Store::StatsByClass(Time now) const {
  const SizeClasses& classes = impl_->shared.classes;
  std::vector<ClassStats> stats(classes.count());
  for (unsigned id = 1; id <= classes.count(); ++id) {
    stats[id - 1].chunk_size = classes[static_cast<ClassId>(id)].slot_bytes;
    stats[id - 1].chunks_per_page = classes[static_cast<ClassId>(id)].slots_per_page;
  }
  for (const auto& shard : impl_->shards) shard->AddClassStats(&stats, now);
  return stats;
}

void Store::ResetStats() {
  for (const auto& shard : impl_->shards) shard->ResetStats();
  impl_->refused = 0;
}

absl::Status Store::CheckInvariants() const {
  const PagePool& pool = *impl_->shared.pool;
  uint64_t pages = pool.pages_free();
  int64_t charged = 0;
  {
    absl::MutexLock lock(&impl_->external_mutex);
    charged = impl_->external_charged;
  }
  for (const auto& shard : impl_->shards) {
    const absl::Status status = shard->CheckInvariants();
    if (!status.ok()) return status;
    pages += shard->page_count();
    charged += static_cast<int64_t>(shard->index_bytes() + shard->ghost_bytes());
  }
  if (pages != pool.pages_resident()) {
    return absl::InternalError(
        fmt::format("{} pages in shards and free, {} resident", pages, pool.pages_resident()));
  }
  if (charged != pool.charged_bytes()) {
    return absl::InternalError(fmt::format("{} bytes of indexes, ghosts and others, {} charged",
                                           charged, pool.charged_bytes()));
  }
  return absl::OkStatus();
}

}  // namespace cairn::storage
