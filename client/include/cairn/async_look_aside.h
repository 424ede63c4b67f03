#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/async.h"
#include "cairn/export.h"
#include "cairn/look_aside.h"

namespace cairn {

/// The end of something that an application does without waiting: to be called with what came of
/// it, once, from any thread. Copies are the same one, and what comes after the first call is
/// ignored. When the last copy is gone without a call, that is a failure (Aborted): nobody waits
/// for what does not come. Thread-safe.
template <typename T>
class Completion {
 public:
  /// `deliver` is called once, on the thread that completes.
  explicit Completion(std::function<void(T)> deliver)
      : state_(std::make_shared<State>(std::move(deliver))) {}

  void operator()(T outcome) const { state_->Deliver(std::move(outcome)); }

 private:
  class State {
   public:
    explicit State(std::function<void(T)> deliver) : deliver_(std::move(deliver)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { Deliver(absl::AbortedError("dropped without an answer")); }
    void Deliver(T outcome) {
      if (!delivered_.exchange(true)) deliver_(std::move(outcome));
    }

   private:
    std::atomic<bool> delivered_{false};
    const std::function<void(T)> deliver_;
  };
  std::shared_ptr<State> state_;
};

/// LookAside for event loops and coroutines: the same calls without waiting, on an AsyncClient's
/// loop, and the same in everything else. It shares its LookAside with the threads that use that:
/// of all callers in the process, waiting or not, one computes. What waits for another process does
/// so by timers.
///
///   LookAside pages(cache.get(), {.ttl = absl::Minutes(5)});
///   AsyncLookAside async(&pages);
///   auto page = co_await async.GetOrCompute("page:42", [&](AsyncLookAside::Done done) {
///     database.Query("...", [done](Row row) { done(Render(row)); });
///   });
///
/// The application's functions are called on the loop's thread, where they must not wait: they
/// begin something and pass `done` on. One that has nothing but a function that waits lets a thread
/// of its own run that:
///
///   [&](auto done) { threads.Run([done] { done(Render(42)); }); }
///
/// and a coroutine takes it along: [&](auto done) { RenderLater(std::move(done)); } with
///
///   Task RenderLater(AsyncLookAside::Done done) { done(Render(co_await Row(42))); }
///
/// An exception that leaves the function counts as `done` dropped. There is no bound on how long a
/// computation takes, but after LookAsideOptions::lease another process may begin one.
///
/// LookAsideOptions are kept as they are by the calls that wait but for two: with `background` set,
/// to whatever, the one who is to compute a stale or early value anew takes the old one at once,
/// and the computation is begun on the loop all the same; and `fill_from` is asked on its own
/// Async(), whose thread is then started.
///
/// A value; copies are the same. Thread-safe.
class CAIRN_EXPORT AsyncLookAside {
 public:
  using Done = Completion<LookAside::Value>;
  using DoneMulti = Completion<absl::StatusOr<std::vector<std::optional<std::string>>>>;
  using DoneWrite = Completion<absl::Status>;
  using Compute = std::function<void(Done done)>;
  /// `done` takes an answer for each of the keys, in their order; or an error for all.
  using ComputeMulti = std::function<void(std::vector<std::string> keys, DoneMulti done)>;
  /// Changes the database.
  using Write = std::function<void(DoneWrite done)>;

  /// On the loop of the LookAside's Client (Client::Async()).
  explicit AsyncLookAside(LookAside* look_aside);
  /// On the loop of `async`, which is of the same Client.
  AsyncLookAside(LookAside* look_aside, AsyncClient* async);

  /// See LookAside. The calls end as Cancelled when the AsyncClient is destroyed while they are
  /// under way, whose leases are then left to their end. Calls that have begun, and computations in
  /// the background, need the AsyncClient and the Clients, but the LookAside no more.
  AsyncResult<absl::StatusOr<Fetched>> GetOrCompute(std::string_view key, Compute compute) const;
  AsyncResult<absl::StatusOr<Fetched>> GetOrCompute(std::string_view key,
                                                    const LookAsideOptions& options,
                                                    Compute compute) const;
  AsyncResult<std::vector<absl::StatusOr<Fetched>>> GetMultiOrCompute(
      std::span<const std::string_view> keys, ComputeMulti compute) const;
  AsyncResult<std::vector<absl::StatusOr<Fetched>>> GetMultiOrCompute(
      std::span<const std::string_view> keys, const LookAsideOptions& options,
      ComputeMulti compute) const;

  /// See LookAside. A write that throws or drops `done` counts as one that failed (Aborted), and
  /// may have been carried out. At the loop's end neither is waited for any more, and what the
  /// cache has stays: a write that began may have happened while `cache` is Cancelled.
  AsyncResult<Written> DeleteOnWrite(std::span<const std::string_view> keys, Write write,
                                     absl::Duration stale_for = absl::ZeroDuration()) const;
  AsyncResult<Written> WriteThrough(std::string_view key, std::string_view value,
                                    Write write) const;

  /// See LookAside.
  AsyncResult<absl::StatusOr<std::optional<Fetched>>> Peek(std::string_view key) const;

 private:
  friend class AsyncWarmUpRun;
  using Results = std::vector<absl::StatusOr<Fetched>>;
  class Call;
  template <typename T>
  AsyncResult<T> Prepared(std::shared_ptr<Call> call, T (*convert)(Results&&)) const;
  static ComputeMulti ForOne(Compute compute);

  std::shared_ptr<LookAside::Impl> impl_;
  AsyncClient* async_;
};

}  // namespace cairn
