#include "server/access_log.h"

#include "fmt/format.h"
#include "server/log_hub.h"
#include "server/uri_encode.h"

namespace cairn::server {
namespace {

std::string_view Word(storage::FetchStatus status) {
  if (status == storage::FetchStatus::kHit) return "found";
  return status == storage::FetchStatus::kMissExpired ? "expired" : "not_found";
}

}  // namespace

void LogFetch(Session& session, std::string_view key, storage::FetchStatus status,
              unsigned class_id, uint64_t value_bytes) {
  session.server().log->Publish(
      LogKind::kFetchers,
      fmt::format("item_get key={} status={} clsid={} cfd={} size={}", UriEncoded(key),
                  Word(status), class_id, session.options().fd, value_bytes));
}

void LogMutation(Session& session, std::string_view key, std::string_view status,
                 std::string_view command, int64_t ttl, unsigned class_id, uint64_t value_bytes) {
  session.server().log->Publish(
      LogKind::kMutations,
      fmt::format("item_store key={} status={} cmd={} ttl={} clsid={} cfd={} size={}",
                  UriEncoded(key), status, command, ttl, class_id, session.options().fd,
                  value_bytes));
}

void LogCreated(Session& session, std::string_view key, int64_t ttl, unsigned class_id,
                uint64_t initial) {
  LogMutation(session, key, "stored", "add", ttl, class_id, fmt::formatted_size("{}", initial));
}

uint64_t SizeForDeletionLog(Session& session, const storage::Key& key) {
  uint64_t bytes = 0;
  if (!session.server().log->Wants(LogKind::kDeletions)) return bytes;
  storage::FetchOptions options;
  options.count_access = false;
  // Whether it was found shows in the deletion.
  static_cast<void>(
      session.store().Fetch(key, options, session.now(),
                            [&bytes](const storage::ItemView& item) { bytes = item.value_bytes; }));
  return bytes;
}

void LogDeletion(Session& session, std::string_view key, std::string_view command,
                 unsigned class_id, uint64_t value_bytes) {
  session.server().log->Publish(
      LogKind::kDeletions, fmt::format("deleted key={} cmd={} clsid={} size={}", UriEncoded(key),
                                       command, class_id, value_bytes));
}

}  // namespace cairn::server
