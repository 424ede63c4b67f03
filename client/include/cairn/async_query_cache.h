#pragma once

#include <functional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "cairn/async_look_aside.h"
#include "cairn/export.h"
#include "cairn/query_cache.h"

namespace cairn {

/// QueryCache for event loops and coroutines: the same calls without waiting, on an AsyncClient's
/// loop. It shares its QueryCache, and that one's LookAside, with the threads that use those: of
/// all who ask the same, waiting or not, one asks the database.
///
///   AsyncQueryCache async(&queries);
///   auto rows = co_await async.GetOrRun({kStatement, parameters, tables}, run);
///
/// where `run` is called on the loop's thread, where it must not wait: it begins the query and
/// passes `done` on (see AsyncLookAside).
///
/// A value; copies are the same. Thread-safe.
class CAIRN_EXPORT AsyncQueryCache {
 public:
  using Done = Completion<absl::StatusOr<SqlRows>>;
  using Run = std::function<void(Done done)>;

  /// On the loop of the QueryCache's Client (Client::Async()).
  explicit AsyncQueryCache(QueryCache* queries);
  /// On the loop of `async`, which is of the same Client. Both outlive this; calls that have been
  /// prepared need `async` and the Client, but the QueryCache and its LookAside no more.
  AsyncQueryCache(QueryCache* queries, AsyncClient* async) : queries_(queries), async_(async) {}

  /// See QueryCache. What the query views need not last.
  AsyncResult<absl::StatusOr<SqlRows>> GetOrRun(const SqlQuery& query, Run run) const;
  AsyncResult<absl::Status> Invalidate(std::string_view table) const;

 private:
  class Call;  // private to the library
  QueryCache* queries_;
  AsyncClient* async_;
};

}  // namespace cairn
