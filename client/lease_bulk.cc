// Leases of many keys at once: a question for all of them, and then, one after the other, what the
// keys of servers without the meta protocol need besides.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/lease_steps.h"

namespace cairn {
namespace {

// For as long as the steps last: copies, or, with a caller who waits for them, his own.
class Keys {
 public:
  Keys(std::span<const std::string_view> keys, bool copy) : given_(keys) {
    if (copy) copies_.assign(keys.begin(), keys.end());
  }
  std::string_view operator[](size_t i) const { return copies_.empty() ? given_[i] : copies_[i]; }

 private:
  std::span<const std::string_view> given_;
  std::vector<std::string> copies_;
};

// What is known of the keys of a call, and which of them have questions left.
template <typename T>
struct Rest {
  using Outcome = absl::StatusOr<T>;
  std::vector<Outcome> outcomes;
  std::vector<size_t> left;
  std::function<Step<Outcome>(size_t)> begin;  // the steps of key i
};

template <typename T>
using RestOver = Step<std::vector<absl::StatusOr<T>>>;

template <typename T>
RestOver<T> AskRest(std::shared_ptr<Rest<T>> rest, size_t done, Step<absl::StatusOr<T>> step);

// Those of left[done] and on.
template <typename T>
RestOver<T> BeginRest(std::shared_ptr<Rest<T>> rest, size_t done) {
  for (; done < rest->left.size(); ++done) {
    const size_t i = rest->left[done];
    Step<absl::StatusOr<T>> step = rest->begin(i);
    if (!step.outcome.has_value()) return AskRest(std::move(rest), done, std::move(step));
    rest->outcomes[i] = *std::move(step.outcome);
  }
  return RestOver<T>::Over(std::move(rest->outcomes));
}

template <typename T>
RestOver<T> AskRest(std::shared_ptr<Rest<T>> rest, size_t done, Step<absl::StatusOr<T>> step) {
  return RestOver<T>::Ask(
      *std::move(step.request),
      [rest = std::move(rest), done, then = std::move(step.then)](ResultImpl result) {
        Step<absl::StatusOr<T>> next = then(std::move(result));
        if (!next.outcome.has_value()) return AskRest(rest, done, std::move(next));
        rest->outcomes[rest->left[done]] = *std::move(next.outcome);
        return BeginRest(rest, done + 1);
      });
}

template <typename T>
RestOver<T> RunRest(Rest<T> rest) {
  if (rest.left.empty()) return RestOver<T>::Over(std::move(rest.outcomes));
  return BeginRest(std::make_shared<Rest<T>>(std::move(rest)), 0);
}

}  // namespace

Step<Client::Leases::Items> Client::Leases::GetMulti(Impl* impl,
                                                     std::span<const std::string_view> keys,
                                                     const LeaseOptions& options,
                                                     const Operations::RunWave& run) {
  const int64_t lease = WholeSeconds(options.lease);
  const int64_t ahead = WholeSeconds(options.refresh_ahead);
  ResultImpl request = impl->operations().AskMany(
      keys, AnswerShape::kLease, lease == 0, run, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.LeaseRead(keys[i], lease, ahead, i);
        return keys[i].size();
      });
  return Step<Items>::Ask(std::move(request), [impl, kept = Keys(keys, run == nullptr),
                                               options](const ResultImpl& result) {
    Rest<LeasedItem> rest;
    std::vector<std::pair<size_t, uint64_t>> spoilt;  // keys, and CAS numbers of what is there
    rest.outcomes.reserve(result.call->answers.size());
    for (size_t i = 0; i < result.call->answers.size(); ++i) {
      const Answer& answer = result.call->answers[i];
      if (IsSpoilt(answer, options)) {
        spoilt.emplace_back(i, answer.number);
        rest.left.push_back(i);
      }
      if (absl::Status status = result.StatusOf(i); !status.ok()) {
        rest.outcomes.emplace_back(std::move(status));
        continue;
      }
      const bool meta = SpokeMeta(result, i);
      const AnswerState state = result.StateOf(i);
      if (state != AnswerState::kHit && !meta && WholeSeconds(options.lease) > 0) {
        rest.left.push_back(i);
      }
      rest.outcomes.emplace_back(ItemOf(answer, state, meta));
    }
    if (!rest.left.empty()) {
      rest.begin = [impl, kept, options, spoilt = std::move(spoilt)](size_t i) {
        const auto found =
            std::lower_bound(spoilt.begin(), spoilt.end(), std::pair(i, uint64_t{0}));
        if (found == spoilt.end() || found->first != i) return ByLock(impl, kept[i], options.lease);
        return GetAnew(impl, kept[i], found->second, options);
      };
    }
    return RunRest(std::move(rest));
  });
}

