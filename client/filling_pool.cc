// A pool that fills from another one, for threads that wait and for loops.
#include "cairn/filling_pool.h"

#include <memory>
#include <utility>

#include "cairn/async_filling_pool.h"
#include "client/sequence.h"

namespace cairn {

CAIRN_ASYNC_RESULT(std::vector<absl::StatusOr<std::optional<std::string>>>);

namespace {

// Copying takes two requests; who copies longer than this has died.
constexpr absl::Duration kCopyingMax = absl::Seconds(5);

using Options = FillingPool::Options;
using Value = absl::StatusOr<std::optional<std::string>>;
using Values = std::vector<Value>;
using Items = std::vector<absl::StatusOr<LeasedItem>>;
using Found = absl::StatusOr<Items>;
using WhetherThere = Sequence<absl::StatusOr<bool>>;

LeaseOptions LeaseFor(absl::Duration lease, const CallOptions& call) {
  LeaseOptions options;
  options.lease = lease;
  options.takes_over_stale = false;  // who computes one takes longer than who copies
  options.timeout = call.timeout;
  return options;
}

std::vector<std::string_view> ViewsOf(const std::vector<std::string>& keys) {
  return {keys.begin(), keys.end()};
}

struct Held {
  std::string key;
  LeaseToken token;
};

// Gives leases back, in one call, before what `then` says. Not more than an attempt: they end
// anyway.
template <typename T, typename Then>
Sequence<T> GivenBack(std::vector<Held> leases, const CallOptions& call, Then then) {
  if (leases.empty()) return then();
  const auto own = std::make_shared<const std::vector<Held>>(std::move(leases));
  return Sequence<T>::Ask(
      [own, call](auto& client) {
        std::vector<HeldLease> views;
        views.reserve(own->size());
        for (const Held& held : *own) views.push_back({held.key, held.token});
        return client.ReleaseMulti(views, call);
      },
      [then = std::move(then)](const std::vector<absl::StatusOr<bool>>&) { return then(); });
}

// What the old pool has.
Sequence<Found> Looked(std::vector<std::string> keys, const CallOptions& call) {
  const auto own = std::make_shared<const std::vector<std::string>>(std::move(keys));
  const LeaseOptions plain = LeaseFor(absl::ZeroDuration(), call);
  return Sequence<Found>::Ask(
      [own, plain](auto& client) { return client.GetMultiWithLease(ViewsOf(*own), plain); },
      [own, call](Items found) {
        // Of stale values.
        std::vector<Held> won;
        for (size_t i = 0; i < found.size(); ++i) {
          if (found[i].ok() && found[i]->won) won.push_back({(*own)[i], found[i]->token});
        }
        return GivenBack<Found>(std::move(won), call,
                                [items = std::make_shared<Items>(std::move(found))] {
                                  return Sequence<Found>::Over(std::move(*items));
                                });
      });
}

/// One question: what the new pool has of the keys; of the rest, what the old one has, which is
/// then stored in the new one. Its calls share it, but for those of the old pool.
class Reading : public std::enable_shared_from_this<Reading> {
 public:
  static Sequence<Values> Of(std::span<const std::string_view> keys, const OtherClient& from,
                             const Options& options) {
    const auto self = std::make_shared<Reading>(keys, from, options);
    const LeaseOptions lease = LeaseFor(kCopyingMax, options.call);
    return Sequence<Values>::Ask(
        [self, lease](auto& client) {
          return client.GetMultiWithLease(ViewsOf(self->keys_), lease);
        },
        [self](Items here) { return self->OnHere(std::move(here)); });
  }

  Reading(std::span<const std::string_view> keys, const OtherClient& from, const Options& options)
      : keys_(keys.begin(), keys.end()),
        from_(from),
        options_(options),
        values_(keys.size(), std::optional<std::string>()) {}

 private:
  Sequence<Values> OnHere(Items here) {
    here_ = std::move(here);
    std::vector<Held> won;
    for (size_t i = 0; i < keys_.size(); ++i) {
      absl::StatusOr<LeasedItem>& item = here_[i];
      if (!item.ok()) {
        values_[i] = item.status();
      } else if (item->stale) {
        // Invalidated since: the old pool's is not better.
        if (item->won) won.push_back({keys_[i], item->token});
        continue;
      } else if (item->value.has_value()) {
        values_[i] = std::move(item->value);
        continue;
      }
      asked_.push_back(i);
    }
    return GivenBack<Values>(std::move(won), options_.call,
                             [self = shared_from_this()] { return self->AskOld(); });
  }

  Sequence<Values> AskOld() {
    if (asked_.empty()) return Sequence<Values>::Over(std::move(values_));
    std::vector<std::string> keys;
    for (const size_t i : asked_) keys.push_back(keys_[i]);
    return Looked(std::move(keys), options_.call)
        .AskedOf(from_)
        .Then([self = shared_from_this()](Found found) { return self->OnThere(std::move(found)); });
  }

