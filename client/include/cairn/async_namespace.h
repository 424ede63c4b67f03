#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "cairn/export.h"
#include "cairn/namespace.h"

namespace cairn {

/// Namespace for event loops and coroutines: the same calls without waiting, on an AsyncClient's
/// loop. It shares what its Namespace knows: a generation that one of them has fetched the other
/// need not, and what one invalidates the other does not find any more.
///
///   Namespace user(cache.get(), "user:42");
///   AsyncNamespace async(&user);
///   auto key = co_await async.Key("profile");  // at once while the generation is believed
///
/// A value; copies are the same. Thread-safe.
class CAIRN_EXPORT AsyncNamespace {
 public:
  /// On the loop of the Namespace's Client (Client::Async()).
  explicit AsyncNamespace(Namespace* names);
  /// On the loop of `async`, which is of the same Client. It outlives this; the Namespace need not.
  AsyncNamespace(Namespace* names, AsyncClient* async);

  /// See Namespace. Callers who ask while the generation is not known each ask the server for it.
  AsyncResult<absl::StatusOr<std::string>> Key(std::string_view key) const;
  AsyncResult<absl::Status> Invalidate() const;

 private:
  std::shared_ptr<Namespace::State> state_;
  AsyncClient* async_;
};

}  // namespace cairn
