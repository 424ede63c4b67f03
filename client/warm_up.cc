// Filling a cache with the values of many keys, on threads and on loops.
#include "cairn/warm_up.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "cairn/async_warm_up.h"
#include "client/async_impl.h"
#include "client/look_aside_impl.h"
#include "client/server_state.h"

namespace cairn {

CAIRN_ASYNC_RESULT(WarmUpProgress);
// async_look_aside.cc has this one.
extern CAIRN_ASYNC_RESULT(std::vector<absl::StatusOr<Fetched>>);

namespace {

using Results = std::vector<absl::StatusOr<Fetched>>;
using Loaded = absl::StatusOr<std::vector<std::optional<std::string>>>;

/// How far a warm-up is, and what is to be asked for next. Thread-compatible.
class WarmUpState {
 public:
  /// Of the keys in their order.
  struct Batch {
    size_t first;
    size_t size;
    Clock::time_point start;  // not to be begun before
  };

  /// `options` outlive it.
  WarmUpState(size_t keys, const WarmUpOptions* options)
      : keys_(keys),
        options_(*options),
        batch_(std::clamp<size_t>(options->batch, 1, std::max<size_t>(keys, 1))) {}

  /// Batches under way at a time.
  size_t concurrency() const {
    const size_t batches = (keys_ + batch_ - 1) / batch_;
    return std::min(std::max<size_t>(options_.concurrency, 1), batches);
  }

  std::optional<Batch> Next() {
    if (stopped_ || next_ == keys_) return std::nullopt;
    Batch batch;
    batch.first = next_;
    batch.size = std::min(batch_, keys_ - next_);
    next_ += batch.size;
    batch.start = next_start_ = std::max(next_start_, Clock::now());
    if (options_.keys_per_second > 0) {
      next_start_ +=
          ToClock(absl::Seconds(static_cast<double>(batch.size) / options_.keys_per_second));
    }
    return batch;
  }

  void Report(const Results& results) {
    for (const absl::StatusOr<Fetched>& result : results) {
      ++progress_.keys;
      absl::Status failure = result.ok() ? result->cache : result.status();
      if (result.ok() && !result->compute.ok()) failure = result->compute;
      if (result.ok() && !result->value.has_value() && !result->fill.ok()) failure = result->fill;
      if (absl::IsDeadlineExceeded(result.status())) {
        ++progress_.taken;
      } else if (!failure.ok()) {
        ++progress_.failed;
        progress_.failure.Update(failure);
      } else if (result->source == Fetched::Source::kComputed ||
                 result->source == Fetched::Source::kFilled) {
        ++(result->value.has_value() ? progress_.stored : progress_.absent);
      } else {
        ++progress_.present;
      }
    }
    if (options_.progress && !options_.progress(progress_)) Stop(absl::OkStatus());
  }

  /// No more batches are begun.
  void Stop(const absl::Status& why) {
    stopped_ = true;
    progress_.failure.Update(why);
  }
  bool stopped() const { return stopped_; }
  const WarmUpProgress& progress() const { return progress_; }

 private:
  const size_t keys_;
  const WarmUpOptions& options_;
  const size_t batch_;
  size_t next_ = 0;
  Clock::time_point next_start_ = Clock::now();
  bool stopped_ = false;
  WarmUpProgress progress_;
};

// What somebody else computes will be there without us; nothing is refreshed that is good.
LookAsideOptions ForWarmUp(LookAsideOptions options) {
  options.wait_max = absl::ZeroDuration();
  options.after_waiting = LookAsideOptions::AfterWaiting::kFail;
  options.refresh_ahead = absl::ZeroDuration();
  options.background = nullptr;
  return options;
}

// Not to be taken for having waited for somebody else.
Loaded NoDeadline(Loaded loaded) {
  if (!absl::IsDeadlineExceeded(loaded.status())) return loaded;
  return absl::UnavailableError(loaded.status().message());
}

LookAsideOptions ForCopying(Client* from, absl::Duration ttl) {
  LookAsideOptions options;
  options.ttl = ttl;
  options.negative_ttl = absl::Seconds(-1);  // what is not there may yet be true
  options.fill_from = from;
  return options;
}

std::vector<std::optional<std::string>> NothingFor(size_t keys) {
  return std::vector<std::optional<std::string>>(keys);
}

/// Batches on threads.
class ThreadedRun {
 public:
  ThreadedRun(LookAside* look_aside, std::span<const std::string_view> keys,
              const LookAside::ComputeMulti& load, const WarmUpOptions& options)
      : look_aside_(*look_aside),
        keys_(keys),
        load_([&load](std::span<const std::string_view> missing) {
          return NoDeadline(load(missing));
        }),
        look_options_(ForWarmUp(look_aside->options())),
        state_(keys.size(), &options) {}

