// Leases, by the meta protocol's flags or by a lock beside the key. See cairn/lease.h.
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "cairn/client.h"
#include "client/client_impl.h"
#include "client/random_id.h"
#include "client/sha256.h"

namespace cairn {
namespace {

constexpr std::string_view kLockPrefix = "lk:";

int64_t WholeSeconds(absl::Duration duration) {
  if (duration <= absl::ZeroDuration()) return 0;
  return absl::ToInt64Seconds(absl::Ceil(std::min(duration, absl::Hours(24)), absl::Seconds(1)));
}

// Beside the key, on its server. Keys too long for that are hashed.
std::string LockKey(std::string_view prefix, std::string_view key) {
  std::string lock(kLockPrefix);
  if (prefix.size() + kLockPrefix.size() + key.size() <= kKeyBytesMax) return lock.append(key);
  std::string hashed;
  absl::WebSafeBase64Escape(Sha256(key), &hashed);
  return lock.append(hashed);
}

uint64_t IdOfLock(std::string_view lock) { return std::hash<std::string_view>()(lock) | 1; }

// The part that had a key's request spoke the meta protocol.
bool SpokeMeta(const ResultImpl& result, size_t i) {
  return !result.call->parts[result.call->answers[i].part].meta.empty();
}

}  // namespace

/// The lock in place of the server's leases. All of it happens on the key's server.
class Client::Lock {
 public:
  Lock(Client* client, std::string_view key, absl::Duration timeout)
      : impl_(*client->impl_),
        server_(impl_.router().Look(key)),
        key_(LockKey(impl_.options().key_prefix, key)),
        timeout_(timeout) {}

  absl::StatusOr<bool> Add(std::string_view token, absl::Duration ttl) {
    const StoreRequest request{StoreVerb::kAdd, key_, token, 0, ExptimeOf(ttl, absl::Now()), 0};
    return WasDone(
        Ask(AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.Store(request, 0); }));
  }

  absl::StatusOr<std::optional<Item>> Read() {
    return ItemOf(Ask(AnswerShape::kValues, true,
                      [&](RequestWriter& writer) { writer.Read("gets", key_, 0); }));
  }

  // Only if it is still the one with `token`: false when it is not.
  absl::StatusOr<bool> Remove(std::string_view token) {
    const absl::StatusOr<std::optional<Item>> found = Read();
    if (!found.ok()) return found.status();
    if (!found->has_value() || (*found)->value != token) return false;
    return WasDone(Ask(AnswerShape::kWord, false,
                       [&](RequestWriter& writer) { writer.DeleteIf(key_, (*found)->cas, 0); }));
  }

  absl::Status RemoveAnyones() {
    return Ask(AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.Delete(key_, 0); })
        .StatusOf(0);
  }

 private:
  ResultImpl Ask(AnswerShape shape, bool is_read,
                 const std::function<void(RequestWriter&)>& write) {
    return impl_.Ran(impl_.operations().AskServer(server_, shape, is_read, write), timeout_);
  }

  Impl& impl_;
  const uint16_t server_;
  const std::string key_;
  const absl::Duration timeout_;
};

/// Asks, and reads the answers to LeaseRead.
class Client::Leases {
 public:
  static ResultImpl Ask(Impl& impl, std::string_view key, AnswerShape shape, bool is_read,
                        absl::Duration timeout, const std::function<void(RequestWriter&)>& write) {
    return impl.Ran(impl.operations().Ask(key, shape, is_read, write), timeout);
  }
  static ResultImpl AskMany(Impl& impl, std::span<const std::string_view> keys, AnswerShape shape,
                            bool is_read, absl::Duration timeout,
                            const std::function<absl::Status(size_t)>& check,
                            const std::function<size_t(RequestWriter&, uint32_t)>& write) {
    return impl.RanInWaves(timeout, [&](const Operations::RunWave& run) {
      return impl.operations().AskMany(keys, shape, is_read, run, check, write);
    });
  }

