// Writes to a database, and what becomes of the cache's copy; for threads that wait and for loops.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cairn/async_look_aside.h"
#include "client/application_work.h"
#include "client/look_aside_impl.h"
#include "client/sequence.h"

namespace cairn {

CAIRN_ASYNC_RESULT(Written);

namespace {

using CacheFate = Sequence<absl::Status>;
using Before = absl::StatusOr<LeasedItem>;

CallOptions CacheCall(const LookAsideOptions& options) {
  CallOptions call;
  call.timeout = options.cache_timeout;
  return call;
}

CacheFate Invalidated(std::vector<std::string> keys, absl::Duration stale_for,
                      const CallOptions& call) {
  return CacheFate::Ask(
      [keys = std::move(keys), stale_for, call](auto& client) {
        const std::vector<std::string_view> views(keys.begin(), keys.end());
        return client.InvalidateMulti(views, stale_for, call);
      },
      [](const std::vector<absl::StatusOr<bool>>& outcomes) {
        absl::Status first;
        for (const absl::StatusOr<bool>& outcome : outcomes) first.Update(outcome.status());
        return CacheFate::Over(std::move(first));
      });
}

// Deletes in the pool that the cache is filled from before `then` says what is done here: who finds
// nothing here is to find nothing there.
template <typename Then>
CacheFate RemovedAtSource(std::vector<std::string> keys, const LookAsideOptions& options,
                          const OtherClient& source, Then then) {
  if (options.fill_from == nullptr) return then();
  return Invalidated(std::move(keys), absl::ZeroDuration(), CacheCall(options))
      .AskedOf(source)
      .Then([then = std::move(then)](const absl::Status& there) {
        return then().Then([there](const absl::Status& here) {
          return CacheFate::Over(here.ok() ? there : here);
        });
      });
}

OtherClient SourceOf(const LookAsideOptions& options) { return {options.fill_from, nullptr}; }
OtherClient AsyncSourceOf(const LookAsideOptions& options) {
  if (options.fill_from == nullptr) return {};
  return {nullptr, &options.fill_from->Async()};
}

CacheFate InvalidatedEverywhere(const std::vector<std::string>& keys, absl::Duration stale_for,
                                const LookAsideOptions& options, const OtherClient& source) {
  return RemovedAtSource(keys, options, source, [keys, stale_for, call = CacheCall(options)] {
    return Invalidated(keys, stale_for, call);
  });
}

CacheFate Removed(const std::string& key, const CallOptions& call) {
  return CacheFate::Ask(
      [key, call](auto& client) { return client.DeleteAndLease(key, call); },
      [](const absl::StatusOr<bool>& was_there) { return CacheFate::Over(was_there.status()); });
}

// Shows after the write whether anything happened to the key, also where there was none.
Sequence<Before> LookedBefore(const std::string& key, const LookAsideOptions& options) {
  LeaseOptions lease;
  lease.lease = std::max(options.lease, absl::Seconds(1));
  lease.timeout = options.cache_timeout;
  return Sequence<Before>::Ask(
      [key, lease](auto& client) { return client.GetWithLease(key, lease); },
      [](Before before) { return Sequence<Before>::Over(std::move(before)); });
}

// What was written is stored in place of what was there before; else there is to be nothing.
CacheFate StoredOrRemoved(const std::string& key, std::string value, bool written,
                          const Before& before, const LookAsideOptions& options) {
  const CallOptions call = CacheCall(options);
  const WriteOptions write = StoredFor(call, Jittered(options, options.ttl));
  const auto done_or_removed = [key, call](bool stored) {
    return stored ? CacheFate::Over(absl::OkStatus()) : Removed(key, call);
  };
  // A lock that stands in for a lease (it has no CAS) would not notice that another writer deletes.
  if (written && before.ok() && before->won && before->cas != 0) {
    return CacheFate::Ask(
        [key, value = std::move(value), token = before->token, write](auto& client) {
          return client.SetWithLease(key, value, token, write);
        },
        [done_or_removed](const absl::StatusOr<bool>& set) {
          return done_or_removed(set.ok() && *set);
        });
  }
  if (written && before.ok() && before->cas != 0) {
    return CacheFate::Ask(
        [key, value = std::move(value), cas = before->cas, write](auto& client) {
          return client.CompareAndSwap(key, value, cas, write);
        },
        [done_or_removed](const absl::StatusOr<CasOutcome>& set) {
          return done_or_removed(set.ok() && *set == CasOutcome::kStored);
        });
  }
  return Removed(key, call);
}

CacheFate StoredOrRemovedEverywhere(const std::string& key, const std::string& value, bool written,
                                    const Before& before, const LookAsideOptions& options,
                                    const OtherClient& source) {
  return RemovedAtSource({key}, options, source, [key, value, written, before, options] {
    return StoredOrRemoved(key, value, written, before, options);
  });
}

// Runs what is to happen after a write, however that ends.
template <typename After>
class Finally {
 public:
  explicit Finally(const After* after) : after_(*after) {}
  Finally(const Finally&) = delete;
  Finally& operator=(const Finally&) = delete;
  ~Finally() { after_(); }

