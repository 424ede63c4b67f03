#include "client/operations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace cairn {
namespace {

// How much one wave of a bulk call puts on the wire before its answers are awaited, so that a call
// of any size needs memory for its results and a little more. Each wave has twice the keys of the
// one before, up to the most: a call of very many waits for fewer answers of servers that are far.
constexpr size_t kFirstWaveKeys = 4096;
constexpr size_t kWaveKeysMax = 16384;
constexpr size_t kWaveBytes = size_t{4} * 1024 * 1024;
constexpr size_t kKeysAhead = 8;
// Values from here on take so long to encode that the time of a call is watched meanwhile.
constexpr size_t kSlowBytes = size_t{64} * 1024;
constexpr uint32_t kNoWriter = 0xffffffff;

absl::Status ValueTooLarge() {
  return absl::ResourceExhaustedError("a value above value_bytes_max; it was not sent");
}

}  // namespace

absl::Status Operations::Encode(StoreRequest* request, std::string* room) const {
  if (codec_ != nullptr) {
    if (request->verb == StoreVerb::kAppend || request->verb == StoreVerb::kPrepend) {
      return absl::FailedPreconditionError("append and prepend would spoil compressed values");
    }
    const bool is_slow = request->value.size() >= kSlowBytes;
    const Clock::time_point begun = is_slow ? Clock::now() : Clock::time_point();
    const absl::Status encoded = codec_->Encode(&request->value, &request->flags, room);
    request->encoding = is_slow ? Clock::now() - begun : Clock::duration::zero();
    if (!encoded.ok()) return encoded;
  }
  return request->value.size() <= options_.value_bytes_max ? absl::OkStatus() : ValueTooLarge();
}

template <typename Write>
ResultImpl Operations::One(std::string_view key, AnswerShape shape, bool is_read,
                           const Write& write, Places places, const StoreRequest* stored) {
  ResultImpl result;
  Call& call = *result.call;
  call.answers.resize(1);
  call.codec = codec_;
  if (absl::Status status = CheckKey(options_.key_prefix, key); !status.ok()) {
    result.Refuse(0, std::move(status));
    return result;
  }
  const uint16_t server = router_.Route(key, places);
  if (stored != nullptr && Refuses(server, *stored)) {
    return RefuseStore(*stored, router_.servers()[server]->TooLarge(), places);
  }
  Part& part = call.AddPart(server, shape, is_read);
  if (stored != nullptr) {
    part.item_bytes = ItemBytes(*stored);
    result.encoding = stored->encoding;
  }
  RequestWriter writer = WriterFor(&part);
  write(writer);
  writer.End();
  return result;
}

ResultImpl Operations::RefuseStore(const StoreRequest& stored, absl::Status why, Places places) {
  ResultImpl result;
  if (IsToDelete(stored, why)) {
    result = One(
        stored.key, AnswerShape::kWord, false,
        [&](RequestWriter& writer) { writer.Delete(stored.key, 0); }, places);
  }
  result.encoding = stored.encoding;
  result.call->answers.resize(1);
  result.Refuse(0, std::move(why));
  return result;
}

// The parts of one wave of a bulk call, with a writer each; several of a server, where requests
// differ in kind.
class Operations::Wave {
 public:
  Wave(const Operations* operations, Call* call, bool is_read)
      : operations_(*operations), call_(*call), is_read_(is_read) {}

  void Begin(size_t places) {
    first_part_ = static_cast<uint32_t>(call_.parts.size());
    writer_of_.assign(places, kNoWriter);
    writers_.clear();
  }
  // Of the part that collects what has this place, or, with `alone`, of one for that value only.
  uint32_t WriterFor(size_t place, uint16_t server, AnswerShape shape, const StoreRequest* alone) {
    if (writer_of_[place] != kNoWriter && alone == nullptr) return writer_of_[place];
    const auto writer = static_cast<uint32_t>(writers_.size());
    Part& part = call_.AddPart(server, shape, is_read_);
    // Classic text does not tell errors and nothing else.
    const Dialect dialect = operations_.DialectOf(server);
    if (part.shape == AnswerShape::kQuiet && dialect != Dialect::kMeta &&
        dialect != Dialect::kBinary) {
      part.shape = AnswerShape::kWord;
    }
    if (alone != nullptr) part.item_bytes = operations_.ItemBytes(*alone);
    writers_.push_back(operations_.WriterFor(&part));
    // What comes after a value that is alone stays behind it.
    writer_of_[place] = alone != nullptr ? kNoWriter : writer;
    return writer;
  }
  // What comes next for this place begins another part, behind those that there are.
  void Close(size_t place) { writer_of_[place] = kNoWriter; }
  RequestWriter& operator[](uint32_t writer) { return writers_[writer]; }
  uint32_t PartOf(uint32_t writer) const { return first_part_ + writer; }
  void End() {
    for (RequestWriter& writer : writers_) writer.End();
  }
  bool empty() const { return writers_.empty(); }
  void TrimRequests() {
    for (size_t i = first_part_; i < call_.parts.size(); ++i) call_.parts[i].TrimRequests();
  }

