#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "server/settings.h"

/// The command line: memcached's, option by option.
namespace cairn::server {

/// The process ends here, having said this: -h, -V, or a mistake.
struct Exit {
  int code = 0;
  std::string out;  ///< for stdout
  std::string err;  ///< for stderr
};

using ParseResult = std::variant<Settings, Exit>;

/// Reads a command line as memcached 1.6.45 does: bundled short options, abbreviated long ones,
/// options behind other arguments, -o suboptions; then checks that the settings go together.
/// Mistakes end with memcached's own line and exit code. Values that memcached would take for
/// another number than they say ("-p 11211x") are mistakes too. argv is not changed. Thread-safe.
ParseResult ParseOptions(int argc, const char* const* argv);

/// What -h prints.
std::string HelpText();

/// docs/options.md: every option and what became of it here.
std::string DescribeOptions();

}  // namespace cairn::server
