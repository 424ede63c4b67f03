#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/requests.h"
#include "client/result_impl.h"
#include "client/router.h"

namespace cairn {

/// What each call of the interface asks of which server. It writes requests and does no I/O: who
/// runs them (a waiting thread, or an event loop) is told apart nowhere here. A call with keys that
/// must not be asked for has them refused in its result. Thread-safe.
class Operations {
 public:
  /// Runs what was prepared of a bulk call, one wave; false when its time is up. An empty one: the
  /// whole call is only prepared, to be run later.
  using RunWave = std::function<bool(Call&)>;

  /// Both outlive it.
  Operations(const ClientOptions* options, Router* router) : options_(*options), router_(*router) {}

  /// `verb` is "get" or "gets".
  ResultImpl Read(std::string_view verb, std::string_view key);
  ResultImpl ReadAndTouch(std::string_view key, absl::Duration ttl);
  ResultImpl Store(StoreVerb verb, std::string_view key, std::string_view value,
                   const WriteOptions& options, uint64_t cas = 0);
  ResultImpl Append(StoreVerb verb, std::string_view key, std::string_view value);
  ResultImpl Delete(std::string_view key);
  ResultImpl Touch(std::string_view key, absl::Duration ttl);
  ResultImpl Count(bool increment, std::string_view key, uint64_t delta);
  /// A command of one line, e.g. "version", to one server.
  ResultImpl Line(uint16_t server, std::string_view line);
  ResultImpl FlushAll();

  ResultImpl ReadMany(std::span<const std::string_view> keys, bool with_cas, const RunWave& run);
  ResultImpl StoreMany(std::span<const SetItem> items, const WriteOptions& options,
                       const RunWave& run);
  ResultImpl DeleteMany(std::span<const std::string_view> keys, const RunWave& run);
  ResultImpl TouchMany(std::span<const std::string_view> keys, absl::Duration ttl,
                       const RunWave& run);

  /// What the others are made of. `write(writer)` writes the request; of many, `check(i)` says why
  /// key i must not be sent, and `write(writer, i)` returns how many bytes its request is, about.
  template <typename Write>
  ResultImpl One(std::string_view key, AnswerShape shape, bool is_read, const Write& write);
  template <typename Write>
  ResultImpl OneOn(uint16_t server, AnswerShape shape, bool is_read, const Write& write);
  template <typename Check, typename Write>
  ResultImpl Many(std::span<const std::string_view> keys, AnswerShape shape, bool is_read,
                  const RunWave& run, const Check& check, const Write& write);

 private:
  // How much one wave of a bulk call puts on the wire before its answers are awaited, so that a
  // call of any size needs memory for its results and a little more.
  static constexpr size_t kWaveKeys = 4096;
  static constexpr size_t kWaveBytes = size_t{4} * 1024 * 1024;
  static constexpr size_t kKeysAhead = 8;

  RequestWriter WriterFor(Part* part) const {
    return RequestWriter(part, options_.key_prefix, router_.servers()[part->server]->dialect(),
                         router_.exptime_max(part->server));
  }
  const ClientOptions& options_;
  Router& router_;
};

/// Why a value above ClientOptions::value_bytes_max is not sent.
absl::Status ValueTooLarge();

/// What the answers of a call say to its caller. They take results that were run and are complete.
absl::StatusOr<std::optional<std::string>> ValueOf(ResultImpl&& result);
absl::StatusOr<std::optional<Item>> ItemOf(ResultImpl&& result);
absl::StatusOr<std::optional<uint64_t>> NumberOf(ResultImpl&& result);
absl::StatusOr<bool> WasDone(ResultImpl&& result);
absl::Status WasStored(ResultImpl&& result);
absl::StatusOr<CasOutcome> CasOutcomeOf(ResultImpl&& result);

template <typename Write>
ResultImpl Operations::One(std::string_view key, AnswerShape shape, bool is_read,
                           const Write& write) {
  if (absl::Status status = CheckKey(options_.key_prefix, key); !status.ok()) {
    ResultImpl result;
    result.call->answers.resize(1);
    result.Refuse(0, std::move(status));
    return result;
  }
  return OneOn(router_.Route(key), shape, is_read, write);
}

template <typename Write>
ResultImpl Operations::OneOn(uint16_t server, AnswerShape shape, bool is_read, const Write& write) {
  ResultImpl result;
  Call& call = *result.call;
  call.answers.resize(1);
  RequestWriter writer = WriterFor(&call.AddPart(server, shape, is_read));
  write(writer);
  writer.End();
  return result;
}

template <typename Check, typename Write>
ResultImpl Operations::Many(std::span<const std::string_view> keys, AnswerShape shape, bool is_read,
                            const RunWave& run, const Check& check, const Write& write) {
  ResultImpl result;
  Call& call = *result.call;
  call.answers.resize(keys.size());
  const size_t servers = router_.servers().size();
  std::vector<uint16_t> chosen;
  std::vector<uint32_t> writer_of;
  std::vector<RequestWriter> writers;
  for (size_t begin = 0; begin < keys.size();) {
    const auto wave = keys.subspan(begin, std::min(kWaveKeys, keys.size() - begin));
    chosen.resize(wave.size());
    router_.Route(wave, chosen);
    writer_of.assign(servers, kNoPart);
    writers.clear();
    const auto first_part = static_cast<uint32_t>(call.parts.size());
    size_t wave_bytes = 0;
    size_t used = 0;
    for (; used < wave.size() && wave_bytes < kWaveBytes; ++used) {
      const size_t i = begin + used;
      // Keys are all over the application's memory: they come while others are being written.
      if (used + kKeysAhead < wave.size()) __builtin_prefetch(wave[used + kKeysAhead].data());
      absl::Status refused = CheckKey(options_.key_prefix, keys[i]);
      if (refused.ok()) refused = check(i);
      if (!refused.ok()) {
        result.Refuse(i, std::move(refused));
        continue;
      }
      uint32_t& writer = writer_of[chosen[used]];
      if (writer == kNoPart) {
        writer = static_cast<uint32_t>(writers.size());
        writers.push_back(WriterFor(&call.AddPart(chosen[used], shape, is_read)));
      }
      call.answers[i].part = first_part + writer;
      wave_bytes += write(writers[writer], static_cast<uint32_t>(i));
    }
    begin += used;
    for (RequestWriter& writer : writers) writer.End();
    if (run != nullptr && !run(call)) {
      // What was not begun shares the fate of what was not finished.
      result.RefuseFrom(begin, absl::DeadlineExceededError("the call's timeout passed"));
      break;
    }
  }
  return result;
}

}  // namespace cairn
