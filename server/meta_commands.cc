#include "fmt/format.h"
#include "protocol/base64.h"
#include "protocol/numbers.h"
#include "server/access_log.h"
#include "server/log_hub.h"
#include "server/meta_reply.h"
#include "server/prefix_stats.h"
#include "server/text_commands.h"

namespace cairn::server {
namespace {

using protocol::MetaFlag;
using protocol::MetaFlags;
using protocol::TextRequest;
using storage::Expiry;
using storage::FetchStatus;
using storage::ItemView;

constexpr std::string_view kOpaqueTooLong = "CLIENT_ERROR opaque token too long";

/// Decodes the key and checks what the flag parser leaves: true when the command may run, else the
/// client was told.
bool Prepare(Session& session, const TextRequest& request, MetaKey* key) {
  key->Decode(request);
  if (HasLongOpaque(request.meta)) {
    Reply(session, kOpaqueTooLong);
    return false;
  }
  return true;
}

/// What a TTL argument means for recaching: less than so many milliseconds left. Seconds left are
/// judged rounded, as they are shown.
std::optional<int64_t> RecacheBelowMs(Session& session, const MetaFlags& meta) {
  if (!meta.has_recache) return std::nullopt;
  const Expiry expiry = session.server().clock->ExpiryFromWire(meta.recache_ttl, session.now());
  if (expiry.never() || expiry.Passed(session.now())) return std::nullopt;
  return expiry.at().ms - session.now().ms - 500;
}

/// The flags are evaluated in the order they stand in: a `t` before a `T` shows the old expiry.
void AddGetFlags(Session& session, const MetaFlags& meta, const ItemView& item,
                 const storage::FetchOptions& options, MetaReply* reply) {
  const storage::Time now = session.now();
  const Clock& clock = *session.server().clock;
  Expiry expiry = item.created ? Expiry::Never() : item.expiry_before;
  for (const MetaFlag& flag : meta.in_order()) {
    switch (flag.letter()) {
      case 'T':
        expiry = item.created ? clock.ExpiryFromWire(meta.ttl, now) : *options.touch;
        break;
      case 'N':
        if (item.created) expiry = clock.ExpiryFromWire(meta.vivify_ttl, now);
        break;
      case 's':
        reply->AddNumber('s', item.value_bytes);
        break;
      case 't':
        reply->AddSigned('t', Clock::SecondsLeft(expiry, now));
        break;
      case 'c':
        reply->AddNumber('c', item.cas);
        break;
      case 'f':
        reply->AddNumber('f', item.client_flags);
        break;
      case 'l':
        reply->AddSigned('l', std::max<int64_t>(0, now.ms / 1000 - item.last_access().ms / 1000));
        break;
      case 'h':
        reply->AddNumber('h', item.fetched_before ? 1 : 0);
        break;
      case 'O':
        reply->AddToken(flag.token());
        break;
      case 'k':
        reply->AddItemKey(item.key, item.key_is_binary);
        break;
      default:
        break;
    }
  }
  if (item.lost) reply->AddLetter('Z');
  if (item.stale) reply->AddLetter('X');
  if (item.won) reply->AddLetter('W');
}

void AppendMetaHit(Session& session, const TextRequest& request, const ItemView& item,
                   const storage::FetchOptions& options) {
  const MetaFlags& meta = request.meta;
  const bool value = meta.value && !(meta.has_cas && meta.cas == item.cas);
  MetaReply reply(&session.out());
  if (value) {
    char text[3 + protocol::kMaxDecimalBytes] = {'V', 'A', ' '};
    const char* const end = protocol::WriteDecimal(item.value_bytes, text + 3);
    reply.Add({text, static_cast<size_t>(end - text)});
  } else {
    reply.Add("HD");
  }
  AddGetFlags(session, meta, item, options, &reply);
  reply.End();
  if (!value) return;
  session.out().AppendValue(item);
  session.out().Append("\r\n");
}

/// The flags that answers without an item carry.
void AddRequestFlags(const TextRequest& request, const MetaKey& key, MetaReply* reply) {
  for (const MetaFlag& flag : request.meta.in_order()) {
    if (flag.letter() == 'O') reply->AddToken(flag.token());
    if (flag.letter() == 'k') reply->AddItemKey(key.bytes(), request.meta.base64_key);
  }
}

void AppendWithoutItem(Session& session, const TextRequest& request, const MetaKey& key,
                       std::string_view code) {
  MetaReply reply(&session.out());
  reply.Add(code);
  AddRequestFlags(request, key, &reply);
  reply.End();
}

storage::FetchOptions MetaGetOptions(Session& session, const MetaFlags& meta) {
  const Clock& clock = *session.server().clock;
  storage::FetchOptions options;
  options.count_access = !meta.no_update;
  options.lease = true;
  if (meta.has_ttl) options.touch = clock.ExpiryFromWire(meta.ttl, session.now());
  if (meta.has_vivify) {
    const bool touched_after = meta.has_ttl && meta.Precedes('N', 'T');
    options.vivify =
        touched_after ? *options.touch : clock.ExpiryFromWire(meta.vivify_ttl, session.now());
    if (meta.has_new_cas) options.vivify_cas = meta.new_cas;
  }
  options.recache_below_ms = RecacheBelowMs(session, meta);
  options.recache_after_touch = meta.has_ttl && meta.Precedes('T', 'R');
  return options;
}

void CountMetaGet(Session& session, const MetaFlags& meta, FetchStatus status, unsigned class_id) {
  WorkerStats& stats = session.stats();
  if (status == FetchStatus::kHit) {
    const bool touch = meta.has_ttl;
    ++(touch ? stats.cmd_touch : stats.cmd_get);
    ++(touch ? stats.ForClass(class_id).touch_hits : stats.ForClass(class_id).get_hits);
    return;
  }
  ++stats.cmd_get;
  ++stats.get_misses;
  if (status == FetchStatus::kMissExpired) ++stats.get_expired;
}

}  // namespace

void ServeMetaGet(Session& session, const TextRequest& request) {
  MetaKey key;
  if (!Prepare(session, request, &key)) return;
  const storage::FetchOptions options = MetaGetOptions(session, request.meta);
  Output& out = session.out();
  const Output::Mark mark = out.mark();
  unsigned class_id = 0;
  uint64_t value_bytes = 0;
  const FetchStatus status = session.store().Fetch(session.KeyOf(key.bytes()), options,
                                                   session.now(), [&](const ItemView& item) {
                                                     out.TruncateTo(mark);
                                                     class_id = item.class_id;
                                                     value_bytes = item.value_bytes;
                                                     AppendMetaHit(session, request, item, options);
                                                   });
  const bool hit = status == FetchStatus::kHit;
  CountMetaGet(session, request.meta, status, class_id);
  if (session.server().log->Wants(LogKind::kFetchers)) {
    LogFetch(session, key.bytes(), status, class_id, value_bytes);
  }
  if (!hit && !request.meta.quiet) AppendWithoutItem(session, request, key, "EN");
}

void ServeMetaDelete(Session& session, const TextRequest& request) {
  MetaKey key;
  if (!Prepare(session, request, &key)) return;
  const MetaFlags& meta = request.meta;
  storage::DeleteOptions options;
  if (meta.has_cas) options.compare_cas = meta.cas;
  options.mark_stale = meta.invalidate;
  options.drop_value = meta.remove_value;
  options.client_flags = meta.client_flags;
  if (meta.has_ttl) {
    options.touch = session.server().clock->ExpiryFromWire(meta.ttl, session.now());
  } else if (meta.remove_value) {
    options.touch = Expiry::Never();
  }
  if (meta.has_new_cas) options.explicit_cas = meta.new_cas;
  const storage::Key stored_key = session.KeyOf(key.bytes());
  const uint64_t value_bytes = SizeForDeletionLog(session, stored_key);
  unsigned class_id = 0;
  const storage::DeleteStatus status =
      session.store().Delete(stored_key, options, session.now(), &class_id);
  switch (status) {
    case storage::DeleteStatus::kDeleted:
      if (!meta.invalidate) {
        ++session.stats().ForClass(class_id).delete_hits;
        if (session.server().log->Wants(LogKind::kDeletions)) {
          LogDeletion(session, key.bytes(), "md", class_id, value_bytes);
        }
      }
      if (!meta.quiet) AppendWithoutItem(session, request, key, "HD");
      break;
    case storage::DeleteStatus::kExists:
      ++session.stats().delete_misses;
      AppendWithoutItem(session, request, key, "EX");
      break;
    case storage::DeleteStatus::kNotFound:
      ++session.stats().delete_misses;
      AppendWithoutItem(session, request, key, "NF");
      break;
  }
}

namespace {

/// + and I add, - and D subtract; nothing for another mode.
std::optional<bool> Decrements(const MetaFlags& meta) {
  if (!meta.has_mode || meta.mode == 'I' || meta.mode == '+') return false;
  if (meta.mode == 'D' || meta.mode == '-') return true;
  return std::nullopt;
}

storage::ArithmeticOptions MetaArithmeticOptions(Session& session, const MetaFlags& meta,
                                                 bool decrement) {
  const Clock& clock = *session.server().clock;
  storage::ArithmeticOptions options;
  options.decrement = decrement;
  options.delta = meta.delta;
  options.initial = meta.initial;
  if (meta.has_ttl) options.touch = clock.ExpiryFromWire(meta.ttl, session.now());
  if (meta.has_vivify) {
    const bool touched_after = meta.has_ttl && meta.Precedes('N', 'T');
    options.create =
        touched_after ? *options.touch : clock.ExpiryFromWire(meta.vivify_ttl, session.now());
  }
  if (meta.has_cas && meta.cas != 0) options.compare_cas = meta.cas;
  if (meta.has_new_cas) options.explicit_cas = meta.new_cas;
  return options;
}

void AppendArithmeticHit(Session& session, const TextRequest& request, const MetaKey& key,
                         const ItemView& item, uint64_t number) {
  const MetaFlags& meta = request.meta;
  const Clock& clock = *session.server().clock;
  char digits[protocol::kMaxDecimalBytes];
  const std::string_view text(digits,
                              static_cast<size_t>(protocol::WriteDecimal(number, digits) - digits));
  MetaReply reply(&session.out());
  reply.Add(meta.value ? fmt::format("VA {}", text.size()) : "HD");
  Expiry expiry = item.created ? Expiry::Never() : item.expiry_before;
  for (const MetaFlag& flag : meta.in_order()) {
    switch (flag.letter()) {
      case 'c':
        reply.AddNumber('c', item.cas);
        break;
      case 't':
        reply.AddSigned('t', Clock::SecondsLeft(expiry, session.now()));
        break;
      case 'T':
        expiry = clock.ExpiryFromWire(meta.ttl, session.now());
        break;
      case 'N':
        if (item.created) expiry = clock.ExpiryFromWire(meta.vivify_ttl, session.now());
        break;
      case 'O':
        reply.AddToken(flag.token());
        break;
      case 'k':
        reply.AddItemKey(key.bytes(), meta.base64_key);
        break;
      default:
        break;
    }
  }
  reply.End();
  if (!meta.value) return;
  session.out().Append(text);
  session.out().Append("\r\n");
}

}  // namespace

void ServeMetaArithmetic(Session& session, const TextRequest& request) {
  using storage::ArithmeticStatus;
  MetaKey key;
  if (!Prepare(session, request, &key)) return;
  const MetaFlags& meta = request.meta;
  const std::optional<bool> decrement = Decrements(meta);
  if (!decrement) {
    Reply(session, "CLIENT_ERROR invalid mode for ma M token");
    return;
  }
  // What the answer shows of the item is noted under the shard's lock and written afterwards.
  ItemView seen;
  const storage::ArithmeticResult result = session.store().Arithmetic(
      session.KeyOf(key.bytes()), MetaArithmeticOptions(session, meta, *decrement), session.now(),
      [&seen](const ItemView& item) {
        seen.cas = item.cas;
        seen.expiry_before = item.expiry_before;
        seen.created = item.created;
      });
  WorkerStats& stats = session.stats();
  ClassCounters& counters = stats.ForClass(result.class_id);
  switch (result.status) {
    case ArithmeticStatus::kCreated:
      if (session.server().log->Wants(LogKind::kMutations)) {
        // memcached gives the item its TTL when it has logged it.
        LogCreated(session, key.bytes(), 0, result.class_id, result.number);
      }
      if (!meta.quiet) AppendArithmeticHit(session, request, key, seen, result.number);
      break;
    case ArithmeticStatus::kOk:
      ++(*decrement ? counters.decr_hits : counters.incr_hits);
      if (!meta.quiet) AppendArithmeticHit(session, request, key, seen, result.number);
      break;
    case ArithmeticStatus::kNotFound:
    case ArithmeticStatus::kNotFoundExpired:
      ++(*decrement ? stats.decr_misses : stats.incr_misses);
      AppendWithoutItem(session, request, key, "NF");
      break;
    case ArithmeticStatus::kExists:
      AppendWithoutItem(session, request, key, "EX");
      break;
    case ArithmeticStatus::kNonNumeric:
      Reply(session, "CLIENT_ERROR cannot increment or decrement non-numeric value");
      break;
    case ArithmeticStatus::kNoMemory:
      Reply(session, "SERVER_ERROR Out of memory allocating new item");
      break;
  }
}

void ServeMetaDebug(Session& session, const TextRequest& request) {
  ++session.stats().cmd_meta;
  MetaKey key;
  key.Decode(request);
  storage::FetchOptions options;
  options.count_access = false;
  std::string answer;
  const storage::Time now = session.now();
  const FetchStatus status =
      session.store().Fetch(session.KeyOf(key.bytes()), options, now, [&](const ItemView& item) {
        std::string shown(item.key);
        if (item.key_is_binary) {
          shown.resize(protocol::Base64EncodedBytes(item.key.size()));
          protocol::Base64Encode(item.key, shown.data());
        }
        answer = fmt::format("ME {} exp={} la={} cas={} fetch={} cls={} size={}", shown,
                             Clock::SecondsLeft(item.expiry, now),
                             std::max<int64_t>(0, now.ms / 1000 - item.last_access().ms / 1000),
                             item.cas, item.fetched_before ? "yes" : "no", item.class_id,
                             item.accounted_bytes());
      });
  Reply(session, status == FetchStatus::kHit ? answer : "EN");
}

}  // namespace cairn::server
