// Leases of servers without the meta protocol: a lock beside the key, on the key's server. Each
// question is asked about all keys of a call at once.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "client/client_impl.h"
#include "client/lease_steps.h"
#include "client/random_id.h"
#include "client/sha256.h"

namespace cairn {
namespace {

constexpr std::string_view kLockPrefix = "lk:";

using Asked = Operations::Asked;

// Beside the key, on its server. Keys too long for that are hashed.
std::string LockKey(std::string_view prefix, std::string_view key) {
  std::string lock(kLockPrefix);
  if (prefix.size() + kLockPrefix.size() + key.size() <= kKeyBytesMax) return lock.append(key);
  std::string hashed;
  absl::WebSafeBase64Escape(Sha256(key), &hashed);
  return lock.append(hashed);
}

uint64_t IdOfLock(std::string_view lock) { return std::hash<std::string_view>()(lock) | 1; }

std::string_view ValueOf(const Answer& answer) { return {answer.data, answer.size}; }

template <typename Locks>
std::vector<Asked> ServersOf(const Locks& locks) {
  std::vector<Asked> servers;
  servers.reserve(locks.size());
  for (const auto& lock : locks) servers.push_back({lock.server});
  return servers;
}

template <typename Locks>
ResultImpl ReadLocks(Operations& operations, const Locks& locks) {
  return operations.AskEach(ServersOf(locks), AnswerShape::kValues, true,
                            [&](RequestWriter& writer, uint32_t i) {
                              writer.Read("gets", locks[i].key, i);
                              return locks[i].key.size();
                            });
}

// The answer is that a lock has that token.
bool Holds(const ResultImpl& result, size_t i, std::string_view token) {
  return result.StateOf(i) == AnswerState::kHit && ValueOf(result.call->answers[i]) == token;
}

}  // namespace

Client::Leases::Lock Client::Leases::LockOf(Impl* impl, std::string_view key, std::string token) {
  return {impl->router().Look(key), LockKey(impl->options().key_prefix, key), std::move(token)};
}

Step<Client::Leases::Outcomes> Client::Leases::RemoveLocks(Impl* impl, std::vector<Lock> locks) {
  using Removed = Step<Outcomes>;
  if (locks.empty()) return Removed::Over({});
  ResultImpl looks = ReadLocks(impl->operations(), locks);
  return Removed::Ask(std::move(looks), [impl, locks = std::move(locks)](const ResultImpl& read) {
    Outcomes outcomes(locks.size(), false);
    std::vector<size_t> held;
    std::vector<Asked> servers;
    for (size_t i = 0; i < locks.size(); ++i) {
      if (absl::Status status = read.StatusOf(i); !status.ok()) {
        outcomes[i] = std::move(status);
      } else if (Holds(read, i, locks[i].token)) {
        held.push_back(i);
        // Without CAS numbers there is no condition to set.
        const bool knows_cas = read.call->answers[i].number != 0;
        servers.push_back({locks[i].server, static_cast<uint16_t>(knows_cas ? 0 : 1)});
      }
    }
    if (held.empty()) return Removed::Over(std::move(outcomes));
    ResultImpl removal = impl->operations().AskEach(
        servers, AnswerShape::kWord, false, [&](RequestWriter& writer, uint32_t n) {
          const size_t i = held[n];
          const uint64_t cas = read.call->answers[i].number;
          if (cas == 0) {
            writer.Delete(locks[i].key, n);
          } else {
            writer.DeleteIf(locks[i].key, cas, n);
          }
          return locks[i].key.size();
        });
    return Removed::Ask(std::move(removal),
                        [outcomes, held = std::move(held)](const ResultImpl& removed) mutable {
                          for (size_t n = 0; n < held.size(); ++n) {
                            outcomes[held[n]] = OutcomeOf(removed, n);
                          }
                          return Removed::Over(std::move(outcomes));
                        });
  });
}

// Whoever has them; and then the keys once more: who saw that he had the lock may have stored
// since the keys were deleted.
ResultImpl Client::Leases::DeleteLocksAndKeys(Impl* impl, std::span<const std::string_view> keys) {
  std::vector<Lock> locks;
  std::vector<Asked> servers;
  locks.reserve(keys.size());
  for (const std::string_view key : keys) {
    locks.push_back(LockOf(impl, key, {}));
    servers.insert(servers.end(), 2, Asked{locks.back().server});
  }
  return impl->operations().AskEach(
      servers, AnswerShape::kWord, false, [&](RequestWriter& writer, uint32_t i) {
        const std::string_view key = i % 2 == 0 ? std::string_view(locks[i / 2].key) : keys[i / 2];
        writer.Delete(key, i);
        return key.size();
      });
}

// What is known of keys that were missed, and which questions are left: an index of each.
struct Client::Leases::Contest : std::enable_shared_from_this<Contest> {
  Impl* impl = nullptr;
  std::vector<std::string> keys;
  std::vector<Lock> locks;
  Items items;
  std::vector<size_t> asked;  // who has the lock, or, if that is this call, for the value
  std::vector<bool> added;    // of each of those

