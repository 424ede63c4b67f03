#include "server/uri_encode.h"

namespace cairn::server {
namespace {

// std::isalnum asks the locale.
bool IsUnreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace

void AppendUriEncoded(std::string_view bytes, std::string* out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : bytes) {
    if (IsUnreserved(c)) {
      out->push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out->push_back('%');
    out->push_back(kDigits[byte >> 4]);
    out->push_back(kDigits[byte & 15]);
  }
}

std::string UriEncoded(std::string_view bytes) {
  std::string encoded;
  encoded.reserve(bytes.size());
  AppendUriEncoded(bytes, &encoded);
  return encoded;
}

}  // namespace cairn::server
