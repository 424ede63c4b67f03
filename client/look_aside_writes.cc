// Writes to a database, and what becomes of the cache's copy.
#include <algorithm>
#include <utility>

#include "client/look_aside_impl.h"

namespace cairn {
namespace {

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

}  // namespace

Written LookAside::DeleteOnWrite(std::span<const std::string_view> keys, const Write& write,
                                 absl::Duration stale_for) {
  CallOptions call;
  call.timeout = impl_->options().cache_timeout;
  Written written;
  const auto invalidate = [&] {
    for (const absl::StatusOr<bool>& outcome :
         impl_->client().InvalidateMulti(keys, stale_for, call)) {
      if (!outcome.ok() && written.cache.ok()) written.cache = outcome.status();
    }
  };
  const Finally after(&invalidate);
  written.write = write();
  return written;
}

Written LookAside::WriteThrough(std::string_view key, std::string_view value, const Write& write) {
  LeaseOptions lease;
  lease.lease = std::max(impl_->options().lease, absl::Seconds(1));
  lease.timeout = impl_->options().cache_timeout;
  CallOptions call;
  call.timeout = impl_->options().cache_timeout;
  // Shows afterwards whether anything happened to the key, also where there was none.
  const absl::StatusOr<LeasedItem> before = impl_->client().GetWithLease(key, lease);
  Written written;
  bool stored = false;
  const auto remove = [&] {
    if (!stored) written.cache = impl_->client().DeleteAndLease(key, call).status();
  };
  const Finally after(&remove);
  written.write = write();
  if (!written.write.ok() || !before.ok()) return written;
  WriteOptions options;
  options.ttl = Jittered(impl_->options(), impl_->options().ttl);
  options.timeout = call.timeout;
  if (before->won) {
    const absl::StatusOr<bool> set =
        impl_->client().SetWithLease(key, value, before->token, options);
    stored = set.ok() && *set;
  } else if (before->cas != 0) {
    const absl::StatusOr<CasOutcome> set =
        impl_->client().CompareAndSwap(key, value, before->cas, options);
    stored = set.ok() && *set == CasOutcome::kStored;
  }
  return written;
}

}  // namespace cairn