  // `meta`: by that protocol. Otherwise there is a value, or there is none.
  static LeasedItem ItemOf(const Answer& answer, AnswerState state, bool meta) {
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
  static absl::StatusOr<LeasedItem> ByLock(Client* client, std::string_view key,
                                           const LeaseOptions& options) {
    Lock lock(client, key, options.timeout);
    LeasedItem item;
    const std::string token = RandomId();
    const absl::StatusOr<bool> added = lock.Add(token, options.lease);
    if (!added.ok()) return added.status();
    if (!*added) {
      const absl::StatusOr<std::optional<Item>> theirs = lock.Read();
      if (!theirs.ok()) return theirs.status();
      item.taken = true;
      // Gone meanwhile: whose it was is not known, and not of interest any more.
      item.lease_id = theirs->has_value() ? IdOfLock((*theirs)->value) : 0;
      return item;
    }
    // The value may have come, and its lock gone, between the two questions.
    absl::StatusOr<std::optional<Item>> again = client->Gets(key, {options.timeout});
    if (again.ok() && !again->has_value()) {
      item.won = true;
      item.token.kind_ = LeaseToken::Kind::kLock;
      item.token.lock_ = token;
      item.lease_id = IdOfLock(token);
      return item;
    }
    (void)lock.Remove(token);
    if (!again.ok()) return again.status();
    item.value = std::move((*again)->value);
    item.flags = (*again)->flags;
    item.cas = (*again)->cas;
    return item;
  }

  static StoreRequest RequestFor(const LeasedStore& store) {
    StoreRequest request{
        StoreVerb::kCas, store.key, store.value, store.flags, ExptimeOf(store.ttl, absl::Now()),
        store.token.cas_};
    request.or_stale = store.token.kind_ == LeaseToken::Kind::kStale;
    return request;
  }
};

absl::StatusOr<LeasedItem> Client::GetWithLease(std::string_view key, const LeaseOptions& options) {
  const int64_t lease = WholeSeconds(options.lease);
  const int64_t ahead = WholeSeconds(options.refresh_ahead);
  // A win whose answer is lost is nobody's for as long as a lease lasts: it is not asked twice.
  const ResultImpl result =
      Leases::Ask(*impl_, key, AnswerShape::kLease, lease == 0, options.timeout,
                  [&](RequestWriter& writer) { writer.LeaseRead(key, lease, ahead, 0); });
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  const bool meta = SpokeMeta(result, 0);
  const AnswerState state = result.StateOf(0);
  if (state != AnswerState::kHit && !meta && lease > 0) return Leases::ByLock(this, key, options);
  return Leases::ItemOf(result.call->answers[0], state, meta);
}

std::vector<absl::StatusOr<LeasedItem>> Client::GetMultiWithLease(
    std::span<const std::string_view> keys, const LeaseOptions& options) {
  const int64_t lease = WholeSeconds(options.lease);
  const int64_t ahead = WholeSeconds(options.refresh_ahead);
  const ResultImpl result = Leases::AskMany(
      *impl_, keys, AnswerShape::kLease, lease == 0, options.timeout,
      [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.LeaseRead(keys[i], lease, ahead, i);
        return keys[i].size();
      });
  std::vector<absl::StatusOr<LeasedItem>> items;
  items.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (absl::Status status = result.StatusOf(i); !status.ok()) {
      items.emplace_back(std::move(status));
      continue;
    }
    const Answer& answer = result.call->answers[i];
    const bool meta = SpokeMeta(result, i);
    const AnswerState state = result.StateOf(i);
    if (state != AnswerState::kHit && !meta && lease > 0) {
      items.push_back(Leases::ByLock(this, keys[i], options));
    } else {
      items.emplace_back(Leases::ItemOf(answer, state, meta));
    }
  }
  return items;
}