  Sequence<Values> OnThere(Found found) {
    there_ = found.ok() ? *std::move(found) : Items(asked_.size(), found.status());
    std::vector<Held> unused;
    for (size_t n = 0; n < asked_.size(); ++n) {
      const size_t i = asked_[n];
      const absl::StatusOr<LeasedItem>& item = there_[n];
      const bool good = item.ok() && item->value.has_value() && !item->stale;
      if (good) values_[i] = *item->value;
      if (!item.ok() && values_[i].ok()) values_[i] = item.status();
      // Not reached, or on its way by somebody else's hand.
      if (!here_[i].ok() || !here_[i]->won) continue;
      if (good) {
        stores_.push_back({keys_[i], *item->value, here_[i]->token,
                           item->ttl_left.value_or(options_.ttl), item->flags});
      } else {
        unused.push_back({keys_[i], here_[i]->token});
      }
    }
    return GivenBack<Values>(std::move(unused), options_.call,
                             [self = shared_from_this()] { return self->Store(); });
  }

  Sequence<Values> Store() {
    if (stores_.empty()) return Sequence<Values>::Over(std::move(values_));
    return Sequence<Values>::Ask(
        [self = shared_from_this()](auto& client) {
          return client.SetMultiWithLease(self->stores_, self->options_.call);
        },
        [self = shared_from_this()](const std::vector<absl::StatusOr<bool>>&) {
          return Sequence<Values>::Over(std::move(self->values_));
        });
  }

  const std::vector<std::string> keys_;
  const OtherClient from_;
  const Options options_;
  Values values_;
  Items here_;
  std::vector<size_t> asked_;  // of the old pool
  Items there_;                // of each of those
  std::vector<LeasedStore> stores_;
};

WhetherThere Removed(const std::string& key, const CallOptions& call) {
  return WhetherThere::Ask(
      [key, call](auto& client) { return client.DeleteAndLease(key, call); },
      [](const absl::StatusOr<bool>& was_there) { return WhetherThere::Over(was_there); });
}

Sequence<absl::Status> StoredInNew(std::string_view key, std::string_view value,
                                   const WriteOptions& write, const OtherClient& from,
                                   const CallOptions& call) {
  using Stored = Sequence<absl::Status>;
  const std::string own_key(key);
  // The old value is gone before the new one can be evicted and asked for there.
  return Removed(own_key, call)
      .AskedOf(from)
      .Then([own_key, own_value = std::make_shared<const std::string>(value), write,
             call](const absl::StatusOr<bool>& deleted) {
        return Stored::Ask(
            [own_key, own_value, write](auto& client) {
              return client.Set(own_key, *own_value, write);
            },
            [own_key, call, deleted = deleted.status()](const absl::Status& stored) {
              if (!absl::IsResourceExhausted(stored)) {
                return Stored::Over(stored.ok() ? deleted : stored);
              }
              // Too large, and nothing is in its place: who read the old value before, and has a
              // lock to store it by here, must not.
              return Removed(own_key, call).Then([stored](const absl::StatusOr<bool>&) {
                return Stored::Over(stored);
              });
            });
      });
}

WhetherThere RemovedFromBoth(std::string_view key, const OtherClient& from,
                             const CallOptions& call) {
  const std::string own_key(key);
  // In this order: who finds it gone in the new pool finds it gone in the old one too.
  return Removed(own_key, call)
      .AskedOf(from)
      .Then([own_key, call](const absl::StatusOr<bool>& there) {
        return Removed(own_key, call).Then([there](const absl::StatusOr<bool>& here) {
          if (!there.ok() || !here.ok()) return WhetherThere::Over(there.ok() ? here : there);
          return WhetherThere::Over(*there || *here);
        });
      });
}

}  // namespace

Value FillingPool::Get(std::string_view key) { return std::move(GetMulti({&key, 1})[0]); }

Values FillingPool::GetMulti(std::span<const std::string_view> keys) {
  return Ran(to_, Reading::Of(keys, {&from_, nullptr}, options_));
}

absl::Status FillingPool::Set(std::string_view key, std::string_view value,
                              const WriteOptions& options) {
  return Ran(to_, StoredInNew(key, value, options, {&from_, nullptr}, options_.call));
}

absl::StatusOr<bool> FillingPool::Delete(std::string_view key) {
  return Ran(to_, RemovedFromBoth(key, {&from_, nullptr}, options_.call));
}

AsyncResult<Value> AsyncFillingPool::Get(std::string_view key) const {
  return Prepared<Value, Values>(*to_, Reading::Of({&key, 1}, {nullptr, from_}, options_),
                                 [](Values values) { return std::move(values[0]); });
}

AsyncResult<Values> AsyncFillingPool::GetMulti(std::span<const std::string_view> keys) const {
  return Prepared(*to_, Reading::Of(keys, {nullptr, from_}, options_));
}

AsyncResult<absl::Status> AsyncFillingPool::Set(std::string_view key, std::string_view value,
                                                const WriteOptions& options) const {
  return Prepared(*to_, StoredInNew(key, value, options, {nullptr, from_}, options_.call));
}

AsyncResult<absl::StatusOr<bool>> AsyncFillingPool::Delete(std::string_view key) const {
  return Prepared(*to_, RemovedFromBoth(key, {nullptr, from_}, options_.call));
}

}  // namespace cairn
