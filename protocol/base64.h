#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

/// Standard base64 with padding (RFC 4648, section 4), as the meta protocol's `b` keys use it.
namespace cairn::protocol {

constexpr size_t Base64EncodedBytes(size_t raw) { return (raw + 2) / 3 * 4; }

/// Decodes `text` into `out`, which has room for 3/4 of text.size(); returns the bytes written, or
/// nothing when the text is empty or not base64.
std::optional<size_t> Base64Decode(std::string_view text, char* out);

/// Encodes `raw` into `out`, which has room for Base64EncodedBytes(raw.size()); returns the end.
char* Base64Encode(std::string_view raw, char* out);

}  // namespace cairn::protocol
