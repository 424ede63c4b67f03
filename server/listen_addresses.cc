// The argument of -l: [notls:|btls:|mtls:][proto[name]:][tag[name]:]host[:port], with commas or
// semicolons between them.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "server/option_rows.h"
#include "server/option_values.h"

namespace cairn::server {
namespace {

constexpr size_t kMaxTagBytes = 8;
constexpr int kPortMax = 65535;

// Takes `prefix` from the front of `text`; false when it is not there.
bool Take(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

Exit CannotListen(std::string_view line) { return Mistake(line, kExitOsError); }

// What stands before `end`, which goes too, and so does the colon behind it.
std::optional<std::string_view> TakeUntil(std::string_view* text, size_t end) {
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view taken = text->substr(0, end);
  text->remove_prefix(end + 1);
  Take(text, ":");
  return taken;
}

class AddressParser {
 public:
  AddressParser(std::string_view text, Settings* settings) : rest_(text), settings_(settings) {}

  std::optional<Exit> Parse(ListenAddress* address) {
    if (auto exit = ParseTls(address)) return exit;
    if (auto exit = ParseProtocol(address)) return exit;
    if (auto exit = ParseTag(address)) return exit;
    return ParseHost(address);
  }

 private:
  std::optional<Exit> ParseTls(ListenAddress* address) {
    std::string_view word;
    if (Take(&rest_, "notls:")) {
      word = "notls";
      address->tls = ListenTls::kNone;
    } else if (Take(&rest_, "btls:")) {
      word = "btls";
      address->tls = ListenTls::kBasic;
    } else if (Take(&rest_, "mtls:")) {
      word = "mtls";
      address->tls = ListenTls::kMutual;
    }
    if (word.empty() || settings_->tls_enabled) return std::nullopt;
    return CannotListen(fmt::format("'{}' option is valid only when SSL is enabled", word));
  }

  std::optional<Exit> ParseProtocol(ListenAddress* address) {
    const std::string_view whole = rest_;
    if (!Take(&rest_, "proto[")) return std::nullopt;
    const std::optional<std::string_view> name = TakeUntil(&rest_, rest_.find(']'));
    if (!name) {
      return CannotListen(
          fmt::format("Invalid protocol spec: \"{}\"", whole.substr(sizeof "proto" - 1)));
    }
    const bool passwords = !settings_->auth_file.empty();
    if (*name == "ascii") {
      address->protocol = BindingProtocol::kAscii;
    } else if (*name == "binary") {
      if (passwords) {
        return CannotListen("Cannot use binary protocol when ascii authentication enabled");
      }
      address->protocol = BindingProtocol::kBinary;
    } else if (*name == "negotiating") {
      address->protocol = passwords ? BindingProtocol::kAscii : BindingProtocol::kAuto;
      if (passwords) {
        settings_->warnings.emplace_back(
            "WARNING: negotiating ports are ascii only when ascii authentication enabled\n");
      }
    } else if (*name == "proxy") {
      return CannotListen(fmt::format("Server not built with proxy: \"{}\"", whole));
    } else {
      return CannotListen(fmt::format("Invalid protocol spec: \"{}\"", *name));
    }
    return std::nullopt;
  }

  std::optional<Exit> ParseTag(ListenAddress* address) {
    const std::string_view whole = rest_;
    if (!Take(&rest_, "tag[") && !Take(&rest_, "tag_")) return std::nullopt;
    size_t end = rest_.find(']');
    if (end == std::string_view::npos) end = rest_.find('_');
    const std::optional<std::string_view> tag = TakeUntil(&rest_, end);
    if (!tag) {
      return CannotListen(
          fmt::format("Invalid tag in socket config: \"{}\"", whole.substr(sizeof "tag" - 1)));
    }
    if (tag->empty() || tag->size() > kMaxTagBytes) {
      return CannotListen(
          fmt::format("Listener tags must be between 1 and 8 characters: \"{}\"", *tag));
    }
    address->tag = std::string(*tag);
    return std::nullopt;
  }

  std::optional<Exit> ParseHost(ListenAddress* address) {
    const std::string_view whole = rest_;
    std::string_view host = rest_;
    std::optional<std::string_view> port;
    if (Take(&rest_, "[")) {
      const size_t end = rest_.find(']');
      if (end == std::string_view::npos) {
        return CannotListen(fmt::format("Invalid IPV6 address: \"{}\"", whole));
      }
      host = rest_.substr(0, end);
      rest_.remove_prefix(end + 1);
      if (Take(&rest_, ":")) port = rest_;
    } else if (std::count(rest_.begin(), rest_.end(), ':') == 1) {
      // More colons than one are an IPv6 address without a port.
      host = rest_.substr(0, rest_.find(':'));
      port = rest_.substr(host.size() + 1);
    }
    if (port) {
      const NumberText number = ReadNumber(*port);
      if (!number.valid || number.value < -1 || number.value > kPortMax) {
        return CannotListen(fmt::format("Invalid port number: \"{}\"", *port));
      }
      address->port = static_cast<int>(number.value);
    }
    if (host != "*") address->host = std::string(host);
    return std::nullopt;
  }

  std::string_view rest_;
  Settings* settings_;
};

}  // namespace

std::optional<Exit> ParseListenAddresses(Settings* settings) {
  std::string_view text = settings->listen_text;
  std::vector<std::string_view> seen;
  while (!text.empty()) {
    const std::string_view entry = text.substr(0, text.find_first_of(",;"));
    text.remove_prefix(std::min(text.size(), entry.size() + 1));
    if (entry.empty() || std::find(seen.begin(), seen.end(), entry) != seen.end()) continue;
    seen.push_back(entry);
    ListenAddress address;
    if (auto exit = AddressParser(entry, settings).Parse(&address)) return exit;
    settings->listen.push_back(std::move(address));
  }
  return std::nullopt;
}

}  // namespace cairn::server
