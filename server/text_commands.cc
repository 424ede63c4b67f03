#include "server/text_commands.h"

#include <cstdio>

#include "fmt/format.h"
#include "protocol/version.h"
#include "server/access_log.h"
#include "server/commands.h"
#include "server/flush.h"
#include "server/log_hub.h"
#include "server/prefix_stats.h"
#include "server/runtime_settings.h"
#include "server/settings.h"

namespace cairn::server {
namespace {

using protocol::ParseStatus;
using protocol::TextRequest;
using protocol::Verb;

constexpr std::string_view kBadFormat = "CLIENT_ERROR bad command line format";
constexpr size_t kTerminatorBytes = 2;

/// What a browser or a scanner sends is no command at all.
bool LooksLikeHttp(std::string_view line) {
  return line.find(' ') != std::string_view::npos && protocol::LastToken(line).starts_with("HTTP/");
}

/// A line that is no data command: an operator's, or none.
StepStatus ServeOther(Session& session, const TextRequest& request, std::string_view line) {
  StepStatus status = StepStatus::kDone;
  if (ProcessAdmin(session, line, &status)) return status;
  if (LooksLikeHttp(line)) return StepStatus::kClose;
  ReplyUnless(session, request.noreply, "ERROR");
  return StepStatus::kDone;
}

/// A request that ParseTextLine found wrong. A declared body is thrown away before the answer.
StepStatus Refuse(Session& session, const TextRequest& request) {
  const std::string_view error =
      request.status == ParseStatus::kBadFormat ? kBadFormat : request.error;
  std::string answer;
  if (!request.noreply) answer = fmt::format("{}\r\n", error);
  const bool swallow = request.has_body && request.status == ParseStatus::kBadValue;
  session.Swallow(swallow ? request.body_bytes + kTerminatorBytes : 0, std::move(answer));
  return StepStatus::kDone;
}

bool LogsRequests(Session& session) {
  return session.server().runtime->verbosity.load(std::memory_order_relaxed) > 1;
}

/// Serves one valid request without a body.
StepStatus Serve(Session& session, const TextRequest& request) {
  switch (request.verb) {
    case Verb::kGet:
    case Verb::kGets:
    case Verb::kGat:
    case Verb::kGats:
      ServeRetrieval(session, request);
      break;
    case Verb::kDelete:
      ServeDelete(session, request);
      break;
    case Verb::kIncr:
    case Verb::kDecr:
      ServeArithmetic(session, request);
      break;
    case Verb::kTouch:
      ServeTouch(session, request);
      break;
    case Verb::kFlushAll:
      ServeFlushAll(session, request);
      break;
    case Verb::kMetaGet:
      ServeMetaGet(session, request);
      break;
    case Verb::kMetaDelete:
      ServeMetaDelete(session, request);
      break;
    case Verb::kMetaArithmetic:
      ServeMetaArithmetic(session, request);
      break;
    case Verb::kMetaDebug:
      ServeMetaDebug(session, request);
      break;
    case Verb::kMetaNoop:
      Reply(session, "MN");
      session.is_noop = true;
      break;
    case Verb::kVersion:
      Reply(session, fmt::format("VERSION {}", protocol::kMemcachedVersion));
      break;
    case Verb::kQuit:
      session.close_reason = CloseReason::kNormal;
      return StepStatus::kClose;
    case Verb::kSet:
    case Verb::kAdd:
    case Verb::kReplace:
    case Verb::kAppend:
    case Verb::kPrepend:
    case Verb::kCas:
    case Verb::kMetaSet:
      break;  // have a body: ServeStore
  }
  return StepStatus::kDone;
}

}  // namespace

void LogRequest(Session& session, std::string_view line) {
  if (LogsRequests(session)) fmt::print(stderr, "<{} {}\n", session.options().fd, line);
}

void Reply(Session& session, std::string_view line) {
  char* out = session.out().Reserve(line.size() + 2);
  line.copy(out, line.size());
  out[line.size()] = '\r';
  out[line.size() + 1] = '\n';
  session.out().Commit(line.size() + 2);
  if (LogsRequests(session)) fmt::print(stderr, ">{} {}\n", session.options().fd, line);
}

void ReplyUnless(Session& session, bool noreply, std::string_view line) {
  if (!noreply) Reply(session, line);
}

Step ProcessText(Session& session, std::string_view input) {
  if (session.options().needs_ascii_auth && !session.authenticated) {
    return ServeUnauthenticated(session, input);
  }
  const protocol::LineEnd found = protocol::FindLine(input);
  if (found.search == protocol::LineSearch::kNeedMore) return {StepStatus::kNeedMore};
  if (found.search == protocol::LineSearch::kOverflow) return {StepStatus::kClose, input.size()};

  const TextRequest request = protocol::ParseTextLine(found.line, found.consumed);
  size_t consumed = found.consumed;
  StepStatus status = StepStatus::kDone;
  const bool waits_for_body = request.status == ParseStatus::kOk && request.has_body;
  if (!waits_for_body) LogRequest(session, found.line);
  if (request.status == ParseStatus::kUnknown) {
    status = ServeOther(session, request, found.line);
  } else if (request.status != ParseStatus::kOk) {
    status = Refuse(session, request);
  } else if (waits_for_body) {
    const std::optional<size_t> used =
        ServeStore(session, request, found.line, input.substr(consumed));
    if (!used) {
      session.awaits_body = true;
      return {StepStatus::kNeedMore};
    }
    consumed += *used;
  } else {
    status = Serve(session, request);
  }
  return {status, consumed};
}

void ServeDelete(Session& session, const TextRequest& request) {
  if (session.server().prefix_stats->enabled()) {
    session.server().prefix_stats->RecordDelete(request.key);
  }
  const storage::Key key = session.KeyOf(request.key);
  const uint64_t value_bytes = SizeForDeletionLog(session, key);
  unsigned class_id = 0;
  const storage::DeleteStatus status = session.store().Delete(key, {}, session.now(), &class_id);
  if (status == storage::DeleteStatus::kDeleted) {
    ++session.stats().ForClass(class_id).delete_hits;
    if (session.server().log->Wants(LogKind::kDeletions)) {
      LogDeletion(session, request.key, "delete", class_id, value_bytes);
    }
    ReplyUnless(session, request.noreply, "DELETED");
  } else {
    ++session.stats().delete_misses;
    ReplyUnless(session, request.noreply, "NOT_FOUND");
  }
}

void ServeArithmetic(Session& session, const TextRequest& request) {
  using storage::ArithmeticStatus;
  storage::ArithmeticOptions options;
  options.decrement = request.verb == Verb::kDecr;
  options.delta = request.number;
  const storage::ArithmeticResult result = session.store().Arithmetic(
      session.KeyOf(request.key), options, session.now(), [](const storage::ItemView&) {});
  ClassCounters& counters = session.stats().ForClass(result.class_id);
  switch (result.status) {
    case ArithmeticStatus::kOk:
    case ArithmeticStatus::kCreated:
    case ArithmeticStatus::kExists: {
      ++(options.decrement ? counters.decr_hits : counters.incr_hits);
      const fmt::format_int number(result.number);
      ReplyUnless(session, request.noreply, {number.data(), number.size()});
      break;
    }
    case ArithmeticStatus::kNotFound:
    case ArithmeticStatus::kNotFoundExpired:
      ++(options.decrement ? session.stats().decr_misses : session.stats().incr_misses);
      ReplyUnless(session, request.noreply, "NOT_FOUND");
      break;
    case ArithmeticStatus::kNonNumeric:
      ReplyUnless(session, request.noreply,
                  "CLIENT_ERROR cannot increment or decrement non-numeric value");
      break;
    case ArithmeticStatus::kNoMemory:
      ReplyUnless(session, request.noreply, "SERVER_ERROR out of memory");
      break;
  }
}

void ServeTouch(Session& session, const TextRequest& request) {
  storage::FetchOptions options;
  options.touch = session.server().clock->ExpiryFromWire(request.exptime, session.now());
  unsigned class_id = 0;
  const storage::FetchStatus status = session.store().Fetch(
      session.KeyOf(request.key), options, session.now(),
      [&class_id](const storage::ItemView& item) { class_id = item.class_id; });
  ++session.stats().cmd_touch;
  if (status == storage::FetchStatus::kHit) {
    ++session.stats().ForClass(class_id).touch_hits;
    ReplyUnless(session, request.noreply, "TOUCHED");
  } else {
    ++session.stats().touch_misses;
    ReplyUnless(session, request.noreply, "NOT_FOUND");
  }
}

void ServeFlushAll(Session& session, const TextRequest& request) {
  ++session.stats().cmd_flush;
  if (!session.server().settings->flush_enabled) {
    ReplyUnless(session, request.noreply, "CLIENT_ERROR flush_all not allowed");
    return;
  }
  if (!request.error.empty()) {
    ReplyUnless(session, request.noreply, request.error);
    return;
  }
  FlushFromWire(session, request.exptime);
  ReplyUnless(session, request.noreply, "OK");
}

}  // namespace cairn::server
