// Leases, by the meta protocol's flags or by a lock beside the key. See cairn/lease.h; those of
// many keys are in lease_bulk.cc.
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/lease_steps.h"
#include "client/random_id.h"
#include "client/sha256.h"

namespace cairn {
namespace {

constexpr std::string_view kLockPrefix = "lk:";

// Beside the key, on its server. Keys too long for that are hashed.
std::string LockKey(std::string_view prefix, std::string_view key) {
  std::string lock(kLockPrefix);
  if (prefix.size() + kLockPrefix.size() + key.size() <= kKeyBytesMax) return lock.append(key);
  std::string hashed;
  absl::WebSafeBase64Escape(Sha256(key), &hashed);
  return lock.append(hashed);
}

uint64_t IdOfLock(std::string_view lock) { return std::hash<std::string_view>()(lock) | 1; }

using Done = Step<absl::StatusOr<bool>>;

Done SayWhetherDone(ResultImpl result) { return Done::Over(WasDone(std::move(result))); }

}  // namespace

/// The lock in place of the server's leases: what is asked about it. All of it on the key's server.
class CAIRN_HIDDEN Client::Lock {
 public:
  Lock(Impl* impl, std::string_view key)
      : operations_(impl->operations()),
        server_(impl->router().Look(key)),
        key_(LockKey(impl->options().key_prefix, key)) {}

  ResultImpl Add(std::string_view token, absl::Duration ttl) const {
    const StoreRequest request{StoreVerb::kAdd, key_, token, 0, ExptimeOf(ttl, absl::Now()), 0};
    return Ask(AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.Store(request, 0); });
  }
  ResultImpl Read() const {
    return Ask(AnswerShape::kValues, true,
               [&](RequestWriter& writer) { writer.Read("gets", key_, 0); });
  }
  ResultImpl DeleteIf(uint64_t cas) const {
    return Ask(AnswerShape::kWord, false,
               [&](RequestWriter& writer) { writer.DeleteIf(key_, cas, 0); });
  }
  ResultImpl Delete() const {
    return Ask(AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.Delete(key_, 0); });
  }

  /// Removes it if it is still the one with `token`, and says in `then` whether it was.
  template <typename T>
  Step<T> Remove(std::string token,
                 std::function<Step<T>(const absl::StatusOr<bool>&)> then) const {
    return Step<T>::Ask(
        Read(), [lock = *this, token = std::move(token), then = std::move(then)](ResultImpl read) {
          const absl::StatusOr<std::optional<Item>> found = ItemOf(std::move(read));
          if (!found.ok()) return then(found.status());
          if (!found->has_value() || (*found)->value != token) return then(false);
          return Step<T>::Ask(lock.DeleteIf((*found)->cas), [then](ResultImpl deleted) {
            return then(WasDone(std::move(deleted)));
          });
        });
  }

 private:
  ResultImpl Ask(AnswerShape shape, bool is_read,
                 const std::function<void(RequestWriter&)>& write) const {
    return operations_.AskServer(server_, shape, is_read, write);
  }

  Operations& operations_;
  const uint16_t server_;
  const std::string key_;
};

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

// What the server answered to a miss without leases: a lock decides.
Step<absl::StatusOr<LeasedItem>> Client::Leases::ByLock(Impl* impl, std::string_view key,
                                                        absl::Duration lease) {
  using Got = Step<absl::StatusOr<LeasedItem>>;
  const Lock lock(impl, key);
  std::string token = RandomId();
  ResultImpl request = lock.Add(token, lease);
  return Got::Ask(std::move(request), [impl, lock, token = std::move(token),
                                       key = std::string(key)](ResultImpl answer) {
    const absl::StatusOr<bool> added = WasDone(std::move(answer));
    if (!added.ok()) return Got::Over(added.status());
    if (!*added) return Got::Ask(lock.Read(), TakenBy);
    // The value may have come, and its lock gone, between the two questions.
    ResultImpl again = impl->operations().Read("gets", key);
    return Got::Ask(std::move(again), [lock, token](ResultImpl read) {
      absl::StatusOr<std::optional<Item>> found = cairn::ItemOf(std::move(read));
      LeasedItem item;
      if (found.ok() && !found->has_value()) {
        item.won = true;
        item.token.kind_ = LeaseToken::Kind::kLock;
        item.token.lock_ = token;
        item.lease_id = IdOfLock(token);
        return Got::Over(std::move(item));
      }
      if (found.ok()) {
        item.value = std::move((*found)->value);
        item.flags = (*found)->flags;
        item.cas = (*found)->cas;
      }
      absl::StatusOr<LeasedItem> got = std::move(item);
      if (!found.ok()) got = found.status();
      return lock.Remove<absl::StatusOr<LeasedItem>>(
          token, [got](const absl::StatusOr<bool>&) { return Got::Over(got); });
    });
  });
}

