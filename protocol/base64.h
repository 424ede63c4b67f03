#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

/// Standard base64 with padding (RFC 4648, section 4), as the meta protocol's `b` keys use it.
namespace cairn::protocol {

constexpr size_t Base64EncodedBytes(size_t raw) { return (raw + 2) / 3 * 4; }

/// Decodes `text` into `out`, which has room for 3/4 of text.size(); returns the bytes written. As
/// memcached does, skips whatever is not in the alphabet and stops after padding; nothing when the
/// characters of the alphabet and '=' are none, or no multiple of four, or padded by more than two.
std::optional<size_t> Base64Decode(std::string_view text, char* out);

/// Encodes `raw` into `out`, which has room for Base64EncodedBytes(raw.size()); returns the end.
char* Base64Encode(std::string_view raw, char* out);

}  // namespace cairn::protocol
