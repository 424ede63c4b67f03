#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "cairn/export.h"
#include "cairn/filling_pool.h"

namespace cairn {

/// FillingPool for event loops and coroutines: the same calls without waiting; threads that wait
/// and loops may use the same two pools at once. A value; copies are the same. Thread-safe.
///
///   AsyncFillingPool pool(&to->Async(), &from->Async());
///   auto page = co_await pool.Get("page:42");
///
/// Each pool is asked on the loop of its own AsyncClient, which may be one loop or two; coroutines
/// and callbacks go on on that of `to`.
class CAIRN_EXPORT AsyncFillingPool {
 public:
  using Options = FillingPool::Options;

  /// Both outlive it. Calls that are prepared do not need this object any more.
  AsyncFillingPool(AsyncClient* to, AsyncClient* from) : AsyncFillingPool(to, from, Options()) {}
  AsyncFillingPool(AsyncClient* to, AsyncClient* from, const Options& options)
      : to_(to), from_(from), options_(options) {}

  /// See FillingPool. `from` outlives the calls. When `to` is destroyed they end as Cancelled, but
  /// for the keys of a GetMulti whose values are known by then; a value may have been deleted from
  /// the old pool alone, and leases on values that were on their way are left to their end.
  AsyncResult<absl::StatusOr<std::optional<std::string>>> Get(std::string_view key) const;
  AsyncResult<std::vector<absl::StatusOr<std::optional<std::string>>>> GetMulti(
      std::span<const std::string_view> keys) const;
  AsyncResult<absl::Status> Set(std::string_view key, std::string_view value,
                                const WriteOptions& options = {}) const;
  AsyncResult<absl::StatusOr<bool>> Delete(std::string_view key) const;

 private:
  AsyncClient* to_;
  AsyncClient* from_;
  Options options_;
};

}  // namespace cairn