  ResultImpl AddLocks(absl::Duration lease) const {
    const int64_t exptime = ExptimeOf(lease, absl::Now());
    return impl->operations().AskEach(
        ServersOf(locks), AnswerShape::kWord, false, [&](RequestWriter& writer, uint32_t i) {
          const Lock& lock = locks[i];
          writer.Store({StoreVerb::kAdd, lock.key, lock.token, 0, exptime, 0}, i);
          return lock.key.size() + lock.token.size();
        });
  }

  // Whose the locks are that were there; and the values of the others, which may have come, and
  // their locks gone, meanwhile.
  ResultImpl ReadLocksAndValues() const {
    std::vector<std::string_view> values;
    for (size_t n = 0; n < asked.size(); ++n) {
      if (added[n]) values.push_back(keys[asked[n]]);
    }
    std::vector<uint16_t> homes(values.size());
    impl->router().Route(values, homes);
    std::vector<Asked> servers;
    auto home = homes.begin();
    for (size_t n = 0; n < asked.size(); ++n) {
      servers.push_back({added[n] ? *home++ : locks[asked[n]].server});
    }
    return impl->operations().AskEach(servers, AnswerShape::kValues, true,
                                      [&](RequestWriter& writer, uint32_t n) {
                                        const size_t i = asked[n];
                                        const std::string& key = added[n] ? keys[i] : locks[i].key;
                                        writer.Read("gets", key, n);
                                        return key.size();
                                      });
  }

  Step<Items> OnAdded(const ResultImpl& result) {
    for (size_t i = 0; i < keys.size(); ++i) {
      absl::StatusOr<bool> outcome = OutcomeOf(result, i);
      if (!outcome.ok()) {
        items[i] = std::move(outcome).status();
        continue;
      }
      asked.push_back(i);
      added.push_back(*outcome);
    }
    if (asked.empty()) return Step<Items>::Over(std::move(items));
    return Step<Items>::Ask(
        ReadLocksAndValues(), [self = shared_from_this()](const ResultImpl& read) {
          std::vector<Lock> unused;
          for (size_t n = 0; n < self->asked.size(); ++n) {
            self->Take(n, read);
            const size_t i = self->asked[n];
            const bool won = self->items[i].ok() && self->items[i]->won;
            if (self->added[n] && !won) unused.push_back(std::move(self->locks[i]));
          }
          return RemoveLocks(self->impl, std::move(unused)).Followed([self](const Outcomes&) {
            return Step<Items>::Over(std::move(self->items));
          });
        });
  }

