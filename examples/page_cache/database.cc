#include "page_cache/database.h"

#include <sqlite3.h>

namespace example {
namespace {

constexpr int kBusyMilliseconds = 5000;

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

Statement Prepare(sqlite3* handle, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(handle, sql, -1, &statement, nullptr);
  return Statement(statement);
}

std::string Text(sqlite3_stmt* statement, int column) {
  const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement, column));
  return bytes == nullptr ? std::string() : std::string(bytes, size);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& file) {
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  const int opened = sqlite3_open_v2(file.c_str(), &handle, flags, nullptr);
  std::unique_ptr<Database> database(new Database(handle));
  if (opened != SQLITE_OK) return database->Failure();
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
  const char* const schema =
      "create table if not exists articles (id integer primary key, title text, text text);"
      "insert or ignore into articles values (1, 'Cairns', 'Piles of stones that show a way.')";
  if (sqlite3_exec(handle, schema, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return database->Failure();
  }
  return database;
}

Database::~Database() { sqlite3_close(handle_); }

absl::Status Database::Failure() const { return absl::UnavailableError(sqlite3_errmsg(handle_)); }

absl::StatusOr<std::optional<Article>> Database::Read(long long id) {
  const Statement statement = Prepare(handle_, "select title, text from articles where id = ?");
  if (statement == nullptr) return Failure();
  sqlite3_bind_int64(statement.get(), 1, id);
  switch (sqlite3_step(statement.get())) {
    case SQLITE_ROW:
      return Article{Text(statement.get(), 0), Text(statement.get(), 1)};
    case SQLITE_DONE:
      return std::optional<Article>();
    default:
      return Failure();
  }
}

absl::Status Database::Write(long long id, const Article& article) {
  const Statement statement = Prepare(handle_, "insert or replace into articles values (?, ?, ?)");
  if (statement == nullptr) return Failure();
  sqlite3_bind_int64(statement.get(), 1, id);
  sqlite3_bind_text(statement.get(), 2, article.title.c_str(), -1, SQLITE_TRANSIENT);
  sqlite3_bind_text(statement.get(), 3, article.text.c_str(), -1, SQLITE_TRANSIENT);
  return sqlite3_step(statement.get()) == SQLITE_DONE ? absl::OkStatus() : Failure();
}

}  // namespace example
