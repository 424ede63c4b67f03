#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "client/requests.h"
#include "client/result_impl.h"
#include "client/router.h"
#include "client/value_codec.h"

namespace cairn {

/// What each call of the interface asks of which server. It writes requests and does no I/O: who
/// runs them (a waiting thread, or an event loop) is told apart nowhere here. A call with keys that
/// must not be asked for has them refused in its result. A value that is too large to be set is not
/// sent either, but its key is deleted, as memcached does: what was there is not what it should be.
/// Thread-safe.
class Operations {
 public:
  /// Runs what was prepared of a bulk call, one wave; false when its time is up. An empty one: the
  /// whole call is only prepared, all its waves, to be run later, unless its time is up before.
  struct RunWave {
    bool operator()(Call& call) const { return run(call); }
    explicit operator bool() const { return run != nullptr; }
    bool TimeIsUp() const { return Clock::now() >= deadline; }

    std::function<bool(Call&)> run;
    Clock::time_point deadline = Clock::time_point::max();
  };

  /// Both outlive it.
  Operations(const ClientOptions* options, Router* router) : options_(*options), router_(*router) {}

  /// What values are stored as, and read; it outlives this. Before threads share it.
  void set_codec(const ValueCodec* codec) { codec_ = codec; }
  /// Makes of a request what is stored, which may be in `room` then. An error is why it must not be
  /// asked for: the value is too large, or the codec refuses.
  absl::Status Prepare(StoreRequest* request, std::string* room) const {
    const bool as_it_is = codec_ == nullptr && request->value.size() <= options_.value_bytes_max;
    return as_it_is ? absl::OkStatus() : Encode(request, room);
  }

  /// `verb` is "get" or "gets".
  ResultImpl Read(std::string_view verb, std::string_view key, Places places = Places::kAny);
  /// A read only, where the server does not speak the meta protocol: touch_steps.h.
  ResultImpl ReadAndTouch(std::string_view key, absl::Duration ttl);
  ResultImpl Store(StoreVerb verb, std::string_view key, std::string_view value,
                   const WriteOptions& options, uint64_t cas = 0, Places places = Places::kAny);
  ResultImpl Append(StoreVerb verb, std::string_view key, std::string_view value);
  ResultImpl Delete(std::string_view key);
  ResultImpl DeleteIf(std::string_view key, uint64_t cas, Places places = Places::kAny);
  ResultImpl Touch(std::string_view key, absl::Duration ttl);
  ResultImpl Count(bool increment, std::string_view key, uint64_t delta);
  /// A command of one line, e.g. "version", to one server.
  ResultImpl Line(uint16_t server, std::string_view line);
  ResultImpl FlushAll();

  /// Whether a part that is done was asked for in classic text.
  bool SpokeText(const Part& part) const {
    return !part.spoke_meta && options_.auth != ClientOptions::Auth::kSaslPlain;
  }

  ResultImpl ReadMany(std::span<const std::string_view> keys, bool with_cas, const RunWave& run);
  ResultImpl StoreMany(std::span<const SetItem> items, const WriteOptions& options,
                       const RunWave& run);
  /// The same with answers only about what went wrong, from servers that can: FirstFailure().
  ResultImpl StoreManyQuietly(std::span<const SetItem> items, const WriteOptions& options,
                              const RunWave& run);
  ResultImpl DeleteMany(std::span<const std::string_view> keys, const RunWave& run);
  ResultImpl TouchMany(std::span<const std::string_view> keys, absl::Duration ttl,
                       const RunWave& run);

