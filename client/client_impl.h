#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/client.h"
#include "client/channel.h"
#include "client/requests.h"
#include "client/result_impl.h"
#include "client/router.h"
#include "client/server_state.h"

namespace cairn {

/// What every call of a Client is made with.
class Client::Impl {
 public:
  explicit Impl(ClientOptions options) : options_(std::move(options)) {}

  absl::Status Init();

  const ClientOptions& options() const { return options_; }
  const std::vector<std::unique_ptr<ServerState>>& servers() const { return router_.servers(); }
  Router& router() { return router_; }

  /// One key's call: the shape of its answer, what to write, and the answer. `write` is called with
  /// a RequestWriter.
  struct Single {
    ResultImpl result;
    const Answer& answer() const { return result.call->answers[0]; }
    AnswerState state() const { return result.StateOf(0); }
    absl::Status status() const { return result.StatusOf(0); }
  };
  template <typename Write>
  absl::StatusOr<Single> RunSingle(std::string_view key, AnswerShape shape, bool is_read,
                                   absl::Duration timeout, const Write& write) {
    if (absl::Status status = CheckKey(options_.key_prefix, key); !status.ok()) return status;
    return RunOnServer(router_.Route(key), shape, is_read, timeout, write);
  }
  template <typename Write>
  absl::StatusOr<Single> RunOnServer(uint16_t server, AnswerShape shape, bool is_read,
                                     absl::Duration timeout, const Write& write) {
    Single single;
    Call& call = *single.result.call;
    call.answers.resize(1);
    Part& part = call.AddPart(server, shape, is_read);
    RequestWriter writer = WriterFor(&part);
    write(writer);
    writer.End();
    Run(call, DeadlineAfter(timeout));
    single.result.Snapshot();
    if (absl::Status status = single.status(); !status.ok()) return status;
    return single;
  }

  /// Many keys' call. `check(i)` says why item i must not be sent; `write(writer, i)` writes it.
  template <typename Check, typename Write>
  ResultImpl RunMany(std::span<const std::string_view> keys, AnswerShape shape, bool is_read,
                     absl::Duration timeout, const Check& check, const Write& write);

  absl::StatusOr<Single> Store(const StoreRequest& request, absl::Duration timeout);

  /// Runs what was not submitted of `call`; false when its time was up first.
  bool Run(Call& call, Clock::time_point deadline);
  Clock::time_point DeadlineAfter(absl::Duration timeout) const {
    return Clock::now() +
           ToClock(timeout == absl::ZeroDuration() ? options_.call_timeout : timeout);
  }

 private:
  RequestWriter WriterFor(Part* part) const {
    return RequestWriter(part, options_.key_prefix, servers()[part->server]->dialect(),
                         router_.exptime_max(part->server));
  }

  const ClientOptions options_;
  Router router_{&options_};
  std::vector<std::unique_ptr<Channel>> channels_;
};

// How much one wave of a bulk call puts on the wire before its answers are awaited, so that a call
// of any size needs memory for its results and a little more.
inline constexpr size_t kWaveKeys = 4096;
inline constexpr size_t kWaveBytes = size_t{4} * 1024 * 1024;
inline constexpr size_t kKeysAhead = 8;

template <typename Check, typename Write>
ResultImpl Client::Impl::RunMany(std::span<const std::string_view> keys, AnswerShape shape,
                                 bool is_read, absl::Duration timeout, const Check& check,
                                 const Write& write) {
  ResultImpl result;
  Call& call = *result.call;
  call.answers.resize(keys.size());
  const Clock::time_point deadline = DeadlineAfter(timeout);
  std::vector<uint16_t> chosen;
  std::vector<uint32_t> writer_of(servers().size());
  std::vector<RequestWriter> writers;
  for (size_t begin = 0; begin < keys.size();) {
    const auto wave = keys.subspan(begin, std::min(kWaveKeys, keys.size() - begin));
    chosen.resize(wave.size());
    router_.Route(wave, chosen);
    writer_of.assign(servers().size(), kNoPart);
    writers.clear();
    const auto first_part = static_cast<uint32_t>(call.parts.size());
    size_t wave_bytes = 0;
    size_t used = 0;
    for (; used < wave.size() && wave_bytes < kWaveBytes; ++used) {
      const size_t i = begin + used;
      // Keys are all over the application's memory: they come while others are being written.
      if (used + kKeysAhead < wave.size()) __builtin_prefetch(wave[used + kKeysAhead].data());
      Answer& answer = call.answers[i];
      absl::Status refused = CheckKey(options_.key_prefix, keys[i]);
      if (refused.ok()) refused = check(i);
      if (!refused.ok()) {
        answer.part = kNoPart;
        answer.error = static_cast<uint32_t>(result.refused.size());
        result.refused.push_back(std::move(refused));
        continue;
      }
      uint32_t& writer = writer_of[chosen[used]];
      if (writer == kNoPart) {
        writer = static_cast<uint32_t>(writers.size());
        writers.push_back(WriterFor(&call.AddPart(chosen[used], shape, is_read)));
      }
      answer.part = first_part + writer;
      wave_bytes += write(writers[writer], static_cast<uint32_t>(i));
    }
    begin += used;
    for (RequestWriter& writer : writers) writer.End();
    if (!Run(call, deadline)) {
      // What was not begun shares the fate of what was not finished.
      for (size_t i = begin; i < keys.size(); ++i) {
        call.answers[i].part = kNoPart;
        call.answers[i].error = static_cast<uint32_t>(result.refused.size());
      }
      result.refused.push_back(absl::DeadlineExceededError("the call's timeout passed"));
      break;
    }
  }
  result.Snapshot();
  return result;
}

}  // namespace cairn
