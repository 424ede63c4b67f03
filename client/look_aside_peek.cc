// What a cache has of a key, and nothing else; for threads that wait and for loops.
#include <utility>

#include "cairn/async_look_aside.h"
#include "client/look_aside_impl.h"
#include "client/sequence.h"

namespace cairn {

CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<Fetched>>);

namespace {

using Peeked = Sequence<absl::StatusOr<std::optional<Fetched>>>;

Peeked PeekedAt(std::string_view key, const LookAsideOptions& options) {
  CallOptions call;
  call.timeout = options.cache_timeout;
  return Peeked::Ask(
      // Classic reads win nothing; that is the point here.
      [key = std::string(key), call](auto& client) { return client.Gets(key, call); },
      [](absl::StatusOr<std::optional<Item>> item) {
        if (!item.ok()) return Peeked::Over(item.status());
        if (!item->has_value()) return Peeked::Over(std::nullopt);
        const bool nothing = ((*item)->flags & kNothingFlag) != 0;
        // What stands in a missing value's place, or an empty value, which cannot be told from it.
        if ((*item)->value.empty() && !nothing) return Peeked::Over(std::nullopt);
        Fetched fetched;
        if (!nothing) fetched.value = std::move((*item)->value);
        return Peeked::Over(std::move(fetched));
      });
}

}  // namespace

absl::StatusOr<std::optional<Fetched>> LookAside::Peek(std::string_view key) {
  return Ran(impl_->client(), PeekedAt(key, impl_->options()));
}

AsyncResult<absl::StatusOr<std::optional<Fetched>>> AsyncLookAside::Peek(
    std::string_view key) const {
  return cairn::Prepared(*async_, PeekedAt(key, impl_->options()));
}

}  // namespace cairn
