#pragma once

#include <cstdint>
#include <string_view>

#include "server/session.h"

/// What the stores of all protocols have in common around the store itself.
namespace cairn::server {

/// Values up to this size are waited for in the input buffer; larger ones are received into memory
/// that the store reserves.
inline constexpr uint32_t kMaxBufferedBodyBytes = 16 << 10;

/// A store as the counters and the mutation log see it.
struct StoreRecord {
  std::string_view key;
  storage::StoreMode mode = storage::StoreMode::kSet;
  bool compares_cas = false;  ///< counts as a cas command
  storage::Expiry expiry;
  uint64_t value_bytes = 0;
  /// When size or memory forbids the store, the old value goes too: a reader would take it for the
  /// new one.
  bool drops_old_value = false;
};

/// Counts, logs and, after a failure, cleans up.
void Record(Session& session, const StoreRecord& record, const storage::StoreResult& result);

}  // namespace cairn::server
