#include <utility>

#include "server/binary_commands.h"
#include "server/prefix_stats.h"
#include "server/settings.h"
#include "server/store_record.h"

namespace cairn::server {
namespace {

using protocol::BinaryCommand;
using protocol::BinaryRequest;
using protocol::BinaryStatus;
using storage::StoreMode;
using storage::StoreOptions;
using storage::StoreResult;
using storage::StoreStatus;

StoreMode ModeOf(BinaryCommand command) {
  switch (command) {
    case BinaryCommand::kAdd:
      return StoreMode::kAdd;
    case BinaryCommand::kReplace:
      return StoreMode::kReplace;
    case BinaryCommand::kAppend:
      return StoreMode::kAppend;
    case BinaryCommand::kPrepend:
      return StoreMode::kPrepend;
    default:
      return StoreMode::kSet;
  }
}

bool Grows(StoreMode mode) { return mode == StoreMode::kAppend || mode == StoreMode::kPrepend; }

/// With a CAS unique, Set, Add and Replace are all one: the cas command.
bool IsCas(const BinaryRequest& request) {
  return request.cas != 0 && !Grows(ModeOf(request.row->command));
}

StoreOptions OptionsOf(Session& session, const BinaryRequest& request) {
  StoreOptions options;
  options.mode = IsCas(request) ? StoreMode::kSet : ModeOf(request.row->command);
  options.client_flags = request.client_flags;
  options.expiry = session.server().clock->ExpiryFromWire(request.exptime, session.now());
  if (request.cas != 0) options.compare_cas = request.cas;
  return options;
}

BinaryStatus StatusOf(const BinaryRequest& request, StoreStatus status) {
  switch (status) {
    case StoreStatus::kStored:
      return BinaryStatus::kOk;
    case StoreStatus::kNotStored:
      if (request.row->command == BinaryCommand::kAdd) return BinaryStatus::kExists;
      if (request.row->command == BinaryCommand::kReplace) return BinaryStatus::kNotFound;
      return BinaryStatus::kNotStored;
    case StoreStatus::kExists:
      return BinaryStatus::kExists;
    case StoreStatus::kNotFound:
      return BinaryStatus::kNotFound;
    case StoreStatus::kTooLarge:
      return BinaryStatus::kTooLarge;
    case StoreStatus::kNoMemory:
      return BinaryStatus::kNoMemory;
  }
  return BinaryStatus::kNotStored;
}

std::string_view TextOf(BinaryStatus status) {
  if (status == BinaryStatus::kNoMemory) return "Out of memory allocating item";
  return protocol::BinaryStatusText(status);
}

void RecordStore(Session& session, const BinaryRequest& request, const StoreResult& result) {
  Record(session,
         {.key = request.key,
          .mode = ModeOf(request.row->command),
          .compares_cas = IsCas(request),
          .expiry = OptionsOf(session, request).expiry,
          .value_bytes = request.value_bytes,
          .drops_old_value = request.row->command == BinaryCommand::kSet},
         result);
}

/// Says what became of a store.
void Finish(Session& session, const BinaryRequest& request, const StoreResult& result) {
  RecordStore(session, request, result);
  if (result.status == StoreStatus::kStored) {
    ReplyStored(session, request, result.cas);
    return;
  }
  const BinaryStatus status = StatusOf(request, result.status);
  ReplyStatus(session, request, status, TextOf(status));
}

/// A store that fails before its value was received.
Step Refuse(Session& session, const BinaryRequest& request, StoreStatus why) {
  StoreResult result;
  result.status = why;
  RecordStore(session, request, result);
  const BinaryStatus status = StatusOf(request, why);
  session.Swallow(request.value_bytes, StatusPacket(request, status, TextOf(status)));
  return {StepStatus::kDone, request.prefix_bytes()};
}

void FinishTransfer(Session& session, BinaryRequest request, Transfer& transfer) {
  request.key = transfer.key;  // the input that it pointed into is gone
  Finish(
      session, request,
      session.store().Commit(std::move(transfer.reservation), session.store().MakeKey(request.key),
                             OptionsOf(session, request), session.now()));
}

Step BeginTransfer(Session& session, const BinaryRequest& request, const storage::Key& key) {
  StoreStatus status = StoreStatus::kStored;
  auto transfer = std::make_unique<Transfer>();
  transfer->reservation = session.store().Reserve(key, request.value_bytes, request.client_flags,
                                                  session.now(), &status);
  if (!transfer->reservation.held()) return Refuse(session, request, status);
  transfer->body_bytes = request.value_bytes;
  transfer->key = request.key;
  transfer->finish = [request](Session& s, Transfer& t, bool) { FinishTransfer(s, request, t); };
  session.BeginTransfer(std::move(transfer));
  return {StepStatus::kDone, request.prefix_bytes()};
}

}  // namespace

Step ServeBinaryStore(Session& session, const BinaryRequest& request, std::string_view input) {
  storage::Store& store = session.store();
  const bool too_large =
      store.AccountedBytes(request.key.size(), request.client_flags, request.value_bytes) >
      session.server().settings->max_item_bytes;
  const bool complete = input.size() >= request.packet_bytes();
  if (!complete && !too_large && request.value_bytes <= kMaxBufferedBodyBytes) {
    session.awaits_body = true;
    return {StepStatus::kNeedMore};
  }
  if (session.server().prefix_stats->enabled()) {
    session.server().prefix_stats->RecordSet(request.key);
  }
  if (too_large) return Refuse(session, request, StoreStatus::kTooLarge);
  const storage::Key key = session.KeyOf(request.key);
  if (!complete) return BeginTransfer(session, request, key);
  Finish(session, request,
         store.Put(key, input.substr(request.prefix_bytes(), request.value_bytes),
                   OptionsOf(session, request), session.now()));
  return {StepStatus::kDone, request.packet_bytes()};
}

}  // namespace cairn::server
