#pragma once

#include <string_view>

namespace cairn::server {

/// `cairnd --describe=options|stats|commands` prints a page of docs/ from the tables that drive the
/// server, so that the pages cannot drift; a test compares them.
inline constexpr std::string_view kDescribeFlag = "--describe=";

/// `argument` begins with kDescribeFlag. Returns the exit code: 1 when there is no such page.
int PrintDescription(std::string_view argument);

}  // namespace cairn::server
