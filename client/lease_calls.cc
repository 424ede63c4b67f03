// Leases of one key, by the meta protocol's flags. See cairn/lease.h; those of many keys are in
// lease_bulk.cc, and what servers without that protocol need besides in lease_locks.cc.
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/lease_steps.h"

namespace cairn {
namespace {

using Done = Step<absl::StatusOr<bool>>;

Done SayWhetherDone(ResultImpl result) { return Done::Over(WasDone(std::move(result))); }

}  // namespace

// What the answers to LeaseRead say. `meta`: by that protocol; otherwise there is a value, or there
// is none.
LeasedItem Client::Leases::ItemOf(const Answer& answer, AnswerState state, bool meta) {
  LeasedItem item;
  if (state != AnswerState::kHit) return item;
  item.flags = answer.flags;
  item.cas = answer.number;
  item.won = (answer.lease & kLeaseWon) != 0;
  item.taken = !item.won && (answer.lease & kLeaseTaken) != 0;
  item.stale = (answer.lease & kLeaseStale) != 0;
  if (item.won || item.taken) item.lease_id = answer.number;
  // What stands in a missing value's place. An empty value that can be won is as good as none.
  const bool is_place = answer.size == 0 && answer.flags == 0 && (item.won || item.taken);
  if (!is_place) {
    item.value.emplace(answer.data, answer.size);
    if (meta) {
      item.ttl_left = answer.seconds_left == kNoEnd ? absl::InfiniteDuration()
                                                    : absl::Seconds(answer.seconds_left);
    }
  }
  if (item.won) {
    using Kind = LeaseToken::Kind;
    item.token.kind_ = item.stale ? Kind::kStale : is_place ? Kind::kMissing : Kind::kEarly;
    item.token.cas_ = answer.number;
  }
  return item;
}

StoreRequest Client::Leases::RequestFor(const LeasedStore& store) {
  return {StoreVerb::kCas, store.key, store.value, store.flags, ExptimeOf(store.ttl, absl::Now()),
          store.token.cas_};
}

// A win whose answer is lost is nobody's for as long as a lease lasts: it is not asked twice.
Step<absl::StatusOr<LeasedItem>> Client::Leases::Get(Impl* impl, std::string_view key,
                                                     const LeaseOptions& options) {
  using Got = Step<absl::StatusOr<LeasedItem>>;
  const int64_t lease = WholeSeconds(options.lease);
  const int64_t ahead = WholeSeconds(options.refresh_ahead);
  ResultImpl request = impl->operations().Ask(
      key, AnswerShape::kLease, lease == 0,
      [&](RequestWriter& writer) { writer.LeaseRead(key, lease, ahead, 0); });
  return Got::Ask(
      std::move(request), [impl, key = std::string(key), options](const ResultImpl& result) {
        if (!IsKnown(options, result, 0)) return OnlyOne(OnAskedOne(impl, key, options, result));
        if (absl::Status status = result.StatusOf(0); !status.ok()) {
          return Got::Over(std::move(status));
        }
        LeasedItem item = ItemOf(result.call->answers[0], result.StateOf(0), SpokeMeta(result, 0));
        if (HasNoEnd(options, item)) return OnlyOne(OnAskedOne(impl, key, options, result));
        NoteWin(impl, key, item);
        return Got::Over(std::move(item));
      });
}

Step<absl::StatusOr<bool>> Client::Leases::Set(Impl* impl, std::string_view key,
                                               std::string_view value, const LeaseToken& token,
                                               const WriteOptions& options) {
  if (!token.held()) return Done::Over(absl::FailedPreconditionError("no lease"));
  if (token.kind_ != LeaseToken::Kind::kLock) {
    StoreRequest request = RequestFor({key, value, token, options.ttl, options.flags});
    std::string room;
    if (absl::Status status = impl->operations().Prepare(&request, &room); !status.ok()) {
      return Done::Over(std::move(status));
    }
    return Done::Ask(impl->operations().Ask(
                         key, AnswerShape::kWord, false,
                         [&](RequestWriter& writer) { writer.Store(request, 0); }, &request),
                     SayWhetherDone);
  }
  if (absl::Status status = CheckKey(impl->options().key_prefix, key); !status.ok()) {
    return Done::Over(std::move(status));
  }
  struct Owner {
    std::string key;
    std::string value;
  };
  const auto owner = std::make_shared<const Owner>(Owner{std::string(key), std::string(value)});
  return OnlyOne(SetByLocks(impl, {{owner->key, owner->value, token, options.ttl, options.flags}},
                            owner, impl->DeadlineAfter(options.timeout, Clock::now())));
}

Step<absl::StatusOr<bool>> Client::Leases::Release(Impl* impl, std::string_view key,
                                                   const LeaseToken& token) {
  const HeldLease lease = {key, token};
  return OnlyOne(ReleaseMulti(impl, {&lease, 1}));
}

Step<absl::StatusOr<bool>> Client::Leases::Invalidate(Impl* impl, std::string_view key,
                                                      absl::Duration stale_for) {
  const bool deletes = stale_for <= absl::ZeroDuration();
  const int64_t exptime = ExptimeOf(stale_for, absl::Now());
  ResultImpl request =
      impl->operations().Ask(key, AnswerShape::kWord, false, [&](RequestWriter& writer) {
        if (deletes) return writer.Delete(key, 0);
        writer.Invalidate(key, exptime, 0);
      });
  return Done::Ask(std::move(request), [impl, key = std::string(key)](const ResultImpl& result) {
    const absl::StatusOr<bool> was_there = OutcomeOf(result, 0);
    if (!was_there.ok() || SpokeMeta(result, 0)) return Done::Over(was_there);
    const std::string_view keys[] = {key};
    return Done::Ask(DeleteLocksAndKeys(impl, keys), [was_there](const ResultImpl& deleted) {
      absl::Status status = deleted.StatusOf(0);
      status.Update(deleted.StatusOf(1));
      return Done::Over(status.ok() ? was_there : status);
    });
  });
}

// --- Calls that wait

absl::StatusOr<LeasedItem> Client::GetWithLease(std::string_view key, const LeaseOptions& options) {
  return impl_->RanSteps(Leases::Get(impl_.get(), key, options), options.timeout);
}

absl::StatusOr<bool> Client::SetWithLease(std::string_view key, std::string_view value,
                                          const LeaseToken& token, const WriteOptions& options) {
  return impl_->RanSteps(Leases::Set(impl_.get(), key, value, token, options), options.timeout);
}

absl::StatusOr<bool> Client::ReleaseLease(std::string_view key, const LeaseToken& token,
                                          const CallOptions& options) {
  return impl_->RanSteps(Leases::Release(impl_.get(), key, token), options.timeout);
}

absl::StatusOr<bool> Client::DeleteAndLease(std::string_view key, const CallOptions& options) {
  return Invalidate(key, absl::ZeroDuration(), options);
}

absl::StatusOr<bool> Client::Invalidate(std::string_view key, absl::Duration stale_for,
                                        const CallOptions& options) {
  return impl_->RanSteps(Leases::Invalidate(impl_.get(), key, stale_for), options.timeout);
}

absl::StatusOr<CasOutcome> Client::DeleteIf(std::string_view key, uint64_t cas,
                                            const CallOptions& options) {
  return CasOutcomeOf(impl_->Ran(impl_->operations().DeleteIf(key, cas), options.timeout));
}

}  // namespace cairn
