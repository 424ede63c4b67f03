#include "cairn/client.h"

#include <string>

#include "client/client_impl.h"

namespace cairn {
namespace {

StoreRequest MakeStore(StoreVerb verb, std::string_view key, std::string_view value,
                       const WriteOptions& options) {
  return {verb, key, value, options.flags, ExptimeOf(options.ttl, absl::Now()), 0};
}

// Of a write whose answer is yes or no.
template <typename Single>
absl::StatusOr<bool> WasDone(const absl::StatusOr<Single>& single) {
  if (!single.ok()) return single.status();
  return single->state() == AnswerState::kHit;
}

template <typename Single>
absl::StatusOr<std::optional<Item>> ItemOf(const absl::StatusOr<Single>& single) {
  if (!single.ok()) return single.status();
  if (single->state() != AnswerState::kHit) return std::optional<Item>();
  const Answer& answer = single->answer();
  return Item{std::string(answer.data, answer.size), answer.flags, answer.number};
}

}  // namespace

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

absl::StatusOr<std::optional<std::string>> Client::Get(std::string_view key,
                                                       const CallOptions& options) {
  const auto single = impl_->RunSingle(key, AnswerShape::kValues, true, options.timeout,
                                       [&](RequestWriter& writer) { writer.Read("get", key, 0); });
  if (!single.ok()) return single.status();
  if (single->state() != AnswerState::kHit) return std::optional<std::string>();
  return std::string(single->answer().data, single->answer().size);
}

absl::StatusOr<std::optional<Item>> Client::Gets(std::string_view key, const CallOptions& options) {
  return ItemOf(impl_->RunSingle(key, AnswerShape::kValues, true, options.timeout,
                                 [&](RequestWriter& writer) { writer.Read("gets", key, 0); }));
}

absl::StatusOr<std::optional<Item>> Client::GetAndTouch(std::string_view key, absl::Duration ttl,
                                                        const CallOptions& options) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  return ItemOf(impl_->RunSingle(
      key, AnswerShape::kValues, true, options.timeout, [&](RequestWriter& writer) {
        writer.Read("gats " + std::to_string(writer.Capped(exptime)), key, 0);
      }));
}

MultiGetResult Client::GetMulti(std::span<const std::string_view> keys, const CallOptions& options,
                                bool with_cas) {
  const std::string_view verb = with_cas ? "gets" : "get";
  return MultiGetResult(impl_->RunMany(
      keys, AnswerShape::kValues, true, options.timeout, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.Read(verb, keys[i], i);
        return keys[i].size();
      }));
}

absl::Status Client::Set(std::string_view key, std::string_view value,
                         const WriteOptions& options) {
  const auto single =
      impl_->Store(MakeStore(StoreVerb::kSet, key, value, options), options.timeout);
  if (!single.ok()) return single.status();
  // Proxies may say so when they have no server to give it to.
  if (single->state() != AnswerState::kHit) return absl::UnknownError("the set was not stored");
  return absl::OkStatus();
}

absl::StatusOr<bool> Client::Add(std::string_view key, std::string_view value,
                                 const WriteOptions& options) {
  return WasDone(impl_->Store(MakeStore(StoreVerb::kAdd, key, value, options), options.timeout));
}

absl::StatusOr<bool> Client::Replace(std::string_view key, std::string_view value,
                                     const WriteOptions& options) {
  return WasDone(
      impl_->Store(MakeStore(StoreVerb::kReplace, key, value, options), options.timeout));
}

absl::StatusOr<bool> Client::Append(std::string_view key, std::string_view value,
                                    const CallOptions& options) {
  return WasDone(impl_->Store({StoreVerb::kAppend, key, value, 0, 0, 0}, options.timeout));
}

absl::StatusOr<bool> Client::Prepend(std::string_view key, std::string_view value,
                                     const CallOptions& options) {
  return WasDone(impl_->Store({StoreVerb::kPrepend, key, value, 0, 0, 0}, options.timeout));
}

absl::StatusOr<CasOutcome> Client::CompareAndSwap(std::string_view key, std::string_view value,
                                                  uint64_t cas, const WriteOptions& options) {
  StoreRequest request = MakeStore(StoreVerb::kCas, key, value, options);
  request.cas = cas;
  const auto single = impl_->Store(request, options.timeout);
  if (!single.ok()) return single.status();
  if (single->state() == AnswerState::kHit) return CasOutcome::kStored;
  return single->state() == AnswerState::kExists ? CasOutcome::kChanged : CasOutcome::kNotFound;
}

absl::StatusOr<bool> Client::Delete(std::string_view key, const CallOptions& options) {
  return WasDone(impl_->RunSingle(key, AnswerShape::kWord, false, options.timeout,
                                  [&](RequestWriter& writer) { writer.Delete(key, 0); }));
}

absl::StatusOr<bool> Client::Touch(std::string_view key, absl::Duration ttl,
                                   const CallOptions& options) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  return WasDone(impl_->RunSingle(key, AnswerShape::kWord, false, options.timeout,
                                  [&](RequestWriter& writer) { writer.Touch(key, exptime, 0); }));
}

