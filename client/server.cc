#include "cairn/server.h"

#include <charconv>

namespace cairn {
namespace {

template <typename Number>
bool ReadNumber(std::string_view text, Number max, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && *number <= max;
}

absl::Status Malformed(std::string_view text) {
  return absl::InvalidArgumentError("not a server (host[:port[:weight]] [alias]): \"" +
                                    std::string(text) + "\"");
}

// Cuts the text before the first `mark` off `text`, and the mark.
std::string_view CutUntil(char mark, std::string_view* text) {
  const size_t at = text->find(mark);
  const std::string_view before = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return before;
}

}  // namespace

std::string Server::Address() const {
  if (IsUnixSocket()) return host;
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

absl::StatusOr<Server> Server::Parse(std::string_view text) {
  Server server;
  std::string_view rest = text;
  std::string_view address = CutUntil(' ', &rest);
  server.alias = rest;
  if (!address.empty() && address.front() == '[') {
    const size_t end = address.find(']');
    if (end == std::string_view::npos) return Malformed(text);
    server.host = address.substr(1, end - 1);
    address.remove_prefix(end + 1);
    if (!address.empty() && address.front() != ':') return Malformed(text);
    if (!address.empty()) address.remove_prefix(1);
  } else {
    server.host = CutUntil(':', &address);
  }
  if (server.host.empty()) return Malformed(text);
  if (server.IsUnixSocket()) {
    server.port = 0;
  } else if (!address.empty()) {
    if (!ReadNumber<uint16_t>(CutUntil(':', &address), 65535, &server.port) || server.port == 0) {
      return Malformed(text);
    }
  }
  if (!address.empty() && !ReadNumber<uint32_t>(address, 65535, &server.weight)) {
    return Malformed(text);
  }
  return server;
}

}  // namespace cairn
