#include "server/binary_commands.h"

#include <algorithm>
#include <cstring>

#include "fmt/format.h"
#include "protocol/version.h"
#include "server/access_log.h"
#include "server/commands.h"
#include "server/flush.h"
#include "server/log_hub.h"
#include "server/prefix_stats.h"
#include "server/runtime_settings.h"
#include "server/settings.h"
#include "server/uri_encode.h"

namespace cairn::server {
namespace {

using protocol::BinaryCommand;
using protocol::BinaryParse;
using protocol::BinaryParsed;
using protocol::BinaryRequest;
using protocol::BinaryResponse;
using protocol::BinaryStatus;
using protocol::kBinaryHeaderBytes;

/// The exptime that tells incr and decr not to create.
constexpr uint32_t kDoNotCreate = 0xffffffff;

/// The header of an answer without extras and key.
BinaryResponse ResponseTo(const BinaryRequest& request, BinaryStatus status, uint64_t cas,
                          size_t value_bytes) {
  BinaryResponse response;
  response.opcode = request.opcode;
  response.status = status;
  response.body_bytes = static_cast<uint32_t>(value_bytes);
  response.opaque = request.opaque;
  response.cas = cas;
  return response;
}

void AppendPacket(Output& out, const BinaryResponse& response, std::string_view value) {
  char* const begin = out.Reserve(kBinaryHeaderBytes + value.size());
  char* const end = protocol::WriteBinaryHeader(response, begin);
  if (!value.empty()) std::memcpy(end, value.data(), value.size());
  out.Commit(kBinaryHeaderBytes + value.size());
}

void LogAnswer(Session& session, const BinaryRequest& request, BinaryStatus status) {
  if (session.server().runtime->verbosity <= 1) return;
  fmt::print(stderr, ">{} opcode {:#04x} status {:#04x}\n", session.options().fd, request.opcode,
             static_cast<unsigned>(status));
}

void LogRequest(Session& session, const BinaryRequest& request) {
  if (session.server().runtime->verbosity <= 1) return;
  fmt::print(stderr, "<{} {} {}\n", session.options().fd, request.row->name,
             UriEncoded(request.key));
}

void ServeDelete(Session& session, const BinaryRequest& request) {
  PrefixStats& prefixes = *session.server().prefix_stats;
  if (prefixes.enabled()) prefixes.RecordDelete(request.key);
  storage::DeleteOptions options;
  if (request.cas != 0) options.compare_cas = request.cas;
  const storage::Key key = session.KeyOf(request.key);
  const uint64_t value_bytes = SizeForDeletionLog(session, key);
  unsigned class_id = 0;
  switch (session.store().Delete(key, options, session.now(), &class_id)) {
    case storage::DeleteStatus::kDeleted:
      ++session.stats().ForClass(class_id).delete_hits;
      if (session.server().log->Wants(LogKind::kDeletions)) {
        LogDeletion(session, request.key, "delete", class_id, value_bytes);
      }
      ReplyStored(session, request, 0);
      return;
    case storage::DeleteStatus::kExists:
      ReplyStatus(session, request, BinaryStatus::kExists);
      return;
    case storage::DeleteStatus::kNotFound:
      ++session.stats().delete_misses;
      ReplyStatus(session, request, BinaryStatus::kNotFound);
      return;
  }
}

void ReplyNumber(Session& session, const BinaryRequest& request, uint64_t number, uint64_t cas) {
  if (request.row->quiet) return;
  char value[sizeof number];
  protocol::WriteBigEndian64(number, value);
  ReplyValue(session, request, cas, {value, sizeof value});
}

void ServeArithmetic(Session& session, const BinaryRequest& request) {
  using storage::ArithmeticStatus;
  storage::ArithmeticOptions options;
  options.decrement = request.row->command == BinaryCommand::kDecrement;
  options.delta = request.delta;
  options.initial = request.initial;
  if (request.exptime != kDoNotCreate) {
    options.create = session.server().clock->ExpiryFromWire(request.exptime, session.now());
  }
  if (request.cas != 0) options.compare_cas = request.cas;
  uint64_t cas = 0;
  const storage::ArithmeticResult result =
      session.store().Arithmetic(session.KeyOf(request.key), options, session.now(),
                                 [&cas](const storage::ItemView& item) { cas = item.cas; });
  ClassCounters& counters = session.stats().ForClass(result.class_id);
  switch (result.status) {
    case ArithmeticStatus::kOk:
      ++(options.decrement ? counters.decr_hits : counters.incr_hits);
      ReplyNumber(session, request, result.number, cas);
      return;
    case ArithmeticStatus::kCreated:
      if (session.server().log->Wants(LogKind::kMutations)) {
        const int64_t ttl = Clock::SecondsLeft(*options.create, session.now());
        LogCreated(session, request.key, std::max<int64_t>(ttl, 0), result.class_id, result.number);
      }
      ReplyNumber(session, request, result.number, cas);
      return;
    case ArithmeticStatus::kNotFound:
    case ArithmeticStatus::kNotFoundExpired:
      ++(options.decrement ? session.stats().decr_misses : session.stats().incr_misses);
      ReplyStatus(session, request, BinaryStatus::kNotFound);
      return;
    case ArithmeticStatus::kNonNumeric:
      ReplyStatus(session, request, BinaryStatus::kNonNumeric);
      return;
    case ArithmeticStatus::kExists:
      ReplyStatus(session, request, BinaryStatus::kExists);
      return;
    case ArithmeticStatus::kNoMemory:
      ReplyStatus(session, request, BinaryStatus::kNoMemory, "Out of memory incrementing value");
      return;
  }
}

void ServeFlush(Session& session, const BinaryRequest& request) {
  if (!session.server().settings->flush_enabled) {
    ReplyStatus(session, request, BinaryStatus::kAuthError);
    return;
  }
  ++session.stats().cmd_flush;
  FlushFromWire(session, request.exptime);
  ReplyStored(session, request, 0);
}

/// Serves a valid request whose prefix is in `input`.
Step Serve(Session& session, const BinaryRequest& request, std::string_view input) {
  const Step done{StepStatus::kDone, request.packet_bytes()};
  switch (request.row->command) {
    case BinaryCommand::kGet:
    case BinaryCommand::kGetKey:
    case BinaryCommand::kTouch:
    case BinaryCommand::kGetAndTouch:
    case BinaryCommand::kGetKeyAndTouch:
      ServeBinaryFetch(session, request);
      return done;
    case BinaryCommand::kSet:
    case BinaryCommand::kAdd:
    case BinaryCommand::kReplace:
    case BinaryCommand::kAppend:
    case BinaryCommand::kPrepend:
      return ServeBinaryStore(session, request, input);
    case BinaryCommand::kDelete:
      ServeDelete(session, request);
      return done;
    case BinaryCommand::kIncrement:
    case BinaryCommand::kDecrement:
      ServeArithmetic(session, request);
      return done;
    case BinaryCommand::kFlush:
      ServeFlush(session, request);
      return done;
    case BinaryCommand::kNoop:
      ReplyValue(session, request, 0, "");
      return done;
    case BinaryCommand::kVersion:
      ReplyValue(session, request, 0, protocol::kMemcachedVersion);
      return done;
    case BinaryCommand::kQuit:
      session.close_reason = CloseReason::kNormal;
      ReplyStored(session, request, 0);
      return {StepStatus::kClose, request.packet_bytes()};
    case BinaryCommand::kStat:
      ServeBinaryStat(session, request);
      return done;
    case BinaryCommand::kSaslList:
    case BinaryCommand::kSaslAuth:
    case BinaryCommand::kSaslStep:
      return ServeBinarySasl(session, request, input);
  }
  return done;
}

}  // namespace

void ReplyStatus(Session& session, const BinaryRequest& request, BinaryStatus status) {
  ReplyStatus(session, request, status, protocol::BinaryStatusText(status));
}

void ReplyStatus(Session& session, const BinaryRequest& request, BinaryStatus status,
                 std::string_view text) {
  AppendPacket(session.out(), ResponseTo(request, status, 0, text.size()), text);
  LogAnswer(session, request, status);
}

void ReplyStored(Session& session, const BinaryRequest& request, uint64_t cas) {
  if (!request.row->quiet) ReplyValue(session, request, cas, "");
}

void ReplyValue(Session& session, const BinaryRequest& request, uint64_t cas,
                std::string_view value) {
  AppendPacket(session.out(), ResponseTo(request, BinaryStatus::kOk, cas, value.size()), value);
  LogAnswer(session, request, BinaryStatus::kOk);
}

std::string StatusPacket(const BinaryRequest& request, BinaryStatus status, std::string_view text) {
  std::string packet(kBinaryHeaderBytes, '\0');
  protocol::WriteBinaryHeader(ResponseTo(request, status, 0, text.size()), packet.data());
  packet += text;
  return packet;
}

Step ProcessBinary(Session& session, std::string_view input) {
  const bool authenticated = session.authenticated || !session.options().needs_sasl;
  const BinaryParsed parsed = protocol::ParseBinaryRequest(input, authenticated);
  const BinaryRequest& request = parsed.request;
  switch (parsed.result) {
    case BinaryParse::kNeedMore:
      return {StepStatus::kNeedMore};
    case BinaryParse::kOk:
      break;
    case BinaryParse::kUnknown:
      session.Swallow(request.body_bytes,
                      StatusPacket(request, parsed.status, BinaryStatusText(parsed.status)));
      return {StepStatus::kDone, kBinaryHeaderBytes};
    case BinaryParse::kRefused:
      ReplyStatus(session, request, parsed.status);
      return {StepStatus::kClose, input.size()};
    case BinaryParse::kBadMagic:
      return {StepStatus::kClose, input.size()};
  }
  const Step step = Serve(session, request, input);
  if (step.status != StepStatus::kNeedMore) LogRequest(session, request);
  return step;
}

}  // namespace cairn::server
