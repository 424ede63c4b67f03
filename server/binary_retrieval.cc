#include <cstring>

#include "server/access_log.h"
#include "server/binary_commands.h"
#include "server/log_hub.h"
#include "server/prefix_stats.h"

namespace cairn::server {
namespace {

using protocol::BinaryCommand;
using protocol::BinaryRequest;
using protocol::BinaryResponse;
using protocol::BinaryStatus;
using storage::FetchStatus;
using storage::ItemView;

constexpr size_t kFlagsBytes = 4;

/// What a command of the get family does and shows.
struct FetchShape {
  bool touch = false;
  bool with_key = false;
  bool with_value = true;
};

FetchShape ShapeOf(BinaryCommand command) {
  switch (command) {
    case BinaryCommand::kGetKey:
      return {.with_key = true};
    case BinaryCommand::kTouch:
      return {.touch = true, .with_value = false};
    case BinaryCommand::kGetAndTouch:
      return {.touch = true};
    case BinaryCommand::kGetKeyAndTouch:
      return {.touch = true, .with_key = true};
    default:
      return {};
  }
}

void AppendHit(Output& out, const BinaryRequest& request, const FetchShape& shape,
               const ItemView& item) {
  const std::string_view key = shape.with_key ? item.key : std::string_view();
  const uint64_t value_bytes = shape.with_value ? item.value_bytes : 0;
  BinaryResponse response;
  response.opcode = request.opcode;
  response.extras_bytes = kFlagsBytes;
  response.key_bytes = static_cast<uint16_t>(key.size());
  response.body_bytes = static_cast<uint32_t>(kFlagsBytes + key.size() + value_bytes);
  response.opaque = request.opaque;
  response.cas = item.cas;
  const size_t prefix_bytes = protocol::kBinaryHeaderBytes + kFlagsBytes + key.size();
  // One piece of room for the usual small value; large ones are for AppendValue to place.
  const bool one_piece = item.value.size() == 1 && value_bytes < Output::kPinBytes;
  const size_t inline_bytes = one_piece ? value_bytes : 0;
  char* at = out.Reserve(prefix_bytes + inline_bytes);
  at = protocol::WriteBinaryHeader(response, at);
  at = protocol::WriteBigEndian32(item.client_flags, at);
  if (!key.empty()) std::memcpy(at, key.data(), key.size());
  if (inline_bytes != 0) std::memcpy(at + key.size(), item.value.front().data(), inline_bytes);
  out.Commit(prefix_bytes + inline_bytes);
  if (shape.with_value && !one_piece) out.AppendValue(item);
}

void ReplyMiss(Session& session, const BinaryRequest& request, const FetchShape& shape) {
  if (request.row->quiet) return;
  if (!shape.with_key) {
    ReplyStatus(session, request, BinaryStatus::kNotFound);
    return;
  }
  BinaryResponse response;
  response.opcode = request.opcode;
  response.status = BinaryStatus::kNotFound;
  response.key_bytes = static_cast<uint16_t>(request.key.size());
  response.body_bytes = static_cast<uint32_t>(request.key.size());
  response.opaque = request.opaque;
  char* const at = session.out().Reserve(protocol::kBinaryHeaderBytes);
  protocol::WriteBinaryHeader(response, at);
  session.out().Commit(protocol::kBinaryHeaderBytes);
  session.out().Append(request.key);
}

void Count(WorkerStats& stats, bool touch, FetchStatus status, unsigned class_id) {
  ++(touch ? stats.cmd_touch : stats.cmd_get);
  if (status == FetchStatus::kHit) {
    ClassCounters& counters = stats.ForClass(class_id);
    ++(touch ? counters.touch_hits : counters.get_hits);
    return;
  }
  ++(touch ? stats.touch_misses : stats.get_misses);
  if (status == FetchStatus::kMissExpired) ++stats.get_expired;
}

}  // namespace

void ServeBinaryFetch(Session& session, const BinaryRequest& request) {
  const FetchShape shape = ShapeOf(request.row->command);
  storage::FetchOptions options;
  if (shape.touch) {
    options.touch = session.server().clock->ExpiryFromWire(request.exptime, session.now());
  }
  Output& out = session.out();
  const Output::Mark mark = out.mark();
  unsigned class_id = 0;
  uint64_t value_bytes = 0;
  const FetchStatus status = session.store().Fetch(session.KeyOf(request.key), options,
                                                   session.now(), [&](const ItemView& item) {
                                                     out.TruncateTo(mark);
                                                     class_id = item.class_id;
                                                     value_bytes = item.value_bytes;
                                                     AppendHit(out, request, shape, item);
                                                   });
  const bool hit = status == FetchStatus::kHit;
  Count(session.stats(), shape.touch, status, class_id);
  if (!hit) ReplyMiss(session, request, shape);
  if (session.server().prefix_stats->enabled()) {
    session.server().prefix_stats->RecordGet(request.key, hit);
  }
  if (session.server().log->Wants(LogKind::kFetchers)) {
    LogFetch(session, request.key, status, class_id, value_bytes);
  }
}

}  // namespace cairn::server
