#include "cairn/query_cache.h"

#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "client/sha256.h"

namespace cairn {
namespace {

// A value is a letter for its type and then
//   N              nothing
//   I, F           8 bytes, little-endian; doubles by their bits
//   S, B           4 bytes of length, little-endian, and the bytes
// Rows are the magic, 4 bytes of columns, their names as strings without a letter, 8 bytes of rows,
// and all their values. Whoever changes this changes the magic.
constexpr std::string_view kMagic = "CQ1";

void PutNumber(std::string* out, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(number >> (8 * i)));
}

void PutText(std::string* out, std::string_view text) {
  PutNumber(out, text.size(), 4);
  out->append(text);
}

void PutValue(std::string* out, const SqlValue& value) {
  switch (value.index()) {
    case 0:
      out->push_back('N');
      break;
    case 1:
      out->push_back('I');
      PutNumber(out, static_cast<uint64_t>(std::get<1>(value)), 8);
      break;
    case 2:
      out->push_back('F');
      PutNumber(out, std::bit_cast<uint64_t>(std::get<2>(value)), 8);
      break;
    case 3:
      out->push_back('S');
      PutText(out, std::get<3>(value));
      break;
    default:
      out->push_back('B');
      PutText(out, std::get<4>(value).bytes);
      break;
  }
}

// Takes pieces off the front of `bytes`; what is not there makes it fail for good.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::string_view Take(size_t count) {
    if (count > bytes_.size()) {
      failed_ = true;
      bytes_ = {};
      return {};
    }
    const std::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  uint64_t Number(size_t count) {
    uint64_t number = 0;
    const std::string_view taken = Take(count);
    for (size_t i = 0; i < taken.size(); ++i) {
      number |= uint64_t{static_cast<uint8_t>(taken[i])} << (8 * i);
    }
    return number;
  }
  std::string Text() { return std::string(Take(Number(4))); }
  SqlValue Value() {
    const std::string_view letter = Take(1);
    if (letter == "I") return static_cast<int64_t>(Number(8));
    if (letter == "F") return std::bit_cast<double>(Number(8));
    if (letter == "S") return Text();
    if (letter == "B") return SqlBlob{Text()};
    failed_ = failed_ || letter != "N";
    return std::monostate();
  }
  size_t left() const { return bytes_.size(); }
  bool failed() const { return failed_; }
  void Fail() { failed_ = true; }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

}  // namespace

std::string QueryHash(std::string_view prefix, std::string_view statement,
                      std::span<const SqlValue> parameters) {
  // Lengths go first, so that no two queries have the same form.
  std::string form;
  PutText(&form, prefix);
  PutText(&form, statement);
  for (const SqlValue& value : parameters) PutValue(&form, value);
  std::string hash;
  absl::WebSafeBase64Escape(Sha256(form), &hash);
  return hash;
}

std::string EncodeRows(const SqlRows& rows) {
  std::string bytes(kMagic);
  PutNumber(&bytes, rows.columns.size(), 4);
  for (const std::string& column : rows.columns) PutText(&bytes, column);
  PutNumber(&bytes, rows.rows.size(), 8);
  for (const std::vector<SqlValue>& row : rows.rows) {
    for (size_t i = 0; i < rows.columns.size(); ++i) {
      PutValue(&bytes, i < row.size() ? row[i] : SqlValue());
    }
  }
  return bytes;
}

absl::StatusOr<SqlRows> DecodeRows(std::string_view bytes) {
  Reader reader(bytes);
  SqlRows rows;
  if (reader.Take(kMagic.size()) != kMagic) reader.Fail();
  const uint64_t columns = reader.Number(4);
  // Each is at least so many bytes: a count that lies costs no memory.
  if (columns > reader.left() / 4) reader.Fail();
  for (uint64_t i = 0; i < columns && !reader.failed(); ++i) rows.columns.push_back(reader.Text());
  const uint64_t count = reader.Number(8);
  if (columns == 0 ? count != 0 : count > reader.left() / columns) reader.Fail();
  for (uint64_t r = 0; r < count && !reader.failed(); ++r) {
    std::vector<SqlValue>& row = rows.rows.emplace_back();
    row.reserve(columns);
    for (uint64_t i = 0; i < columns && !reader.failed(); ++i) row.push_back(reader.Value());
  }
  if (reader.failed() || reader.left() != 0) return absl::DataLossError("not rows");
  return rows;
}

QueryCache::QueryCache(Client* client, LookAside* look_aside, Options options)
    : client_(client), look_aside_(look_aside), options_(std::move(options)) {}

Namespace& QueryCache::TableOf(std::string_view table) {
  absl::MutexLock lock(&mutex_);
  const auto found = tables_.find(table);
  if (found != tables_.end()) return *found->second;
  Namespace::Options options;
  options.refresh = options_.refresh;
  // Hashed, since a table's name may have blanks.
  std::string name;
  absl::WebSafeBase64Escape(Sha256(table), &name);
  auto made = std::make_unique<Namespace>(client_, options_.prefix + name, options);
  return *tables_.emplace(table, std::move(made)).first->second;
}

absl::StatusOr<std::string> QueryCache::KeyOf(const SqlQuery& query) {
  std::string prefix;
  PutText(&prefix, options_.version);
  for (const std::string_view table : query.tables) {
    const absl::StatusOr<std::string> generation = TableOf(table).Key("");
    if (!generation.ok()) return generation.status();
    PutText(&prefix, *generation);
  }
  return options_.prefix + QueryHash(prefix, query.statement, query.parameters);
}

absl::StatusOr<SqlRows> QueryCache::GetOrRun(const SqlQuery& query, const Run& run) {
  const absl::StatusOr<std::string> key = KeyOf(query);
  if (!key.ok()) return run();
  // Whoever asked the database has its rows already, and needs not read them from their bytes.
  const auto rows = std::make_shared<std::optional<SqlRows>>();
  const absl::StatusOr<Fetched> fetched =
      look_aside_->GetOrCompute(*key, [rows, run]() -> LookAside::Value {
        absl::StatusOr<SqlRows> made = run();
        if (!made.ok()) return made.status();
        std::string bytes = EncodeRows(*made);
        *rows = *std::move(made);
        return bytes;
      });
  if (!fetched.ok()) return fetched.status();
  if (fetched->source == Fetched::Source::kComputed && rows->has_value()) {
    return std::move(**rows);
  }
  if (fetched->value.has_value()) {
    absl::StatusOr<SqlRows> decoded = DecodeRows(*fetched->value);
    if (decoded.ok()) return decoded;
  }
  (void)client_->DeleteAndLease(*key);
  return run();
}

absl::Status QueryCache::Invalidate(std::string_view table) { return TableOf(table).Invalidate(); }

}  // namespace cairn
