// Leases of many keys at once: a question for all of them, and then what the keys of servers
// without the meta protocol need besides (lease_locks.cc), again for all of them.
#include <deque>
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

}  // namespace

// What is known of the keys of a call, and which of them have questions left.
struct Client::Leases::Asking {
  Impl* impl;
  Keys keys;
  LeaseOptions options;
  Items items = {};
  std::vector<size_t> missing = {};  // on servers without leases
  // What is done to keys in whose way there is something, before they are asked for again: values
  // that nobody can read go, and leases of those who seem to be dead are given back.
  enum class Clearing : uint8_t { kDelete, kDeleteIf, kGiveBack };
  struct Blocked {
    size_t which;
    Clearing clearing;
    uint64_t cas;  // of what is there; not with kDelete
  };
  std::vector<Blocked> blocked = {};

  std::vector<std::string_view> KeysOf(const std::vector<size_t>& which) const {
    std::vector<std::string_view> views;
    views.reserve(which.size());
    for (const size_t i : which) views.push_back(keys[i]);
    return views;
  }
  ResultImpl Ask(std::span<const std::string_view> of, const Operations::RunWave& run) const {
    const int64_t lease = WholeSeconds(options.lease);
    const int64_t ahead = WholeSeconds(options.refresh_ahead);
    return impl->operations().AskMany(
        of, AnswerShape::kLease, lease == 0, run, [](size_t) { return absl::OkStatus(); },
        [&](RequestWriter& writer, uint32_t i) {
          writer.LeaseRead(of[i], lease, ahead, i);
          return of[i].size();
        });
  }
  // Answer i is about key `which`.
  void Take(size_t which, const ResultImpl& result, size_t i) {
    if (absl::Status status = result.StatusOf(i); !status.ok()) {
      items[which] = std::move(status);
      return;
    }
    const bool meta = SpokeMeta(result, i);
    if (!IsKnown(options, result, i)) missing.push_back(which);
    items[which] = ItemOf(result.call->answers[i], result.StateOf(i), meta);
    NoteWin(impl, keys[which], *items[which]);
  }
};

// Of values near their end neither: they are good, and their end is near.
bool Client::Leases::HasNoEnd(const LeaseOptions& options, const absl::StatusOr<LeasedItem>& item) {
  return item.ok() && item->taken && item->stale && options.takes_over_stale &&
         WholeSeconds(options.lease) > 0;
}

bool Client::Leases::IsKnown(const LeaseOptions& options, const ResultImpl& result, size_t i) {
  if (WholeSeconds(options.lease) == 0) return true;
  const Answer& answer = result.call->answers[i];
  if (answer.damaged) return false;
  const AnswerState state = result.StateOf(i);
  return state == AnswerState::kHit || !result.StatusOf(i).ok() || SpokeMeta(result, i);
}

Step<Client::Leases::Items> Client::Leases::GetMulti(Impl* impl,
                                                     std::span<const std::string_view> keys,
                                                     const LeaseOptions& options,
                                                     const Operations::RunWave& run) {
  const auto asking = std::make_shared<Asking>(Asking{impl, Keys(keys, !run), options});
  return Step<Items>::Ask(asking->Ask(keys, run),
                          [asking](const ResultImpl& result) { return OnAsked(asking, result); });
}

Step<Client::Leases::Items> Client::Leases::OnAskedOne(Impl* impl, std::string_view key,
                                                       const LeaseOptions& options,
                                                       const ResultImpl& result) {
  return OnAsked(std::make_shared<Asking>(Asking{impl, Keys({&key, 1}, true), options}), result);
}