// The lock was somebody else's.
Step<absl::StatusOr<LeasedItem>> Client::Leases::TakenBy(ResultImpl read) {
  using Got = Step<absl::StatusOr<LeasedItem>>;
  const absl::StatusOr<std::optional<Item>> theirs = cairn::ItemOf(std::move(read));
  if (!theirs.ok()) return Got::Over(theirs.status());
  LeasedItem item;
  item.taken = true;
  // Gone meanwhile: whose it was is not known, and not of interest any more.
  item.lease_id = theirs->has_value() ? IdOfLock((*theirs)->value) : 0;
  return Got::Over(std::move(item));
}

StoreRequest Client::Leases::RequestFor(const LeasedStore& store) {
  StoreRequest request{
      StoreVerb::kCas, store.key, store.value, store.flags, ExptimeOf(store.ttl, absl::Now()),
      store.token.cas_};
  request.or_stale = store.token.kind_ == LeaseToken::Kind::kStale;
  return request;
}

// A win whose answer is lost is nobody's for as long as a lease lasts: it is not asked twice.
ResultImpl Client::Leases::Ask(Impl* impl, std::string_view key, const LeaseOptions& options) {
  const int64_t lease = WholeSeconds(options.lease);
  const int64_t ahead = WholeSeconds(options.refresh_ahead);
  return impl->operations().Ask(key, AnswerShape::kLease, lease == 0, [&](RequestWriter& writer) {
    writer.LeaseRead(key, lease, ahead, 0);
  });
}

bool Client::Leases::IsSpoilt(const Answer& answer, const LeaseOptions& options) {
  return answer.damaged && WholeSeconds(options.lease) > 0;
}

Step<absl::StatusOr<LeasedItem>> Client::Leases::Get(Impl* impl, std::string_view key,
                                                     const LeaseOptions& options) {
  return Step<absl::StatusOr<LeasedItem>>::Ask(
      Ask(impl, key, options), [impl, key = std::string(key), options](const ResultImpl& result) {
        const Answer& answer = result.call->answers[0];
        if (IsSpoilt(answer, options)) return GetAnew(impl, key, answer.number, options);
        return Got(impl, key, options, result);
      });
}

Step<absl::StatusOr<LeasedItem>> Client::Leases::GetAnew(Impl* impl, std::string_view key,
                                                         uint64_t cas,
                                                         const LeaseOptions& options) {
  using Gets = Step<absl::StatusOr<LeasedItem>>;
  ResultImpl removal =
      impl->operations().Ask(key, AnswerShape::kWord, false, [&](RequestWriter& writer) {
        if (cas == 0) return writer.Delete(key, 0);  // the server has no CAS numbers
        writer.DeleteIf(key, cas, 0);
      });
  return Gets::Ask(std::move(removal), [impl, key = std::string(key), options](ResultImpl removed) {
    const absl::StatusOr<bool> done = WasDone(std::move(removed));
    if (!done.ok()) return Gets::Over(done.status());
    return Gets::Ask(Ask(impl, key, options), [impl, key, options](const ResultImpl& result) {
      return Got(impl, key, options, result);
    });
  });
}

