#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "server/option_rows.h"

/// The kinds of values that option rows take. Each function makes the `apply` of a row.
namespace cairn::server {

/// sysexits.h has these as macros.
inline constexpr int kExitUsage = 64;
inline constexpr int kExitNoUser = 67;
inline constexpr int kExitOsError = 71;

/// A mistake: `line` and a newline on stderr.
Exit Mistake(std::string_view line, int code = 1);

/// A number as an operator may write it.
struct NumberText {
  double value = 0;    ///< of the longest beginning that is a number, as atoi() and atof() read it
  bool valid = false;  ///< all of it was a number; a fraction is one, since generated files have
                       ///< them ("1987.5" of memory), and so are blanks around it
  std::string_view rest;  ///< what follows the number
};
NumberText ReadNumber(std::string_view text);

/// memcached's message for most suboptions that take a number.
inline constexpr std::string_view kUnparsed = "could not parse argument to %s";

/// What a number must be. Messages are memcached's, without newlines; %d in them becomes the
/// number, and %s the option's name. A number is compared as memcached reads it (12x is 12), so
/// that what memcached refuses is refused in its words; what it would take for another number than
/// is written is refused in ours.
struct NumberRule {
  double min = 0;
  double max = std::numeric_limits<int32_t>::max();
  std::string_view below = {};   ///< when less than min; empty: our message
  std::string_view above = {};   ///< when more than max; empty: `below`'s or ours
  std::string_view strict = {};  ///< when it is not a plain whole number; empty: our message
  bool min_excluded = false;     ///< min itself is too low
  double unit = 1;               ///< what one stands for
  int exit_code = 1;
  std::string_view suffixes = {};  ///< letters that may follow and mean nothing ("64m" megabytes)
};

/// The checked number, truncated unless `fraction`, not yet multiplied by the unit.
struct CheckedNumber {
  double value = 0;
  std::optional<Exit> exit;
};
CheckedNumber CheckNumber(const OptionRow& row, std::string_view text, const NumberRule& rule,
                          bool fraction);

template <typename T>
ApplyOption Number(T Settings::*field, const NumberRule& rule) {
  return [field, rule](OptionState& state, const OptionRow& row,
                       std::optional<std::string_view> value) -> std::optional<Exit> {
    const CheckedNumber number =
        CheckNumber(row, value.value_or(""), rule, /*fraction=*/std::is_floating_point_v<T>);
    if (number.exit) return number.exit;
    state.settings.*field = static_cast<T>(number.value * rule.unit);
    return std::nullopt;
  };
}

inline ApplyOption Set(bool Settings::*field, bool to = true) {
  return [field, to](OptionState& state, const OptionRow&,
                     std::optional<std::string_view>) -> std::optional<Exit> {
    state.settings.*field = to;
    return std::nullopt;
  };
}

inline ApplyOption Text(std::string Settings::*field) {
  return [field](OptionState& state, const OptionRow&,
                 std::optional<std::string_view> value) -> std::optional<Exit> {
    state.settings.*field = std::string(value.value_or(""));
    return std::nullopt;
  };
}

/// Accepted, and that is all.
inline ApplyOption Nothing() {
  return [](OptionState&, const OptionRow&,
            std::optional<std::string_view>) -> std::optional<Exit> { return std::nullopt; };
}

/// Both in turn.
ApplyOption Also(ApplyOption first, ApplyOption second);

/// "invalid value for -p: "x" (0 to 65535)", for what memcached has no message.
Exit InvalidValue(const OptionRow& row, std::string_view value);

}  // namespace cairn::server
