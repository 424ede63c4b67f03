#include <string>

#include "fmt/format.h"
#include "protocol/base64.h"
#include "server/meta_reply.h"
#include "server/prefix_stats.h"
#include "server/settings.h"
#include "server/store_record.h"
#include "server/text_commands.h"

namespace cairn::server {
namespace {

using protocol::TextRequest;
using protocol::Verb;
using storage::StoreMode;
using storage::StoreOptions;
using storage::StoreResult;
using storage::StoreStatus;

constexpr size_t kTerminatorBytes = 2;
constexpr std::string_view kBadMode = "CLIENT_ERROR invalid mode for ms M token";
constexpr std::string_view kOpaqueTooLong = "CLIENT_ERROR opaque token too long";

bool IsMeta(const TextRequest& request) { return request.verb == Verb::kMetaSet; }

/// A storage request as the store wants it.
struct StoreJob {
  MetaKey key;
  StoreOptions options;
  bool compares_cas = false;  ///< counts as a cas command
  std::string_view error;     ///< not empty: refuse with this
};

std::optional<StoreMode> ModeFromMeta(char mode) {
  switch (mode) {
    case 'E':
      return StoreMode::kAdd;
    case 'A':
      return StoreMode::kAppend;
    case 'P':
      return StoreMode::kPrepend;
    case 'R':
      return StoreMode::kReplace;
    case 'S':
      return StoreMode::kSet;
    default:
      return std::nullopt;
  }
}

StoreMode ModeFromVerb(Verb verb) {
  switch (verb) {
    case Verb::kAdd:
      return StoreMode::kAdd;
    case Verb::kReplace:
      return StoreMode::kReplace;
    case Verb::kAppend:
      return StoreMode::kAppend;
    case Verb::kPrepend:
      return StoreMode::kPrepend;
    default:
      return StoreMode::kSet;
  }
}

void FillMetaJob(Session& session, const TextRequest& request, StoreJob* job) {
  const protocol::MetaFlags& meta = request.meta;
  const Clock& clock = *session.server().clock;
  StoreOptions& options = job->options;
  job->key.Decode(request);
  if (meta.has_mode) {
    const std::optional<StoreMode> mode = ModeFromMeta(meta.mode);
    if (!mode) {
      job->error = kBadMode;
      return;
    }
    options.mode = *mode;
  }
  if (HasLongOpaque(meta)) {
    job->error = kOpaqueTooLong;
    return;
  }
  options.client_flags = meta.client_flags;
  options.key_is_binary = meta.base64_key;
  if (meta.has_ttl) options.expiry = clock.ExpiryFromWire(meta.ttl, session.now());
  const bool grows = options.mode == StoreMode::kAppend || options.mode == StoreMode::kPrepend;
  if (grows && meta.has_vivify) {
    options.vivify = clock.ExpiryFromWire(meta.vivify_ttl, session.now());
  }
  if (meta.has_cas && options.mode != StoreMode::kAdd) {
    options.compare_cas = meta.cas;
    job->compares_cas = !grows;
    options.invalidate_if_older = meta.invalidate && !grows;
  }
  // Of the meta commands only this one takes 0 for none.
  if (meta.has_new_cas && meta.new_cas != 0) options.explicit_cas = meta.new_cas;
}

void FillJob(Session& session, const TextRequest& request, StoreJob* job) {
  if (IsMeta(request)) {
    FillMetaJob(session, request, job);
  } else {
    job->key.SetPlain(request.key);
    job->options.mode = ModeFromVerb(request.verb);
    job->options.client_flags = request.client_flags;
    job->options.expiry = session.server().clock->ExpiryFromWire(request.exptime, session.now());
    if (request.verb == Verb::kCas) {
      job->options.compare_cas = request.number;
      job->compares_cas = true;
    }
  }
}

void RecordStore(Session& session, const TextRequest& request, const StoreJob& job,
                 const StoreResult& result) {
  Record(session,
         {.key = job.key.bytes(),
          .mode = job.options.mode,
          .compares_cas = job.compares_cas,
          .expiry = job.options.expiry,
          .value_bytes = request.body_bytes,
          .drops_old_value = request.verb == Verb::kSet || IsMeta(request)},
         result);
}

/// A store that fails before its value was received: the answer.
std::string_view Refuse(Session& session, const TextRequest& request, const StoreJob& job,
                        StoreStatus why) {
  RecordStore(session, request, job, {why, 0, request.body_bytes, 0});
  return why == StoreStatus::kTooLarge ? kTooLargeReply : kNoMemoryReply;
}

void AnswerClassic(Session& session, const TextRequest& request, StoreStatus status) {
  std::string_view answer;
  switch (status) {
    case StoreStatus::kStored:
      answer = "STORED";
      break;
    case StoreStatus::kNotStored:
      answer = "NOT_STORED";
      break;
    case StoreStatus::kExists:
      answer = "EXISTS";
      break;
    case StoreStatus::kNotFound:
      answer = "NOT_FOUND";
      break;
    case StoreStatus::kTooLarge:
      answer = kTooLargeReply;
      break;
    case StoreStatus::kNoMemory:
      answer = kNoMemoryReply;
      break;
  }
  ReplyUnless(session, request.noreply, answer);
}

void AnswerMeta(Session& session, const TextRequest& request, const StoreJob& job,
                const StoreResult& result) {
  std::string_view code;
  switch (result.status) {
    case StoreStatus::kStored:
      if (request.meta.quiet) return;
      code = "HD";
      break;
    case StoreStatus::kNotStored:
      code = "NS";
      break;
    case StoreStatus::kExists:
      code = "EX";
      break;
    case StoreStatus::kNotFound:
      code = "NF";
      break;
    case StoreStatus::kTooLarge:
      Reply(session, kTooLargeReply);
      return;
    case StoreStatus::kNoMemory:
      Reply(session, kNoMemoryReply);
      return;
  }
  MetaReply reply(&session.out());
  reply.Add(code);
  for (const protocol::MetaFlag& flag : request.meta.in_order()) {
    if (flag.letter() == 'O') reply.AddToken(flag.token());
    if (flag.letter() == 'k') reply.AddItemKey(job.key.bytes(), request.meta.base64_key);
    if (flag.letter() == 'c') reply.AddNumber('c', result.cas);
    if (flag.letter() == 's') reply.AddNumber('s', result.value_bytes);
  }
  reply.End();
}

/// A store that had its memory: says what became of it.
void Finish(Session& session, const TextRequest& request, const StoreJob& job,
            const StoreResult& result) {
  RecordStore(session, request, job, result);
  if (IsMeta(request)) {
    AnswerMeta(session, request, job, result);
  } else {
    AnswerClassic(session, request, result.status);
  }
}

void RefuseChunk(Session& session, const TextRequest& request) {
  ++session.stats().ForClass(0).set_cmds;
  ReplyUnless(session, request.noreply, kBadDataChunk);
}

/// The body of a large value is in the store's memory. The request is parsed again from the saved
/// line, whose buffer is gone.
void FinishTransfer(Session& session, const std::string& line, Transfer& transfer,
                    bool terminator_ok) {
  const TextRequest request = protocol::ParseTextLine(line, line.size() + kTerminatorBytes);
  if (!terminator_ok) {
    RefuseChunk(session, request);
    return;
  }
  StoreJob job;
  FillJob(session, request, &job);
  Finish(
      session, request, job,
      session.store().Commit(std::move(transfer.reservation),
                             session.store().MakeKey(job.key.bytes()), job.options, session.now()));
}

void SwallowBody(Session& session, const TextRequest& request, std::string_view answer) {
  session.Swallow(request.body_bytes + kTerminatorBytes,
                  request.noreply ? std::string() : fmt::format("{}\r\n", answer));
}

}  // namespace

std::optional<size_t> ServeStore(Session& session, const TextRequest& request,
                                 std::string_view line, std::string_view body) {
  StoreJob job;
  FillJob(session, request, &job);
  if (!job.error.empty()) {
    LogRequest(session, line);
    SwallowBody(session, request, job.error);
    return 0;
  }
  storage::Store& store = session.store();
  const size_t wanted = request.body_bytes + kTerminatorBytes;
  const uint64_t accounted =
      store.AccountedBytes(job.key.bytes().size(), job.options.client_flags, request.body_bytes);
  const bool too_large = accounted > session.server().settings->max_item_bytes;
  const bool complete = body.size() >= wanted;
  if (!complete && !too_large && request.body_bytes <= kMaxBufferedBodyBytes) return std::nullopt;
  LogRequest(session, line);

  if (session.server().prefix_stats->enabled()) {
    session.server().prefix_stats->RecordSet(job.key.bytes());
  }
  if (too_large) {
    SwallowBody(session, request, Refuse(session, request, job, StoreStatus::kTooLarge));
    return 0;
  }
  const storage::Key key = session.KeyOf(job.key.bytes());
  if (complete) {
    if (body[request.body_bytes] != '\r' || body[request.body_bytes + 1] != '\n') {
      RefuseChunk(session, request);
    } else {
      Finish(session, request, job,
             store.Put(key, body.substr(0, request.body_bytes), job.options, session.now()));
    }
    return wanted;
  }
  StoreStatus status = StoreStatus::kStored;
  auto transfer = std::make_unique<Transfer>();
  transfer->reservation =
      store.Reserve(key, request.body_bytes, job.options.client_flags, session.now(), &status);
  if (!transfer->reservation.held()) {
    SwallowBody(session, request, Refuse(session, request, job, status));
    return 0;
  }
  transfer->body_bytes = request.body_bytes;
  transfer->terminator_bytes = kTerminatorBytes;
  transfer->finish = [saved = std::string(line)](Session& s, Transfer& t, bool terminator_ok) {
    FinishTransfer(s, saved, t, terminator_ok);
  };
  session.BeginTransfer(std::move(transfer));
  return 0;
}

}  // namespace cairn::server
