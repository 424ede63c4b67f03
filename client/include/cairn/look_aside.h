#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// How GetOrCompute goes about it.
struct LookAsideOptions {
  /// How long a computed value may be kept; zero: it is not. Each lives for up to `ttl_jitter` of
  /// it less, at random, so that what was computed together is not computed together again.
  absl::Duration ttl = absl::Minutes(5);
  double ttl_jitter = 0.1;
  /// How long it is remembered that there is nothing. Zero: it is not. Negative: nor does "nothing"
  /// say anything of an older value, which stays.
  absl::Duration negative_ttl = absl::ZeroDuration();

  /// How long a computation has before another process may begin one: more than it ever takes. At
  /// least a second, rounded up to seconds.
  absl::Duration lease = absl::Seconds(10);
  /// How long a caller waits for what somebody else is computing. More than `lease`, or else it
  /// gives up before it can take over from a process that died.
  absl::Duration wait_max = absl::Seconds(15);
  enum class AfterWaiting : uint8_t {
    kFail,     ///< DeadlineExceeded: what takes so long is not asked for once more by everybody.
    kCompute,  ///< Everybody computes for himself, and stores nothing.
  };
  AfterWaiting after_waiting = AfterWaiting::kFail;

  /// While one computes an invalidated value anew the others take the stale one at once, and so
  /// does he if his computation fails. Off: they wait.
  bool take_stale = true;
  /// With less than this to live, one caller computes a value anew while the others go on using it.
  /// At most half of the shortest `ttl` counts; zero: never. Not for a remembered "nothing", and
  /// without effect on servers without the meta protocol.
  absl::Duration refresh_ahead = absl::ZeroDuration();
  /// Runs a function soon, on some other thread: an application's thread pool. With it, also the
  /// one who is to compute a stale or early value anew takes the old one at once. Functions given
  /// to it have to be run, before the LookAside is destroyed.
  std::function<void(std::function<void()>)> background;

  /// Where to look for what is not in the cache before computing: the pool that keys are being
  /// moved away from. Values keep what they have left to live if its servers say it; `ttl`
  /// otherwise. DeleteOnWrite and WriteThrough delete there, too, and before they do anything here;
  /// whoever deletes otherwise has to. (While others still fill that pool by leases, and its
  /// servers are without the meta protocol, what one of them stores at the moment of a write may be
  /// copied before it is taken back there.)
  Client* fill_from = nullptr;

  /// For each request to the cache; zero: ClientOptions::call_timeout. What is not reached is
  /// computed.
  absl::Duration cache_timeout = absl::ZeroDuration();
};

/// What GetOrCompute found.
struct Fetched {
  /// Nothing: the computation said that there is nothing.
  std::optional<std::string> value;
  enum class Source : uint8_t {
    kCache,
    kStale,     ///< From the cache, but invalidated.
    kComputed,  ///< By this call.
    kShared,    ///< By another one, of this process or another, while this one waited.
    kFilled,    ///< From LookAsideOptions::fill_from.
  };
  Source source = Source::kCache;
  /// Why the value is not in the cache: not reached, refused, or (Aborted) the key was deleted
  /// while it was computed.
  absl::Status cache;
  /// Why there is an older value in place of a new one.
  absl::Status compute;
  /// Why LookAsideOptions::fill_from did not say whether it has what was computed.
  absl::Status fill;
};

/// What became of a write to the database, and of what the cache had of it.
struct Written {
  absl::Status write;  ///< The application's function's answer.
  /// Not ok: the cache may go on serving what was true before the write, until that expires.
  absl::Status cache;
};

/// Look-aside caching in one call: a value from the cache, or else from a function whose answer is
/// then cached. Of all who ask for a missing value at the same time, in all processes, one computes
/// it: threads of one process meet here, processes by leases (cairn/lease.h). A cache server that
/// is not reached counts as one that has nothing: then one thread of each process computes.
///
///   LookAside pages(cache.get(), {.ttl = absl::Minutes(5)});
///   auto page = pages.GetOrCompute("page:42", [] { return RenderPage(42); });
///   if (page.ok() && page->value.has_value()) return *page->value;
///
/// For event loops and coroutines: cairn/async_look_aside.h.
///
/// Thread-safe. Waiting is bounded by `wait_max`, and no lock is held meanwhile. Exceptions of the
/// application's functions pass through; the lease is given back and those who wait get Aborted.
///
/// Keys that are used here are to be read here (or with GetWithLease), and deleted or changed here
/// (or with DeleteAndLease and Invalidate).
class CAIRN_EXPORT LookAside {
 public:
  /// Nothing: there is none, as opposed to a failure.
  using Value = absl::StatusOr<std::optional<std::string>>;
  using Compute = std::function<Value()>;
  /// An answer for each of the keys, in their order; or an error for all.
  using ComputeMulti = std::function<absl::StatusOr<std::vector<std::optional<std::string>>>(
      std::span<const std::string_view> keys)>;

