#include "cairn/async.h"

#include <utility>

#include "client/async_impl.h"
#include "client/at_home.h"
#include "client/client_impl.h"
#include "client/count_steps.h"
#include "client/lease_steps.h"
#include "client/touch_steps.h"

namespace cairn {

CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<std::string>>);
CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<Item>>);
CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<uint64_t>>);
CAIRN_ASYNC_RESULT(absl::StatusOr<bool>);
CAIRN_ASYNC_RESULT(absl::StatusOr<uint64_t>);
CAIRN_ASYNC_RESULT(absl::StatusOr<CasOutcome>);
CAIRN_ASYNC_RESULT(absl::StatusOr<LeasedItem>);
CAIRN_ASYNC_RESULT(Client::Leases::Items);
CAIRN_ASYNC_RESULT(Client::Leases::Outcomes);
CAIRN_ASYNC_RESULT(absl::Status);
CAIRN_ASYNC_RESULT(MultiGetResult);
CAIRN_ASYNC_RESULT(MultiWriteResult);

AsyncClient::AsyncClient(Client* client, event_base* base)
    : AsyncClient(client->impl_.get(), base) {}

AsyncClient::AsyncClient(Client::Impl* impl, event_base* base)
    : impl_(impl), loop_(new Loop{EventDriver::Make(impl->servers(), &impl->options(), base)}) {}

AsyncClient::~AsyncClient() = default;

absl::Status AsyncClient::status() const { return loop_->driver.status(); }

AsyncClient& Client::Impl::Async() {
  absl::MutexLock lock(&async_mutex_);
  if (async_ == nullptr) async_.reset(new AsyncClient(this, nullptr));
  return *async_;
}

template <typename T>
AsyncResult<T> AsyncClient::Prepared(ResultImpl&& result, absl::Duration timeout,
                                     T (*convert)(ResultImpl&&)) {
  auto state = std::make_unique<typename AsyncResult<T>::State>();
  const Clock::time_point now = Clock::now();
  state->deadline = impl_->DeadlineAfter(timeout, now) - result.encoding;
  // As with calls that wait: what took all its time to get ready is not begun.
  state->result = now < state->deadline ? std::move(result) : std::move(result).OutOfTime();
  state->convert = convert;
  Call& call = *state->result.call;
  call.begun = now;
  if (Tracer* const tracer = impl_->options().tracer.get();
      tracer != nullptr && !call.parts.empty()) {
    call.trace_context = state->trace_context = tracer->OnBegin();
  }
  if (loop_->driver.ok()) {
    state->driver = loop_->driver->get();
  } else {
    state->result.RefuseFrom(0, loop_->driver.status());
  }
  return AsyncResult<T>(std::move(state));
}

template <typename T>
AsyncResult<T> AsyncClient::Prepared(Step<T>&& step, absl::Duration timeout) {
  // What asks nobody, or cannot, is over at once.
  while (!step.outcome.has_value() && (step.request->call->parts.empty() || !loop_->driver.ok())) {
    ResultImpl& request = *step.request;
    if (!loop_->driver.ok()) request.RefuseFrom(0, loop_->driver.status());
    request.Snapshot();
    const typename Step<T>::Then then = std::move(step.then);
    step = then(std::move(request));
  }
  ResultImpl request = step.request.has_value() ? *std::move(step.request) : ResultImpl();
  AsyncResult<T> prepared = Prepared<T>(std::move(request), timeout, nullptr);
  prepared.state_->step = std::move(step.then);
  prepared.state_->outcome = std::move(step.outcome);
  return prepared;
}

AsyncResult<absl::StatusOr<std::optional<std::string>>> AsyncClient::Get(
    std::string_view key, const CallOptions& options) {
  return Prepared(impl_->operations().Read("get", key), options.timeout, ValueOf);
}

AsyncResult<absl::StatusOr<std::optional<Item>>> AsyncClient::Gets(std::string_view key,
                                                                   const CallOptions& options) {
  return Prepared(impl_->operations().Read("gets", key), options.timeout, ItemOf);
}

AsyncResult<absl::StatusOr<std::optional<Item>>> AsyncClient::GetAndTouch(
    std::string_view key, absl::Duration ttl, const CallOptions& options) {
  return Prepared(ReadThenTouch(&impl_->operations(), key, ttl), options.timeout);
}