  /// Any other request that a RequestWriter has: `write` writes it, for a key's server, a server,
  /// or many keys, as answer i of the call; `check` says why not to, and `write` how many bytes it
  /// was. `stored`, if any, is what is written, when it was checked: it is refused when it is more
  /// than its server takes.
  ResultImpl Ask(std::string_view key, AnswerShape shape, bool is_read,
                 const std::function<void(RequestWriter&)>& write,
                 const StoreRequest* stored = nullptr);
  ResultImpl AskServer(uint16_t server, AnswerShape shape, bool is_read,
                       const std::function<void(RequestWriter&)>& write);
  ResultImpl AskMany(std::span<const std::string_view> keys, AnswerShape shape, bool is_read,
                     const RunWave& run, const std::function<absl::Status(size_t)>& check,
                     const std::function<size_t(RequestWriter&, uint32_t)>& write,
                     const StoreRequest* stored = nullptr);
  /// The same of servers that were chosen, about keys that were checked, and each request only
  /// prepared. One part does not have requests of several kinds: those of which success is told by
  /// different words.
  struct Asked {
    uint16_t server = 0;
    uint16_t kind = 0;  ///< Below kKinds.
  };
  static constexpr size_t kKinds = 3;
  ResultImpl AskEach(std::span<const Asked> asked, AnswerShape shape, bool is_read,
                     const std::function<size_t(RequestWriter&, uint32_t)>& write);

 private:
  class Wave;
  absl::Status Encode(StoreRequest* request, std::string* room) const;
  Dialect DialectOf(uint16_t server) const { return router_.servers()[server]->dialect(); }
  RequestWriter WriterFor(Part* part) const {
    return RequestWriter(part, options_.key_prefix, DialectOf(part->server),
                         router_.exptime_max(part->server));
  }
  template <typename Write>
  ResultImpl One(std::string_view key, AnswerShape shape, bool is_read, const Write& write,
                 Places places = Places::kAny, const StoreRequest* stored = nullptr);
  ResultImpl StoreManyAs(AnswerShape shape, std::span<const SetItem> items,
                         const WriteOptions& options, const RunWave& run);
  template <typename Check, typename Write>
  ResultImpl Many(std::span<const std::string_view> keys, AnswerShape shape, bool is_read,
                  const RunWave& run, const Check& check, const Write& write,
                  const StoreRequest* stored = nullptr);
  template <typename Route, typename Check, typename Write>
  ResultImpl InWaves(size_t count, const Route& route, AnswerShape shape, bool is_read,
                     const RunWave& run, const Check& check, const Write& write,
                     const StoreRequest* stored);
  bool Refuses(uint16_t server, const StoreRequest& stored) const {
    return router_.servers()[server]->Refuses(ItemBytes(stored));
  }
  // The server has not said how much it takes, and will be asked before it is sent this.
  bool MayBeRefused(uint16_t server, const StoreRequest& stored) const {
    return ItemBytes(stored) > Part::kNeverRefused &&
           router_.servers()[server]->limit_question_due();
  }
  size_t ItemBytes(const StoreRequest& stored) const {
    return options_.key_prefix.size() + stored.key.size() + stored.value.size();
  }
  // Whether what was there has to go when `stored` is refused.
  static bool IsToDelete(const StoreRequest& stored, const absl::Status& why) {
    return stored.verb == StoreVerb::kSet && absl::IsResourceExhausted(why);
  }
  ResultImpl RefuseStore(const StoreRequest& stored, absl::Status why, Places places);

  const ClientOptions& options_;
  Router& router_;
  const ValueCodec* codec_ = nullptr;
};

/// What the answers of a call say to its caller. They take results that were run and are complete.
absl::StatusOr<std::optional<std::string>> ValueOf(ResultImpl&& result);
absl::StatusOr<std::optional<Item>> ItemOf(ResultImpl&& result);
absl::StatusOr<std::optional<uint64_t>> NumberOf(ResultImpl&& result);
absl::StatusOr<bool> WasDone(ResultImpl&& result);
absl::Status WasStored(ResultImpl&& result);
absl::StatusOr<CasOutcome> CasOutcomeOf(ResultImpl&& result);
/// Ok when all of a bulk call was done.
absl::Status FirstFailure(ResultImpl&& result);

}  // namespace cairn
