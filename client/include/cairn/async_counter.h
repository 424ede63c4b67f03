#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "cairn/counter.h"
#include "cairn/export.h"

namespace cairn {

/// Counter for event loops and coroutines: the same numbers, without waiting. Thread-safe.
///
///   AsyncCounter views(&cache->Async(), "views");
///   auto number = co_await views.Add();
class CAIRN_EXPORT AsyncCounter {
 public:
  using Options = Counter::Options;

  /// `async` outlives it, and its calls; they do not need this object once they are prepared.
  AsyncCounter(AsyncClient* async, std::string_view key) : AsyncCounter(async, key, Options()) {}
  AsyncCounter(AsyncClient* async, std::string_view key, const Options& options)
      : async_(async), key_(key), options_(options) {}

  /// See Counter.
  AsyncResult<absl::StatusOr<uint64_t>> Add(uint64_t n = 1) const;
  AsyncResult<absl::StatusOr<uint64_t>> Subtract(uint64_t n = 1) const;
  AsyncResult<absl::StatusOr<std::optional<uint64_t>>> Get() const;
  AsyncResult<absl::Status> Reset() const;

 private:
  AsyncClient* const async_;
  const std::string key_;
  const Options options_;
};

}  // namespace cairn