Step<Client::Leases::Outcomes> Client::Leases::SetMulti(Impl* impl,
                                                        std::span<const LeasedStore> stores,
                                                        const Operations::RunWave& run) {
  std::vector<std::string_view> keys;
  keys.reserve(stores.size());
  for (const LeasedStore& store : stores) keys.push_back(store.key);
  StoreRequest request;
  std::string room;
  const absl::Status by_lock = absl::FailedPreconditionError("not with the others");
  ResultImpl prepared = impl->operations().AskMany(
      keys, AnswerShape::kWord, false, run,
      [&](size_t i) {
        const LeasedStore& store = stores[i];
        if (!store.token.held()) return absl::FailedPreconditionError("no lease");
        if (store.token.kind_ == LeaseToken::Kind::kLock) return by_lock;
        request = RequestFor(store);
        return impl->operations().Prepare(&request, &room);
      },
      // Of the store that was just checked.
      [&](RequestWriter& writer, uint32_t i) {
        writer.Store(request, i);
        return request.key.size() + request.value.size();
      });
  // The stores by lock are those that are left.
  struct Kept {
    std::string key;
    std::string value;
    LeaseToken token;
    WriteOptions options;
  };
  std::vector<size_t> left;
  std::vector<Kept> kept;
  for (size_t i = 0; i < stores.size(); ++i) {
    const LeasedStore& store = stores[i];
    if (store.token.kind_ != LeaseToken::Kind::kLock) continue;
    left.push_back(i);
    kept.push_back({std::string(store.key), std::string(store.value), store.token, {}});
    kept.back().options.ttl = store.ttl;
    kept.back().options.flags = store.flags;
  }
  return Step<Outcomes>::Ask(
      std::move(prepared),
      [impl, left = std::move(left), kept = std::move(kept)](const ResultImpl& result) {
        Rest<bool> rest;
        rest.outcomes.reserve(result.call->answers.size());
        for (size_t i = 0; i < result.call->answers.size(); ++i) {
          if (absl::Status status = result.StatusOf(i); !status.ok()) {
            rest.outcomes.emplace_back(std::move(status));
          } else {
            rest.outcomes.emplace_back(result.StateOf(i) == AnswerState::kHit);
          }
        }
        if (left.empty()) return RunRest(std::move(rest));
        rest.left = left;
        rest.begin = [impl, left, kept](size_t i) {
          const auto at = std::lower_bound(left.begin(), left.end(), i) - left.begin();
          const Kept& store = kept[static_cast<size_t>(at)];
          return Set(impl, store.key, store.value, store.token, store.options);
        };
        return RunRest(std::move(rest));
      });
}

Step<Client::Leases::Outcomes> Client::Leases::InvalidateMulti(
    Impl* impl, std::span<const std::string_view> keys, absl::Duration stale_for,
    const Operations::RunWave& run) {
  const bool deletes = stale_for <= absl::ZeroDuration();
  const int64_t exptime = ExptimeOf(stale_for, absl::Now());
  ResultImpl request = impl->operations().AskMany(
      keys, AnswerShape::kWord, false, run, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        if (deletes) {
          writer.Delete(keys[i], i);
        } else {
          writer.Invalidate(keys[i], exptime, i);
        }
        return keys[i].size();
      });
  return Step<Outcomes>::Ask(
      std::move(request), [impl, kept = Keys(keys, run == nullptr)](const ResultImpl& result) {
        Rest<bool> rest;
        rest.outcomes.reserve(result.call->answers.size());
        for (size_t i = 0; i < result.call->answers.size(); ++i) {
          if (absl::Status status = result.StatusOf(i); !status.ok()) {
            rest.outcomes.emplace_back(std::move(status));
            continue;
          }
          if (!SpokeMeta(result, i)) rest.left.push_back(i);
          rest.outcomes.emplace_back(result.StateOf(i) == AnswerState::kHit);
        }
        if (rest.left.empty()) return RunRest(std::move(rest));
        // The locks of keys that were there, or were not.
        rest.begin = [impl, kept, was_there = rest.outcomes](size_t i) {
          using Unlocked = Step<absl::StatusOr<bool>>;
          return Unlocked::Ask(DeleteLock(impl, kept[i]),
                               [outcome = was_there[i]](const ResultImpl& deleted) {
                                 const absl::Status status = deleted.StatusOf(0);
                                 return Unlocked::Over(status.ok() ? outcome : status);
                               });
        };
        return RunRest(std::move(rest));
      });
}

// --- Calls that wait

std::vector<absl::StatusOr<LeasedItem>> Client::GetMultiWithLease(
    std::span<const std::string_view> keys, const LeaseOptions& options) {
  return impl_->RanStepsInWaves(options.timeout, [&](const Operations::RunWave& run) {
    return Leases::GetMulti(impl_.get(), keys, options, run);
  });
}

std::vector<absl::StatusOr<bool>> Client::SetMultiWithLease(std::span<const LeasedStore> stores,
                                                            const CallOptions& options) {
  return impl_->RanStepsInWaves(options.timeout, [&](const Operations::RunWave& run) {
    return Leases::SetMulti(impl_.get(), stores, run);
  });
}

std::vector<absl::StatusOr<bool>> Client::InvalidateMulti(std::span<const std::string_view> keys,
                                                          absl::Duration stale_for,
                                                          const CallOptions& options) {
  return impl_->RanStepsInWaves(options.timeout, [&](const Operations::RunWave& run) {
    return Leases::InvalidateMulti(impl_.get(), keys, stale_for, run);
  });
}

}  // namespace cairn
