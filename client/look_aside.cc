#include "cairn/look_aside.h"

#include <utility>

#include "client/look_aside_impl.h"

namespace cairn {

LookAside::LookAside(Client* client, LookAsideOptions options)
    : impl_(std::make_unique<Impl>(client, std::move(options))) {}
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
  return LookAsideCall(impl_.get(), &options, &compute).Run(keys);
}

absl::StatusOr<std::optional<Fetched>> LookAside::Peek(std::string_view key) {
  // Classic reads win nothing; that is the point here.
  CallOptions call;
  call.timeout = impl_->options().cache_timeout;
  absl::StatusOr<std::optional<Item>> item = impl_->client().Gets(key, call);
  if (!item.ok()) return item.status();
  if (!item->has_value()) return std::optional<Fetched>();
  const bool nothing = ((*item)->flags & kNothingFlag) != 0;
  // What stands in a missing value's place, or an empty value, which cannot be told from it.
  if ((*item)->value.empty() && !nothing) return std::optional<Fetched>();
  Fetched fetched;
  if (!nothing) fetched.value = std::move((*item)->value);
  return fetched;
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
