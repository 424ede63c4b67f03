#include "server/access_log.h"

#include "fmt/format.h"
#include "server/log_hub.h"
#include "server/uri_encode.h"

namespace cairn::server {

void LogFetch(Session& session, std::string_view key, std::string_view status, unsigned class_id,
              uint64_t value_bytes) {
  session.server().log->Publish(
      LogKind::kFetchers,
      fmt::format("item_get key={} status={} clsid={} cfd={} size={}", UriEncoded(key), status,
                  class_id, session.options().fd, value_bytes));
}

void LogMutation(Session& session, std::string_view key, std::string_view status,
                 std::string_view command, int64_t ttl, unsigned class_id, uint64_t value_bytes) {
  session.server().log->Publish(
      LogKind::kMutations,
      fmt::format("item_store key={} status={} cmd={} ttl={} clsid={} cfd={} size={}",
                  UriEncoded(key), status, command, ttl, class_id, session.options().fd,
                  value_bytes));
}

void LogDeletion(Session& session, std::string_view key, std::string_view command,
                 unsigned class_id, uint64_t value_bytes) {
  session.server().log->Publish(
      LogKind::kDeletions, fmt::format("deleted key={} cmd={} clsid={} size={}", UriEncoded(key),
                                       command, class_id, value_bytes));
}

}  // namespace cairn::server