namespace {

template <typename Single>
absl::StatusOr<std::optional<uint64_t>> NumberOf(const absl::StatusOr<Single>& single) {
  if (!single.ok()) return single.status();
  if (single->state() != AnswerState::kHit) return std::optional<uint64_t>();
  return single->answer().number;
}

}  // namespace

absl::StatusOr<std::optional<uint64_t>> Client::Increment(std::string_view key, uint64_t delta,
                                                          const CallOptions& options) {
  return NumberOf(
      impl_->RunSingle(key, AnswerShape::kNumber, false, options.timeout,
                       [&](RequestWriter& writer) { writer.Arithmetic(true, key, delta, 0); }));
}

absl::StatusOr<std::optional<uint64_t>> Client::Decrement(std::string_view key, uint64_t delta,
                                                          const CallOptions& options) {
  return NumberOf(
      impl_->RunSingle(key, AnswerShape::kNumber, false, options.timeout,
                       [&](RequestWriter& writer) { writer.Arithmetic(false, key, delta, 0); }));
}

MultiWriteResult Client::SetMulti(std::span<const SetItem> items, const WriteOptions& options) {
  std::vector<std::string_view> keys;
  keys.reserve(items.size());
  for (const SetItem& item : items) keys.push_back(item.key);
  const size_t bytes_max = impl_->options().value_bytes_max;
  StoreRequest request = MakeStore(StoreVerb::kSet, {}, {}, options);
  return MultiWriteResult(impl_->RunMany(
      keys, AnswerShape::kWord, false, options.timeout,
      [&](size_t i) {
        return items[i].value.size() <= bytes_max
                   ? absl::OkStatus()
                   : absl::ResourceExhaustedError("a value above value_bytes_max; not sent");
      },
      [&](RequestWriter& writer, uint32_t i) {
        request.key = items[i].key;
        request.value = items[i].value;
        writer.Store(request, i);
        return request.key.size() + request.value.size();
      }));
}

MultiWriteResult Client::DeleteMulti(std::span<const std::string_view> keys,
                                     const CallOptions& options) {
  return MultiWriteResult(impl_->RunMany(
      keys, AnswerShape::kWord, false, options.timeout, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.Delete(keys[i], i);
        return keys[i].size();
      }));
}

MultiWriteResult Client::TouchMulti(std::span<const std::string_view> keys, absl::Duration ttl,
                                    const CallOptions& options) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  return MultiWriteResult(impl_->RunMany(
      keys, AnswerShape::kWord, false, options.timeout, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.Touch(keys[i], exptime, i);
        return keys[i].size();
      }));
}

absl::Status Client::FlushAll(const CallOptions& options) {
  ResultImpl result;
  Call& call = *result.call;
  call.answers.resize(server_count());
  uint32_t asked = 0;
  for (size_t i = 0; i < server_count(); ++i) {
    if (server(i).down) continue;
    Part& part = call.AddPart(static_cast<uint16_t>(i), AnswerShape::kWord, false);
    call.answers[asked].part = asked;
    RequestWriter(&part, {}, Dialect::kText).Line("flush_all", "OK", asked);
    ++asked;
  }
  impl_->Run(call, impl_->DeadlineAfter(options.timeout));
  result.Snapshot();
  for (uint32_t i = 0; i < asked; ++i) {
    if (absl::Status status = result.StatusOf(i); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Client::Version(size_t server, const CallOptions& options) {
  const auto single =
      impl_->RunOnServer(static_cast<uint16_t>(server), AnswerShape::kLines, true, options.timeout,
                         [](RequestWriter& writer) { writer.Line("version", "", 0); });
  if (!single.ok()) return single.status();
  const std::vector<std::string>& lines = single->result.call->parts[0].lines;
  if (lines.empty()) return absl::DataLossError("no version in the answer");
  return lines[0].substr(std::string_view("VERSION ").size());
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Client::Stats(
    size_t server, std::string_view group, const CallOptions& options) {
  // One word or several, but one line.
  if (group.find_first_of("\r\n") != std::string_view::npos || group.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError("not a group of statistics");
  }
  const std::string line = std::string("stats") + (group.empty() ? "" : " ") + std::string(group);
  const auto single =
      impl_->RunOnServer(static_cast<uint16_t>(server), AnswerShape::kLines, true, options.timeout,
                         [&](RequestWriter& writer) { writer.Line(line, "", 0); });
  if (!single.ok()) return single.status();
  std::vector<std::pair<std::string, std::string>> stats;
  for (const std::string& each : single->result.call->parts[0].lines) {
    const size_t name = std::string_view("STAT ").size();
    if (each.size() < name) continue;
    const size_t blank = each.find(' ', name);
    stats.emplace_back(each.substr(name, blank - name),
                       blank == std::string::npos ? "" : each.substr(blank + 1));
  }
  return stats;
}

}  // namespace cairn
