// Answers of a database, for threads that wait and for loops.
#include "cairn/query_cache.h"

#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "cairn/async_namespace.h"
#include "cairn/async_query_cache.h"
#include "client/application_work.h"
#include "client/namespace_state.h"
#include "client/sequence.h"
#include "client/sha256.h"

namespace cairn {

// async_look_aside.cc has this one.
extern CAIRN_ASYNC_RESULT(absl::StatusOr<Fetched>);
CAIRN_ASYNC_RESULT(absl::StatusOr<SqlRows>);

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

// Rows on their way from the database: who asked it has them already, and needs not read them from
// their bytes.
class MadeRows {
 public:
  LookAside::Value Keep(absl::StatusOr<SqlRows> rows) {
    if (!rows.ok()) return rows.status();
    std::string bytes = EncodeRows(*rows);
    rows_ = *std::move(rows);
    return bytes;
  }

  // What a query says that fetched this; nothing: what is in the cache cannot be read.
  std::optional<absl::StatusOr<SqlRows>> Of(const absl::StatusOr<Fetched>& fetched) {
    if (!fetched.ok()) return fetched.status();
    if (fetched->source == Fetched::Source::kComputed && rows_.has_value()) {
      return *std::move(rows_);
    }
    if (!fetched->value.has_value()) return std::nullopt;
    absl::StatusOr<SqlRows> decoded = DecodeRows(*fetched->value);
    if (!decoded.ok()) return std::nullopt;
    return decoded;
  }

 private:
  std::optional<SqlRows> rows_;
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

/// The generations of the tables that a query reads. They last as long as anybody asks for them.
class CAIRN_HIDDEN QueryCache::Generations {
 public:
  using Prefix = Sequence<absl::StatusOr<std::string>>;

  Generations(QueryCache* queries, std::span<const std::string_view> tables)
      : tables_(std::make_shared<States>()) {
    PutText(&version_, queries->options_.version);
    for (const std::string_view table : tables) {
      tables_->push_back(queries->TableOf(table).state_);
    }
  }

  /// What QueryHash has before a statement, of the version and them.
  Prefix ToPrefix() const { return After(version_, tables_, 0); }

 private:
  using States = std::vector<std::shared_ptr<Namespace::State>>;

  static Prefix After(const std::string& prefix, const std::shared_ptr<States>& tables,
                      size_t next) {
    if (next == tables->size()) return Prefix::Over(prefix);
    return (*tables)[next]->Key("").Then(
        [prefix, tables, next](const absl::StatusOr<std::string>& generation) {
          if (!generation.ok()) return Prefix::Over(generation.status());
          std::string longer = prefix;
          PutText(&longer, *generation);
          return After(longer, tables, next + 1);
        });
  }

  std::string version_;
  std::shared_ptr<States> tables_;
};

absl::StatusOr<SqlRows> QueryCache::GetOrRun(const SqlQuery& query, const Run& run) {
  const absl::StatusOr<std::string> prefix =
      Ran(*client_, Generations(this, query.tables).ToPrefix());
  if (!prefix.ok()) return run();
  const std::string key = options_.prefix + QueryHash(*prefix, query.statement, query.parameters);
  const auto made = std::make_shared<MadeRows>();
  const absl::StatusOr<Fetched> fetched = look_aside_->GetOrCompute(
      key, [made, run]() -> LookAside::Value { return made->Keep(run()); });
  if (std::optional<absl::StatusOr<SqlRows>> rows = made->Of(fetched)) return *std::move(rows);
  (void)client_->DeleteAndLease(key);
  return run();
}

absl::Status QueryCache::Invalidate(std::string_view table) { return TableOf(table).Invalidate(); }

/// A call on a loop. Its members are called one after the other, on the loop's thread but for the
/// beginning.
class CAIRN_HIDDEN AsyncQueryCache::Call : public std::enable_shared_from_this<Call> {
 public:
  Call(const AsyncQueryCache& from, const SqlQuery& query, Run run)
      : async_(*from.async_),
        look_aside_(from.queries_->look_aside_, from.async_),
        generations_(from.queries_, query.tables),
        key_prefix_(from.queries_->options_.prefix),
        statement_(query.statement),
        parameters_(query.parameters.begin(), query.parameters.end()),
        run_(std::move(run)) {}

  void Begin(std::function<void(absl::StatusOr<SqlRows>)> done) {
    done_ = std::move(done);
    Drive<absl::StatusOr<std::string>>(
        async_, generations_.ToPrefix(),
        [self = shared_from_this()](const absl::StatusOr<std::string>& prefix) {
          prefix.ok() ? self->Fetch(*prefix) : self->Ask();
        });
  }

 private:
  void Fetch(const std::string& prefix) {
    key_ = key_prefix_ + QueryHash(prefix, statement_, parameters_);
    const AsyncLookAside::Compute compute = [made = made_,
                                             run = run_](const AsyncLookAside::Done& done) {
      run(Done([made, done](absl::StatusOr<SqlRows> rows) { done(made->Keep(std::move(rows))); }));
    };
    look_aside_.GetOrCompute(key_, compute)
        .Then([self = shared_from_this()](const absl::StatusOr<Fetched>& fetched) {
          if (auto rows = self->made_->Of(fetched)) return self->done_(*std::move(rows));
          self->async_.DeleteAndLease(self->key_).Then([self](const absl::StatusOr<bool>&) {
            self->Ask();
          });
        });
  }

  // The database, past the cache.
  void Ask() {
    ApplicationWork<absl::StatusOr<SqlRows>>::Begin(AsyncBuilder::DriverOf(async_), run_, done_);
  }

  AsyncClient& async_;
  const AsyncLookAside look_aside_;
  const QueryCache::Generations generations_;
  const std::string key_prefix_;
  const std::string statement_;
  const std::vector<SqlValue> parameters_;
  const Run run_;
  const std::shared_ptr<MadeRows> made_ = std::make_shared<MadeRows>();
  std::string key_;
  std::function<void(absl::StatusOr<SqlRows>)> done_;
};

AsyncQueryCache::AsyncQueryCache(QueryCache* queries)
    : AsyncQueryCache(queries, &queries->client_->Async()) {}

AsyncResult<absl::StatusOr<SqlRows>> AsyncQueryCache::GetOrRun(const SqlQuery& query,
                                                               Run run) const {
  using Rows = absl::StatusOr<SqlRows>;
  if (AsyncBuilder::DriverOf(*async_) == nullptr) {
    return AsyncBuilder::Known<Rows>(*async_, async_->status());
  }
  return AsyncBuilder::Begun<Rows>(
      *async_, [call = std::make_shared<Call>(*this, query, std::move(run))](
                   std::function<void(Rows)> done) { call->Begin(std::move(done)); });
}

AsyncResult<absl::Status> AsyncQueryCache::Invalidate(std::string_view table) const {
  return AsyncNamespace(&queries_->TableOf(table), async_).Invalidate();
}

}  // namespace cairn
