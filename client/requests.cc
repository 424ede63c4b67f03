#include "client/requests.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "client/binary_wire.h"

namespace cairn {
namespace {

// Servers and proxies read a line as a whole: it is kept short enough for all of them.
constexpr size_t kLineKeysMax = 100;
constexpr size_t kLineBytesMax = 2000;

// More than the words, blanks, numbers and line ends of any request.
constexpr size_t kOverheadBytesMax = 8 + 8 * ByteBuffer::kDigitsMax;

struct StoreWords {
  Operation operation;
  std::string_view verb;
  std::string_view mode;  // the meta flag
};

StoreWords WordsOf(StoreVerb verb) {
  switch (verb) {
    case StoreVerb::kSet:
      return {Operation::kSet, "set ", ""};
    case StoreVerb::kAdd:
      return {Operation::kAdd, "add ", " ME"};
    case StoreVerb::kReplace:
      return {Operation::kReplace, "replace ", " MR"};
    case StoreVerb::kAppend:
      return {Operation::kAppend, "append ", " MA"};
    case StoreVerb::kPrepend:
      return {Operation::kPrepend, "prepend ", " MP"};
    case StoreVerb::kCas:
      return {Operation::kCompareAndSwap, "cas ", ""};
  }
  return {Operation::kSet, "", ""};
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

// The same for sixteen: each bad one is not 0 in the result.
using Bytes [[gnu::vector_size(16)]] = uint8_t;

Bytes BadAmong(const char* bytes) {
  Bytes sixteen;
  std::memcpy(&sixteen, bytes, sizeof(sixteen));
  return reinterpret_cast<Bytes>((sixteen <= 0x20) | (sixteen == 0x7f));
}

// Of what is not a multiple of eight or sixteen bytes, some are looked at twice.
bool HasBadBytes(std::string_view key) {
  const char* at = key.data();
  const char* const end = at + key.size();
  if (key.size() < 8) return BadBytes(LoadWord(at, key.size())) != 0;
  if (key.size() < sizeof(Bytes))
    return (BadBytes(LoadWord(at, 8)) | BadBytes(LoadWord(end - 8, 8))) != 0;
  Bytes bad = BadAmong(end - sizeof(Bytes));
  for (; at < end - sizeof(Bytes); at += sizeof(Bytes)) bad |= BadAmong(at);
  uint64_t halves[2];
  std::memcpy(halves, &bad, sizeof(halves));
  return (halves[0] | halves[1]) != 0;
}

// With its prefix.
std::string_view KeyOfSet(const Part& part, Dialect dialect) {
  if (dialect == Dialect::kBinary) {
    const std::string_view packet = part.text.view();
    const size_t key_bytes = GetBigEndian<uint16_t>(packet.data() + 2);
    const size_t extras_bytes = static_cast<uint8_t>(packet[4]);
    return packet.substr(protocol::kBinaryHeaderBytes + extras_bytes, key_bytes);
  }
  const bool is_meta = dialect == Dialect::kMeta;
  std::string_view line = (is_meta ? part.meta : part.text).view();
  line.remove_prefix(std::string_view(is_meta ? "ms " : "set ").size());
  return line.substr(0, line.find(' '));
}

}  // namespace

absl::Status CheckKey(std::string_view prefix, std::string_view key) {
  if (key.empty()) return absl::InvalidArgumentError("an empty key");
  if (prefix.size() + key.size() > kKeyBytesMax) {
    return absl::InvalidArgumentError("a key of more than 250 bytes, its prefix included");
  }
  if (HasBadBytes(key)) {
    return absl::InvalidArgumentError("a key with a blank or a control character");
  }
  return absl::OkStatus();
}

int64_t ExptimeOf(absl::Duration ttl, absl::Time now) {
  if (ttl == absl::InfiniteDuration()) return 0;
  if (ttl <= absl::ZeroDuration()) return kExptimePassed;
  const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(ttl, absl::Seconds(1)));
  if (ttl <= kRelativeTtlMax) return seconds;
  return std::min(absl::ToUnixSeconds(now) + std::min(seconds, kExptimeMax), kExptimeMax);
}

void BecomeDelete(Part* part, Dialect dialect) {
  const std::string key(KeyOfSet(*part, dialect));
  part->shape = AnswerShape::kIgnored;
  part->ends_with_mn = false;
  part->text.clear();
  part->meta.clear();
  if (dialect == Dialect::kBinary) {
    BinaryRequestHead head;
    head.opcode = BinaryOpcode::kDelete;
    head.key_bytes = key.size();
    head.opaque = part->opaque;
    part->text.Append(head.Bytes()).Append(key);
  } else if (dialect == Dialect::kMeta) {
    part->meta.Append("md ").Append(key).Append("\r\n");
  } else {
    part->text.Append("delete ").Append(key).Append("\r\n");
  }
}

void RequestWriter::Read(std::string_view verb, std::string_view key, uint32_t answer) {
  part_->operation = Operation::kGet;
  if (dialect_ == Dialect::kBinary) return BinaryRead(key, answer);
  ByteBuffer& text = part_->text;
  const size_t bytes = prefix_.size() + key.size();
  if (line_keys_ == kLineKeysMax || text.size() - line_begin_ + bytes > kLineBytesMax) End();
  ByteBuffer::Cursor at = text.Extend(verb.size() + bytes + kOverheadBytesMax);
  if (line_keys_ == 0) {
    line_begin_ = text.size();
    at.Text(verb);
  }
  at.Char(' ');
  text.Advance(at);
  part_->keys.push_back(
      {answer, static_cast<uint32_t>(text.size()), static_cast<uint16_t>(bytes), false});
  text.Advance(at.Text(prefix_).Text(key));
  ++line_keys_;
}

void RequestWriter::ReadAndTouch(std::string_view key, int64_t exptime, uint32_t answer) {
  exptime = Capped(exptime);
  if (dialect_ == Dialect::kBinary) {
    BinaryReadAndTouch(key, exptime, answer);
  } else {
    Read("gets", key, answer);
    if (dialect_ != Dialect::kText) {
      ByteBuffer& meta = part_->meta;
      ByteBuffer::Cursor at = meta.Extend(prefix_.size() + key.size() + kOverheadBytesMax);
      at.Text("gats ").Number(exptime).Char(' ').Text(prefix_).Text(key).Text("\r\n");
      meta.Advance(at);
    }
  }
  part_->operation = Operation::kGetAndTouch;
}

void RequestWriter::Store(const StoreRequest& request, uint32_t answer) {
  const StoreWords words = WordsOf(request.verb);
  part_->operation = words.operation;
  const size_t item_bytes = prefix_.size() + request.key.size() + request.value.size();
  if (item_bytes > Part::kNeverRefused) part_->stores_large = true;
  if (dialect_ == Dialect::kBinary) return BinaryStore(request, answer);
  const int64_t exptime = Capped(request.exptime);
  const bool quiet = part_->shape == AnswerShape::kQuiet;
  const size_t bytes = item_bytes + kOverheadBytesMax;
  if (dialect_ != Dialect::kMeta) {
    ByteBuffer::Cursor at = part_->text.Extend(bytes);
    at.Text(words.verb).Text(prefix_).Text(request.key).Char(' ').Number(request.flags);
    at.Char(' ').Number(exptime).Char(' ').Number(request.value.size());
    if (request.verb == StoreVerb::kCas) at.Char(' ').Number(request.cas);
    part_->text.Advance(at.Text("\r\n").Text(request.value).Text("\r\n"));
  }
  if (dialect_ != Dialect::kText) {
    ByteBuffer::Cursor at = part_->meta.Extend(bytes);
    at.Text("ms ").Text(prefix_).Text(request.key).Char(' ').Number(request.value.size());
    at.Text(words.mode);
    if (request.flags != 0) at.Text(" F").Number(request.flags);
    if (exptime != 0) at.Text(" T").Number(exptime);
    if (request.verb == StoreVerb::kCas) at.Text(" C").Number(request.cas);
    if (quiet) at.Text(" q");
    part_->meta.Advance(at.Text("\r\n").Text(request.value).Text("\r\n"));
  }
  part_->success = "STORED";
  if (quiet) {
    ++part_->quiet_keys;
  } else {
    AddKey(answer);
  }
}

// Commands without a value: what stands before the key, and after it.
template <typename Number>
void RequestWriter::Command(ByteBuffer* out, std::string_view verb, std::string_view key,
                            std::string_view then, const Number& number) {
  const size_t bytes = verb.size() + prefix_.size() + key.size() + then.size();
  ByteBuffer::Cursor at = out->Extend(bytes + kOverheadBytesMax);
  at.Text(verb).Text(prefix_).Text(key).Text(then);
  if constexpr (!std::is_same_v<Number, None>) at.Number(number);
  out->Advance(at.Text("\r\n"));
}

void RequestWriter::Delete(std::string_view key, uint32_t answer) {
  part_->operation = Operation::kDelete;
  if (dialect_ == Dialect::kBinary) return BinaryDelete(key, 0, answer);
  if (dialect_ != Dialect::kMeta) Command(&part_->text, "delete ", key, "", None());
  if (dialect_ != Dialect::kText) Command(&part_->meta, "md ", key, "", None());
  part_->success = "DELETED";
  AddKey(answer);
}

void RequestWriter::Touch(std::string_view key, int64_t exptime, uint32_t answer) {
  exptime = Capped(exptime);
  part_->operation = Operation::kTouch;
  if (dialect_ == Dialect::kBinary) return BinaryTouch(key, exptime, answer);
  // Not "mg <key> T<exptime>", which takes the right to compute a stale value, too, and says so.
  Command(&part_->text, "touch ", key, " ", exptime);
  part_->success = "TOUCHED";
  AddKey(answer);
}

void RequestWriter::Arithmetic(bool increment, std::string_view key, uint64_t delta,
                               uint32_t answer) {
  part_->operation = increment ? Operation::kIncrement : Operation::kDecrement;
  if (dialect_ == Dialect::kBinary) {
    return BinaryArithmetic(increment, key, delta, std::nullopt, answer);
  }
  if (dialect_ != Dialect::kMeta) {
    Command(&part_->text, increment ? "incr " : "decr ", key, " ", delta);
  }
  if (dialect_ != Dialect::kText) {
    Command(&part_->meta, "ma ", key, increment ? " v D" : " v MD D", delta);
  }
  AddKey(answer);
}

void RequestWriter::Line(std::string_view line, std::string_view success, uint32_t answer) {
  part_->operation = success.empty() ? Operation::kAskServer : Operation::kFlushAll;
  if (dialect_ == Dialect::kBinary) return BinaryLine(line, answer);
  ByteBuffer& text = part_->text;
  text.Advance(text.Extend(line.size() + 2).Text(line).Text("\r\n"));
  part_->success = success;
  AddKey(answer);
}

void RequestWriter::End() {
  if (dialect_ == Dialect::kBinary) return BinaryEnd();
  // A single set or delete does without MN, which is nearly as dear as it is, as in classic text.
  const bool is_one_word = part_->shape == AnswerShape::kWord && part_->keys.size() == 1;
  if (part_->shape == AnswerShape::kValues) {
    part_->text.Advance(part_->text.Extend(2).Text("\r\n"));
    part_->keys.back().ends_line = true;
    line_keys_ = 0;
  } else if (!part_->meta.empty() && !is_one_word) {
    // Answered by MN: if it does not come exactly after the answers to these requests, the stream
    // is out of step, and this is found before any of it is believed.
    part_->meta.Advance(part_->meta.Extend(4).Text("mn\r\n"));
    part_->ends_with_mn = true;
  }
}

}  // namespace cairn
