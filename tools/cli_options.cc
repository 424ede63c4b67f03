#include "tools/cli_options.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "cairn/placement.h"
#include "cairn/server.h"

namespace cairn::cli {
namespace {

constexpr std::string_view kWithValue[] = {
    "--servers", "--placement", "--hash-tag", "--prefix", "--ttl",      "--timeout", "--interval",
    "--count",   "--ca",        "--cert",     "--key",    "--tls-name", "--user"};

absl::Status ReadServers(std::string_view list, std::vector<Server>* servers) {
  servers->clear();
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    absl::StatusOr<Server> server = Server::Parse(list.substr(0, comma));
    if (!server.ok()) return server.status();
    servers->push_back(*std::move(server));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return absl::OkStatus();
}

absl::Status ReadDuration(std::string_view text, absl::Duration* duration) {
  if (absl::ParseDuration(std::string(text), duration)) return absl::OkStatus();
  return absl::InvalidArgumentError("not a duration such as 90s: \"" + std::string(text) + "\"");
}

absl::Status ReadInterval(std::string_view text, Settings* settings) {
  absl::Status status = ReadDuration(text, &settings->interval.emplace());
  if (status.ok() && *settings->interval <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("an interval that is not positive");
  }
  return status;
}

absl::Status ReadCount(std::string_view text, Settings* settings) {
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, settings->count.emplace());
  if (read.ec == std::errc() && read.ptr == end && *settings->count > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("not a number of times: \"" + std::string(text) + "\"");
}

// Each of these asks for TLS.
absl::Status ReadTlsOption(std::string_view word, std::string_view name, std::string_view value,
                           std::optional<TlsOptions>* tls) {
  TlsOptions options = tls->value_or(TlsOptions());
  if (name == "--ca") {
    options.ca_file = value;
  } else if (name == "--cert") {
    options.cert_file = value;
  } else if (name == "--key") {
    options.key_file = value;
  } else if (name == "--tls-name") {
    options.server_name = value;
  } else if (word != "--tls") {
    return absl::InvalidArgumentError("no such option: " + std::string(word));
  }
  *tls = std::move(options);
  return absl::OkStatus();
}

absl::Status ReadNamed(std::string_view word, std::string_view name, std::string_view value,
                       Settings* settings) {
  ClientOptions& client = settings->client;
  if (name == "--servers") return ReadServers(value, &client.servers);
  if (name == "--ttl") return ReadDuration(value, &settings->ttl);
  if (name == "--interval") return ReadInterval(value, settings);
  if (name == "--count") return ReadCount(value, settings);
  if (name == "--timeout") return ReadDuration(value, &client.call_timeout);
  if (name == "--placement") {
    const absl::StatusOr<PlacementPreset> preset = PresetFromName(value);
    if (!preset.ok()) return preset.status();
    const std::string tag = client.placement.hash_tag;
    client.placement = PlacementOptions::For(*preset);
    client.placement.hash_tag = tag;
  } else if (name == "--hash-tag") {
    client.placement.hash_tag = value;
  } else if (name == "--prefix") {
    client.key_prefix = value;
  } else if (word == "--text") {
    client.protocol = ClientOptions::Protocol::kText;
  } else if (word == "--zstd") {
    client.compression.emplace();
  } else if (name == "--user") {
    client.username = value;
  } else if (word == "--sasl") {
    client.auth = ClientOptions::Auth::kSaslPlain;
  } else {
    return ReadTlsOption(word, name, value, &client.tls);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadEnvironment(Settings* settings) {
  const char* const password = getenv("CAIRN_PASSWORD");
  if (password != nullptr) settings->client.password = password;
  if (!settings->client.servers.empty()) return absl::OkStatus();
  const char* const servers = getenv("CAIRN_SERVERS");
  absl::Status status =
      ReadServers(servers == nullptr ? "localhost" : servers, &settings->client.servers);
  if (status.ok()) return status;
  return absl::InvalidArgumentError("$CAIRN_SERVERS: " + std::string(status.message()));
}

absl::Status ReadOption(std::string_view word, Settings* settings) {
  const size_t equals = std::min(word.find('='), word.size());
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = word.substr(std::min(equals + 1, word.size()));
  const bool wants_value =
      std::find(std::begin(kWithValue), std::end(kWithValue), name) != std::end(kWithValue);
  if (wants_value && value.empty() && (equals == word.size() || name == "--servers")) {
    return absl::InvalidArgumentError(std::string(name) + " wants a value, after \"=\"");
  }
  const absl::Status status = ReadNamed(word, name, value, settings);
  if (status.ok() || !wants_value) return status;
  return absl::InvalidArgumentError(std::string(name) + ": " + std::string(status.message()));
}

}  // namespace cairn::cli
