#include "cairn/counter.h"

#include <charconv>
#include <system_error>

namespace cairn {

absl::StatusOr<std::optional<uint64_t>> Counter::Get() {
  absl::StatusOr<std::optional<std::string>> text = client_->Get(key_, options_.call);
  if (!text.ok()) return text.status();
  if (!text->has_value()) return std::optional<uint64_t>();
  const std::string& digits = **text;
  // Servers leave blanks behind a number that has lost a digit.
  size_t used = digits.find_last_not_of(' ') + 1;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + used, number);
  if (error != std::errc() || end != digits.data() + used) {
    return absl::InvalidArgumentError("not a number: " + key_);
  }
  return std::optional<uint64_t>(number);
}

}  // namespace cairn
