#include <array>
#include <cstring>
#include <span>
#include <string>

#include "protocol/numbers.h"
#include "server/access_log.h"
#include "server/log_hub.h"
#include "server/prefix_stats.h"
#include "server/text_commands.h"

namespace cairn::server {
namespace {

using protocol::TextRequest;
using protocol::Verb;
using storage::FetchStatus;
using storage::ItemView;

constexpr std::string_view kEnd = "END\r\n";
// "VALUE ", key, flags, bytes and CAS with their spaces, CRLF.
constexpr size_t kMaxHeaderBytes =
    6 + storage::kMaxKeyBytes + 3 * (1 + protocol::kMaxDecimalBytes) + 2;

/// How the keys of one request are read.
struct Retrieval {
  bool with_cas = false;
  storage::FetchOptions options;
};

char* CopyTo(char* out, std::string_view bytes) {
  std::memcpy(out, bytes.data(), bytes.size());
  return out + bytes.size();
}

void AppendHit(Output& out, const ItemView& item, bool with_cas) {
  const bool one_piece = item.value.size() == 1 && item.value_bytes < Output::kPinBytes;
  const size_t inline_bytes = one_piece ? item.value_bytes + 2 : 0;
  char* const begin = out.Reserve(kMaxHeaderBytes + inline_bytes);
  char* end = CopyTo(begin, "VALUE ");
  end = CopyTo(end, item.key);
  *end++ = ' ';
  end = protocol::WriteDecimal(item.client_flags, end);
  *end++ = ' ';
  end = protocol::WriteDecimal(item.value_bytes, end);
  if (with_cas) {
    *end++ = ' ';
    end = protocol::WriteDecimal(item.cas, end);
  }
  end = CopyTo(end, "\r\n");
  if (one_piece) {
    end = CopyTo(end, item.value.front());
    end = CopyTo(end, "\r\n");
  }
  out.Commit(static_cast<size_t>(end - begin));
  if (one_piece) return;
  out.AppendValue(item);
  out.Append("\r\n");
}

void Count(Session& session, const Retrieval& retrieval, FetchStatus status, unsigned class_id) {
  WorkerStats& stats = session.stats();
  const bool touch = retrieval.options.touch.has_value();
  ++(touch ? stats.cmd_touch : stats.cmd_get);
  if (status == FetchStatus::kHit) {
    ClassCounters& counters = stats.ForClass(class_id);
    ++(touch ? counters.touch_hits : counters.get_hits);
    return;
  }
  ++(touch ? stats.touch_misses : stats.get_misses);
  if (status == FetchStatus::kMissExpired) ++stats.get_expired;
}

/// Whether anybody wants to know of each key.
bool IsObserved(Session& session) {
  return session.server().prefix_stats->enabled() ||
         session.server().log->Wants(LogKind::kFetchers);
}

void Report(Session& session, const storage::Key& key, FetchStatus status, unsigned class_id,
            uint64_t value_bytes) {
  if (session.server().prefix_stats->enabled()) {
    session.server().prefix_stats->RecordGet(key.bytes, status == FetchStatus::kHit);
  }
  if (session.server().log->Wants(LogKind::kFetchers)) {
    LogFetch(session, key.bytes, status, class_id, value_bytes);
  }
}

__attribute__((always_inline)) inline void ServeKey(Session& session, const storage::Key& key,
                                                    const Retrieval& retrieval, bool observed) {
  Output& out = session.out();
  const Output::Mark mark = out.mark();
  unsigned class_id = 0;
  uint64_t value_bytes = 0;
  const FetchStatus status =
      session.store().Fetch(key, retrieval.options, session.now(), [&](const ItemView& item) {
        out.TruncateTo(mark);
        class_id = item.class_id;
        value_bytes = item.value_bytes;
        AppendHit(out, item, retrieval.with_cas);
      });
  Count(session, retrieval, status, class_id);
  if (observed) Report(session, key, status, class_id, value_bytes);
}

/// Takes the next keys off the front of `tokens` and asks for the memory they are in, so that its
/// latencies overlap. Returns how many.
size_t TakeKeys(const storage::Store& store, std::string_view* tokens,
                std::span<storage::Key, storage::Store::kPrefetchedKeys> keys) {
  size_t count = 0;
  for (; count < keys.size(); ++count) {
    const std::string_view token = protocol::NextToken(tokens);
    if (token.empty()) break;
    keys[count] = store.MakeKey(token);
  }
  store.Prefetch(keys.first(count));
  return count;
}

/// Answers keys until they are done (true) or the client has to read first (false).
bool ServeKeys(Session& session, std::string_view* tokens, const Retrieval& retrieval) {
  std::array<storage::Key, storage::Store::kPrefetchedKeys> keys;
  const char* const end = tokens->data() + tokens->size();
  const bool observed = IsObserved(session);
  while (const size_t count = TakeKeys(session.store(), tokens, keys)) {
    for (const storage::Key& key : std::span(keys).first(count)) {
      ServeKey(session, key, retrieval, observed);
      if (!session.out().over_high_water()) continue;
      const char* const next = key.bytes.data() + key.bytes.size();
      *tokens = {next, static_cast<size_t>(end - next)};
      return false;
    }
  }
  session.out().Append(kEnd);
  return true;
}

/// The keys of a get that asked for more than its client takes at once.
class RemainingKeys : public Continuation {
 public:
  RemainingKeys(std::string_view keys, const Retrieval& retrieval)
      : storage_(keys), keys_(storage_), retrieval_(retrieval) {}

  bool Continue(Session& session) override { return ServeKeys(session, &keys_, retrieval_); }

 private:
  const std::string storage_;
  std::string_view keys_;
  const Retrieval retrieval_;
};

}  // namespace

void ServeRetrieval(Session& session, const TextRequest& request) {
  Retrieval retrieval;
  retrieval.with_cas = request.verb == Verb::kGets || request.verb == Verb::kGats;
  if (request.verb == Verb::kGat || request.verb == Verb::kGats) {
    retrieval.options.touch =
        session.server().clock->ExpiryFromWire(request.exptime, session.now());
  }
  std::string_view keys = request.keys;
  const bool alone = request.key.data() + request.key.size() == keys.data() + keys.size();
  if (alone) {  // as usual
    ServeKey(session, session.KeyOf(request.key), retrieval, IsObserved(session));
    session.out().Append(kEnd);
    return;
  }
  if (ServeKeys(session, &keys, retrieval)) return;
  session.RunContinuation(std::make_unique<RemainingKeys>(keys, retrieval));
}

}  // namespace cairn::server
