#pragma once

#include <string_view>

#include "server/session.h"

/// The log lines of `watch` that come from requests. Call sites check LogHub::Wants first, so that
/// nothing is formatted while nobody watches.
namespace cairn::server {

/// type=item_get; status is found, not_found or expired.
void LogFetch(Session& session, std::string_view key, storage::FetchStatus status,
              unsigned class_id, uint64_t value_bytes);
/// type=item_store; status and command in memcached's words.
void LogMutation(Session& session, std::string_view key, std::string_view status,
                 std::string_view command, int64_t ttl, unsigned class_id, uint64_t value_bytes);
/// type=item_store of an item with the number `initial`, which arithmetic found missing and
/// created.
void LogCreated(Session& session, std::string_view key, int64_t ttl, unsigned class_id,
                uint64_t initial);
/// The size to log the deletion of `key` with: asked before the item is deleted; 0 without looking
/// while nobody watches deletions.
uint64_t SizeForDeletionLog(Session& session, const storage::Key& key);
/// type=deleted; command is delete or md.
void LogDeletion(Session& session, std::string_view key, std::string_view command,
                 unsigned class_id, uint64_t value_bytes);

}  // namespace cairn::server
