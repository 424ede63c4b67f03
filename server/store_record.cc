#include "server/store_record.h"

#include <algorithm>

#include "server/access_log.h"
#include "server/log_hub.h"

namespace cairn::server {
namespace {

using storage::StoreMode;
using storage::StoreResult;
using storage::StoreStatus;

std::string_view LogWord(StoreMode mode) {
  switch (mode) {
    case StoreMode::kSet:
      return "set";
    case StoreMode::kAdd:
      return "add";
    case StoreMode::kReplace:
      return "replace";
    case StoreMode::kAppend:
      return "append";
    case StoreMode::kPrepend:
      return "prepend";
  }
  return "";
}

std::string_view LogWord(StoreStatus status) {
  switch (status) {
    case StoreStatus::kStored:
      return "stored";
    case StoreStatus::kNotStored:
      return "not_stored";
    case StoreStatus::kExists:
      return "exists";
    case StoreStatus::kNotFound:
      return "not_found";
    case StoreStatus::kTooLarge:
      return "too_large";
    case StoreStatus::kNoMemory:
      return "no_memory";
  }
  return "";
}

void Count(Session& session, const StoreRecord& record, const StoreResult& result) {
  ClassCounters& counters = session.stats().ForClass(result.class_id);
  ++counters.set_cmds;
  if (!record.compares_cas) return;
  if (result.status == StoreStatus::kStored) ++counters.cas_hits;
  if (result.status == StoreStatus::kExists) ++counters.cas_badval;
  if (result.status == StoreStatus::kNotFound) ++session.stats().cas_misses;
}

}  // namespace

void Record(Session& session, const StoreRecord& record, const StoreResult& result) {
  const bool too_large = result.status == StoreStatus::kTooLarge;
  const bool forbidden = too_large || result.status == StoreStatus::kNoMemory;
  if (forbidden) {
    ++(too_large ? session.stats().store_too_large : session.stats().store_no_memory);
  } else {
    Count(session, record, result);
  }
  if (session.server().log->Wants(LogKind::kMutations)) {
    const int64_t ttl = Clock::SecondsLeft(record.expiry, session.now());
    LogMutation(session, record.key, LogWord(result.status),
                record.compares_cas ? "cas" : LogWord(record.mode), std::max<int64_t>(ttl, 0),
                result.class_id, record.value_bytes);
  }
  if (forbidden && record.drops_old_value) {
    (void)session.store().Delete(session.store().MakeKey(record.key), {}, session.now());
  }
}

}  // namespace cairn::server
