#include "client/requests.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cairn {
namespace {

// Servers and proxies read a line as a whole: it is kept short enough for all of them.
constexpr size_t kLineKeysMax = 100;
constexpr size_t kLineBytesMax = 2000;

struct StoreWords {
  std::string_view verb;
  std::string_view mode;  // the meta flag
};

StoreWords WordsOf(StoreVerb verb) {
  switch (verb) {
    case StoreVerb::kSet:
      return {"set ", ""};
    case StoreVerb::kAdd:
      return {"add ", " ME"};
    case StoreVerb::kReplace:
      return {"replace ", " MR"};
    case StoreVerb::kAppend:
      return {"append ", " MA"};
    case StoreVerb::kPrepend:
      return {"prepend ", " MP"};
    case StoreVerb::kCas:
      return {"cas ", ""};
  }
  return {};
}

constexpr uint64_t kEachByte = 0x0101010101010101;

// Not 0 if any of eight bytes is a blank, a control character or DEL: a byte less than n is the
// only one that x - n borrows for while its own high bit is clear.
uint64_t BadBytes(uint64_t word) {
  const uint64_t high = kEachByte * 0x80;
  const uint64_t del = word ^ (kEachByte * 0x7f);
  return ((word - kEachByte * 0x21) & ~word & high) | ((del - kEachByte) & ~del & high);
}

uint64_t LoadWord(const char* bytes, size_t count) {
  uint64_t word = kEachByte * 'k';
  std::memcpy(&word, bytes, count);
  return word;
}

template <typename Number>
void AppendNumber(std::string* out, Number number) {
  char digits[24];
  out->append(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
}

// Makes room as vectors do: reserve() alone would copy everything at each request.
void Grow(std::string* out, size_t bytes) {
  if (out->capacity() - out->size() < bytes) {
    out->reserve(std::max(out->size() + bytes, 2 * out->capacity()));
  }
}

}  // namespace

absl::Status CheckKey(std::string_view prefix, std::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("an empty key");
  if (prefix.size() + key.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError("a key of more than 250 bytes, its prefix included");
  }
  uint64_t bad = 0;
  const char* at = key.data();
  const char* const end = at + key.size();
  for (; end - at >= 8; at += 8) bad |= BadBytes(LoadWord(at, 8));
  // The rest is filled up with what is no bad byte.
  if (at != end) bad |= BadBytes(LoadWord(at, static_cast<size_t>(end - at)));
  if (bad != 0) return absl::InvalidArgumentError("a key with a blank or a control character");
  return absl::OkStatus();
}

int64_t ExptimeOf(absl::Duration ttl, absl::Time now) {
  if (ttl == absl::InfiniteDuration()) return 0;
  if (ttl <= absl::ZeroDuration()) return -1;
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(ttl, absl::Seconds(1)));
  // Sums of dates beyond 2106 are cut: servers keep 32 bits.
  if (ttl <= kRelativeTtlMax) return seconds;
  return std::min<int64_t>(absl::ToUnixSeconds(now) + std::min<int64_t>(seconds, 0xffffffff),
                           0xffffffff);
}

void RequestWriter::Read(std::string_view verb, std::string_view key, uint32_t answer) {
  std::string& text = part_->text;
  const size_t bytes = prefix_.size() + key.size();
  if (line_keys_ == kLineKeysMax || text.size() - line_begin_ + bytes > kLineBytesMax) End();
  Grow(&text, verb.size() + bytes + 3);
  if (line_keys_ == 0) {
    line_begin_ = text.size();
    text.append(verb);
  }
  text.push_back(' ');
  part_->keys.push_back(
      {answer, static_cast<uint32_t>(text.size()), static_cast<uint16_t>(bytes), false});
  text.append(prefix_).append(key);
  ++line_keys_;
}

void RequestWriter::Store(const StoreRequest& request, uint32_t answer) {
  const StoreWords words = WordsOf(request.verb);
  const int64_t exptime = Capped(request.exptime);
  const size_t bytes = prefix_.size() + request.key.size() + request.value.size() + 100;
  if (dialect_ != Dialect::kMeta) {
    std::string& text = part_->text;
    Grow(&text, bytes);
    text.append(words.verb).append(prefix_).append(request.key).push_back(' ');
    AppendNumber(&text, request.flags);
    text.push_back(' ');
    AppendNumber(&text, exptime);
    text.push_back(' ');
    AppendNumber(&text, request.value.size());
    if (request.verb == StoreVerb::kCas) {
      text.push_back(' ');
      AppendNumber(&text, request.cas);
    }
    text.append("\r\n").append(request.value).append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    std::string& meta = part_->meta;
    Grow(&meta, bytes);
    meta.append("ms ").append(prefix_).append(request.key).push_back(' ');
    AppendNumber(&meta, request.value.size());
    meta.append(words.mode);
    if (request.flags != 0) {
      meta.append(" F");
      AppendNumber(&meta, request.flags);
    }
    if (exptime != 0) {
      meta.append(" T");
      AppendNumber(&meta, exptime);
    }
    if (request.verb == StoreVerb::kCas) {
      meta.append(" C");
      AppendNumber(&meta, request.cas);
      if (request.or_stale) meta.append(" I");
    }
    meta.append("\r\n").append(request.value).append("\r\n");
  }
  part_->success = "STORED";
  AddKey(answer);
}

void RequestWriter::Delete(std::string_view key, uint32_t answer) {
  if (dialect_ != Dialect::kMeta) {
    part_->text.append("delete ").append(prefix_).append(key).append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.append("md ").append(prefix_).append(key).append("\r\n");
  }
  part_->success = "DELETED";
  AddKey(answer);
}

void RequestWriter::Touch(std::string_view key, int64_t exptime, uint32_t answer) {
  exptime = Capped(exptime);
  if (dialect_ != Dialect::kMeta) {
    part_->text.append("touch ").append(prefix_).append(key).push_back(' ');
    AppendNumber(&part_->text, exptime);
    part_->text.append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.append("mg ").append(prefix_).append(key).append(" T");
    AppendNumber(&part_->meta, exptime);
    part_->meta.append("\r\n");
  }
  part_->success = "TOUCHED";
  AddKey(answer);
}

void RequestWriter::Arithmetic(bool increment, std::string_view key, uint64_t delta,
                               uint32_t answer) {
  if (dialect_ != Dialect::kMeta) {
    part_->text.append(increment ? "incr " : "decr ").append(prefix_).append(key).push_back(' ');
    AppendNumber(&part_->text, delta);
    part_->text.append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.append("ma ").append(prefix_).append(key);
    part_->meta.append(increment ? " v D" : " v MD D");
    AppendNumber(&part_->meta, delta);
    part_->meta.append("\r\n");
  }
  AddKey(answer);
}

void RequestWriter::Line(std::string_view line, std::string_view success, uint32_t answer) {
  part_->text.append(line).append("\r\n");
  part_->success = success;
  AddKey(answer);
}

void RequestWriter::End() {
  if (part_->shape == AnswerShape::kValues) {
    part_->text.append("\r\n");
    part_->keys.back().ends_line = true;
    line_keys_ = 0;
  } else if (!part_->meta.empty()) {
    // Answered by MN: if it does not come exactly after the answers to these requests, the stream
    // is out of step, and this is found before any of it is believed.
    part_->meta.append("mn\r\n");
  }
}

}  // namespace cairn
