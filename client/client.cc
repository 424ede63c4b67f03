#include "cairn/client.h"

#include <string>

#include "client/at_home.h"
#include "client/client_impl.h"
#include "client/touch_steps.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<Client>> Client::Make(ClientOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (absl::Status status = impl->Init(); !status.ok()) return status;
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

size_t Client::server_count() const { return impl_->servers().size(); }
const Server& Client::server(size_t index) const { return impl_->servers()[index]->server(); }
size_t Client::ServerOf(std::string_view key) const { return impl_->router().Look(key); }
AsyncClient& Client::Async() { return impl_->Async(); }

absl::StatusOr<std::optional<std::string>> Client::Get(std::string_view key,
                                                       const CallOptions& options) {
  return ValueOf(impl_->Ran(impl_->operations().Read("get", key), options.timeout));
}

absl::StatusOr<std::optional<Item>> Client::Gets(std::string_view key, const CallOptions& options) {
  return ItemOf(impl_->Ran(impl_->operations().Read("gets", key), options.timeout));
}

absl::StatusOr<std::optional<Item>> Client::GetAndTouch(std::string_view key, absl::Duration ttl,
                                                        const CallOptions& options) {
  return impl_->RanSteps(ReadThenTouch(&impl_->operations(), key, ttl), options.timeout);
}

absl::Status Client::Set(std::string_view key, std::string_view value,
                         const WriteOptions& options) {
  return WasStored(
      impl_->Ran(impl_->operations().Store(StoreVerb::kSet, key, value, options), options.timeout));
}

absl::StatusOr<bool> Client::Add(std::string_view key, std::string_view value,
                                 const WriteOptions& options) {
  return WasDone(
      impl_->Ran(impl_->operations().Store(StoreVerb::kAdd, key, value, options), options.timeout));
}

absl::StatusOr<bool> Client::Replace(std::string_view key, std::string_view value,
                                     const WriteOptions& options) {
  return WasDone(impl_->Ran(impl_->operations().Store(StoreVerb::kReplace, key, value, options),
                            options.timeout));
}

absl::StatusOr<bool> Client::Append(std::string_view key, std::string_view value,
                                    const CallOptions& options) {
  return WasDone(
      impl_->Ran(impl_->operations().Append(StoreVerb::kAppend, key, value), options.timeout));
}

absl::StatusOr<bool> Client::Prepend(std::string_view key, std::string_view value,
                                     const CallOptions& options) {
  return WasDone(
      impl_->Ran(impl_->operations().Append(StoreVerb::kPrepend, key, value), options.timeout));
}

absl::StatusOr<CasOutcome> Client::CompareAndSwap(std::string_view key, std::string_view value,
                                                  uint64_t cas, const WriteOptions& options) {
  return CasOutcomeOf(impl_->Ran(
      impl_->operations().Store(StoreVerb::kCas, key, value, options, cas), options.timeout));
}

absl::StatusOr<bool> Client::Delete(std::string_view key, const CallOptions& options) {
  return WasDone(impl_->Ran(impl_->operations().Delete(key), options.timeout));
}

absl::StatusOr<bool> Client::Touch(std::string_view key, absl::Duration ttl,
                                   const CallOptions& options) {
  return WasDone(impl_->Ran(impl_->operations().Touch(key, ttl), options.timeout));
}

absl::StatusOr<std::optional<uint64_t>> Client::Increment(std::string_view key, uint64_t delta,
                                                          const CallOptions& options) {
  return NumberOf(impl_->Ran(impl_->operations().Count(true, key, delta), options.timeout));
}

absl::StatusOr<std::optional<uint64_t>> Client::Decrement(std::string_view key, uint64_t delta,
                                                          const CallOptions& options) {
  return NumberOf(impl_->Ran(impl_->operations().Count(false, key, delta), options.timeout));
}

absl::StatusOr<std::optional<std::string>> AtHome::Get(Client& client, std::string_view key,
                                                       const CallOptions& options) {
  Client::Impl& impl = *client.impl_;
  return ValueOf(impl.Ran(impl.operations().Read("get", key, Places::kHomeOnly), options.timeout));
}

absl::Status AtHome::Set(Client& client, std::string_view key, std::string_view value,
                         const WriteOptions& options) {
  Client::Impl& impl = *client.impl_;
  return WasStored(
      impl.Ran(impl.operations().Store(StoreVerb::kSet, key, value, options, 0, Places::kHomeOnly),
               options.timeout));
}

absl::StatusOr<bool> AtHome::Add(Client& client, std::string_view key, std::string_view value,
                                 const WriteOptions& options) {
  Client::Impl& impl = *client.impl_;
  return WasDone(
      impl.Ran(impl.operations().Store(StoreVerb::kAdd, key, value, options, 0, Places::kHomeOnly),
               options.timeout));
}

