#include "cairn/async_look_aside.h"

#include "client/async_impl.h"
#include "client/async_results.h"
#include "client/look_aside_call.h"
#include "client/look_aside_impl.h"

namespace cairn {

CAIRN_ASYNC_RESULT(absl::StatusOr<Fetched>);
CAIRN_ASYNC_RESULT(std::vector<absl::StatusOr<Fetched>>);

using Need = LookAsideCall::Need;

/// Drives a LookAsideCall on a loop. Everything but its beginning happens there. It keeps itself
/// until it is over: the loop has either a request of it, or its wait.
class AsyncLookAside::Call final : public LoopWait, public std::enable_shared_from_this<Call> {
 public:
  /// `options`: null for those of `impl`.
  Call(const AsyncLookAside& from, const LookAsideOptions* options, ComputeMulti compute)
      : Call(from.impl_, from.async_, options, std::move(compute)) {}
  Call(std::shared_ptr<LookAside::Impl> impl, AsyncClient* async, const LookAsideOptions* options,
       ComputeMulti compute)
      : impl_(std::move(impl)), async_(*async), compute_(std::move(compute)) {
    if (options != nullptr) own_options_ = *options;
    driver_ = AsyncBuilder::DriverOf(async_);
    if (driver_ != nullptr) port_ = driver_->port();
  }

  void set_keys(std::span<const std::string_view> keys) { keys_.assign(keys.begin(), keys.end()); }
  size_t size() const { return keys_.size(); }
  /// Null: there is no loop, and the call cannot begin.
  EventDriver* driver() const { return driver_; }

  void Begin(std::function<void(Results)> done) {
    self_ = shared_from_this();
    done_ = std::move(done);
    call_ = std::make_unique<LookAsideCall>(impl_.get(), &options());
    call_->Begin(std::vector<std::string_view>(keys_.begin(), keys_.end()));
    if (call_->need() != Need::kNothing) return Drive();
    port_->Post([self = self_] { self->Drive(); });
  }

 private:
  const LookAsideOptions& options() const {
    return own_options_.has_value() ? *own_options_ : impl_->options();
  }
  CallOptions CacheCall() const {
    CallOptions call;
    call.timeout = options().cache_timeout;
    return call;
  }

  // Goes on with what was needed, unless the loop ends.
  template <typename Bring>
  void GoOn(const Bring& bring) {
    if (driver_->stopping()) {
      call_->Cancel(LoopEnds());
    } else {
      bring();
    }
    Drive();
  }

  void Drive() {
    for (;;) {
      switch (call_->need()) {
        case Need::kLeases:
          return Ask();
        case Need::kFilling:
          return Fill();
        case Need::kComputation:
          return Compute();
        case Need::kStores:
          return async_.SetMultiWithLease(call_->stores(), CacheCall())
              .Then([this](const std::vector<absl::StatusOr<bool>>& outcomes) {
                GoOn([&] { call_->OnStored(outcomes); });
              });
        case Need::kReleases:
          if (Release()) return;
          call_->OnReleased();
          break;
        case Need::kWaiting:
          if (Wait()) return;
          call_->OnWaited();
          break;
        case Need::kNothing:
          return End();
      }
    }
  }

  void Ask() {
    const std::span<const std::string_view> keys = call_->keys();
    if (keys.size() == 1) {
      return async_.GetWithLease(keys[0], call_->leases())
          .Then([this](absl::StatusOr<LeasedItem> answer) {
            OnLeases({&answer, 1});
          });
    }
    async_.GetMultiWithLease(keys, call_->leases())
        .Then([this](std::vector<absl::StatusOr<LeasedItem>> answers) { OnLeases(answers); });
  }

  void OnLeases(std::span<absl::StatusOr<LeasedItem>> answers) {
    GoOn([&] {
      call_->OnLeases(answers);
      if (call_->has_later()) Refresh();
    });
  }

  // Soon, since this call may be over, and then its caller is served first.
  void Refresh() {
    auto later = std::make_shared<Call>(impl_, &async_, &options(), compute_);
    later->call_ = call_->MoveLater(&later->options(), &later->keys_);
    port_->Post([later = std::move(later)] {
      later->self_ = later;
      later->GoOn([] {});
    });
  }

  void Fill() {
    LeaseOptions plain;
    plain.lease = absl::ZeroDuration();
    plain.timeout = options().cache_timeout;
    driver_->Wait(this, Clock::time_point::max());
    options()
        .fill_from->Async()
        .GetMultiWithLease(call_->keys(), plain)
        .Then(PostedHere<std::vector<absl::StatusOr<LeasedItem>>>(Need::kFilling,
                                                                  &LookAsideCall::OnFilled));
  }

  void Compute() {
    driver_->Wait(this, Clock::time_point::max());
    const std::span<const std::string_view> keys = call_->keys();
    DoneMulti done(
        PostedHere<LookAsideCall::Computed>(Need::kComputation, &LookAsideCall::OnComputed));
    try {
      compute_({keys.begin(), keys.end()}, std::move(done));
    } catch (...) {  // NOLINT(bugprone-empty-catch): what it leaves is dropped, and that is told
    }
  }

