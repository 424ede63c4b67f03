#include "client/client_impl.h"

namespace cairn {
namespace {

constexpr size_t kConnectionsMax = 64;

absl::Status CheckOptions(const ClientOptions& options) {
  // A prefix is part of keys, and has to leave room for them.
  if (!options.key_prefix.empty()) {
    if (absl::Status status = CheckKey("", options.key_prefix + "k"); !status.ok()) {
      return absl::InvalidArgumentError("key_prefix: " + std::string(status.message()));
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
  for (const std::string& text : {options.username, options.password}) {
    if (text.find_first_of("\r\n") != std::string::npos) {
      return absl::InvalidArgumentError("a line break in username or password");
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
  absl::StatusOr<Placement> placement = Placement::Make(options_.servers, options_.placement);
  if (!placement.ok()) return placement.status();
  placement_ = std::make_shared<const Placement>(std::move(*placement));
  for (const Server& server : options_.servers) {
    servers_.push_back(std::make_unique<ServerState>(server, options_));
    // A name that does not resolve is a server that is down.
    (void)servers_.back()->Resolve();
  }
  for (size_t i = 0; i < options_.connections_per_server; ++i) {
    absl::StatusOr<std::unique_ptr<Channel>> channel = Channel::Make(servers_, &options_);
    if (!channel.ok()) return channel.status();
    channels_.push_back(std::move(*channel));
  }
  return absl::OkStatus();
}

std::shared_ptr<const Placement> Client::Impl::LivePlacement() {
  const Clock::time_point now = Clock::now();
  std::vector<bool> live(servers_.size());
  size_t live_count = 0;
  for (size_t i = 0; i < servers_.size(); ++i) {
    live[i] = !servers_[i]->Paused(now);
    live_count += live[i] ? 1 : 0;
  }
  // With none left there is nowhere to go: every key fails where it lives.
  if (live_count == 0 || live_count == live.size()) return placement_;
  absl::MutexLock lock(&placement_mutex_);
  if (live != live_) {
    absl::StatusOr<Placement> made = Placement::Make(options_.servers, options_.placement, live);
    if (!made.ok()) return placement_;
    live_placement_ = std::make_shared<const Placement>(std::move(*made));
    live_ = live;
  }
  return live_placement_;
}

uint16_t Client::Impl::ServerOf(std::string_view key) {
  if (servers_.size() == 1) return 0;
  std::string prefixed;
  if (options_.hash_key_prefix && !options_.key_prefix.empty()) {
    prefixed.assign(options_.key_prefix).append(key);
    key = prefixed;
  }
  if (!options_.eject) return static_cast<uint16_t>(placement_->Choose(key));
  return static_cast<uint16_t>(LivePlacement()->Choose(key));
}

void Client::Impl::ServersOf(std::span<const std::string_view> keys, std::span<uint16_t> chosen) {
  if (options_.hash_key_prefix && !options_.key_prefix.empty()) {
    for (size_t i = 0; i < keys.size(); ++i) chosen[i] = ServerOf(keys[i]);
  } else if (options_.eject) {
    LivePlacement()->Choose(keys, chosen);
  } else {
    placement_->Choose(keys, chosen);
  }
}

bool Client::Impl::Run(Call& call, Clock::time_point deadline) {
  call.parts_left.store(static_cast<uint32_t>(call.parts.size() - call.submitted),
                        std::memory_order_relaxed);
  channels_[ThreadNumber() % channels_.size()]->Run(call, deadline);
  if (call.finished()) return true;
  call.abandoned.store(true, std::memory_order_relaxed);
  return false;
}

absl::StatusOr<Client::Impl::Single> Client::Impl::Store(const StoreRequest& request,
                                                         absl::Duration timeout) {
  if (request.value.size() > options_.value_bytes_max) {
    return absl::ResourceExhaustedError("a value above value_bytes_max; it was not sent");
  }
  return RunSingle(request.key, AnswerShape::kWord, false, timeout,
                   [&](RequestWriter& writer) { writer.Store(request, 0); });
}

}  // namespace cairn
