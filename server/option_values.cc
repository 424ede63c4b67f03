#include "server/option_values.h"

#include <cctype>
#include <charconv>
#include <string>
#include <utility>

#include "absl/strings/str_replace.h"
#include "fmt/format.h"

namespace cairn::server {
namespace {

std::string_view StripBlanks(std::string_view text) {
  const auto blank = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string Complete(std::string_view message, const OptionRow& row, double number) {
  return absl::StrReplaceAll(
      std::string(message),
      {{"%d", fmt::format("{}", static_cast<int64_t>(number))}, {"%s", std::string(row.name)}});
}

bool IsSuffix(std::string_view rest, std::string_view suffixes) {
  // "m", "M", "mb", "MB", "MiB" for the letter m.
  if (rest.empty() || suffixes.empty()) return rest.empty();
  const char letter = static_cast<char>(std::tolower(static_cast<unsigned char>(rest.front())));
  if (suffixes.find(letter) == std::string_view::npos) return false;
  rest.remove_prefix(1);
  return rest.empty() || rest == "b" || rest == "B" || rest == "iB";
}

}  // namespace

Exit Mistake(std::string_view line, int code) {
  return Exit{.code = code, .out = {}, .err = fmt::format("{}\n", line)};
}

NumberText ReadNumber(std::string_view text) {
  NumberText result;
  text = StripBlanks(text);
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);  // from_chars does not know it
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] =
      std::from_chars(digits.data(), end, result.value, std::chars_format::fixed);
  if (error == std::errc::invalid_argument || !std::isfinite(result.value)) {
    result.value = 0;
    result.rest = text;
    return result;
  }
  result.rest = std::string_view(stop, static_cast<size_t>(end - stop));
  result.valid = error == std::errc() && result.rest.empty();
  return result;
}

Exit InvalidValue(const OptionRow& row, std::string_view value) {
  const std::string_view wanted = row.range.empty() ? "a number" : row.range;
  return Mistake(
      fmt::format("invalid value for {}: \"{}\" (it takes {})", Spelling(row), value, wanted));
}

CheckedNumber CheckNumber(const OptionRow& row, std::string_view text, const NumberRule& rule,
                          bool fraction) {
  const NumberText number = ReadNumber(text);
  const bool valid =
      number.valid || (number.rest.size() < text.size() && IsSuffix(number.rest, rule.suffixes));
  CheckedNumber result;
  result.value = fraction ? number.value : std::trunc(number.value);
  std::string_view message;
  bool wrong = true;
  if (!rule.strict.empty() && (!valid || result.value != number.value)) {
    message = rule.strict;
  } else if (result.value < rule.min || (rule.min_excluded && result.value <= rule.min)) {
    message = rule.below;
  } else if (result.value > rule.max) {
    message = rule.above.empty() ? rule.below : rule.above;
  } else {
    wrong = !valid;
  }
  if (!wrong) return result;
  result.exit = message.empty() ? InvalidValue(row, text)
                                : Mistake(Complete(message, row, result.value), rule.exit_code);
  return result;
}

ApplyOption Also(ApplyOption first, ApplyOption second) {
  return [first = std::move(first), second = std::move(second)](
             OptionState& state, const OptionRow& row,
             std::optional<std::string_view> value) -> std::optional<Exit> {
    if (std::optional<Exit> exit = first(state, row, value)) return exit;
    return second(state, row, value);
  };
}

}  // namespace cairn::server
