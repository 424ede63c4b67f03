#include "client/touch_steps.h"

#include <string>
#include <utility>

namespace cairn {

using Got = Step<absl::StatusOr<std::optional<Item>>>;

Got ReadThenTouch(Operations* operations, std::string_view key, absl::Duration ttl) {
  return Got::Ask(operations->ReadAndTouch(key, ttl), [operations, key = std::string(key),
                                                       ttl](ResultImpl result) {
    // Of a part that is not done nothing may be read.
    const Part* const part = result.call->parts.empty() ? nullptr : &result.call->parts[0];
    absl::StatusOr<std::optional<Item>> item = ItemOf(std::move(result));
    const bool is_there = item.ok() && item->has_value();
    if (!is_there || !operations->SpokeText(*part)) return Got::Over(std::move(item));
    return Got::Ask(operations->Touch(key, ttl), [item](ResultImpl touched) {
      // What is gone by now was there all the same.
      const absl::StatusOr<bool> outcome = WasDone(std::move(touched));
      return Got::Over(outcome.ok() ? item : outcome.status());
    });
  });
}

}  // namespace cairn