 private:
  const Operations& operations_;
  Call& call_;
  const bool is_read_;
  uint32_t first_part_ = 0;
  std::vector<uint32_t> writer_of_;
  std::vector<RequestWriter> writers_;
};

// `route(begin, chosen)` says where the keys from `begin` on have their place: a server, plus the
// number of all servers for each kind of request before its own. It returns how many kinds there
// are.
template <typename Route, typename Check, typename Write>
ResultImpl Operations::InWaves(size_t count, const Route& route, AnswerShape shape, bool is_read,
                               const RunWave& run, const Check& check, const Write& write,
                               const StoreRequest* stored) {
  ResultImpl result;
  Call& call = *result.call;
  call.answers.resize(count);
  call.codec = codec_;
  const size_t servers = router_.servers().size();
  std::vector<uint16_t> chosen;
  Wave wave(this, &call, is_read);
  size_t wave_keys = kFirstWaveKeys;
  const bool is_timed = !run && stored != nullptr;
  const Clock::time_point begun = is_timed ? Clock::now() : Clock::time_point();
  for (size_t begin = 0; begin < count;) {
    chosen.resize(std::min(wave_keys, count - begin));
    const size_t kinds = route(begin, std::span(chosen));
    wave.Begin((kinds + 1) * servers);  // the last kind deletes
    size_t wave_bytes = 0;
    size_t used = 0;
    for (; used < chosen.size() && wave_bytes < kWaveBytes; ++used) {
      const size_t i = begin + used;
      const auto server = static_cast<uint16_t>(chosen[used] % servers);
      const size_t deletes_at = kinds * servers + server;
      absl::Status refused = check(i);
      // Of a wave that is not complete nothing is begun, either, nor of a call that is not.
      if (stored != nullptr && stored->encoding > Clock::duration::zero() && run.TimeIsUp()) {
        if (!run) return std::move(result).OutOfTime();
        result.TimeOutFrom(begin);
        return result;
      }
      if (stored != nullptr && refused.ok() && Refuses(server, *stored)) {
        refused = router_.servers()[server]->TooLarge();
      }
      if (!refused.ok()) {
        const bool deletes = stored != nullptr && IsToDelete(*stored, refused);
        result.Refuse(i, std::move(refused));
        if (!deletes) continue;
        const uint32_t writer = wave.WriterFor(deletes_at, server, AnswerShape::kWord, nullptr);
        wave[writer].Delete(stored->key, static_cast<uint32_t>(i));
        wave.Close(chosen[used]);  // the key may have another value, before or after
        wave_bytes += stored->key.size();
        continue;
      }
      if (stored != nullptr) wave.Close(deletes_at);
      // What only its connection may find to be too large is a part of its own, to be taken back.
      const bool alone = stored != nullptr && MayBeRefused(server, *stored);
      const uint32_t writer = wave.WriterFor(chosen[used], server, shape, alone ? stored : nullptr);
      call.answers[i].part = wave.PartOf(writer);
      wave_bytes += write(wave[writer], static_cast<uint32_t>(i));
    }
    begin += used;
    // Of large values no wave has as many keys.
    wave_keys = used == chosen.size() ? std::min(wave_keys * 2, kWaveKeysMax) : kFirstWaveKeys;
    wave.End();
    if (wave.empty()) continue;
    if (!run) {
      if (begin == count) break;
      wave.TrimRequests();
      call.wave_ends.push_back(call.parts.size());
    } else if (!run(call)) {
      // What was not begun shares the fate of what was not finished.
      result.RefuseFrom(begin, CallTimedOut());
      break;
    } else if (begin < count) {
      call.ForgetRequests();
    }
  }
  if (is_timed) result.encoding = Clock::now() - begun;
  return result;
}

template <typename Check, typename Write>
ResultImpl Operations::Many(std::span<const std::string_view> keys, AnswerShape shape, bool is_read,
                            const RunWave& run, const Check& check, const Write& write,
                            const StoreRequest* stored) {
  return InWaves(
      keys.size(),
      [&](size_t begin, std::span<uint16_t> chosen) {
        router_.Route(keys.subspan(begin, chosen.size()), chosen);
        return size_t{1};
      },
      shape, is_read, run,
      [&](size_t i) {
        // Keys are all over the application's memory: they come while others are being written.
        // Many end on another cache line than they begin on.
        if (i + kKeysAhead < keys.size()) {
          const std::string_view ahead = keys[i + kKeysAhead];
          __builtin_prefetch(ahead.data());
          __builtin_prefetch(ahead.data() + ahead.size());
        }
        absl::Status refused = CheckKey(options_.key_prefix, keys[i]);
        return refused.ok() ? check(i) : refused;
      },
      write, stored);
}

