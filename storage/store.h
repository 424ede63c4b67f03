#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/hash.h"
#include "storage/store_stats.h"
#include "storage/time.h"

/// The cache itself: a sharded, slab-allocated hash table bounded in memory, with eviction.
///
/// Nothing here knows the wire. The interface says what each operation does to an item: its value,
/// client flags, CAS unique, expiry, access times and the marks of the lease protocol (stale,
/// token sent), so that a model test can check it against a plain map.
namespace cairn::storage {

inline constexpr size_t kMaxKeyBytes = 250;

/// A key and its hash. The bytes belong to the caller. Made by Store::MakeKey, so that hashing
/// happens once a request whatever is done with the key then.
struct Key {
  std::string_view bytes;
  uint64_t hash = 0;

  // The store's own: where Prefetch has seen what may be the item, and the version that its shard
  // had. While that has not changed, a fetch need not search again.
  uint64_t seen_place = 0;  ///< 0: nothing was seen
  uint64_t seen_version = 0;
};

struct Config {
  uint64_t memory_limit_bytes = uint64_t{64} << 20;  ///< index, pages and metadata together
  uint64_t max_item_bytes = uint64_t{1} << 20;       ///< limit on AccountedBytes() of one item
  bool evict = true;          ///< false: a full store refuses (kNoMemory) instead of evicting
  bool use_cas = true;        ///< false: every item's CAS is 0
  bool lock_memory = false;   ///< mlock what is allocated (the operator's -k)
  unsigned shard_count = 0;   ///< power of two; 0: chosen from memory and threads
  unsigned thread_count = 4;  ///< threads that will call in, a hint for shard_count
  double growth_factor = 0;   ///< of slab classes; 0: the store's own choice
  uint64_t hash_seed = 0;     ///< 0: random, which is what a server wants
};

/// Keeps the memory of a value alive and unchanged after its item was deleted, overwritten,
/// evicted or moved. Thread-safe to drop from any thread. Move-only; empty when default-made.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept : owner_(other.owner_), handle_(other.handle_) {
    other.owner_ = nullptr;
  }
  Pin& operator=(Pin&& other) noexcept;
  ~Pin() { Release(); }

  void Release();
  bool held() const { return owner_ != nullptr; }

 private:
  friend class Shard;
  friend class Store;
  Pin(class Shard* owner, void* handle) : owner_(owner), handle_(handle) {}

  class Shard* owner_ = nullptr;
  void* handle_ = nullptr;
};

/// An item as a visitor sees it. Valid only during the visit, except for what a Pin keeps.
struct ItemView {
  std::string_view key;
  std::span<const std::string_view> value;  ///< its pieces in order; one piece unless large
  uint64_t value_bytes = 0;
  uint64_t cas = 0;
  uint32_t client_flags = 0;
  unsigned class_id = 0;        ///< slab class, 1-based
  Expiry expiry;                ///< after the operation (a touch, say)
  Expiry expiry_before;         ///< before the operation
  bool fetched_before = false;  ///< had been fetched before this operation
  bool key_is_binary = false;   ///< was stored with StoreOptions::key_is_binary
  bool stale = false;           ///< marked stale and not overwritten since
  bool won = false;             ///< this fetch got the token to refill the item
  bool lost = false;            ///< the token was given to an earlier fetch
  bool created = false;         ///< this operation made the item (vivify, arithmetic create)

  /// See Store::AccountedBytes.
  uint64_t accounted_bytes() const;
  /// Before the operation, in whole seconds. Of an item that was fetched thrice, up to a minute too
  /// old.
  Time last_access() const;

  /// Pins the value's memory. Empty for a value that cannot be pinned (small ones): copy those.
  /// Only during the visit.
  Pin PinValue() const;

  // The store's own, of which the functions make what they say.
  const void* internal = nullptr;
  Time now;
  uint32_t access_seconds = 0;
  uint32_t overhead_bytes = 0;
};

/// May be called with the shard locked: it must be quick and must not call into the store. It may
/// be called more than once for one operation: only the last call counts, so it must start its
/// output over each time. Not called when there is no item.
using Visitor = absl::FunctionRef<void(const ItemView&)>;

struct FetchOptions {
  bool count_access = true;      ///< marks the item fetched and keeps it from early eviction
  std::optional<Expiry> touch;   ///< new expiry of a found item
  std::optional<Expiry> vivify;  ///< when missing, make an empty item that dies then; the caller
                                 ///< has won it
  std::optional<uint64_t> vivify_cas;       ///< its CAS; absent: the store's choice
  std::optional<int64_t> recache_below_ms;  ///< give the token when less than this is left
  bool recache_after_touch = false;         ///< judge that by the new expiry, not by the old one
  bool lease = false;  ///< take part in leases: a stale item gives its token to the first fetch
};