absl::StatusOr<bool> Client::SetWithLease(std::string_view key, std::string_view value,
                                          const LeaseToken& token, const WriteOptions& options) {
  if (!token.held()) return absl::FailedPreconditionError("no lease");
  if (token.kind_ == LeaseToken::Kind::kLock) {
    // Between this look and the set the lock may be lost; no condition of classic text spans two
    // keys. The lock goes after the value came, so that who waits for it finds the value.
    Lock lock(this, key, options.timeout);
    const absl::StatusOr<std::optional<Item>> held = lock.Read();
    if (!held.ok()) return held.status();
    if (!held->has_value() || (*held)->value != token.lock_) return false;
    if (absl::Status stored = Set(key, value, options); !stored.ok()) return stored;
    (void)lock.Remove(token.lock_);
    return true;
  }
  StoreRequest request = Leases::RequestFor({key, value, token, options.ttl, options.flags});
  std::string room;
  if (absl::Status status = impl_->operations().Prepare(&request, &room); !status.ok()) {
    return status;
  }
  return WasDone(Leases::Ask(*impl_, key, AnswerShape::kWord, false, options.timeout,
                             [&](RequestWriter& writer) { writer.Store(request, 0); }));
}

std::vector<absl::StatusOr<bool>> Client::SetMultiWithLease(std::span<const LeasedStore> stores,
                                                            const CallOptions& options) {
  std::vector<std::string_view> keys;
  keys.reserve(stores.size());
  for (const LeasedStore& store : stores) keys.push_back(store.key);
  StoreRequest request;
  std::string room;
  const absl::Status by_lock = absl::FailedPreconditionError("not with the others");
  const ResultImpl result = Leases::AskMany(
      *impl_, keys, AnswerShape::kWord, false, options.timeout,
      [&](size_t i) {
        const LeasedStore& store = stores[i];
        if (!store.token.held()) return absl::FailedPreconditionError("no lease");
        if (store.token.kind_ == LeaseToken::Kind::kLock) return by_lock;
        request = Leases::RequestFor(store);
        return impl_->operations().Prepare(&request, &room);
      },
      // Of the store that was just checked.
      [&](RequestWriter& writer, uint32_t i) {
        writer.Store(request, i);
        return request.key.size() + request.value.size();
      });
  std::vector<absl::StatusOr<bool>> outcomes;
  outcomes.reserve(stores.size());
  for (size_t i = 0; i < stores.size(); ++i) {
    const LeasedStore& store = stores[i];
    if (store.token.kind_ == LeaseToken::Kind::kLock) {
      WriteOptions write;
      write.ttl = store.ttl;
      write.flags = store.flags;
      write.timeout = options.timeout;
      outcomes.push_back(SetWithLease(store.key, store.value, store.token, write));
    } else if (absl::Status status = result.StatusOf(i); !status.ok()) {
      outcomes.emplace_back(std::move(status));
    } else {
      outcomes.emplace_back(result.StateOf(i) == AnswerState::kHit);
    }
  }
  return outcomes;
}

absl::StatusOr<bool> Client::ReleaseLease(std::string_view key, const LeaseToken& token,
                                          const CallOptions& options) {
  switch (token.kind_) {
    case LeaseToken::Kind::kNone:
      return absl::FailedPreconditionError("no lease");
    case LeaseToken::Kind::kLock:
      return Lock(this, key, options.timeout).Remove(token.lock_);
    case LeaseToken::Kind::kEarly:
      // The value is good, and nothing but a new value makes a server give its lease again.
      return true;
    case LeaseToken::Kind::kMissing: {
      const absl::StatusOr<CasOutcome> deleted = DeleteIf(key, token.cas_, options);
      if (!deleted.ok()) return deleted.status();
      return *deleted == CasOutcome::kStored;
    }
    case LeaseToken::Kind::kStale:
      break;
  }
  return WasDone(
      Leases::Ask(*impl_, key, AnswerShape::kWord, false, options.timeout,
                  [&](RequestWriter& writer) { writer.GiveBackStale(key, token.cas_, 0); }));
}

absl::StatusOr<bool> Client::DeleteAndLease(std::string_view key, const CallOptions& options) {
  return Invalidate(key, absl::ZeroDuration(), options);
}

