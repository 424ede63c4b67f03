#include "server/dumps.h"

#include <iterator>
#include <string>

#include "fmt/format.h"
#include "protocol/base64.h"
#include "server/uri_encode.h"

namespace cairn::server {
namespace {

// Items a lock is held for.
constexpr size_t kItemsPerStep = 64;
// Items after which other connections get their turn, though the client took everything.
constexpr size_t kItemsPerTurn = 4096;
constexpr size_t kCachedumpMaxBytes = size_t{2} << 20;

using Appender = fmt::appender;

class Dump : public Continuation {
 public:
  Dump(const ClassSet& classes, std::string_view head, std::string_view tail)
      : classes_(classes), head_(head), tail_(tail) {}

  bool Continue(Session& session) final {
    session.out().Append(head_);
    head_ = {};
    size_t looked_at = 0;
    const auto visit = [&](const storage::ItemView& item) {
      ++looked_at;
      if (item.class_id < classes_.size() && classes_[item.class_id] && !full_) {
        full_ = !Append(session, item);
      }
    };
    while (!cursor_.done && !full_) {
      if (session.out().over_high_water() || looked_at >= kItemsPerTurn) return false;
      session.store().Walk(&cursor_, kItemsPerStep, session.now(), visit);
      session.out().Append({lines_.data(), lines_.size()});
      lines_.clear();
      ++looked_at;  // a step that met nothing took time too
    }
    session.out().Append(tail_);
    return true;
  }

 protected:
  // False when the listing is to end before `item`.
  virtual bool Append(Session& session, const storage::ItemView& item) = 0;

  // What a step appends; its memory stays, so that little is allocated under the store's lock.
  fmt::memory_buffer lines_;

 private:
  const ClassSet classes_;
  std::string_view head_;
  const std::string_view tail_;
  storage::WalkCursor cursor_;
  bool full_ = false;
};

class Metadump : public Dump {
 public:
  explicit Metadump(const ClassSet& classes) : Dump(classes, "OK\r\n", "END\r\n") {}

 private:
  bool Append(Session& session, const storage::ItemView& item) override {
    const Clock& clock = *session.server().clock;
    key_.clear();
    AppendUriEncoded(item.key, &key_);
    // The blank at the end of each line is memcached's.
    fmt::format_to(
        Appender(lines_), "key={} exp={} la={} cas={} fetch={} cls={} size={} flags={} \n", key_,
        item.expiry.never() ? -1 : clock.UnixSeconds(item.expiry.at()),
        clock.UnixSeconds(item.last_access()), item.cas, item.fetched_before ? "yes" : "no",
        item.class_id, item.accounted_bytes(), item.client_flags);
    return true;
  }

  std::string key_;
};

class Mgdump : public Dump {
 public:
  explicit Mgdump(const ClassSet& classes) : Dump(classes, "OK\r\n", "EN\r\n") {}

 private:
  bool Append(Session&, const storage::ItemView& item) override {
    if (!item.key_is_binary) {
      fmt::format_to(Appender(lines_), "mg {}\r\n", item.key);
      return true;
    }
    char encoded[protocol::Base64EncodedBytes(storage::kMaxKeyBytes)];
    const char* end = protocol::Base64Encode(item.key, encoded);
    fmt::format_to(Appender(lines_), "mg {} b\r\n",
                   std::string_view(encoded, static_cast<size_t>(end - encoded)));
    return true;
  }
};

class Cachedump : public Dump {
 public:
  Cachedump(unsigned class_id, uint64_t limit)
      : Dump(ClassSet().set(class_id), "", "END\r\n"), limit_(limit) {}

 private:
  bool Append(Session& session, const storage::ItemView& item) override {
    if (item.key_is_binary) return true;
    const size_t before = lines_.size();
    fmt::format_to(Appender(lines_), "ITEM {} [{} b; {} s]\r\n", item.key, item.value_bytes,
                   item.expiry.never() ? 0 : session.server().clock->UnixSeconds(item.expiry.at()));
    bytes_ += lines_.size() - before;
    if (bytes_ > kCachedumpMaxBytes) {
      lines_.resize(before);
      return false;
    }
    return ++shown_ != limit_;
  }

  const uint64_t limit_;
  uint64_t shown_ = 0;
  size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Continuation> MakeMetadump(const ClassSet& classes) {
  return std::make_unique<Metadump>(classes);
}

std::unique_ptr<Continuation> MakeMgdump(const ClassSet& classes) {
  return std::make_unique<Mgdump>(classes);
}

std::unique_ptr<Continuation> MakeCachedump(unsigned class_id, uint64_t limit) {
  return std::make_unique<Cachedump>(class_id, limit);
}

}  // namespace cairn::server
