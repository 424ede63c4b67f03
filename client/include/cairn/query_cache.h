#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cairn/client.h"
#include "cairn/export.h"
#include "cairn/look_aside.h"
#include "cairn/namespace.h"

namespace cairn {

struct SqlBlob {
  std::string bytes;
  friend bool operator==(const SqlBlob&, const SqlBlob&) = default;
};

/// NULL (monostate), or a value: what databases take as parameters and give in rows.
using SqlValue = std::variant<std::monostate, int64_t, double, std::string, SqlBlob>;

/// The rows of an answer, each as long as `columns`.
struct SqlRows {
  std::vector<std::string> columns;
  std::vector<std::vector<SqlValue>> rows;
  friend bool operator==(const SqlRows&, const SqlRows&) = default;
};

/// A statement with its parameters; views need to last for the call only.
struct SqlQuery {
  std::string_view statement;
  std::span<const SqlValue> parameters;
  /// The tables it reads: QueryCache::Invalidate(table) makes its rows unreachable.
  std::span<const std::string_view> tables;
};

/// What the cache knows a query by: SHA-256 of an unambiguous form of `prefix`, statement and
/// parameters, in 43 characters of base64url. The statement counts as it is spelled; parameters by
/// type and value, so that 1, 1.0 and "1" are different ones.
CAIRN_EXPORT std::string QueryHash(std::string_view prefix, std::string_view statement,
                                   std::span<const SqlValue> parameters);

/// Rows as bytes and back. DataLoss: not what EncodeRows has made, or rows without columns.
CAIRN_EXPORT std::string EncodeRows(const SqlRows& rows);
CAIRN_EXPORT absl::StatusOr<SqlRows> DecodeRows(std::string_view bytes);

/// Answers of a database, cached by statement and parameters, and forgotten by table. One of many
/// who ask the same at the same time asks the database (LookAside). Thread-safe. For event loops
/// and coroutines: cairn/async_query_cache.h.
///
///   QueryCache queries(cache.get(), &look_aside, {.version = "3"});
///   const SqlValue parameters[] = {int64_t{42}};
///   const std::string_view tables[] = {"articles"};
///   auto rows = queries.GetOrRun({kStatement, parameters, tables}, [&] { return Ask(...); });
///   ...
///   queries.Invalidate("articles");       // after a write to it
class CAIRN_EXPORT QueryCache {
 public:
  struct Options {
    /// Raised by a release that changes tables or what statements mean: it begins afresh.
    std::string version = "1";
    /// Before all keys. With a blank, which no key may have, nothing is cached.
    std::string prefix = "sql:";
    /// For how long this process may go on using rows that another one has invalidated
    /// (Namespace::Options::refresh).
    absl::Duration refresh = absl::Seconds(1);
  };

  /// Both outlive it. The LookAside's options say how long rows are kept, and the like.
  QueryCache(Client* client, LookAside* look_aside) : QueryCache(client, look_aside, Options()) {}
  QueryCache(Client* client, LookAside* look_aside, Options options);

  using Run = std::function<absl::StatusOr<SqlRows>()>;
  /// The rows from the cache, or from `run`, whose error is returned. When the generation of a
  /// table is not known since its server is not reached, `run` is asked and nothing cached; rows
  /// that cannot be read are deleted and asked for again.
  absl::StatusOr<SqlRows> GetOrRun(const SqlQuery& query, const Run& run);

  /// No query that reads `table` finds rows from before this call: in this process at once, in
  /// others within `refresh`. What is being asked of the database meanwhile is not found either. An
  /// error means what it does with Namespace::Invalidate().
  absl::Status Invalidate(std::string_view table);

 private:
  friend class AsyncQueryCache;
  class Generations;  // private to the library
  Namespace& TableOf(std::string_view table) ABSL_LOCKS_EXCLUDED(mutex_);

  Client* const client_;
  LookAside* const look_aside_;
  const Options options_;
  absl::Mutex mutex_;
  // Entries are never removed: a program has so many tables.
  std::map<std::string, std::unique_ptr<Namespace>, std::less<>> tables_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