  void Take(size_t n, const ResultImpl& read) {
    const size_t i = asked[n];
    const Answer& answer = read.call->answers[n];
    const bool is_there = read.StateOf(n) == AnswerState::kHit;
    absl::StatusOr<LeasedItem>& item = items[i];
    if (absl::Status status = read.StatusOf(n); !status.ok()) {
      item = std::move(status);
    } else if (!added[n]) {
      item->taken = true;
      // Gone meanwhile: whose it was is not known, and not of interest any more.
      item->lease_id = is_there ? IdOfLock(ValueOf(answer)) : 0;
    } else if (is_there) {
      item->value.emplace(ValueOf(answer));
      item->flags = answer.flags;
      item->cas = answer.number;
    } else {
      const std::string& token = locks[i].token;
      item->won = true;
      item->token.kind_ = LeaseToken::Kind::kLock;
      item->token.lock_ = token;
      item->lease_id = IdOfLock(token);
    }
  }
};

Step<Client::Leases::Items> Client::Leases::ByLocks(Impl* impl, std::vector<std::string> keys,
                                                    absl::Duration lease) {
  const auto contest = std::make_shared<Contest>();
  contest->impl = impl;
  contest->keys = std::move(keys);
  for (const std::string& key : contest->keys) {
    contest->locks.push_back(LockOf(impl, key, RandomId()));
  }
  contest->items.resize(contest->keys.size(), LeasedItem());
  return Step<Items>::Ask(contest->AddLocks(lease),
                          [contest](const ResultImpl& result) { return contest->OnAdded(result); });
}

struct Client::Leases::Storing {
  std::shared_ptr<const void> owner;
  std::vector<LeasedStore> stores;
  std::vector<Lock> locks;
  Outcomes outcomes;
  std::vector<size_t> held;  // whose lock is ours still
};

// Nothing of `lost` was stored in time.
Step<Client::Leases::Outcomes> Client::Leases::TakeBack(Impl* impl,
                                                        const std::shared_ptr<Storing>& storing,
                                                        const std::vector<size_t>& lost) {
  if (lost.empty()) return Step<Outcomes>::Over(std::move(storing->outcomes));
  std::vector<Asked> servers;
  for (const size_t i : lost) {
    storing->outcomes[i] = false;
    servers.push_back({storing->locks[i].server});
  }
  ResultImpl deletes = impl->operations().AskEach(
      servers, AnswerShape::kWord, false, [&](RequestWriter& writer, uint32_t n) {
        const std::string_view key = storing->stores[lost[n]].key;
        writer.Delete(key, n);
        return key.size();
      });
  return Step<Outcomes>::Ask(std::move(deletes), [storing](const ResultImpl&) {
    return Step<Outcomes>::Over(std::move(storing->outcomes));
  });
}

// Between the look at a lock and the store it may be lost; no condition of classic text spans two
// keys. The lock goes after the value came, so that who waits for it finds the value; and who finds
// then that it was lost takes back what he stored.
Step<Client::Leases::Outcomes> Client::Leases::SetByLocks(Impl* impl,
                                                          std::vector<LeasedStore> stores,
                                                          std::shared_ptr<const void> owner,
                                                          Clock::time_point deadline) {
  const auto storing = std::make_shared<Storing>();
  storing->owner = std::move(owner);
  storing->stores = std::move(stores);
  for (const LeasedStore& store : storing->stores) {
    storing->locks.push_back(LockOf(impl, store.key, store.token.lock_));
  }
  storing->outcomes.resize(storing->stores.size(), false);

  const auto on_stored = [impl, storing](const ResultImpl& stored) {
    std::vector<Lock> locks;
    std::vector<size_t> unlocked;
    for (size_t n = 0; n < storing->held.size(); ++n) {
      const size_t i = storing->held[n];
      storing->outcomes[i] = OutcomeOf(stored, n);
      if (!storing->outcomes[i].ok()) continue;
      unlocked.push_back(i);
      locks.push_back(storing->locks[i]);
    }
    return RemoveLocks(impl, std::move(locks))
        .Followed([impl, storing, unlocked](Outcomes removed) {
          std::vector<size_t> lost;
          for (size_t n = 0; n < unlocked.size(); ++n) {
            const size_t i = unlocked[n];
            if (!*storing->outcomes[i]) continue;
            if (!removed[n].ok()) storing->outcomes[i] = removed[n].status();  // nobody knows
            if (removed[n].ok() && !*removed[n]) lost.push_back(i);
          }
          return TakeBack(impl, storing, lost);
        });
  };

  ResultImpl looks = ReadLocks(impl->operations(), storing->locks);
  return Step<Outcomes>::Ask(
      std::move(looks), [impl, storing, on_stored, deadline](const ResultImpl& looked) {
        std::vector<std::string_view> keys;
        for (size_t i = 0; i < storing->stores.size(); ++i) {
          if (absl::Status status = looked.StatusOf(i); !status.ok()) {
            storing->outcomes[i] = std::move(status);
          } else if (Holds(looked, i, storing->locks[i].token)) {
            storing->held.push_back(i);
            keys.push_back(storing->stores[i].key);
          }
        }
        if (keys.empty()) return Step<Outcomes>::Over(std::move(storing->outcomes));
        const absl::Time now = absl::Now();
        StoreRequest request;
        std::string room;
        ResultImpl adds = impl->operations().AskMany(
            keys, AnswerShape::kWord, false, {nullptr, deadline},
            [&](size_t n) {
              const LeasedStore& store = storing->stores[storing->held[n]];
              // Nothing was there when the lock was won; what is there now was set since.
              request = {StoreVerb::kAdd,           store.key, store.value, store.flags,
                         ExptimeOf(store.ttl, now), 0};
              return impl->operations().Prepare(&request, &room);
            },
            // Of the store that was just checked; of the bytes given.
            [&](RequestWriter& writer, uint32_t n) {
              writer.Store(request, n);
              return request.key.size() + storing->stores[storing->held[n]].value.size();
            },
            &request);
        return Step<Outcomes>::Ask(std::move(adds), on_stored);
      });
}

}  // namespace cairn
