// Counters, for threads that wait and for loops.
#include "cairn/counter.h"

#include <charconv>
#include <string>
#include <system_error>

#include "cairn/async_counter.h"
#include "client/sequence.h"

namespace cairn {
namespace {

using Read = Sequence<absl::StatusOr<std::optional<uint64_t>>>;
using ResetDone = Sequence<absl::Status>;

absl::StatusOr<std::optional<uint64_t>> NumberIn(
    const absl::StatusOr<std::optional<std::string>>& text, const std::string& key) {
  if (!text.ok()) return text.status();
  if (!text->has_value()) return std::optional<uint64_t>();
  const std::string& digits = **text;
  // Servers leave blanks behind a number that has lost a digit.
  const size_t used = digits.find_last_not_of(' ') + 1;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + used, number);
  if (error != std::errc() || end != digits.data() + used) {
    return absl::InvalidArgumentError("not a number: " + key);
  }
  return std::optional<uint64_t>(number);
}

}  // namespace

absl::StatusOr<std::optional<uint64_t>> Counter::Get() {
  return NumberIn(client_->Get(key_, options_.call), key_);
}

AsyncResult<absl::StatusOr<uint64_t>> AsyncCounter::Add(uint64_t n) const {
  return async_->IncrementOrStart(key_, n, options_.initial, options_.ttl, options_.call);
}

AsyncResult<absl::StatusOr<uint64_t>> AsyncCounter::Subtract(uint64_t n) const {
  return async_->DecrementOrStart(key_, n, options_.initial, options_.ttl, options_.call);
}

AsyncResult<absl::StatusOr<std::optional<uint64_t>>> AsyncCounter::Get() const {
  return Prepared(
      *async_,
      Read::Ask([key = key_, call = options_.call](auto& client) { return client.Get(key, call); },
                [key = key_](const absl::StatusOr<std::optional<std::string>>& text) {
                  return Read::Over(NumberIn(text, key));
                }));
}

AsyncResult<absl::Status> AsyncCounter::Reset() const {
  return Prepared(*async_, ResetDone::Ask([key = key_, call = options_.call](
                                              auto& client) { return client.Delete(key, call); },
                                          [](const absl::StatusOr<bool>& was_there) {
                                            return ResetDone::Over(was_there.status());
                                          }));
}

}  // namespace cairn