ResultImpl Operations::Read(std::string_view verb, std::string_view key, Places places) {
  return One(
      key, AnswerShape::kValues, true, [&](RequestWriter& writer) { writer.Read(verb, key, 0); },
      places);
}

ResultImpl Operations::ReadAndTouch(std::string_view key, absl::Duration ttl) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  return One(key, AnswerShape::kValues, true,
             [&](RequestWriter& writer) { writer.ReadAndTouch(key, exptime, 0); });
}

ResultImpl Operations::Store(StoreVerb verb, std::string_view key, std::string_view value,
                             const WriteOptions& options, uint64_t cas, Places places) {
  StoreRequest request = {verb, key, value, options.flags, ExptimeOf(options.ttl, absl::Now()),
                          cas};
  std::string room;
  if (absl::Status status = Prepare(&request, &room); !status.ok()) {
    return RefuseStore(request, std::move(status), places);
  }
  return One(
      key, AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.Store(request, 0); },
      places, &request);
}

ResultImpl Operations::Append(StoreVerb verb, std::string_view key, std::string_view value) {
  return Store(verb, key, value, WriteOptions());
}

ResultImpl Operations::Delete(std::string_view key) {
  return One(key, AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.Delete(key, 0); });
}

ResultImpl Operations::DeleteIf(std::string_view key, uint64_t cas, Places places) {
  return One(
      key, AnswerShape::kWord, false, [&](RequestWriter& writer) { writer.DeleteIf(key, cas, 0); },
      places);
}

ResultImpl Operations::Touch(std::string_view key, absl::Duration ttl) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  return One(key, AnswerShape::kWord, false,
             [&](RequestWriter& writer) { writer.Touch(key, exptime, 0); });
}

ResultImpl Operations::Count(bool increment, std::string_view key, uint64_t delta) {
  return One(key, AnswerShape::kNumber, false,
             [&](RequestWriter& writer) { writer.Arithmetic(increment, key, delta, 0); });
}

ResultImpl Operations::Line(uint16_t server, std::string_view line) {
  ResultImpl result;
  result.call->answers.resize(1);
  RequestWriter writer = WriterFor(&result.call->AddPart(server, AnswerShape::kLines, true));
  writer.Line(line, "", 0);
  writer.End();
  return result;
}

ResultImpl Operations::FlushAll() {
  ResultImpl result;
  Call& call = *result.call;
  for (size_t i = 0; i < router_.servers().size(); ++i) {
    if (options_.servers[i].down) continue;
    const auto asked = static_cast<uint32_t>(call.parts.size());
    Part& part = call.AddPart(static_cast<uint16_t>(i), AnswerShape::kWord, false);
    const bool is_binary = DialectOf(part.server) == Dialect::kBinary;
    const Dialect dialect = is_binary ? Dialect::kBinary : Dialect::kText;
    RequestWriter(&part, {}, dialect).Line("flush_all", "OK", asked);
    call.answers.emplace_back().part = asked;
  }
  return result;
}

ResultImpl Operations::ReadMany(std::span<const std::string_view> keys, bool with_cas,
                                const RunWave& run) {
  const std::string_view verb = with_cas ? "gets" : "get";
  return Many(
      keys, AnswerShape::kValues, true, run, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.Read(verb, keys[i], i);
        return keys[i].size();
      });
}

ResultImpl Operations::StoreManyAs(AnswerShape shape, std::span<const SetItem> items,
                                   const WriteOptions& options, const RunWave& run) {
  std::vector<std::string_view> keys;
  keys.reserve(items.size());
  for (const SetItem& item : items) keys.push_back(item.key);
  StoreRequest request;
  request.exptime = ExptimeOf(options.ttl, absl::Now());
  std::string room;
  return Many(
      keys, shape, false, run,
      [&](size_t i) {
        request.key = items[i].key;
        request.value = items[i].value;
        request.flags = options.flags;
        return Prepare(&request, &room);
      },
      // Of the item that was just checked; of the bytes that were given, which took time to encode.
      [&](RequestWriter& writer, uint32_t i) {
        writer.Store(request, i);
        return request.key.size() + items[i].value.size();
      },
      &request);
}

ResultImpl Operations::StoreMany(std::span<const SetItem> items, const WriteOptions& options,
                                 const RunWave& run) {
  return StoreManyAs(AnswerShape::kWord, items, options, run);
}

ResultImpl Operations::StoreManyQuietly(std::span<const SetItem> items, const WriteOptions& options,
                                        const RunWave& run) {
  return StoreManyAs(AnswerShape::kQuiet, items, options, run);
}