enum class [[nodiscard]] FetchStatus {
  kHit,
  kMiss,         ///< no such item
  kMissExpired,  ///< there was one; it had expired
  kNoMemory,     ///< vivify found no memory
};

enum class StoreMode : uint8_t { kSet, kAdd, kReplace, kAppend, kPrepend };

struct StoreOptions {
  StoreMode mode = StoreMode::kSet;
  uint32_t client_flags = 0;
  Expiry expiry;
  bool key_is_binary = false;
  std::optional<uint64_t> compare_cas;   ///< only if the item's CAS is this
  std::optional<uint64_t> explicit_cas;  ///< the new CAS; absent: the store's choice
  /// With compare_cas: when the given CAS is lower than the item's, store all the same, mark the
  /// item stale and keep its expiry.
  bool invalidate_if_older = false;
  std::optional<Expiry> vivify;  ///< kAppend, kPrepend: create when missing, with this expiry
};

enum class [[nodiscard]] StoreStatus {
  kStored,
  kNotStored,  ///< kAdd: it exists; kReplace, kAppend, kPrepend: it does not, or the result of
               ///< the append would pass max_item_bytes. The item, if any, is as it was
  kExists,     ///< compare_cas differs; nothing changed
  kNotFound,   ///< compare_cas given (kSet, kReplace) and there is no item
  kTooLarge,   ///< the item itself passes max_item_bytes; nothing changed
  kNoMemory,   ///< no memory and nothing evictable; nothing changed
};

struct StoreResult {
  StoreStatus status = StoreStatus::kNotStored;
  uint64_t cas = 0;          ///< of the item as stored; 0 unless kStored
  uint64_t value_bytes = 0;  ///< of the item as stored; of the value offered otherwise
  unsigned class_id = 0;     ///< of the item stored or met; 0: none
};

struct ArithmeticOptions {
  bool decrement = false;
  uint64_t delta = 1;
  std::optional<Expiry> create;  ///< make the item with `initial` when missing
  uint64_t initial = 0;
  std::optional<Expiry> touch;
  std::optional<uint64_t> compare_cas;
  std::optional<uint64_t> explicit_cas;
  bool key_is_binary = false;
};

enum class [[nodiscard]] ArithmeticStatus {
  kOk,
  kCreated,
  kNotFound,
  kNotFoundExpired,
  kNonNumeric,  ///< the value is no unsigned 64-bit decimal (see Store::Arithmetic)
  kExists,      ///< compare_cas differs
  kNoMemory,
};

struct ArithmeticResult {
  ArithmeticStatus status = ArithmeticStatus::kNotFound;
  uint64_t number = 0;
  unsigned class_id = 0;
};

struct DeleteOptions {
  std::optional<uint64_t> compare_cas;
  bool mark_stale = false;    ///< keep the item, mark it stale, with a new CAS, its token available
  bool drop_value = false;    ///< keep the item with an empty value and `client_flags`
  uint32_t client_flags = 0;  ///< with drop_value
  std::optional<Expiry> touch;           ///< with one of the two above
  std::optional<uint64_t> explicit_cas;  ///< with one of the two above
};

enum class [[nodiscard]] DeleteStatus { kDeleted, kNotFound, kExists };

/// Why an item left the store without anyone asking for it.
enum class LossReason : uint8_t { kEvicted, kExpiredReclaimed };

/// Told of items that were evicted. Called with a shard locked, from whichever thread evicts:
/// must be quick, must not call into the store.
class LossObserver {
 public:
  virtual ~LossObserver() = default;
  virtual void OnLoss(LossReason reason, const ItemView& item, Time now) = 0;
};

/// Unlinked memory for a value that is still arriving. It counts against the memory limit from
/// the moment it is made, and is given back when dropped without being committed. Move-only; may
/// be dropped from any thread.
class Reservation {
 public:
  Reservation();
  Reservation(Reservation&&) noexcept;
  Reservation& operator=(Reservation&&) noexcept;
  ~Reservation();

  bool held() const { return impl_ != nullptr; }
  uint64_t value_bytes() const;
  /// The contiguous writable memory at `offset` of the value; empty only at its end.
  std::span<char> WritableAt(uint64_t offset);