 private:
  const After& after_;
};

template <typename After>
absl::Status Do(const LookAside::Write& write, const After& after) {
  const Finally<After> finally(&after);
  return write();
}

// Begins it on the loop's thread.
AsyncResult<Written> PreparedWrite(
    AsyncClient& client, std::function<void(EventDriver*, std::function<void(Written)>)> begin) {
  EventDriver* const driver = AsyncBuilder::DriverOf(client);
  if (driver == nullptr) {
    return AsyncBuilder::Known(client, Written{client.status(), client.status()});
  }
  return AsyncBuilder::Begun<Written>(
      client, [driver, begin = std::move(begin)](std::function<void(Written)> done) {
        driver->port()->Post([driver, begin, done = std::move(done)] { begin(driver, done); });
      });
}

}  // namespace

Written LookAside::DeleteOnWrite(std::span<const std::string_view> keys, const Write& write,
                                 absl::Duration stale_for) {
  Written written;
  const auto invalidate = [&] {
    written.cache =
        Ran(impl_->client(), InvalidatedEverywhere({keys.begin(), keys.end()}, stale_for,
                                                   impl_->options(), SourceOf(impl_->options())));
  };
  written.write = Do(write, invalidate);
  return written;
}

Written LookAside::WriteThrough(std::string_view key, std::string_view value, const Write& write) {
  const std::string own_key(key);
  const Before before = Ran(impl_->client(), LookedBefore(own_key, impl_->options()));
  Written written;
  bool done = false;
  const auto store_or_remove = [&] {
    written.cache = Ran(impl_->client(),
                        StoredOrRemovedEverywhere(own_key, std::string(value), done, before,
                                                  impl_->options(), SourceOf(impl_->options())));
  };
  const Write noting = [&] {
    absl::Status status = write();
    done = status.ok();
    return status;
  };
  written.write = Do(noting, store_or_remove);
  return written;
}

AsyncResult<Written> AsyncLookAside::DeleteOnWrite(std::span<const std::string_view> keys,
                                                   Write write, absl::Duration stale_for) const {
  CacheFate invalidated = InvalidatedEverywhere({keys.begin(), keys.end()}, stale_for,
                                                impl_->options(), AsyncSourceOf(impl_->options()));
  return PreparedWrite(
      *async_, [async = async_, write = std::move(write), invalidated = std::move(invalidated)](
                   EventDriver* driver, const std::function<void(Written)>& done) {
        ApplicationWork<absl::Status>::Begin(
            driver, write, [async, invalidated, done](const absl::Status& outcome) {
              Drive<absl::Status>(*async, invalidated, [outcome, done](absl::Status cache) {
                done({outcome, std::move(cache)});
              });
            });
      });
}

AsyncResult<Written> AsyncLookAside::WriteThrough(std::string_view key, std::string_view value,
                                                  Write write) const {
  return PreparedWrite(*async_, [async = async_, impl = impl_, key = std::string(key),
                                 value = std::string(value), write = std::move(write)](
                                    EventDriver* driver, const std::function<void(Written)>& done) {
    const auto end = [=](const absl::Status& outcome, const Before& before) {
      Drive<absl::Status>(
          *async,
          StoredOrRemovedEverywhere(key, value, outcome.ok(), before, impl->options(),
                                    AsyncSourceOf(impl->options())),
          [outcome, done](absl::Status cache) {
            done({outcome, std::move(cache)});
          });
    };
    Drive<Before>(*async, LookedBefore(key, impl->options()), [=](const Before& before) {
      ApplicationWork<absl::Status>::Begin(
          driver, write, [end, before](const absl::Status& outcome) { end(outcome, before); });
    });
  });
}

}  // namespace cairn