  /// `client` (and fill_from) outlives it.
  explicit LookAside(Client* client) : LookAside(client, LookAsideOptions()) {}
  LookAside(Client* client, LookAsideOptions options);
  /// REQUIRES: no call is running, nor any function given to LookAsideOptions::background
  ~LookAside();
  LookAside(const LookAside&) = delete;
  LookAside& operator=(const LookAside&) = delete;

  const LookAsideOptions& options() const;

  /// An error is the computation's, or DeadlineExceeded after waiting for somebody else's. An error
  /// of the computation is also that of the threads that waited for it; the lease is given back, so
  /// that whoever asks next tries again. An older value is not served any more once a computation
  /// has said what is true instead, though that be nothing or not to be stored. A computation that
  /// asks here for its own key waits for itself, until `wait_max`.
  absl::StatusOr<Fetched> GetOrCompute(std::string_view key, const Compute& compute);
  absl::StatusOr<Fetched> GetOrCompute(std::string_view key, const LookAsideOptions& options,
                                       const Compute& compute);

  /// The same for many keys: one question to the cache, and one computation of all the keys that
  /// are this caller's to compute. An answer a key, in their order.
  std::vector<absl::StatusOr<Fetched>> GetMultiOrCompute(std::span<const std::string_view> keys,
                                                         const ComputeMulti& compute);
  std::vector<absl::StatusOr<Fetched>> GetMultiOrCompute(std::span<const std::string_view> keys,
                                                         const LookAsideOptions& options,
                                                         const ComputeMulti& compute);

  using Write = std::function<absl::Status()>;

  /// Runs `write`, which changes the database, and then deletes what the cache has of it; or leaves
  /// it to be served as stale for `stale_for` while one computes it anew. Also when the write
  /// failed or threw, since it may have been carried out. What others computed from before the
  /// write is not stored after it. With ClientOptions::eject or backups a key whose server is left
  /// alone is deleted where it is then: `cache` is ok, and the server's own copy, which is as old
  /// as that, is found again when the server is back. The same holds for WriteThrough.
  Written DeleteOnWrite(std::span<const std::string_view> keys, const Write& write,
                        absl::Duration stale_for = absl::ZeroDuration());

  /// Runs `write` and then stores what it has written. If anything else happened to the key
  /// meanwhile (another write, a computation that read the database before this one) nobody knows
  /// which of the two is the later, and the key is deleted: what stays in the cache is never older
  /// than the database. Without the meta protocol, a key that was not in the cache is deleted, not
  /// stored. `cache` is ok also then.
  Written WriteThrough(std::string_view key, std::string_view value, const Write& write);

  /// What is in the cache, stale or not; a Fetched without value if nothing is known to be there.
  /// Nothing at all when it is to be computed, or when the value is empty: nobody can tell that
  /// from what stands in the place of a value that is being computed.
  absl::StatusOr<std::optional<Fetched>> Peek(std::string_view key);

  /// Of all calls so far.
  struct Counters {
    uint64_t hits = 0;         ///< keys found in the cache, stale ones included
    uint64_t stale = 0;        ///< of those, stale ones
    uint64_t computed = 0;     ///< keys computed, successfully or not
    uint64_t failed = 0;       ///< of those, without success
    uint64_t shared = 0;       ///< keys that somebody else computed while a call waited
    uint64_t filled = 0;       ///< keys found in fill_from
    uint64_t not_reached = 0;  ///< keys whose server was not reached
    uint64_t not_stored = 0;   ///< computed values that are not in the cache
    uint64_t waits_ended = 0;  ///< keys for which wait_max was too short
  };
  Counters counters() const;

 private:
  friend class AsyncLookAside;
  friend class LookAsideCall;
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace cairn
