#include "client/answer_reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

namespace cairn {
namespace {

// Longer than any line of the protocol; text beyond it is no line.
constexpr size_t kLineBytesMax = 4096;
// No server is configured for larger ones; a length beyond it is a lie.
constexpr uint64_t kValueBytesMax = uint64_t{1} << 30;

// Reads a number that ends at a blank or at the end, and cuts it off with the blank.
template <typename Number>
bool CutNumber(std::string_view* text, Number* number) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number);
  const auto used = static_cast<size_t>(end - text->data());
  if (error != std::errc() || used == 0) return false;
  text->remove_prefix(used);
  if (text->empty()) return true;
  if (text->front() != ' ') return false;
  text->remove_prefix(1);
  return true;
}

// A blank and a number of at most nineteen digits, and what follows them; or false.
bool TakeNumber(const char** at, const char* end, uint64_t* number) {
  constexpr ptrdiff_t kDigitsMax = 19;
  const char* digit = *at;
  if (digit == end || *digit != ' ') return false;
  const char* const first = ++digit;
  uint64_t sum = 0;
  for (; digit != end && static_cast<uint8_t>(*digit - '0') < 10; ++digit) {
    sum = sum * 10 + static_cast<uint8_t>(*digit - '0');
  }
  if (digit == first || digit - first > kDigitsMax) return false;
  *at = digit;
  *number = sum;
  return true;
}

bool IsLineEnd(const char* at) { return at[0] == '\r' && at[1] == '\n'; }

// For messages: what came, without what a terminal would choke on.
std::string Printable(std::string_view text) {
  std::string shown(text.substr(0, 60));
  for (char& c : shown) {
    if (static_cast<uint8_t>(c) < 0x20 || static_cast<uint8_t>(c) >= 0x7f) c = '?';
  }
  return "\"" + shown + "\"";
}

absl::Status StatusOfErrorLine(std::string_view line) {
  const std::string text(line);
  // memcached begins it with either letter.
  if (line.find("too large") != std::string_view::npos ||
      line.find("ut of memory") != std::string_view::npos) {
    return absl::ResourceExhaustedError(text);
  }
  if (line.starts_with("CLIENT_ERROR")) return absl::InvalidArgumentError(text);
  return absl::UnknownError(text);
}

bool IsErrorLine(std::string_view line) {
  return line == "ERROR" || line.starts_with("ERROR ") || line.starts_with("SERVER_ERROR") ||
         line.starts_with("CLIENT_ERROR");
}

}  // namespace

void AnswerReader::Start(Part* part, Dialect dialect) {
  part_ = part;
  const bool is_meta = dialect == Dialect::kMeta && !part->meta.empty();
  dialect_ = dialect == Dialect::kBinary || is_meta ? dialect : Dialect::kText;
  expecting_ = Expecting::kLine;
  untouched_ = true;
  next_key_ = done_ = refused_ = 0;
  value_ = nullptr;
  value_left_ = 0;
  error_ = absl::OkStatus();
}

Answer& AnswerReader::AnswerAt(size_t key) { return part_->call->answers[part_->keys[key].answer]; }

AnswerReader::Result AnswerReader::Broken(const std::string& why) {
  error_ = absl::DataLossError(why);
  return Result::kBroken;
}

void AnswerReader::TakeValue(std::string_view* input) {
  const size_t bytes = std::min(input->size(), value_left_);
  std::memcpy(value_, input->data(), bytes);
  ValueArrived(bytes);
  input->remove_prefix(bytes);
}

// Values that are for the next key and have arrived as a whole, as nearly all of them do. The rest,
// and all that is not as it should be, is for OnLine().
void AnswerReader::TakeWholeValues(std::string_view* input) {
  const std::vector<Part::Key>& keys = part_->keys;
  for (; next_key_ < keys.size(); ++next_key_) {
    constexpr std::string_view kWord = "VALUE ";
    const Part::Key& key = keys[next_key_];
    const char* at = input->data();
    const char* const end = at + input->size();
    const size_t head = kWord.size() + key.bytes;
    if (input->size() <= head || std::memcmp(at, kWord.data(), kWord.size()) != 0 ||
        std::memcmp(at + kWord.size(), part_->text.data() + key.offset, key.bytes) != 0) {
      return;
    }
    at += head;
    uint64_t flags = 0;
    uint64_t bytes = 0;
    uint64_t cas = 0;
    if (!TakeNumber(&at, end, &flags) || flags > std::numeric_limits<uint32_t>::max() ||
        !TakeNumber(&at, end, &bytes)) {
      return;
    }
    if (at != end && *at == ' ' && !TakeNumber(&at, end, &cas)) return;
    // More than it can hold is too much for the subtraction, too.
    if (end - at < 4 || static_cast<uint64_t>(end - at - 4) < bytes) return;
    const char* const value = at + 2;
    if (!IsLineEnd(at) || !IsLineEnd(value + bytes)) return;
    Answer& answer = AnswerAt(next_key_);
    if (answer.state != AnswerState::kPending) return;
    char* const copy = part_->call->arena.Allocate(bytes);
    if (copy == nullptr && bytes > 0) return;
    untouched_ = false;
    if (bytes > 0) std::memcpy(copy, value, bytes);
    answer.data = copy;
    answer.size = bytes;
    answer.flags = static_cast<uint32_t>(flags);
    answer.number = cas;
    answer.state = AnswerState::kHit;
    done_ += IsThere(answer) ? 1 : 0;
    input->remove_prefix(static_cast<size_t>(value + bytes + 2 - input->data()));
    if (key.ends_line) return;  // stays until END
  }
}

