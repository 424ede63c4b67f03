#pragma once

#include <string>
#include <string_view>

namespace cairn::server {

/// Appends `bytes` to `out` with everything but letters, digits, '-', '.', '_' and '~' as %XX
/// (RFC 3986, section 2.1, unreserved characters): how logs and dumps write keys.
void AppendUriEncoded(std::string_view bytes, std::string* out);
std::string UriEncoded(std::string_view bytes);

}  // namespace cairn::server
