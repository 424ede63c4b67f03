#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "cairn/export.h"
#include "cairn/session.h"

namespace cairn {

/// Sessions for event loops and coroutines: the same ones, without waiting. Thread-safe.
///
///   AsyncSessions sessions(&cache->Async());
///   auto session = co_await sessions.Load(id);
class CAIRN_EXPORT AsyncSessions {
 public:
  using Options = Sessions::Options;
  using Session = Sessions::Session;

  /// `async` outlives it, and its calls; they do not need this object once they are prepared.
  explicit AsyncSessions(AsyncClient* async) : AsyncSessions(async, Options()) {}
  AsyncSessions(AsyncClient* async, Options options);

  /// See Sessions.
  AsyncResult<absl::StatusOr<std::string>> Create(std::string_view data) const;
  AsyncResult<absl::StatusOr<std::optional<Session>>> Load(std::string_view id) const;
  AsyncResult<absl::StatusOr<CasOutcome>> Save(std::string_view id, std::string_view data,
                                               uint64_t cas) const;
  /// `change` is called on the loop's thread, where it must not wait, once for each attempt. Also
  /// Aborted: it threw; then nothing is stored.
  AsyncResult<absl::StatusOr<bool>> Update(
      std::string_view id, std::function<std::string(std::string_view)> change) const;
  AsyncResult<absl::StatusOr<bool>> Destroy(std::string_view id) const;

 private:
  AsyncClient* const async_;
  const Options options_;
};

}  // namespace cairn