absl::StatusOr<std::optional<Item>> AtHome::Gets(Client& client, std::string_view key,
                                                 const CallOptions& options) {
  Client::Impl& impl = *client.impl_;
  return ItemOf(impl.Ran(impl.operations().Read("gets", key, Places::kHomeOnly), options.timeout));
}

absl::StatusOr<CasOutcome> AtHome::CompareAndSwap(Client& client, std::string_view key,
                                                  std::string_view value, uint64_t cas,
                                                  const WriteOptions& options) {
  Client::Impl& impl = *client.impl_;
  return CasOutcomeOf(impl.Ran(
      impl.operations().Store(StoreVerb::kCas, key, value, options, cas, Places::kHomeOnly),
      options.timeout));
}

absl::StatusOr<CasOutcome> AtHome::DeleteIf(Client& client, std::string_view key, uint64_t cas,
                                            const CallOptions& options) {
  Client::Impl& impl = *client.impl_;
  return CasOutcomeOf(
      impl.Ran(impl.operations().DeleteIf(key, cas, Places::kHomeOnly), options.timeout));
}

MultiGetResult Client::GetMulti(std::span<const std::string_view> keys, const CallOptions& options,
                                bool with_cas) {
  return MultiGetResult(impl_->RanInWaves(options.timeout, [&](const auto& run) {
    return impl_->operations().ReadMany(keys, with_cas, run);
  }));
}

MultiWriteResult Client::SetMulti(std::span<const SetItem> items, const WriteOptions& options) {
  return MultiWriteResult(impl_->RanInWaves(options.timeout, [&](const auto& run) {
    return impl_->operations().StoreMany(items, options, run);
  }));
}

absl::Status Client::SetAll(std::span<const SetItem> items, const WriteOptions& options) {
  return FirstFailure(impl_->RanInWaves(options.timeout, [&](const auto& run) {
    return impl_->operations().StoreManyQuietly(items, options, run);
  }));
}

MultiWriteResult Client::DeleteMulti(std::span<const std::string_view> keys,
                                     const CallOptions& options) {
  return MultiWriteResult(impl_->RanInWaves(
      options.timeout, [&](const auto& run) { return impl_->operations().DeleteMany(keys, run); }));
}

MultiWriteResult Client::TouchMulti(std::span<const std::string_view> keys, absl::Duration ttl,
                                    const CallOptions& options) {
  return MultiWriteResult(impl_->RanInWaves(options.timeout, [&](const auto& run) {
    return impl_->operations().TouchMany(keys, ttl, run);
  }));
}

absl::Status Client::FlushAll(const CallOptions& options) {
  const ResultImpl result = impl_->Ran(impl_->operations().FlushAll(), options.timeout);
  for (size_t i = 0; i < result.call->answers.size(); ++i) {
    if (absl::Status status = result.StatusOf(i); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::vector<ServerStatistics> Client::Stats() const {
  const Clock::time_point now = Clock::now();
  std::vector<ServerStatistics> all;
  all.reserve(impl_->servers().size());
  for (const auto& server : impl_->servers()) all.push_back(server->Statistics(now));
  return all;
}

absl::StatusOr<std::string> Client::Version(size_t server, const CallOptions& options) {
  const ResultImpl result = impl_->Ran(
      impl_->operations().Line(static_cast<uint16_t>(server), "version"), options.timeout);
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  const std::vector<std::string>& lines = result.call->parts[0].lines;
  constexpr std::string_view kWord = "VERSION ";
  if (lines.empty() || !lines[0].starts_with(kWord)) {
    return absl::DataLossError("no version in the answer");
  }
  return lines[0].substr(kWord.size());
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Client::Stats(
    size_t server, std::string_view group, const CallOptions& options) {
  // One word or several, but one line.
  if (group.find_first_of("\r\n") != std::string_view::npos || group.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError("not a group of statistics");
  }
  const std::string line = std::string("stats") + (group.empty() ? "" : " ") + std::string(group);
  const ResultImpl result =
      impl_->Ran(impl_->operations().Line(static_cast<uint16_t>(server), line), options.timeout);
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  std::vector<std::pair<std::string, std::string>> stats;
  for (const std::string& each : result.call->parts[0].lines) {
    const size_t name = each.find(' ') + 1;  // after STAT, or ITEM or PREFIX of some groups
    if (name == 0) continue;
    const size_t blank = each.find(' ', name);
    stats.emplace_back(each.substr(name, blank - name),
                       blank == std::string::npos ? "" : each.substr(blank + 1));
  }
  return stats;
}

}  // namespace cairn
