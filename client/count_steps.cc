// Numbers that begin somewhere: by the meta protocol in one question, else in two.
#include "client/count_steps.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "cairn/client.h"
#include "client/client_impl.h"

namespace cairn {
namespace {

using Counted = Step<absl::StatusOr<uint64_t>>;

// Each try is one of two questions, and only a number that comes and goes all the time takes
// several.
constexpr int kTries = 8;

struct Counting {
  Operations* operations;
  bool increment;
  std::string key;
  uint64_t delta;
  uint64_t first;
  absl::Duration ttl;
};

Counted Try(const Counting& counting, int tries_left);

Counted Start(const Counting& counting, int tries_left) {
  WriteOptions write;
  write.ttl = counting.ttl;
  ResultImpl request = counting.operations->Store(StoreVerb::kAdd, counting.key,
                                                  std::to_string(counting.first), write);
  return Counted::Ask(std::move(request), [counting, tries_left](ResultImpl result) {
    const absl::StatusOr<bool> added = WasDone(std::move(result));
    if (!added.ok()) return Counted::Over(added.status());
    return *added ? Counted::Over(counting.first) : Try(counting, tries_left - 1);
  });
}

Counted Try(const Counting& counting, int tries_left) {
  if (tries_left == 0) {
    return Counted::Over(absl::UnavailableError("the number is gone as soon as it is stored"));
  }
  const int64_t exptime = ExptimeOf(counting.ttl, absl::Now());
  ResultImpl request = counting.operations->Ask(
      counting.key, AnswerShape::kNumber, false, [&](RequestWriter& writer) {
        writer.ArithmeticOrStart(counting.increment, counting.key, counting.delta, counting.first,
                                 exptime, 0);
      });
  return Counted::Ask(std::move(request), [counting, tries_left](ResultImpl result) {
    const absl::StatusOr<std::optional<uint64_t>> counted = NumberOf(std::move(result));
    if (!counted.ok()) return Counted::Over(counted.status());
    return counted->has_value() ? Counted::Over(**counted) : Start(counting, tries_left);
  });
}

}  // namespace

Counted CountOrStart(Operations* operations, bool increment, std::string_view key, uint64_t delta,
                     uint64_t first, absl::Duration ttl) {
  return Try({operations, increment, std::string(key), delta, first, ttl}, kTries);
}

absl::StatusOr<uint64_t> Client::IncrementOrStart(std::string_view key, uint64_t delta,
                                                  uint64_t initial, absl::Duration ttl,
                                                  const CallOptions& options) {
  return impl_->RanSteps(
      CountOrStart(&impl_->operations(), true, key, delta, FirstUp(delta, initial), ttl),
      options.timeout);
}

absl::StatusOr<uint64_t> Client::DecrementOrStart(std::string_view key, uint64_t delta,
                                                  uint64_t initial, absl::Duration ttl,
                                                  const CallOptions& options) {
  return impl_->RanSteps(
      CountOrStart(&impl_->operations(), false, key, delta, FirstDown(delta, initial), ttl),
      options.timeout);
}

}  // namespace cairn