Step<Client::Leases::Items> Client::Leases::OnAsked(const std::shared_ptr<Asking>& asking,
                                                    const ResultImpl& result) {
  const size_t count = result.call->answers.size();
  asking->items.resize(count, LeasedItem());
  const LeaseOptions& options = asking->options;
  const absl::Duration lease = absl::Seconds(WholeSeconds(options.lease));
  for (size_t i = 0; i < count; ++i) {
    const Answer& answer = result.call->answers[i];
    if (answer.damaged && lease > absl::ZeroDuration()) {
      using enum Asking::Clearing;
      asking->blocked.push_back({i, answer.number == 0 ? kDelete : kDeleteIf, answer.number});
      continue;
    }
    asking->Take(i, result, i);
    if (HasNoEnd(options, asking->items[i]) &&
        asking->impl->lease_watch().IsOverdue(asking->keys[i], answer.number, lease,
                                              Clock::now())) {
      asking->blocked.push_back({i, Asking::Clearing::kGiveBack, answer.number});
    }
  }
  if (asking->blocked.empty()) return AskLocks(asking);

  // What still has that CAS number.
  std::vector<size_t> which;
  for (const Asking::Blocked& blocked : asking->blocked) which.push_back(blocked.which);
  const std::vector<std::string_view> keys = asking->KeysOf(which);
  std::vector<uint16_t> servers(keys.size());
  asking->impl->router().Route(keys, servers);
  std::vector<Operations::Asked> asked;
  for (size_t n = 0; n < keys.size(); ++n) {
    asked.push_back({servers[n], static_cast<uint16_t>(asking->blocked[n].clearing)});
  }
  ResultImpl clearing = asking->impl->operations().AskEach(
      asked, AnswerShape::kWord, false, [&](RequestWriter& writer, uint32_t n) {
        const Asking::Blocked& blocked = asking->blocked[n];
        switch (blocked.clearing) {
          case Asking::Clearing::kDelete:
            writer.Delete(keys[n], n);
            break;
          case Asking::Clearing::kDeleteIf:
            writer.DeleteIf(keys[n], blocked.cas, n);
            break;
          case Asking::Clearing::kGiveBack:
            writer.GiveBackStale(keys[n], blocked.cas, n);
            break;
        }
        return keys[n].size();
      });
  return Step<Items>::Ask(std::move(clearing),
                          [asking](const ResultImpl& cleared) { return AskAnew(asking, cleared); });
}

Step<Client::Leases::Items> Client::Leases::AskAnew(const std::shared_ptr<Asking>& asking,
                                                    const ResultImpl& cleared) {
  std::vector<size_t> again;
  for (size_t n = 0; n < asking->blocked.size(); ++n) {
    const Asking::Blocked& blocked = asking->blocked[n];
    if (absl::Status status = cleared.StatusOf(n); status.ok()) {
      again.push_back(blocked.which);
    } else if (blocked.clearing != Asking::Clearing::kGiveBack) {
      asking->items[blocked.which] = std::move(status);
    }
  }
  if (again.empty()) return AskLocks(asking);
  ResultImpl request = asking->Ask(asking->KeysOf(again), {});
  return Step<Items>::Ask(std::move(request), [asking, again](const ResultImpl& result) {
    for (size_t n = 0; n < again.size(); ++n) {
      // What was known before is better than nothing.
      const bool is_known = asking->items[again[n]].ok() && asking->items[again[n]]->taken;
      if (is_known && !result.StatusOf(n).ok()) continue;
      asking->Take(again[n], result, n);
    }
    return AskLocks(asking);
  });
}

Step<Client::Leases::Items> Client::Leases::AskLocks(const std::shared_ptr<Asking>& asking) {
  const std::vector<size_t>& missing = asking->missing;
  if (missing.empty()) return Step<Items>::Over(std::move(asking->items));
  std::vector<std::string> keys;
  keys.reserve(missing.size());
  for (const size_t i : missing) keys.emplace_back(asking->keys[i]);
  return ByLocks(asking->impl, std::move(keys), absl::Seconds(WholeSeconds(asking->options.lease)))
      .Followed([asking](Items by_locks) {
        for (size_t n = 0; n < by_locks.size(); ++n) {
          asking->items[asking->missing[n]] = std::move(by_locks[n]);
        }
        return Step<Items>::Over(std::move(asking->items));
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
      // Of the store that was just checked; of the bytes given, which took time to encode.
      [&](RequestWriter& writer, uint32_t i) {
        writer.Store(request, i);
        return request.key.size() + stores[i].value.size();
      },
      &request);
  // The stores by lock are those that are left.
  struct Left {
    std::vector<size_t> which;
    std::vector<LeasedStore> stores;
    std::deque<std::string> texts;  // that stores are of, when what was given needs not last
  };
  const auto left = std::make_shared<Left>();
  for (size_t i = 0; i < stores.size(); ++i) {
    if (stores[i].token.kind_ != LeaseToken::Kind::kLock) continue;
    // Refused as all others are with such keys.
    if (!CheckKey(impl->options().key_prefix, stores[i].key).ok()) continue;
    left->which.push_back(i);
    LeasedStore& store = left->stores.emplace_back(stores[i]);
    if (run) continue;
    store.key = left->texts.emplace_back(store.key);
    store.value = left->texts.emplace_back(store.value);
  }
  const auto on_stored = [impl, left, deadline = run.deadline](const ResultImpl& result) {
    Outcomes outcomes;
    outcomes.reserve(result.call->answers.size());
    for (size_t i = 0; i < result.call->answers.size(); ++i) {
      outcomes.push_back(OutcomeOf(result, i));
    }
    if (left->which.empty()) return Step<Outcomes>::Over(std::move(outcomes));
    return SetByLocks(impl, std::move(left->stores), left, deadline)
        .Followed([left, outcomes](Outcomes by_locks) mutable {
          for (size_t n = 0; n < by_locks.size(); ++n) {
            outcomes[left->which[n]] = std::move(by_locks[n]);
          }
          return Step<Outcomes>::Over(std::move(outcomes));
        });
  };
  return Step<Outcomes>::Ask(std::move(prepared), on_stored);
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
      std::move(request), [impl, kept = Keys(keys, !run)](const ResultImpl& result) {
        Outcomes outcomes;
        outcomes.reserve(result.call->answers.size());
        // The locks of keys that were there, or were not.
        std::vector<size_t> which;
        std::vector<std::string_view> locked;
        for (size_t i = 0; i < result.call->answers.size(); ++i) {
          outcomes.push_back(OutcomeOf(result, i));
          if (!outcomes[i].ok() || SpokeMeta(result, i)) continue;
          which.push_back(i);
          locked.push_back(kept[i]);
        }
        if (which.empty()) return Step<Outcomes>::Over(std::move(outcomes));
        return Step<Outcomes>::Ask(DeleteLocksAndKeys(impl, locked),
                                   [which, outcomes](const ResultImpl& deleted) mutable {
                                     for (size_t n = 0; n < which.size(); ++n) {
                                       absl::Status status = deleted.StatusOf(2 * n);
                                       status.Update(deleted.StatusOf(2 * n + 1));
                                       if (!status.ok()) outcomes[which[n]] = std::move(status);
                                     }
                                     return Step<Outcomes>::Over(std::move(outcomes));
                                   });
      });
}