AnswerReader::Result AnswerReader::Read(std::string_view* input) {
  if (dialect_ == Dialect::kBinary) return ReadBinary(input);
  for (;;) {
    if (expecting_ == Expecting::kLine && ByValues()) TakeWholeValues(input);
    if (input->empty()) return Result::kNeedMore;
    untouched_ = false;
    if (expecting_ == Expecting::kValue) {
      TakeValue(input);
      continue;
    }
    if (expecting_ == Expecting::kValueEnd) {
      if (input->front() != '\r') return Broken("a value is longer than announced");
      if (input->size() < 2) return Result::kNeedMore;
      if ((*input)[1] != '\n') return Broken("a value is longer than announced");
      input->remove_prefix(2);
      value_of_->state = AnswerState::kHit;  // not before: half a value is none
      done_ += IsThere(*value_of_) ? 1 : 0;
      expecting_ = Expecting::kLine;
      continue;
    }
    const void* const newline = std::memchr(input->data(), '\n', input->size());
    const size_t bytes =
        newline == nullptr ? input->size()
                           : static_cast<size_t>(static_cast<const char*>(newline) - input->data());
    if (bytes > kLineBytesMax) return Broken("a line without an end");
    if (newline == nullptr) return Result::kNeedMore;
    if (bytes == 0 || (*input)[bytes - 1] != '\r') {
      return Broken("not a line: " + Printable(input->substr(0, bytes)));
    }
    const std::string_view line = input->substr(0, bytes - 1);
    input->remove_prefix(bytes + 1);
    const Result result = OnLine(line);
    if (result != Result::kNeedMore) return result;
  }
}

void AnswerReader::ValueArrived(size_t bytes) {
  value_ += bytes;
  value_left_ -= bytes;
  if (value_left_ == 0) expecting_ = Expecting::kValueEnd;
}

AnswerReader::Result AnswerReader::OnLine(std::string_view line) {
  if (ByValues()) return OnValuesLine(line);
  if (part_->shape == AnswerShape::kLines) return OnTextLine(line);
  if (part_->shape == AnswerShape::kQuiet) return OnQuietLine(line);
  if (part_->shape == AnswerShape::kIgnored) return OnIgnoredLine(line);
  if (next_key_ == part_->keys.size()) {
    // Whatever else the server believes to have been asked, here it and we are at the same place.
    if (line == "MN") return Result::kDone;
    return Broken("more answers than questions: " + Printable(line));
  }
  if (expecting_ != Expecting::kNumberLine && IsErrorLine(line)) return OnErrorLine(line);
  if (part_->shape == AnswerShape::kLease) return OnLease(line);
  return part_->shape == AnswerShape::kNumber ? OnNumber(line) : OnWord(line);
}

AnswerReader::Result AnswerReader::OnValuesLine(std::string_view line) {
  if (line.starts_with("VALUE ")) return OnValueHeader(line.substr(6));
  if (line == "END") return OnEndOfValues();
  if (IsErrorLine(line)) return OnErrorLine(line);
  return Broken("neither a value nor its end: " + Printable(line));
}

// "<key> <flags> <bytes>[ <cas>]". Keys come in the order they were asked; those left out are
// misses.
AnswerReader::Result AnswerReader::OnValueHeader(std::string_view line) {
  const std::vector<Part::Key>& keys = part_->keys;
  for (;; ++next_key_) {
    if (next_key_ == keys.size()) return Broken("a value that was not asked for");
    const Part::Key& key = keys[next_key_];
    if (line.size() > key.bytes && line[key.bytes] == ' ' &&
        std::memcmp(line.data(), part_->text.data() + key.offset, key.bytes) == 0) {
      line.remove_prefix(key.bytes + size_t{1});
      break;
    }
    if (key.ends_line) return Broken("a value that was not asked for: " + Printable(line));
    AnswerAt(next_key_).state = AnswerState::kMiss;
  }
  Answer& answer = AnswerAt(next_key_);
  if (answer.state != AnswerState::kPending) return Broken("a value that came already");
  uint64_t bytes = 0;
  if (!CutNumber(&line, &answer.flags) || !CutNumber(&line, &bytes) || bytes > kValueBytesMax ||
      (!line.empty() && (!CutNumber(&line, &answer.number) || !line.empty()))) {
    return Broken("a value without flags and length");
  }
  // The last key of a line stays until END says that the line is over.
  if (!keys[next_key_].ends_line) ++next_key_;
  return BeginValue(answer, bytes);
}