AsyncResult<absl::Status> AsyncClient::Set(std::string_view key, std::string_view value,
                                           const WriteOptions& options) {
  return Prepared(impl_->operations().Store(StoreVerb::kSet, key, value, options), options.timeout,
                  WasStored);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Add(std::string_view key, std::string_view value,
                                                   const WriteOptions& options) {
  return Prepared(impl_->operations().Store(StoreVerb::kAdd, key, value, options), options.timeout,
                  WasDone);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Replace(std::string_view key, std::string_view value,
                                                       const WriteOptions& options) {
  return Prepared(impl_->operations().Store(StoreVerb::kReplace, key, value, options),
                  options.timeout, WasDone);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Append(std::string_view key, std::string_view value,
                                                      const CallOptions& options) {
  return Prepared(impl_->operations().Append(StoreVerb::kAppend, key, value), options.timeout,
                  WasDone);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Prepend(std::string_view key, std::string_view value,
                                                       const CallOptions& options) {
  return Prepared(impl_->operations().Append(StoreVerb::kPrepend, key, value), options.timeout,
                  WasDone);
}

AsyncResult<absl::StatusOr<CasOutcome>> AsyncClient::CompareAndSwap(std::string_view key,
                                                                    std::string_view value,
                                                                    uint64_t cas,
                                                                    const WriteOptions& options) {
  return Prepared(impl_->operations().Store(StoreVerb::kCas, key, value, options, cas),
                  options.timeout, CasOutcomeOf);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Delete(std::string_view key,
                                                      const CallOptions& options) {
  return Prepared(impl_->operations().Delete(key), options.timeout, WasDone);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Touch(std::string_view key, absl::Duration ttl,
                                                     const CallOptions& options) {
  return Prepared(impl_->operations().Touch(key, ttl), options.timeout, WasDone);
}

AsyncResult<absl::StatusOr<std::optional<uint64_t>>> AsyncClient::Increment(
    std::string_view key, uint64_t delta, const CallOptions& options) {
  return Prepared(impl_->operations().Count(true, key, delta), options.timeout, NumberOf);
}

AsyncResult<absl::StatusOr<std::optional<uint64_t>>> AsyncClient::Decrement(
    std::string_view key, uint64_t delta, const CallOptions& options) {
  return Prepared(impl_->operations().Count(false, key, delta), options.timeout, NumberOf);
}

AsyncResult<absl::StatusOr<uint64_t>> AsyncClient::IncrementOrStart(std::string_view key,
                                                                    uint64_t delta,
                                                                    uint64_t initial,
                                                                    absl::Duration ttl,
                                                                    const CallOptions& options) {
  return Prepared(
      CountOrStart(&impl_->operations(), true, key, delta, FirstUp(delta, initial), ttl),
      options.timeout);
}

AsyncResult<absl::StatusOr<uint64_t>> AsyncClient::DecrementOrStart(std::string_view key,
                                                                    uint64_t delta,
                                                                    uint64_t initial,
                                                                    absl::Duration ttl,
                                                                    const CallOptions& options) {
  return Prepared(
      CountOrStart(&impl_->operations(), false, key, delta, FirstDown(delta, initial), ttl),
      options.timeout);
}

AsyncResult<absl::StatusOr<std::optional<std::string>>> AtHome::Get(AsyncClient& client,
                                                                    std::string_view key,
                                                                    const CallOptions& options) {
  return client.Prepared(client.impl_->operations().Read("get", key, Places::kHomeOnly),
                         options.timeout, ValueOf);
}

AsyncResult<absl::Status> AtHome::Set(AsyncClient& client, std::string_view key,
                                      std::string_view value, const WriteOptions& options) {
  return client.Prepared(
      client.impl_->operations().Store(StoreVerb::kSet, key, value, options, 0, Places::kHomeOnly),
      options.timeout, WasStored);
}

AsyncResult<absl::StatusOr<bool>> AtHome::Add(AsyncClient& client, std::string_view key,
                                              std::string_view value, const WriteOptions& options) {
  return client.Prepared(
      client.impl_->operations().Store(StoreVerb::kAdd, key, value, options, 0, Places::kHomeOnly),
      options.timeout, WasDone);
}

AsyncResult<absl::StatusOr<std::optional<Item>>> AtHome::Gets(AsyncClient& client,
                                                              std::string_view key,
                                                              const CallOptions& options) {
  return client.Prepared(client.impl_->operations().Read("gets", key, Places::kHomeOnly),
                         options.timeout, ItemOf);
}

AsyncResult<absl::StatusOr<CasOutcome>> AtHome::CompareAndSwap(AsyncClient& client,
                                                               std::string_view key,
                                                               std::string_view value, uint64_t cas,
                                                               const WriteOptions& options) {
  return client.Prepared(client.impl_->operations().Store(StoreVerb::kCas, key, value, options, cas,
                                                          Places::kHomeOnly),
                         options.timeout, CasOutcomeOf);
}

AsyncResult<absl::StatusOr<CasOutcome>> AtHome::DeleteIf(AsyncClient& client, std::string_view key,
                                                         uint64_t cas, const CallOptions& options) {
  return client.Prepared(client.impl_->operations().DeleteIf(key, cas, Places::kHomeOnly),
                         options.timeout, CasOutcomeOf);
}

AsyncResult<MultiGetResult> AsyncClient::GetMulti(std::span<const std::string_view> keys,
                                                  const CallOptions& options, bool with_cas) {
  return Prepared(
      impl_->operations().ReadMany(keys, with_cas, {}), options.timeout,
      +[](ResultImpl&& result) { return MultiGetResult(std::move(result)); });
}

AsyncResult<MultiWriteResult> AsyncClient::SetMulti(std::span<const SetItem> items,
                                                    const WriteOptions& options) {
  return Prepared(
      impl_->operations().StoreMany(items, options, impl_->OnlyPrepare(options.timeout)),
      options.timeout, +[](ResultImpl&& result) { return MultiWriteResult(std::move(result)); });
}

AsyncResult<absl::Status> AsyncClient::SetAll(std::span<const SetItem> items,
                                              const WriteOptions& options) {
  return Prepared(
      impl_->operations().StoreManyQuietly(items, options, impl_->OnlyPrepare(options.timeout)),
      options.timeout, FirstFailure);
}

AsyncResult<MultiWriteResult> AsyncClient::DeleteMulti(std::span<const std::string_view> keys,
                                                       const CallOptions& options) {
  return Prepared(
      impl_->operations().DeleteMany(keys, {}), options.timeout,
      +[](ResultImpl&& result) { return MultiWriteResult(std::move(result)); });
}

AsyncResult<MultiWriteResult> AsyncClient::TouchMulti(std::span<const std::string_view> keys,
                                                      absl::Duration ttl,
                                                      const CallOptions& options) {
  return Prepared(
      impl_->operations().TouchMany(keys, ttl, {}), options.timeout,
      +[](ResultImpl&& result) { return MultiWriteResult(std::move(result)); });
}

AsyncResult<absl::StatusOr<LeasedItem>> AsyncClient::GetWithLease(std::string_view key,
                                                                  const LeaseOptions& options) {
  return Prepared(Client::Leases::Get(impl_, key, options), options.timeout);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::SetWithLease(std::string_view key,
                                                            std::string_view value,
                                                            const LeaseToken& token,
                                                            const WriteOptions& options) {
  return Prepared(Client::Leases::Set(impl_, key, value, token, options), options.timeout);
}

AsyncResult<std::vector<absl::StatusOr<LeasedItem>>> AsyncClient::GetMultiWithLease(
    std::span<const std::string_view> keys, const LeaseOptions& options) {
  return Prepared(Client::Leases::GetMulti(impl_, keys, options, {}), options.timeout);
}

AsyncResult<std::vector<absl::StatusOr<bool>>> AsyncClient::SetMultiWithLease(
    std::span<const LeasedStore> stores, const CallOptions& options) {
  return Prepared(Client::Leases::SetMulti(impl_, stores, impl_->OnlyPrepare(options.timeout)),
                  options.timeout);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::ReleaseLease(std::string_view key,
                                                            const LeaseToken& token,
                                                            const CallOptions& options) {
  return Prepared(Client::Leases::Release(impl_, key, token), options.timeout);
}

AsyncResult<std::vector<absl::StatusOr<bool>>> AsyncClient::ReleaseMulti(
    std::span<const HeldLease> leases, const CallOptions& options) {
  return Prepared(Client::Leases::ReleaseMulti(impl_, leases), options.timeout);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::DeleteAndLease(std::string_view key,
                                                              const CallOptions& options) {
  return Invalidate(key, absl::ZeroDuration(), options);
}

AsyncResult<absl::StatusOr<bool>> AsyncClient::Invalidate(std::string_view key,
                                                          absl::Duration stale_for,
                                                          const CallOptions& options) {
  return Prepared(Client::Leases::Invalidate(impl_, key, stale_for), options.timeout);
}

AsyncResult<std::vector<absl::StatusOr<bool>>> AsyncClient::InvalidateMulti(
    std::span<const std::string_view> keys, absl::Duration stale_for, const CallOptions& options) {
  return Prepared(Client::Leases::InvalidateMulti(impl_, keys, stale_for, {}), options.timeout);
}

AsyncResult<absl::StatusOr<CasOutcome>> AsyncClient::DeleteIf(std::string_view key, uint64_t cas,
                                                              const CallOptions& options) {
  return Prepared(impl_->operations().DeleteIf(key, cas), options.timeout, CasOutcomeOf);
}

}  // namespace cairn