Step<Client::Leases::Outcomes> Client::Leases::ReleaseMulti(Impl* impl,
                                                            std::span<const HeldLease> leases) {
  using Kind = LeaseToken::Kind;
  // The value of an early one is good, and nothing but a new one makes a server give it again.
  Outcomes outcomes(leases.size(), true);
  std::vector<size_t> which;  // the requests are about
  std::vector<std::string_view> keys;
  std::vector<size_t> locked;
  std::vector<Lock> locks;
  for (size_t i = 0; i < leases.size(); ++i) {
    const HeldLease& lease = leases[i];
    if (!lease.token.held()) {
      outcomes[i] = absl::FailedPreconditionError("no lease");
    } else if (absl::Status status = CheckKey(impl->options().key_prefix, lease.key);
               !status.ok()) {
      outcomes[i] = std::move(status);
    } else if (lease.token.kind_ == Kind::kLock) {
      locked.push_back(i);
      locks.push_back(LockOf(impl, lease.key, lease.token.lock_));
    } else if (lease.token.kind_ != Kind::kEarly) {
      which.push_back(i);
      keys.push_back(lease.key);
    }
  }
  auto give_back_locks = [impl, locked, locks = std::move(locks)](Outcomes so_far) {
    return RemoveLocks(impl, locks).Followed([locked, so_far](Outcomes removed) mutable {
      for (size_t n = 0; n < locked.size(); ++n) so_far[locked[n]] = std::move(removed[n]);
      return Step<Outcomes>::Over(std::move(so_far));
    });
  };
  if (which.empty()) return give_back_locks(std::move(outcomes));

  std::vector<uint16_t> servers(keys.size());
  impl->router().Route(keys, servers);
  std::vector<Operations::Asked> asked;
  for (size_t n = 0; n < keys.size(); ++n) {
    const bool stale = leases[which[n]].token.kind_ == Kind::kStale;
    asked.push_back({servers[n], static_cast<uint16_t>(stale ? 1 : 0)});
  }
  ResultImpl request = impl->operations().AskEach(
      asked, AnswerShape::kWord, false, [&](RequestWriter& writer, uint32_t n) {
        const LeaseToken& token = leases[which[n]].token;
        if (token.kind_ == Kind::kStale) {
          writer.GiveBackStale(keys[n], token.cas_, n);
        } else {
          writer.DeleteIf(keys[n], token.cas_, n);
        }
        return keys[n].size();
      });
  return Step<Outcomes>::Ask(std::move(request),
                             [which, outcomes, give_back_locks](const ResultImpl& result) mutable {
                               for (size_t n = 0; n < which.size(); ++n)
                                 outcomes[which[n]] = OutcomeOf(result, n);
                               return give_back_locks(std::move(outcomes));
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

std::vector<absl::StatusOr<bool>> Client::ReleaseMulti(std::span<const HeldLease> leases,
                                                       const CallOptions& options) {
  return impl_->RanSteps(Leases::ReleaseMulti(impl_.get(), leases), options.timeout);
}

}  // namespace cairn
