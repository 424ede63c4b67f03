// Articles in an SQLite file.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;

namespace example {

struct Article {
  std::string title;
  std::string text;
};

// Thread-safe, by SQLite's own lock; several processes may have one file.
class Database {
 public:
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& file);
  ~Database();

  absl::StatusOr<std::optional<Article>> Read(long long id);
  absl::Status Write(long long id, const Article& article);

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  absl::Status Failure() const;
  sqlite3* const handle_;
};

}  // namespace example