ResultImpl Operations::DeleteMany(std::span<const std::string_view> keys, const RunWave& run) {
  return Many(
      keys, AnswerShape::kWord, false, run, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.Delete(keys[i], i);
        return keys[i].size();
      });
}

ResultImpl Operations::TouchMany(std::span<const std::string_view> keys, absl::Duration ttl,
                                 const RunWave& run) {
  const int64_t exptime = ExptimeOf(ttl, absl::Now());
  return Many(
      keys, AnswerShape::kWord, false, run, [](size_t) { return absl::OkStatus(); },
      [&](RequestWriter& writer, uint32_t i) {
        writer.Touch(keys[i], exptime, i);
        return keys[i].size();
      });
}

ResultImpl Operations::Ask(std::string_view key, AnswerShape shape, bool is_read,
                           const std::function<void(RequestWriter&)>& write,
                           const StoreRequest* stored) {
  return One(key, shape, is_read, write, Places::kAny, stored);
}

ResultImpl Operations::AskServer(uint16_t server, AnswerShape shape, bool is_read,
                                 const std::function<void(RequestWriter&)>& write) {
  ResultImpl result;
  result.call->answers.resize(1);
  RequestWriter writer = WriterFor(&result.call->AddPart(server, shape, is_read));
  write(writer);
  writer.End();
  return result;
}

ResultImpl Operations::AskMany(std::span<const std::string_view> keys, AnswerShape shape,
                               bool is_read, const RunWave& run,
                               const std::function<absl::Status(size_t)>& check,
                               const std::function<size_t(RequestWriter&, uint32_t)>& write,
                               const StoreRequest* stored) {
  return Many(keys, shape, is_read, run, check, write, stored);
}

ResultImpl Operations::AskEach(std::span<const Asked> asked, AnswerShape shape, bool is_read,
                               const std::function<size_t(RequestWriter&, uint32_t)>& write) {
  const size_t servers = router_.servers().size();
  return InWaves(
      asked.size(),
      [&](size_t begin, std::span<uint16_t> chosen) {
        for (size_t i = 0; i < chosen.size(); ++i) {
          const Asked& one = asked[begin + i];
          chosen[i] = static_cast<uint16_t>(one.kind * servers + one.server);
        }
        return kKinds;
      },
      shape, is_read, {}, [](size_t) { return absl::OkStatus(); }, write, nullptr);
}

// --- What answers say

absl::StatusOr<std::optional<std::string>> ValueOf(ResultImpl&& result) {
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  if (result.StateOf(0) != AnswerState::kHit) return std::optional<std::string>();
  const Answer& answer = result.call->answers[0];
  return std::string(answer.data, answer.size);
}

absl::StatusOr<std::optional<Item>> ItemOf(ResultImpl&& result) {
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  if (result.StateOf(0) != AnswerState::kHit) return std::optional<Item>();
  const Answer& answer = result.call->answers[0];
  return Item{std::string(answer.data, answer.size), answer.flags, answer.number};
}

absl::StatusOr<std::optional<uint64_t>> NumberOf(ResultImpl&& result) {
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  if (result.StateOf(0) != AnswerState::kHit) return std::optional<uint64_t>();
  return result.call->answers[0].number;
}

absl::StatusOr<bool> WasDone(ResultImpl&& result) {
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  return result.StateOf(0) == AnswerState::kHit;
}

absl::Status WasStored(ResultImpl&& result) {
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  // Proxies may say so when they have no server to give it to.
  if (result.StateOf(0) != AnswerState::kHit) return absl::UnknownError("the set was not stored");
  return absl::OkStatus();
}

absl::StatusOr<CasOutcome> CasOutcomeOf(ResultImpl&& result) {
  if (absl::Status status = result.StatusOf(0); !status.ok()) return status;
  const AnswerState state = result.StateOf(0);
  if (state == AnswerState::kHit) return CasOutcome::kStored;
  return state == AnswerState::kExists ? CasOutcome::kChanged : CasOutcome::kNotFound;
}

absl::Status FirstFailure(ResultImpl&& result) {
  for (size_t i = 0; !result.refused.empty() && i < result.call->answers.size(); ++i) {
    if ((result.call->answers[i].part & kRefused) != 0) return result.StatusOf(i);
  }
  for (const Part& part : result.call->parts) {
    if (!part.done.load(std::memory_order_acquire)) {
      return CallTimedOut();
    }
    if (!part.status.ok()) return Detached(part.status);
    if (!part.errors.empty()) return Detached(part.errors[0]);
    for (const Part::Key& key : part.keys) {
      if (result.call->answers[key.answer].state != AnswerState::kHit) {
        return absl::UnknownError("a value was not stored");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace cairn