  WarmUpProgress Run() {
    size_t threads_count = 0;
    {
      absl::MutexLock lock(&mutex_);
      threads_count = state_.concurrency();
    }
    std::vector<std::thread> threads;
    for (size_t i = 1; i < threads_count; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    absl::MutexLock lock(&mutex_);
    if (exception_ != nullptr) std::rethrow_exception(exception_);
    return state_.progress();
  }

 private:
  void Work() {
    // Threads cannot let an exception of the application's through; the caller gets it.
    try {
      while (const std::optional<std::span<const std::string_view>> batch = NextBatch()) {
        const Results results = look_aside_.GetMultiOrCompute(*batch, look_options_, load_);
        absl::MutexLock lock(&mutex_);
        state_.Report(results);
        if (state_.stopped()) stopped_.SignalAll();
      }
    } catch (...) {
      absl::MutexLock lock(&mutex_);
      state_.Stop(absl::OkStatus());
      stopped_.SignalAll();
      exception_ = std::current_exception();
    }
  }

  // Waits until it is to begin.
  std::optional<std::span<const std::string_view>> NextBatch() {
    absl::MutexLock lock(&mutex_);
    const std::optional<WarmUpState::Batch> batch = state_.Next();
    if (!batch.has_value()) return std::nullopt;
    for (;;) {
      if (state_.stopped()) return std::nullopt;
      const Clock::duration left = batch->start - Clock::now();
      if (left <= Clock::duration::zero()) return keys_.subspan(batch->first, batch->size);
      stopped_.WaitWithTimeout(&mutex_, absl::FromChrono(left));
    }
  }

  LookAside& look_aside_;
  const std::span<const std::string_view> keys_;
  const LookAside::ComputeMulti load_;
  const LookAsideOptions look_options_;

  absl::Mutex mutex_;
  absl::CondVar stopped_;  // for those who wait until their batch is to begin
  WarmUpState state_ ABSL_GUARDED_BY(mutex_);
  std::exception_ptr exception_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

/// Batches on a loop, on whose thread everything happens but the beginning. It keeps itself until
/// it is over: the loop has calls of it, or its wait.
class CAIRN_HIDDEN AsyncWarmUpRun final : public LoopWait,
                                          public std::enable_shared_from_this<AsyncWarmUpRun> {
 public:
  static AsyncResult<WarmUpProgress> Prepared(AsyncLookAside look_aside,
                                              std::vector<std::string> keys,
                                              AsyncLookAside::ComputeMulti load,
                                              WarmUpOptions options) {
    AsyncClient& async = *look_aside.async_;
    EventDriver* const driver = AsyncBuilder::DriverOf(async);
    if (driver == nullptr) {
      WarmUpProgress none;
      none.keys = none.failed = keys.size();
      none.failure = async.status();
      return AsyncBuilder::Known(async, std::move(none));
    }
    return AsyncBuilder::Begun<WarmUpProgress>(
        async,
        [run = std::make_shared<AsyncWarmUpRun>(driver, std::move(look_aside), std::move(keys),
                                                std::move(load), std::move(options))](
            std::function<void(WarmUpProgress)> done) { run->Begin(std::move(done)); });
  }

  AsyncWarmUpRun(EventDriver* driver, AsyncLookAside look_aside, std::vector<std::string> keys,
                 AsyncLookAside::ComputeMulti load, WarmUpOptions options)
      : driver_(driver),
        look_aside_(std::move(look_aside)),
        look_options_(ForWarmUp(look_aside_.impl_->options())),
        keys_(std::move(keys)),
        load_([load = std::move(load)](std::vector<std::string> missing,
                                       const AsyncLookAside::DoneMulti& done) {
          load(std::move(missing), AsyncLookAside::DoneMulti([done](Loaded loaded) {
                 done(NoDeadline(std::move(loaded)));
               }));
        }),
        options_(Caught(std::move(options))),
        state_(keys_.size(), &options_) {}

  void Begin(std::function<void(WarmUpProgress)> done) {
    self_ = shared_from_this();
    done_ = std::move(done);
    driver_->port()->Post([self = self_] { self->Go(); });
  }

 private:
  // The loop's code is no place for an application's exceptions.
  static WarmUpOptions Caught(WarmUpOptions options) {
    if (options.progress == nullptr) return options;
    options.progress = [progress = std::move(options.progress)](const WarmUpProgress& now) {
      try {
        return progress(now);
      } catch (...) {
        return false;
      }
    };
    return options;
  }

  void Go() {
    while (!waiting_.has_value() && under_way_ < state_.concurrency()) {
      const std::optional<WarmUpState::Batch> batch = state_.Next();
      if (!batch.has_value()) break;
      if (driver_->stopping()) {
        state_.Stop(LoopEnds());
      } else if (batch->start > Clock::now()) {
        waiting_ = batch;
        driver_->Wait(this, batch->start);
      } else {
        Load(*batch);
      }
    }
    if (under_way_ > 0 || waiting_.has_value()) return;
    const std::shared_ptr<AsyncWarmUpRun> self = std::move(self_);
    done_(state_.progress());
  }

  void Load(const WarmUpState::Batch& batch) {
    ++under_way_;
    const auto first = keys_.begin() + static_cast<std::ptrdiff_t>(batch.first);
    const std::vector<std::string_view> keys(first,
                                             first + static_cast<std::ptrdiff_t>(batch.size));
    look_aside_.GetMultiOrCompute(keys, look_options_, load_)
        .Then([self = shared_from_this()](const Results& results) {
          --self->under_way_;
          self->state_.Report(results);
          if (self->state_.stopped() && self->waiting_.has_value()) {
            self->driver_->EndWait(self.get());
            self->waiting_.reset();
          }
          self->Go();
        });
  }

  void OnMoment() override {
    const WarmUpState::Batch batch = *std::exchange(waiting_, std::nullopt);
    if (driver_->stopping()) {
      state_.Stop(LoopEnds());
    } else {
      Load(batch);
    }
    Go();
  }

  EventDriver* const driver_;
  const AsyncLookAside look_aside_;
  const LookAsideOptions look_options_;
  const std::vector<std::string> keys_;
  const AsyncLookAside::ComputeMulti load_;
  const WarmUpOptions options_;
  std::function<void(WarmUpProgress)> done_;

  std::shared_ptr<AsyncWarmUpRun> self_;
  WarmUpState state_;
  size_t under_way_ = 0;
  std::optional<WarmUpState::Batch> waiting_;  // until it is to begin
};

WarmUpProgress WarmUp(LookAside* look_aside, std::span<const std::string_view> keys,
                      const LookAside::ComputeMulti& load, const WarmUpOptions& options) {
  return ThreadedRun(look_aside, keys, load, options).Run();
}

WarmUpProgress WarmUpFromPool(Client* to, Client* from, std::span<const std::string_view> keys,
                              absl::Duration ttl, const WarmUpOptions& options) {
  LookAside look_aside(to, ForCopying(from, ttl));
  const LookAside::ComputeMulti nothing = [](std::span<const std::string_view> missing) -> Loaded {
    return NothingFor(missing.size());
  };
  return WarmUp(&look_aside, keys, nothing, options);
}

AsyncResult<WarmUpProgress> AsyncWarmUp(AsyncLookAside look_aside, std::vector<std::string> keys,
                                        AsyncLookAside::ComputeMulti load, WarmUpOptions options) {
  return AsyncWarmUpRun::Prepared(std::move(look_aside), std::move(keys), std::move(load),
                                  std::move(options));
}

AsyncResult<WarmUpProgress> AsyncWarmUpFromPool(Client* to, Client* from,
                                                std::vector<std::string> keys, absl::Duration ttl,
                                                WarmUpOptions options) {
  LookAside look_aside(to, ForCopying(from, ttl));
  const AsyncLookAside::ComputeMulti nothing = [](const std::vector<std::string>& missing,
                                                  const AsyncLookAside::DoneMulti& done) {
    done(NothingFor(missing.size()));
  };
  return AsyncWarmUp(AsyncLookAside(&look_aside), std::move(keys), nothing, std::move(options));
}

}  // namespace cairn
