#pragma once

#include <string_view>

namespace cairn::protocol {

/// The memcached release whose behaviour the wire follows, and what `version` answers: clients read
/// from it which commands they may use. Our own version is in the command line's -V.
inline constexpr std::string_view kMemcachedVersion = "1.6.45";

}  // namespace cairn::protocol
