#include "cairn/warm_up.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/server_state.h"

namespace cairn {
namespace {

/// The state that the threads of one warm-up share.
class WarmUpRun {
 public:
  WarmUpRun(LookAside* look_aside, std::span<const std::string_view> keys,
            const LookAside::ComputeMulti& load, const WarmUpOptions& options)
      : look_aside_(*look_aside),
        keys_(keys),
        load_([&load](std::span<const std::string_view> missing) {
          auto loaded = load(missing);
          // Not to be taken for having waited for somebody else.
          if (absl::IsDeadlineExceeded(loaded.status())) {
            loaded = absl::UnavailableError(loaded.status().message());
          }
          return loaded;
        }),
        options_(options),
        batch_(std::max<size_t>(options.batch, 1)),
        look_options_(look_aside->options()),
        next_start_(Clock::now()) {
    // What somebody else computes will be there without us; nothing is refreshed that is good.
    look_options_.wait_max = absl::ZeroDuration();
    look_options_.after_waiting = LookAsideOptions::AfterWaiting::kFail;
    look_options_.refresh_ahead = absl::ZeroDuration();
    look_options_.background = nullptr;
  }

  WarmUpProgress Run() {
    const size_t batches = (keys_.size() + batch_ - 1) / batch_;
    const size_t threads_count = std::min(std::max<size_t>(options_.concurrency, 1), batches);
    std::vector<std::thread> threads;
    for (size_t i = 1; i < threads_count; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    absl::MutexLock lock(&mutex_);
    if (exception_ != nullptr) std::rethrow_exception(exception_);
    return progress_;
  }

 private:
  void Work() {
    // Threads cannot let an exception of the application's through; the caller gets it.
    try {
      while (const std::optional<std::span<const std::string_view>> batch = NextBatch()) {
        Report(*batch, look_aside_.GetMultiOrCompute(*batch, look_options_, load_));
      }
    } catch (...) {
      absl::MutexLock lock(&mutex_);
      stopped_ = true;
      exception_ = std::current_exception();
    }
  }

  // Waits until it is to begin.
  std::optional<std::span<const std::string_view>> NextBatch() {
    std::span<const std::string_view> batch;
    Clock::time_point start;
    {
      absl::MutexLock lock(&mutex_);
      if (stopped_ || next_ == keys_.size()) return std::nullopt;
      batch = keys_.subspan(next_, std::min(batch_, keys_.size() - next_));
      next_ += batch.size();
      start = next_start_ = std::max(next_start_, Clock::now());
      if (options_.keys_per_second > 0) {
        next_start_ +=
            ToClock(absl::Seconds(static_cast<double>(batch.size()) / options_.keys_per_second));
      }
    }
    std::this_thread::sleep_until(start);
    return batch;
  }

  void Report(std::span<const std::string_view> batch,
              const std::vector<absl::StatusOr<Fetched>>& results) {
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < batch.size(); ++i) {
      ++progress_.keys;
      const absl::StatusOr<Fetched>& result = results[i];
      absl::Status failure = result.ok() ? result->cache : result.status();
      if (result.ok() && !result->compute.ok()) failure = result->compute;
      if (absl::IsDeadlineExceeded(result.status())) {
        ++progress_.taken;
      } else if (!failure.ok()) {
        ++progress_.failed;
        if (progress_.failure.ok()) progress_.failure = failure;
      } else if (result->source == Fetched::Source::kComputed ||
                 result->source == Fetched::Source::kFilled) {
        ++(result->value.has_value() ? progress_.stored : progress_.absent);
      } else {
        ++progress_.present;
      }
    }
    if (options_.progress && !options_.progress(progress_)) stopped_ = true;
  }

  LookAside& look_aside_;
  const std::span<const std::string_view> keys_;
  const LookAside::ComputeMulti load_;
  const WarmUpOptions& options_;
  const size_t batch_;
  LookAsideOptions look_options_;

  absl::Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point next_start_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  WarmUpProgress progress_ ABSL_GUARDED_BY(mutex_);
  std::exception_ptr exception_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

WarmUpProgress WarmUp(LookAside* look_aside, std::span<const std::string_view> keys,
                      const LookAside::ComputeMulti& load, const WarmUpOptions& options) {
  return WarmUpRun(look_aside, keys, load, options).Run();
}

WarmUpProgress WarmUpFromPool(Client* to, Client* from, std::span<const std::string_view> keys,
                              absl::Duration ttl, const WarmUpOptions& options) {
  LookAsideOptions look;
  look.ttl = ttl;
  look.fill_from = from;
  LookAside look_aside(to, look);
  const LookAside::ComputeMulti nothing = [](std::span<const std::string_view> missing)
      -> absl::StatusOr<std::vector<std::optional<std::string>>> {
    return std::vector<std::optional<std::string>>(missing.size());
  };
  return WarmUp(&look_aside, keys, nothing, options);
}

}  // namespace cairn