  // Brings to this loop what is told elsewhere, maybe when the loop is no more.
  template <typename T>
  std::function<void(T)> PostedHere(Need need, void (LookAsideCall::*bring)(T)) {
    return [weak = weak_from_this(), port = port_, need, bring](T told) {
      port->Post([weak, need, bring, told = std::move(told)]() mutable {
        const std::shared_ptr<Call> self = weak.lock();
        if (self == nullptr || self->call_ == nullptr || self->call_->need() != need) return;
        self->driver_->EndWait(self.get());
        self->GoOn([&] { (self->call_.get()->*bring)(std::move(told)); });
      });
    };
  }

  // False: they are another loop's, and not waited for.
  bool Release() {
    Client* const to = call_->releases_to();
    if (to != &impl_->client()) {
      to->Async().ReleaseMulti(call_->releases(), CacheCall()).Then([](const auto&) {});
      return false;
    }
    async_.ReleaseMulti(call_->releases(), CacheCall()).Then([this](const auto&) {
      GoOn([this] { call_->OnReleased(); });
    });
    return true;
  }

  // False: what is waited for has happened.
  bool Wait() {
    const bool flying = call_->Notify([weak = weak_from_this(), port = port_] {
      port->Post([weak] {
        const std::shared_ptr<Call> self = weak.lock();
        if (self == nullptr || self->call_ == nullptr) return;
        if (self->call_->need() != Need::kWaiting) return;
        self->driver_->EndWait(self.get());
        self->OnMoment();
      });
    });
    if (flying) driver_->Wait(this, call_->wait_end());
    return flying;
  }

  void OnMoment() override {
    GoOn([this] { call_->OnWaited(); });
  }

  void End() {
    Results results = call_->TakeResults();
    call_ = nullptr;
    const std::shared_ptr<Call> self = std::move(self_);
    if (done_ != nullptr) done_(std::move(results));
  }

  const std::shared_ptr<LookAside::Impl> impl_;
  AsyncClient& async_;
  const ComputeMulti compute_;
  std::optional<LookAsideOptions> own_options_;
  EventDriver* driver_ = nullptr;
  std::shared_ptr<LoopPort> port_;
  std::vector<std::string> keys_;
  std::function<void(Results)> done_;

  std::shared_ptr<Call> self_;
  std::unique_ptr<LookAsideCall> call_;
};

AsyncLookAside::AsyncLookAside(LookAside* look_aside)
    : AsyncLookAside(look_aside, &look_aside->impl_->client().Async()) {}

AsyncLookAside::AsyncLookAside(LookAside* look_aside, AsyncClient* async)
    : impl_(look_aside->impl_), async_(async) {}

template <typename T>
AsyncResult<T> AsyncLookAside::Prepared(std::shared_ptr<Call> call, T (*convert)(Results&&)) const {
  if (call->driver() == nullptr) {
    return AsyncBuilder::Known(*async_, convert(Results(call->size(), async_->status())));
  }
  return AsyncBuilder::Begun<T>(*async_,
                                [call = std::move(call), convert](std::function<void(T)> done) {
                                  call->Begin([convert, done = std::move(done)](Results results) {
                                    done(convert(std::move(results)));
                                  });
                                });
}

AsyncLookAside::ComputeMulti AsyncLookAside::ForOne(Compute compute) {
  return [compute = std::move(compute)](const std::vector<std::string>&, const DoneMulti& all) {
    compute(Done([all](LookAside::Value value) {
      if (!value.ok()) return all(value.status());
      std::vector<std::optional<std::string>> values;
      values.push_back(*std::move(value));
      all(std::move(values));
    }));
  };
}

AsyncResult<absl::StatusOr<Fetched>> AsyncLookAside::GetOrCompute(std::string_view key,
                                                                  Compute compute) const {
  const auto call = std::make_shared<Call>(*this, nullptr, ForOne(std::move(compute)));
  call->set_keys({&key, 1});
  return Prepared<absl::StatusOr<Fetched>>(
      call, +[](Results&& results) { return std::move(results[0]); });
}

AsyncResult<absl::StatusOr<Fetched>> AsyncLookAside::GetOrCompute(std::string_view key,
                                                                  const LookAsideOptions& options,
                                                                  Compute compute) const {
  const auto call = std::make_shared<Call>(*this, &options, ForOne(std::move(compute)));
  call->set_keys({&key, 1});
  return Prepared<absl::StatusOr<Fetched>>(
      call, +[](Results&& results) { return std::move(results[0]); });
}

AsyncResult<std::vector<absl::StatusOr<Fetched>>> AsyncLookAside::GetMultiOrCompute(
    std::span<const std::string_view> keys, ComputeMulti compute) const {
  const auto call = std::make_shared<Call>(*this, nullptr, std::move(compute));
  call->set_keys(keys);
  return Prepared<Results>(
      call, +[](Results&& results) { return std::move(results); });
}

AsyncResult<std::vector<absl::StatusOr<Fetched>>> AsyncLookAside::GetMultiOrCompute(
    std::span<const std::string_view> keys, const LookAsideOptions& options,
    ComputeMulti compute) const {
  const auto call = std::make_shared<Call>(*this, &options, std::move(compute));
  call->set_keys(keys);
  return Prepared<Results>(
      call, +[](Results&& results) { return std::move(results); });
}

}  // namespace cairn
