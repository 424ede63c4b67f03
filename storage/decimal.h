#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace cairn::storage {

/// The number that a stored value means to arithmetic: see Store::Arithmetic.
std::optional<uint64_t> ParseCounter(std::string_view value);

}  // namespace cairn::storage