Step<absl::StatusOr<LeasedItem>> Client::Leases::Got(Impl* impl, std::string_view key,
                                                     const LeaseOptions& options,
                                                     const ResultImpl& result) {
  using Gets = Step<absl::StatusOr<LeasedItem>>;
  if (absl::Status status = result.StatusOf(0); !status.ok()) return Gets::Over(std::move(status));
  const bool meta = SpokeMeta(result, 0);
  const AnswerState state = result.StateOf(0);
  if (state != AnswerState::kHit && !meta && WholeSeconds(options.lease) > 0) {
    return ByLock(impl, key, options.lease);
  }
  return Gets::Over(ItemOf(result.call->answers[0], state, meta));
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
    return Done::Ask(
        impl->operations().Ask(key, AnswerShape::kWord, false,
                               [&](RequestWriter& writer) { writer.Store(request, 0); }),
        SayWhetherDone);
  }
  // Between this look and the store the lock may be lost; no condition of classic text spans two
  // keys. The lock goes after the value came, so that who waits for it finds the value.
  const Lock lock(impl, key);
  ResultImpl look = lock.Read();
  return Done::Ask(
      std::move(look), [impl, lock, options, lock_token = token.lock_, key = std::string(key),
                        value = std::string(value)](ResultImpl read) {
        const absl::StatusOr<std::optional<Item>> held = cairn::ItemOf(std::move(read));
        if (!held.ok()) return Done::Over(held.status());
        if (!held->has_value() || (*held)->value != lock_token) return Done::Over(false);
        // Nothing was there when the lock was won; what is there now was set since.
        ResultImpl store = impl->operations().Store(StoreVerb::kAdd, key, value, options);
        return Done::Ask(std::move(store), [lock, lock_token](ResultImpl answer) {
          const absl::StatusOr<bool> added = WasDone(std::move(answer));
          if (!added.ok()) return Done::Over(added.status());
          return lock.Remove<absl::StatusOr<bool>>(
              lock_token, [added](const absl::StatusOr<bool>&) { return Done::Over(added); });
        });
      });
}

Step<absl::StatusOr<bool>> Client::Leases::Release(Impl* impl, std::string_view key,
                                                   const LeaseToken& token) {
  switch (token.kind_) {
    case LeaseToken::Kind::kNone:
      return Done::Over(absl::FailedPreconditionError("no lease"));
    case LeaseToken::Kind::kLock:
      return Lock(impl, key).Remove<absl::StatusOr<bool>>(
          token.lock_, [](const absl::StatusOr<bool>& removed) { return Done::Over(removed); });
    case LeaseToken::Kind::kEarly:
      // The value is good, and nothing but a new value makes a server give its lease again.
      return Done::Over(true);
    case LeaseToken::Kind::kMissing:
    case LeaseToken::Kind::kStale:
      break;
  }
  const bool missing = token.kind_ == LeaseToken::Kind::kMissing;
  return Done::Ask(impl->operations().Ask(key, AnswerShape::kWord, false,
                                          [&](RequestWriter& writer) {
                                            if (missing) return writer.DeleteIf(key, token.cas_, 0);
                                            writer.GiveBackStale(key, token.cas_, 0);
                                          }),
                   SayWhetherDone);
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
  return Done::Ask(std::move(request), [impl, key = std::string(key)](ResultImpl result) {
    if (absl::Status status = result.StatusOf(0); !status.ok()) {
      return Done::Over(std::move(status));
    }
    const bool meta = SpokeMeta(result, 0);
    absl::StatusOr<bool> was_there = WasDone(std::move(result));
    if (meta) return Done::Over(std::move(was_there));
    return Done::Ask(Lock(impl, key).Delete(), [was_there](ResultImpl unlocked) {
      if (absl::Status status = unlocked.StatusOf(0); !status.ok()) {
        return Done::Over(std::move(status));
      }
      return Done::Over(was_there);
    });
  });
}

ResultImpl Client::Leases::DeleteLock(Impl* impl, std::string_view key) {
  return Lock(impl, key).Delete();
}

ResultImpl Client::Leases::DeleteIf(Impl* impl, std::string_view key, uint64_t cas) {
  return impl->operations().Ask(key, AnswerShape::kWord, false,
                                [&](RequestWriter& writer) { writer.DeleteIf(key, cas, 0); });
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
  return CasOutcomeOf(impl_->Ran(Leases::DeleteIf(impl_.get(), key, cas), options.timeout));
}

}  // namespace cairn