AnswerReader::Result AnswerReader::BeginValue(Answer& answer, uint64_t bytes) {
  answer.data = value_ = part_->call->arena.Allocate(bytes);
  if (value_ == nullptr && bytes > 0) {
    error_ = absl::ResourceExhaustedError("no memory for a value of " + std::to_string(bytes) +
                                          " bytes");
    return Result::kBroken;
  }
  answer.size = value_left_ = bytes;
  value_of_ = &answer;
  expecting_ = bytes == 0 ? Expecting::kValueEnd : Expecting::kValue;
  return Result::kNeedMore;
}

AnswerReader::Result AnswerReader::OnEndOfValues() {
  for (;; ++next_key_) {
    Answer& answer = AnswerAt(next_key_);
    if (answer.state == AnswerState::kPending) answer.state = AnswerState::kMiss;
    if (part_->keys[next_key_].ends_line) break;
  }
  return ++next_key_ == part_->keys.size() ? Result::kDone : Result::kNeedMore;
}

AnswerReader::Result AnswerReader::OnErrorLine(std::string_view line) {
  // An error line is the whole answer, but for one case: when the server disliked a store's
  // command, it may take the value that follows for commands. After SERVER_ERROR it has swallowed
  // the value.
  const bool in_step = line.starts_with("SERVER_ERROR") || part_->success != "STORED";
  absl::Status status = StatusOfErrorLine(line);
  if (!in_step) {
    error_ = std::move(status);
    return Result::kBroken;
  }
  part_->errors.push_back(std::move(status));
  if (part_->shape == AnswerShape::kQuiet) return Result::kNeedMore;
  const auto index = static_cast<uint32_t>(part_->errors.size() - 1);
  if (!ByValues()) {
    AnswerAt(next_key_).error = index;
    return AnswerNext(AnswerState::kFailed);
  }
  for (;; ++next_key_) {  // the error stands for the rest of the request line
    Answer& answer = AnswerAt(next_key_);
    if (answer.state == AnswerState::kPending) {
      answer.state = AnswerState::kFailed;
      answer.error = index;
      ++refused_;
    }
    if (part_->keys[next_key_].ends_line) break;
  }
  return ++next_key_ == part_->keys.size() ? Result::kDone : Result::kNeedMore;
}

bool AnswerReader::SettleNext(AnswerState state) {
  AnswerAt(next_key_).state = state;
  done_ += state == AnswerState::kHit ? 1 : 0;
  refused_ += state == AnswerState::kFailed ? 1 : 0;
  return ++next_key_ == part_->keys.size();
}

AnswerReader::Result AnswerReader::AnswerNext(AnswerState state) {
  return SettleNext(state) ? AfterLastKey() : Result::kNeedMore;
}

AnswerReader::Result AnswerReader::AfterLastKey() {
  return dialect_ == Dialect::kMeta && part_->ends_with_mn ? Result::kNeedMore : Result::kDone;
}

AnswerReader::Result AnswerReader::OnWord(std::string_view line) {
  if (dialect_ == Dialect::kMeta) {
    if (line == "HD") return AnswerNext(AnswerState::kHit);
    if (line == "NS") return AnswerNext(AnswerState::kNotStored);
    if (line == "EX") return AnswerNext(AnswerState::kExists);
    if (line == "NF" || line == "EN") return AnswerNext(AnswerState::kMiss);
  } else {
    if (line == part_->success) return AnswerNext(AnswerState::kHit);
    if (line == "NOT_STORED") return AnswerNext(AnswerState::kNotStored);
    if (line == "EXISTS") return AnswerNext(AnswerState::kExists);
    if (line == "NOT_FOUND") return AnswerNext(AnswerState::kMiss);
  }
  return Broken("not an answer to what was asked: " + Printable(line));
}

