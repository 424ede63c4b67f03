#pragma once

#include <string>

namespace cairn {

/// 128 bits from the system's random numbers, as 32 hexadecimal digits: nobody guesses one, and two
/// are never the same. Thread-safe.
std::string RandomId();

}  // namespace cairn
