#include "cairn/look_aside.h"

#include <utility>

#include "absl/time/clock.h"
#include "client/look_aside_call.h"
#include "client/look_aside_impl.h"

namespace cairn {
namespace {

using Need = LookAsideCall::Need;

// Drives a call on the thread that waits for it.
class Driver {
 public:
  Driver(Client* client, LookAsideCall* call, const LookAside::ComputeMulti* compute)
      : client_(*client), call_(*call), compute_(*compute) {}

  void Run() {
    while (call_.need() != Need::kNothing) Bring();
  }

 private:
  // Ends a computation that is left by an exception: nobody waits for what does not come.
  class Guard {
   public:
    explicit Guard(Driver* driver) : driver_(driver) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (driver_ != nullptr) driver_->Leave();
    }
    void Dismiss() { driver_ = nullptr; }

   private:
    Driver* driver_;
  };

  void Bring() {
    CallOptions call;
    call.timeout = call_.options().cache_timeout;
    switch (call_.need()) {
      case Need::kLeases:
        return Ask();
      case Need::kFilling:
        return Fill();
      case Need::kComputation:
        return Compute();
      case Need::kStores:
        return call_.OnStored(client_.SetMultiWithLease(call_.stores(), call));
      case Need::kReleases:
        // Not more than an attempt: leases end anyway.
        (void)call_.releases_to()->ReleaseMulti(call_.releases(), call);
        return call_.OnReleased();
      case Need::kWaiting:
        call_.awaited().Await(absl::FromChrono(call_.wait_end() - Clock::now()));
        return call_.OnWaited();
      case Need::kNothing:
        return;
    }
  }

  void Ask() {
    const std::span<const std::string_view> keys = call_.keys();
    if (keys.size() == 1) {
      absl::StatusOr<LeasedItem> answer = client_.GetWithLease(keys[0], call_.leases());
      call_.OnLeases({&answer, 1});
    } else {
      std::vector<absl::StatusOr<LeasedItem>> answers =
          client_.GetMultiWithLease(keys, call_.leases());
      call_.OnLeases(answers);
    }
    if (call_.has_later()) Refresh();
  }

  void Refresh() {
    struct Job {
      Job(Client* client, LookAsideCall* from, const LookAside::ComputeMulti& function)
          : options(from->options()),
            compute(function),
            call(from->MoveLater(&options, &keys)),
            driver(client, call.get(), &compute) {}
      const LookAsideOptions options;
      const LookAside::ComputeMulti compute;
      std::vector<std::string> keys;
      const std::unique_ptr<LookAsideCall> call;
      Driver driver;
    };
    const auto job = std::make_shared<Job>(&client_, &call_, compute_);
    call_.options().background([job] { job->driver.Run(); });
  }

  void Fill() {
    LeaseOptions plain;
    plain.lease = absl::ZeroDuration();
    plain.timeout = call_.options().cache_timeout;
    call_.OnFilled(call_.options().fill_from->GetMultiWithLease(call_.keys(), plain));
  }

  void Compute() {
    Guard guard(this);
    LookAsideCall::Computed values = compute_(call_.keys());
    guard.Dismiss();
    call_.OnComputed(std::move(values));
  }

  void Leave() {
    call_.OnComputed(absl::AbortedError("the computation was left by an exception"));
    while (call_.need() == Need::kStores || call_.need() == Need::kReleases) Bring();
  }

  Client& client_;
  LookAsideCall& call_;
  const LookAside::ComputeMulti& compute_;
};

}  // namespace

LookAside::LookAside(Client* client, LookAsideOptions options)
    : impl_(std::make_shared<Impl>(client, std::move(options))) {}
LookAside::~LookAside() = default;

const LookAsideOptions& LookAside::options() const { return impl_->options(); }

absl::StatusOr<Fetched> LookAside::GetOrCompute(std::string_view key, const Compute& compute) {
  return GetOrCompute(key, impl_->options(), compute);
}

absl::StatusOr<Fetched> LookAside::GetOrCompute(std::string_view key,
                                                const LookAsideOptions& options,
                                                const Compute& compute) {
  // Copied, since it may be called in the background when this call has returned.
  const ComputeMulti multi = [compute](std::span<const std::string_view>)
      -> absl::StatusOr<std::vector<std::optional<std::string>>> {
    Value value = compute();
    if (!value.ok()) return value.status();
    std::vector<std::optional<std::string>> values;
    values.push_back(*std::move(value));
    return values;
  };
  return std::move(GetMultiOrCompute({&key, 1}, options, multi)[0]);
}

std::vector<absl::StatusOr<Fetched>> LookAside::GetMultiOrCompute(
    std::span<const std::string_view> keys, const ComputeMulti& compute) {
  return GetMultiOrCompute(keys, impl_->options(), compute);
}

std::vector<absl::StatusOr<Fetched>> LookAside::GetMultiOrCompute(
    std::span<const std::string_view> keys, const LookAsideOptions& options,
    const ComputeMulti& compute) {
  LookAsideCall call(impl_.get(), &options);
  call.Begin(keys);
  Driver(&impl_->client(), &call, &compute).Run();
  return call.TakeResults();
}

LookAside::Counters LookAside::counters() const {
  const Impl::Counts& from = impl_->counts();
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  Counters counters;
  counters.hits = read(from.hits);
  counters.stale = read(from.stale);
  counters.computed = read(from.computed);
  counters.failed = read(from.failed);
  counters.shared = read(from.shared);
  counters.filled = read(from.filled);
  counters.not_reached = read(from.not_reached);
  counters.not_stored = read(from.not_stored);
  counters.waits_ended = read(from.waits_ended);
  return counters;
}

}  // namespace cairn