AnswerReader::Result AnswerReader::OnNumber(std::string_view line) {
  if (dialect_ == Dialect::kMeta && expecting_ == Expecting::kLine) {
    if (line == "NF") return AnswerNext(AnswerState::kMiss);
    if (!line.starts_with("VA ")) {
      return Broken("not an answer to what was asked: " + Printable(line));
    }
    expecting_ = Expecting::kNumberLine;
    return Result::kNeedMore;
  }
  if (dialect_ == Dialect::kText && line == "NOT_FOUND") return AnswerNext(AnswerState::kMiss);
  uint64_t number = 0;
  // Servers pad a decremented number with blanks.
  while (!line.empty() && line.back() == ' ') line.remove_suffix(1);
  if (!CutNumber(&line, &number) || !line.empty()) {
    return Broken("not a number: " + Printable(line));
  }
  expecting_ = Expecting::kLine;
  AnswerAt(next_key_).number = number;
  return AnswerNext(AnswerState::kHit);
}

// Of what was done nothing is said.
AnswerReader::Result AnswerReader::OnQuietLine(std::string_view line) {
  if (line == "MN") return Result::kDone;
  if (IsErrorLine(line)) return OnErrorLine(line);
  if (line != "NS") return Broken("not an answer to what was asked: " + Printable(line));
  part_->errors.push_back(absl::UnknownError("a value was not stored"));
  return Result::kNeedMore;
}

AnswerReader::Result AnswerReader::OnIgnoredLine(std::string_view line) {
  const bool is_meta = dialect_ == Dialect::kMeta;
  const bool is_answer = line == (is_meta ? "HD" : "DELETED") ||
                         line == (is_meta ? "NF" : "NOT_FOUND") || IsErrorLine(line);
  return is_answer ? Result::kDone : Broken("not an answer to a delete: " + Printable(line));
}

// "EN <flags>*" or "VA <bytes> <flags>*", with the opaque that was sent among them: the answer's
// number.
AnswerReader::Result AnswerReader::OnLease(std::string_view line) {
  if (line == "EN") return AnswerNext(AnswerState::kMiss);  // older servers leave it at that
  const bool is_value = line.starts_with("VA ");
  if (!is_value && !line.starts_with("EN ")) {
    return Broken("not an answer to what was asked: " + Printable(line));
  }
  line.remove_prefix(3);
  Answer& answer = AnswerAt(next_key_);
  uint64_t bytes = 0;
  if (is_value && (!CutNumber(&line, &bytes) || bytes > kValueBytesMax)) {
    return Broken("a value without length");
  }
  answer.lease = 0;
  answer.seconds_left = kNoEnd;
  if (const Result flags = OnLeaseFlags(line, answer); flags == Result::kBroken) return flags;
  if (!is_value) return AnswerNext(AnswerState::kMiss);
  ++next_key_;
  return BeginValue(answer, bytes);
}

AnswerReader::Result AnswerReader::OnLeaseFlags(std::string_view flags, Answer& answer) {
  bool is_answer = false;
  while (!flags.empty()) {
    const char flag = flags.front();
    flags.remove_prefix(1);
    bool good = true;
    if (flag == 'W') answer.lease |= kLeaseWon;
    if (flag == 'Z') answer.lease |= kLeaseTaken;
    if (flag == 'X') answer.lease |= kLeaseStale;
    if (flag == 'f') {
      good = CutNumber(&flags, &answer.flags);
    } else if (flag == 'c') {
      good = CutNumber(&flags, &answer.number);
    } else if (flag == 't' && !flags.starts_with("-1")) {
      good = CutNumber(&flags, &answer.seconds_left);
    } else if (flag == 'O') {
      uint32_t number = 0;
      good = CutNumber(&flags, &number) && number == part_->keys[next_key_].answer;
      is_answer = good;
    } else {
      const size_t blank = flags.find(' ');
      flags.remove_prefix(blank == std::string_view::npos ? flags.size() : blank + 1);
    }
    if (!good) return Broken("a value with flags that make no sense");
  }
  if (!is_answer) return Broken("a value for another question");
  return Result::kNeedMore;
}

AnswerReader::Result AnswerReader::OnTextLine(std::string_view line) {
  if (IsErrorLine(line)) {
    part_->errors.push_back(StatusOfErrorLine(line));
    AnswerAt(0).error = 0;
    AnswerAt(0).state = AnswerState::kFailed;
    return Result::kDone;
  }
  if (line == "END" || line == "RESET" || line == "OK") {
    AnswerAt(0).state = AnswerState::kHit;
    return Result::kDone;
  }
  part_->lines.emplace_back(line);
  const bool has_more =
      line.starts_with("STAT ") || line.starts_with("ITEM ") || line.starts_with("PREFIX ");
  if (has_more) return Result::kNeedMore;
  if (!line.starts_with("VERSION ")) return Broken("neither a version nor statistics");
  AnswerAt(0).state = AnswerState::kHit;
  return Result::kDone;
}

}  // namespace cairn