absl::StatusOr<bool> Client::Invalidate(std::string_view key, absl::Duration stale_for,
                                        const CallOptions& options) {
  const bool deletes = stale_for <= absl::ZeroDuration();
  const int64_t exptime = ExptimeOf(stale_for, absl::Now());
  ResultImpl result = Leases::Ask(*impl_, key, AnswerShape::kWord, false, options.timeout,
                                  [&](RequestWriter& writer) {
                                    if (deletes) return writer.Delete(key, 0);
                                    writer.Invalidate(key, exptime, 0);
                                  });
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  if (!SpokeMeta(result, 0)) {
    const absl::Status unlocked = Lock(this, key, options.timeout).RemoveAnyones();
    if (!unlocked.ok()) return unlocked;
  }
  return WasDone(std::move(result));
}

std::vector<absl::StatusOr<bool>> Client::InvalidateMulti(std::span<const std::string_view> keys,
                                                          absl::Duration stale_for,
                                                          const CallOptions& options) {
  const bool deletes = stale_for <= absl::ZeroDuration();
  const int64_t exptime = ExptimeOf(stale_for, absl::Now());
  const ResultImpl result = Leases::AskMany(
      *impl_, keys, AnswerShape::kWord, false, options.timeout,
      [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        if (deletes) {
          writer.Delete(keys[i], i);
        } else {
          writer.Invalidate(keys[i], exptime, i);
        }
        return keys[i].size();
      });
  std::vector<absl::StatusOr<bool>> outcomes;
  outcomes.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    absl::Status status = result.StatusOf(i);
    if (status.ok() && !SpokeMeta(result, i)) {
      status = Lock(this, keys[i], options.timeout).RemoveAnyones();
    }
    if (status.ok()) {
      outcomes.emplace_back(result.StateOf(i) == AnswerState::kHit);
    } else {
      outcomes.emplace_back(std::move(status));
    }
  }
  return outcomes;
}

absl::StatusOr<CasOutcome> Client::DeleteIf(std::string_view key, uint64_t cas,
                                            const CallOptions& options) {
  return CasOutcomeOf(Leases::Ask(*impl_, key, AnswerShape::kWord, false, options.timeout,
                                  [&](RequestWriter& writer) { writer.DeleteIf(key, cas, 0); }));
}

namespace {

// Where a number is to begin. Each try is one of two questions, and only a number that comes and
// goes all the time takes several.
constexpr int kStartTries = 8;

}  // namespace

absl::StatusOr<uint64_t> Client::IncrementOrStart(std::string_view key, uint64_t delta,
                                                  uint64_t initial, absl::Duration ttl,
                                                  const CallOptions& options) {
  return CountOrStart(true, key, delta, initial + delta, ttl, options);
}

absl::StatusOr<uint64_t> Client::DecrementOrStart(std::string_view key, uint64_t delta,
                                                  uint64_t initial, absl::Duration ttl,
                                                  const CallOptions& options) {
  return CountOrStart(false, key, delta, initial > delta ? initial - delta : 0, ttl, options);
}

absl::StatusOr<uint64_t> Client::CountOrStart(bool increment, std::string_view key, uint64_t delta,
                                              uint64_t first, absl::Duration ttl,
                                              const CallOptions& options) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  for (int i = 0; i < kStartTries; ++i) {
    const absl::StatusOr<std::optional<uint64_t>> counted = NumberOf(Leases::Ask(
        *impl_, key, AnswerShape::kNumber, false, options.timeout, [&](RequestWriter& writer) {
          writer.ArithmeticOrStart(increment, key, delta, first, exptime, 0);
        }));
    if (!counted.ok()) return counted.status();
    if (counted->has_value()) return **counted;
    WriteOptions write;
    write.ttl = ttl;
    write.timeout = options.timeout;
    const absl::StatusOr<bool> added = Add(key, std::to_string(first), write);
    if (!added.ok()) return added.status();
    if (*added) return first;
  }
  return absl::UnavailableError("the number is gone as soon as it is stored");
}

}  // namespace cairn
