#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cairn/options.h"

namespace cairn::cli {

/// What the command line asks for.
struct Settings {
  ClientOptions client;
  absl::Duration ttl = absl::InfiniteDuration();
  std::optional<absl::Duration> interval;
  std::optional<uint64_t> count;
  std::vector<std::string_view> words;  ///< The command and its arguments.
};

/// For what options did not say: $CAIRN_SERVERS, or localhost without it; and $CAIRN_PASSWORD,
/// which other users of the machine would see on a command line.
absl::Status ReadEnvironment(Settings* settings);

/// Reads one option, e.g. "--ttl=90s". InvalidArgument says what is wrong with it.
absl::Status ReadOption(std::string_view word, Settings* settings);

}  // namespace cairn::cli
