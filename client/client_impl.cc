#include "client/client_impl.h"

#include "client/accounting.h"

namespace cairn {
namespace {

constexpr size_t kConnectionsMax = 64;
constexpr size_t kCredentialBytesMax = 255;
// What stands in for leases has a hashed key of 46 bytes.
constexpr size_t kKeyPrefixBytesMax = 200;

absl::Status CheckServers(const std::vector<Server>& servers) {
  for (size_t i = 0; i < servers.size(); ++i) {
    const Server& server = servers[i];
    if (!server.host.empty() && (server.port != 0 || server.IsUnixSocket())) continue;
    return absl::InvalidArgumentError("servers[" + std::to_string(i) + "], \"" + server.Address() +
                                      "\", has no " + (server.host.empty() ? "host" : "port"));
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const ClientOptions& options) {
  if (absl::Status status = CheckServers(options.servers); !status.ok()) return status;
  // A prefix is part of keys, and has to leave room for them.
  if (!options.key_prefix.empty()) {
    if (absl::Status status = CheckKey("", options.key_prefix); !status.ok()) {
      return absl::InvalidArgumentError("key_prefix: " + std::string(status.message()));
    }
    if (options.key_prefix.size() > kKeyPrefixBytesMax) {
      return absl::InvalidArgumentError("key_prefix is longer than 200 bytes");
    }
  }
  if (options.connections_per_server == 0 || options.connections_per_server > kConnectionsMax) {
    return absl::InvalidArgumentError("connections_per_server is not within 1 and 64");
  }
  const absl::Duration durations[] = {options.connect_timeout, options.request_timeout,
                                      options.call_timeout, options.fail_timeout,
                                      options.pause_max};
  for (const absl::Duration duration : durations) {
    if (duration <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError("a timeout or pause that is not positive");
    }
  }
  if (options.backup_ttl_max <= absl::ZeroDuration() ||
      (options.backup_ttl_max > kRelativeTtlMax &&
       options.backup_ttl_max != absl::InfiniteDuration())) {
    return absl::InvalidArgumentError("backup_ttl_max is neither within 30 days nor infinite");
  }
  for (const std::string& text : {options.username, options.password}) {
    if (text.find_first_of("\r\n") != std::string::npos) {
      return absl::InvalidArgumentError("a line break in username or password");
    }
  }
  if (options.auth == ClientOptions::Auth::kSaslPlain) {
    if (options.username.empty()) return absl::InvalidArgumentError("SASL without a username");
    for (const std::string& text : {options.username, options.password}) {
      if (text.find('\0') != std::string::npos || text.size() > kCredentialBytesMax) {
        return absl::InvalidArgumentError("a username or password that SASL PLAIN cannot say");
      }
    }
  }
  return absl::OkStatus();
}

// Threads take turns with the channels, so that those of a pool spread over them evenly.
size_t ThreadNumber() {
  static std::atomic<size_t> next{0};
  thread_local const size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

absl::Status Client::Impl::Init() {
  if (absl::Status status = CheckOptions(options_); !status.ok()) return status;
  if (options_.compression.has_value()) {
    absl::StatusOr<std::unique_ptr<ValueCodec>> codec = ValueCodec::Make(*options_.compression);
    if (!codec.ok()) return codec.status();
    codec_ = std::move(*codec);
    operations_.set_codec(codec_.get());
  }
  if (absl::Status status = router_.Init(); !status.ok()) return status;
  for (size_t i = 0; i < options_.connections_per_server; ++i) {
    absl::StatusOr<std::unique_ptr<Channel>> channel = Channel::Make(servers(), &options_);
    if (!channel.ok()) return channel.status();
    channels_.push_back(std::move(*channel));
  }
  return absl::OkStatus();
}

bool Client::Impl::Run(Call& call, Clock::time_point now, Clock::time_point deadline) {
  if (options_.tracer != nullptr && !call.traced) {
    call.traced = true;
    call.trace_context = options_.tracer->OnBegin();
  }
  Channel& channel = *channels_[ThreadNumber() % channels_.size()];
  do {
    call.begun = now;
    call.parts_left.store(static_cast<uint32_t>(call.WaveEnd() - call.submitted),
                          std::memory_order_relaxed);
    channel.Run(call, deadline);
    if (!call.finished()) break;
    if (!call.has_more_waves()) return true;
    call.ForgetRequests();
    now = Clock::now();
  } while (now < deadline);
  Abandon(call, servers());
  return false;
}

}  // namespace cairn