 private:
  friend class Shard;
  friend class Store;
  struct Impl;
  explicit Reservation(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Where a walk stands. Starts at the beginning when default-made.
struct WalkCursor {
  uint64_t shard = 0;
  uint64_t position = 0;
  bool done = false;
};

/// What one step of background work did.
struct MaintenanceResult {
  uint64_t items_checked = 0;
  uint64_t items_reclaimed = 0;
  bool pass_completed = false;  ///< this step came to the end of the memory
};

/// Thread-safe: every method may be called from any thread at any time, but for the constructor
/// and destructor. Destroying it needs every Pin and Reservation to be gone.
class Store {
 public:
  /// Fails with InvalidArgument when the limits do not fit each other, ResourceExhausted when the
  /// system refuses the memory. Allocates little: memory is taken from the system as it is used.
  static absl::StatusOr<std::unique_ptr<Store>> Create(const Config& config);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// REQUIRES: 1 <= bytes.size() <= kMaxKeyBytes.
  Key MakeKey(std::string_view bytes) const { return {bytes, hash_(bytes)}; }

  /// Starts loading the memory that operations on `keys` will touch, for all of them at once, so
  /// that its latencies overlap; to be called shortly before. What is seen on the way is noted in
  /// the keys. REQUIRES: keys.size() <= kPrefetchedKeys.
  void Prefetch(std::span<Key> keys) const;
  /// What so many keys touch fits the nearest cache, along with what serving them does.
  static constexpr size_t kPrefetchedKeys = 32;

  /// An item's size as operators know it (memcached's accounting: 48 bytes of header, CAS, key and
  /// NUL, client flags when not 0, value and CRLF). It is what max_item_bytes limits and what
  /// reports call size, whatever the real layout costs.
  uint64_t AccountedBytes(size_t key_bytes, uint32_t client_flags, uint64_t value_bytes) const;

  /// Takes no lock for small items when there is nothing to write to them.
  FetchStatus Fetch(const Key& key, const FetchOptions& options, Time now, Visitor visit);

  /// Stores `value`, which is copied.
  StoreResult Put(const Key& key, std::string_view value, const StoreOptions& options, Time now);

  /// Takes memory for a value of `value_bytes` under `key` before it is received. Null-held on
  /// failure, with `status` kTooLarge or kNoMemory.
  Reservation Reserve(const Key& key, uint64_t value_bytes, uint32_t client_flags, Time now,
                      StoreStatus* status);
  /// Stores a reservation whose value has been written whole; as Put otherwise. `key` must be the
  /// key that it was reserved for.
  StoreResult Commit(Reservation reservation, const Key& key, const StoreOptions& options,
                     Time now);

  /// Adds to or subtracts from a decimal number in place. The value is read as strtoull would
  /// (leading blanks, '+', "-0"), up to the first blank or the end; anything else, "-5", hex, more
  /// than 2^64-1, or the value of an item of more than 512 KiB, is kNonNumeric. Incrementing wraps
  /// at 2^64, decrementing stops at 0. A result with fewer digits than the old value is padded with
  /// blanks on the right to the old length; a longer one makes the value longer. Client flags and
  /// expiry stay (unless touched), CAS changes. The visitor sees the item afterwards.
  ArithmeticResult Arithmetic(const Key& key, const ArithmeticOptions& options, Time now,
                              Visitor visit);

  DeleteStatus Delete(const Key& key, const DeleteOptions& options, Time now,
                      unsigned* class_id = nullptr);

  /// Everything present at `when` is gone from then on; nothing stored later is. `when <= now`
  /// flushes before returning, and memory is free at once. A later call replaces a pending one.
  void Flush(Time when, Time now);

  /// Visits items without touching them, at most about `max_items` a call, holding a lock only
  /// for a bounded time. An item that is present during the whole walk is visited at least once;
  /// expired ones are skipped. Returns when the bound is reached or cursor->done.
  void Walk(WalkCursor* cursor, size_t max_items, Time now, Visitor visit);

  /// A step of background work: looks at about `max_items` items in memory order and gives the
  /// memory of expired ones back; finishes pending flushes and index growth. Locks briefly.
  MaintenanceResult Maintain(size_t max_items, Time now);

  /// Changes the memory limit. Lowering evicts and gives memory back to the system, in steps of
  /// Maintain(). False when the store cannot work in so little, or not grow so far.
  bool SetMemoryLimit(uint64_t bytes, Time now);
  uint64_t memory_limit_bytes() const;

  /// Counts memory that others use (connection buffers) against the limit; delta may be negative.
  /// At most half of the limit is taken from items, whatever others use: sets go on.
  void ChargeExternal(int64_t delta_bytes);

  /// `observer` outlives the store or is reset with nullptr. Costs nothing while null.
  void SetLossObserver(LossObserver* observer);

  StoreStats Stats() const;
  /// One entry a slab class, by class_id - 1. Classes without pages have zeros.
  std::vector<ClassStats> StatsByClass(Time now) const;
  /// Zeroes counters, not gauges.
  void ResetStats();

  /// For tests: looks at every slot, page and index entry and says what does not add up. Only
  /// while no other thread is in the store.
  absl::Status CheckInvariants() const;

 private:
  explicit Store(uint64_t hash_seed);
  const KeyedHash hash_;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::storage
