#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "cairn/async.h"
#include "cairn/client.h"
#include "client/channel.h"
#include "client/lease_watch.h"
#include "client/operations.h"
#include "client/result_impl.h"
#include "client/router.h"
#include "client/server_state.h"
#include "client/step.h"
#include "client/value_codec.h"

namespace cairn {

/// What every call of a Client is made with.
class CAIRN_HIDDEN Client::Impl {
 public:
  explicit Impl(ClientOptions options) : options_(std::move(options)) {}

  absl::Status Init();

  const ClientOptions& options() const { return options_; }
  const std::vector<std::unique_ptr<ServerState>>& servers() const { return router_.servers(); }
  Router& router() { return router_; }
  Operations& operations() { return operations_; }
  LeaseWatch& lease_watch() { return lease_watch_; }
  /// Made when it is first asked for.
  AsyncClient& Async() ABSL_LOCKS_EXCLUDED(async_mutex_);

  /// Runs steps, and waits for them: for all together no longer than `timeout`.
  template <typename T>
  T RanSteps(Step<T> step, absl::Duration timeout) {
    Clock::time_point deadline = DeadlineAfter(timeout, Clock::now());
    if (step.request.has_value()) deadline -= step.request->encoding;
    return RanStepsUntil(std::move(step), deadline);
  }
  /// `traced`, `context`: what is known from a request that ran before these.
  template <typename T>
  T RanStepsUntil(Step<T> step, Clock::time_point deadline, bool traced = false,
                  uint64_t context = 0) {
    Clock::time_point now = Clock::now();
    while (!step.outcome.has_value()) {
      ResultImpl& request = *step.request;
      request.call->traced = traced;
      request.call->trace_context = context;
      if (!request.call->parts.empty() && now < deadline) Run(*request.call, now, deadline);
      traced = request.call->traced;
      context = request.call->trace_context;
      request.Snapshot();
      // The function is not to be replaced while it runs.
      const typename Step<T>::Then then = std::move(step.then);
      step = then(std::move(request));
      now = Clock::now();
    }
    return *std::move(step.outcome);
  }
  /// Runs what was prepared, and waits for it; not when encoding it took all of its time.
  ResultImpl Ran(ResultImpl result, absl::Duration timeout) {
    if (!result.call->parts.empty()) {
      const Clock::time_point now = Clock::now();
      const Clock::time_point deadline = DeadlineAfter(timeout, now) - result.encoding;
      if (now < deadline) {
        Run(*result.call, now, deadline);
      } else {
        result.TimeOutFrom(0);
      }
    }
    result.Snapshot();
    return result;
  }
  /// `prepare` is called with an Operations::RunWave.
  template <typename Prepare>
  ResultImpl RanInWaves(absl::Duration timeout, const Prepare& prepare) {
    const Clock::time_point deadline = DeadlineAfter(timeout, Clock::now());
    ResultImpl result = prepare(RunUntil(deadline));
    result.Snapshot();
    return result;
  }

  /// The same for steps of which the first request is of many keys; `prepare` gives them.
  template <typename Prepare>
  auto RanStepsInWaves(absl::Duration timeout, const Prepare& prepare) {
    const Clock::time_point deadline = DeadlineAfter(timeout, Clock::now());
    auto step = prepare(RunUntil(deadline));
    step.request->Snapshot();
    const bool traced = step.request->call->traced;
    const uint64_t context = step.request->call->trace_context;
    return RanStepsUntil(step.then(*std::move(step.request)), deadline, traced, context);
  }

  /// For a bulk call that is only prepared: stops when its time is up.
  Operations::RunWave OnlyPrepare(absl::Duration timeout) const {
    return {nullptr, DeadlineAfter(timeout, Clock::now())};
  }

  Clock::time_point DeadlineAfter(absl::Duration timeout, Clock::time_point now) const {
    return now + (timeout == absl::ZeroDuration() ? call_timeout_ : ToClock(timeout));
  }

 private:
  Operations::RunWave RunUntil(Clock::time_point deadline) {
    return {[this, deadline](Call& call) { return Run(call, Clock::now(), deadline); }, deadline};
  }
  /// Runs what was not submitted of `call`, wave by wave; false when its time was up first.
  bool Run(Call& call, Clock::time_point now, Clock::time_point deadline);

  const ClientOptions options_;
  const Clock::duration call_timeout_ = ToClock(options_.call_timeout);
  std::unique_ptr<ValueCodec> codec_;
  Router router_{&options_};
  Operations operations_{&options_, &router_};
  LeaseWatch lease_watch_;
  std::vector<std::unique_ptr<Channel>> channels_;

  absl::Mutex async_mutex_;
  std::unique_ptr<AsyncClient> async_ ABSL_GUARDED_BY(async_mutex_);
};

}  // namespace cairn
