#pragma once

#include <string>
#include <string_view>

namespace cairn {

/// The 32 bytes of the SHA-256 digest. Algorithm: FIPS 180-4.
std::string Sha256(std::string_view text);

}  // namespace cairn
