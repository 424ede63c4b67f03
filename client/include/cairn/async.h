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
#include "cairn/options.h"
#include "cairn/results.h"

struct event_base;  // libevent's

namespace cairn {

// Private to the library.
class AsyncBuilder;
class AtHome;
template <typename T>
struct Step;

/// A call that was prepared and not begun: its request is written, so nothing that was given to it
/// needs to last, and its timeout runs. It begins when it is awaited or given a callback, once; one
/// that is dropped is never sent. Movable until then.
///
///   auto value = co_await client->Async().Get("key");
///   client->Async().Get("key").Then([](auto value) { ... });
///
/// Coroutines and callbacks go on on the loop's thread: what they do there holds up every other
/// completion, so they must not wait. They may make calls, of whatever kind; a blocking one waits.
/// A coroutine that waits for a call must not be destroyed before it goes on.
template <typename T>
class [[nodiscard]] CAIRN_EXPORT AsyncResult {
 public:
  AsyncResult(AsyncResult&&) noexcept;
  AsyncResult& operator=(AsyncResult&&) noexcept;
  ~AsyncResult();

  /// `done` is called exactly once, on the loop's thread and never within Then().
  void Then(std::function<void(T)> done) &&;

  // What co_await needs; for any kind of coroutine.
  bool await_ready() const;
  template <typename Handle>
  void await_suspend(Handle waiting) {
    Start([](void* address) { Handle::from_address(address).resume(); }, waiting.address());
  }
  T await_resume();

 private:
  friend class AsyncBuilder;
  friend class AsyncClient;
  struct State;  // private to the library
  explicit AsyncResult(std::unique_ptr<State> state);
  void Start(void (*resume)(void*), void* address);

  std::unique_ptr<State> state_;
};

/// The calls of a Client that do not wait; each says what its namesake there does, in the same
/// terms. They share one connection a server, and what is asked before the loop has its turn, or by
/// completions of the same turn, leaves in one write. Thread-safe.
///
/// Bulk calls go in waves, as there, so that they do not hold up others for long. All their
/// requests are written when they are prepared, and need memory besides the results until they are
/// answered.
class CAIRN_EXPORT AsyncClient {
 public:
  /// On the caller's libevent base, whose thread completes the calls. To be made and destroyed on
  /// that thread, or while the base does not run; it keeps the base busy, i.e. event_base_dispatch
  /// does not return by itself. `client` and `base` outlive it.
  AsyncClient(Client* client, event_base* base);
  /// Calls that are under way, and those that their completions make in turn, end as Cancelled. It
  /// returns once nothing new is asked, so completions that always ask again, whatever the error,
  /// keep it from returning.
  /// REQUIRES: not within a completion
  ~AsyncClient();
  AsyncClient(const AsyncClient&) = delete;
  AsyncClient& operator=(const AsyncClient&) = delete;

  AsyncResult<absl::StatusOr<std::optional<std::string>>> Get(std::string_view key,
                                                              const CallOptions& options = {});
  AsyncResult<absl::StatusOr<std::optional<Item>>> Gets(std::string_view key,
                                                        const CallOptions& options = {});
  AsyncResult<absl::StatusOr<std::optional<Item>>> GetAndTouch(std::string_view key,
                                                               absl::Duration ttl,
                                                               const CallOptions& options = {});
  AsyncResult<MultiGetResult> GetMulti(std::span<const std::string_view> keys,
                                       const CallOptions& options = {}, bool with_cas = false);

  AsyncResult<absl::Status> Set(std::string_view key, std::string_view value,
                                const WriteOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Add(std::string_view key, std::string_view value,
                                        const WriteOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Replace(std::string_view key, std::string_view value,
                                            const WriteOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Append(std::string_view key, std::string_view value,
                                           const CallOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Prepend(std::string_view key, std::string_view value,
                                            const CallOptions& options = {});
  AsyncResult<absl::StatusOr<CasOutcome>> CompareAndSwap(std::string_view key,
                                                         std::string_view value, uint64_t cas,
                                                         const WriteOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Delete(std::string_view key, const CallOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Touch(std::string_view key, absl::Duration ttl,
                                          const CallOptions& options = {});
  AsyncResult<absl::StatusOr<std::optional<uint64_t>>> Increment(std::string_view key,
                                                                 uint64_t delta = 1,
                                                                 const CallOptions& options = {});
  AsyncResult<absl::StatusOr<std::optional<uint64_t>>> Decrement(std::string_view key,
                                                                 uint64_t delta = 1,
                                                                 const CallOptions& options = {});
  AsyncResult<absl::StatusOr<uint64_t>> IncrementOrStart(std::string_view key, uint64_t delta,
                                                         uint64_t initial, absl::Duration ttl,
                                                         const CallOptions& options = {});
  AsyncResult<absl::StatusOr<uint64_t>> DecrementOrStart(std::string_view key, uint64_t delta,
                                                         uint64_t initial, absl::Duration ttl,
                                                         const CallOptions& options = {});
  AsyncResult<MultiWriteResult> SetMulti(std::span<const SetItem> items,
                                         const WriteOptions& options = {});
  AsyncResult<absl::Status> SetAll(std::span<const SetItem> items,
                                   const WriteOptions& options = {});
  AsyncResult<MultiWriteResult> DeleteMulti(std::span<const std::string_view> keys,
                                            const CallOptions& options = {});
  AsyncResult<MultiWriteResult> TouchMulti(std::span<const std::string_view> keys,
                                           absl::Duration ttl, const CallOptions& options = {});

  /// Leases (cairn/lease.h).
  AsyncResult<absl::StatusOr<LeasedItem>> GetWithLease(std::string_view key,
                                                       const LeaseOptions& options = {});
  AsyncResult<std::vector<absl::StatusOr<LeasedItem>>> GetMultiWithLease(
      std::span<const std::string_view> keys, const LeaseOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> SetWithLease(std::string_view key, std::string_view value,
                                                 const LeaseToken& token,
                                                 const WriteOptions& options = {});
  AsyncResult<std::vector<absl::StatusOr<bool>>> SetMultiWithLease(
      std::span<const LeasedStore> stores, const CallOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> ReleaseLease(std::string_view key, const LeaseToken& token,
                                                 const CallOptions& options = {});
  AsyncResult<std::vector<absl::StatusOr<bool>>> ReleaseMulti(std::span<const HeldLease> leases,
                                                              const CallOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> DeleteAndLease(std::string_view key,
                                                   const CallOptions& options = {});
  AsyncResult<absl::StatusOr<bool>> Invalidate(std::string_view key, absl::Duration stale_for,
                                               const CallOptions& options = {});
  AsyncResult<std::vector<absl::StatusOr<bool>>> InvalidateMulti(
      std::span<const std::string_view> keys, absl::Duration stale_for,
      const CallOptions& options = {});
  AsyncResult<absl::StatusOr<CasOutcome>> DeleteIf(std::string_view key, uint64_t cas,
                                                   const CallOptions& options = {});

  /// Not ok when there is no loop, e.g. for want of file descriptors: every call fails with it
  /// then.
  absl::Status status() const;

 private:
  friend class AsyncBuilder;
  friend class AtHome;
  friend class Client;
  struct Loop;  // private to the library
  AsyncClient(Client::Impl* impl, event_base* base);
  template <typename T>
  AsyncResult<T> Prepared(ResultImpl&& result, absl::Duration timeout, T (*convert)(ResultImpl&&));

  template <typename T>
  AsyncResult<T> Prepared(Step<T>&& step, absl::Duration timeout);

  Client::Impl* const impl_;
  const std::unique_ptr<Loop> loop_;
};

}  // namespace cairn
