#pragma once

#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace cairn::server {

/// Where a report's lines go: "STAT name value" in the text protocol, a packet in the binary one.
using StatSink = absl::FunctionRef<void(std::string_view name, std::string_view value)>;

}  // namespace cairn::server
