#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"

namespace cairn {

/// A number in the cache that is there as soon as it is counted: page views, or requests a minute
/// of a user (a key with the minute in it, and a `ttl`). Servers count, so no count of concurrent
/// callers is lost; but a counter may be evicted, or go with its server, and then begins again.
/// Thread-safe. For event loops and coroutines: cairn/async_counter.h.
class CAIRN_EXPORT Counter {
 public:
  struct Options {
    /// What it begins with; the first Add() or Subtract() applies to it.
    uint64_t initial = 0;
    /// From its beginning on; counting does not prolong it.
    absl::Duration ttl = absl::InfiniteDuration();
    CallOptions call = {};
  };

  /// `client` outlives it.
  Counter(Client* client, std::string_view key) : Counter(client, key, Options()) {}
  Counter(Client* client, std::string_view key, const Options& options)
      : client_(client), key_(key), options_(options) {}

  /// The number afterwards. It wraps at 2^64, and stops at 0 downwards. InvalidArgument when the
  /// key holds something else.
  absl::StatusOr<uint64_t> Add(uint64_t n = 1) {
    return client_->IncrementOrStart(key_, n, options_.initial, options_.ttl, options_.call);
  }
  absl::StatusOr<uint64_t> Subtract(uint64_t n = 1) {
    return client_->DecrementOrStart(key_, n, options_.initial, options_.ttl, options_.call);
  }
  /// Nothing: it was not counted yet, or not any more.
  absl::StatusOr<std::optional<uint64_t>> Get();
  /// It begins again when it is next counted.
  absl::Status Reset() { return client_->Delete(key_, options_.call).status(); }

 private:
  Client* const client_;
  const std::string key_;
  const Options options_;
};

}  // namespace cairn
