// The answers of the binary protocol. See AnswerReader in answer_reader.h.
#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "client/answer_reader.h"
#include "client/binary_wire.h"

namespace cairn {
namespace {

using protocol::BinaryStatus;
using protocol::kBinaryHeaderBytes;

// Of all but values.
constexpr size_t kBodyBytesMax = 4096;
constexpr uint64_t kValueBytesMax = uint64_t{1} << 30;

absl::Status StatusOfError(BinaryStatus code, std::string_view text) {
  const std::string message =
      text.empty() ? "binary status " + std::to_string(static_cast<int>(code)) : std::string(text);
  switch (code) {
    case BinaryStatus::kTooLarge:
    case BinaryStatus::kNoMemory:
      return absl::ResourceExhaustedError(message);
    case BinaryStatus::kInvalidArguments:
    case BinaryStatus::kNonNumeric:
      return absl::InvalidArgumentError(message);
    case BinaryStatus::kAuthError:
      return absl::UnavailableError(message);
    default:
      return absl::UnknownError(message);
  }
}

}  // namespace

AnswerReader::Result AnswerReader::ReadBinary(std::string_view* input) {
  for (;;) {
    if (input->empty()) return Result::kNeedMore;
    untouched_ = false;
    if (expecting_ == Expecting::kValue) {
      TakeValue(input);
      continue;
    }
    if (expecting_ == Expecting::kValueEnd) {  // nothing stands there
      value_of_->state = AnswerState::kHit;
      ++done_;
      expecting_ = Expecting::kLine;
    }
    if (input->size() < kBinaryHeaderBytes) return Result::kNeedMore;
    const BinaryAnswer head = BinaryAnswer::Read(*input);
    if (!head.is_answer || !head.fits()) return Broken("not an answer of the binary protocol");
    const bool is_value = HasValues() && head.status == BinaryStatus::kOk;
    const size_t bytes =
        is_value ? size_t{head.extras_bytes} + head.key_bytes : size_t{head.body_bytes};
    if (bytes > kBodyBytesMax) return Broken("an answer that is too long");
    if (input->size() - kBinaryHeaderBytes < bytes) return Result::kNeedMore;
    const std::string_view body = input->substr(kBinaryHeaderBytes, bytes);
    input->remove_prefix(kBinaryHeaderBytes + bytes);
    const Result result = OnPacket(head, body);
    if (result != Result::kNeedMore) return result;
  }
}

AnswerReader::Result AnswerReader::OnPacket(const BinaryAnswer& head, std::string_view body) {
  // Which of the part's requests this is for; another part's are far away.
  const uint32_t place = head.opaque - part_->opaque;
  const size_t keys = part_->keys.size();
  const bool is_quiet = part_->shape == AnswerShape::kQuiet;
  if (place > keys) return Broken("an answer to another question");
  if (part_->shape == AnswerShape::kIgnored) {
    const bool is_answer = place == 0 && head.opcode == BinaryOpcode::kDelete;
    return is_answer ? Result::kDone : Broken("not an answer to a delete");
  }
  if ((HasValues() || is_quiet) && head.opcode == BinaryOpcode::kNoop) {
    if (place != keys || head.status != BinaryStatus::kOk) return Broken("an end at a wrong place");
    for (; next_key_ < keys; ++next_key_) AnswerAt(next_key_).state = AnswerState::kMiss;
    return Result::kDone;
  }
  const std::string_view text = body.substr(size_t{head.extras_bytes} + head.key_bytes);
  if (is_quiet) {
    if (head.status == BinaryStatus::kOk) return Broken("an answer to what was to be quiet");
    part_->errors.push_back(StatusOfError(head.status, text));
    return Result::kNeedMore;
  }
  if (place < next_key_ || place == keys) return Broken("an answer at a wrong place");
  if (HasValues()) {
    for (; next_key_ < place; ++next_key_) AnswerAt(next_key_).state = AnswerState::kMiss;
  } else if (place != next_key_) {
    return Broken("an answer that leaves others out");
  }
  if (part_->shape == AnswerShape::kLines) return OnTextPacket(head, body);
  switch (head.status) {
    case BinaryStatus::kOk:
      break;
    case BinaryStatus::kNotFound:
      return AnswerBinary(AnswerState::kMiss);
    case BinaryStatus::kExists:
      return AnswerBinary(AnswerState::kExists);
    case BinaryStatus::kNotStored:
      return AnswerBinary(AnswerState::kNotStored);
    default:
      part_->errors.push_back(StatusOfError(head.status, text));
      AnswerAt(next_key_).error = static_cast<uint32_t>(part_->errors.size() - 1);
      return AnswerBinary(AnswerState::kFailed);
  }
  if (HasValues()) return OnBinaryValue(head, body);
  if (part_->shape == AnswerShape::kNumber) {
    if (text.size() != sizeof(uint64_t)) return Broken("not a number");
    AnswerAt(next_key_).number = GetBigEndian<uint64_t>(text.data());
  }
  return AnswerBinary(AnswerState::kHit);
}

// The last of reads is followed by the end of all.
AnswerReader::Result AnswerReader::AnswerBinary(AnswerState state) {
  return SettleNext(state) && !HasValues() ? Result::kDone : Result::kNeedMore;
}

AnswerReader::Result AnswerReader::OnBinaryValue(const BinaryAnswer& head, std::string_view body) {
  const Part::Key& key = part_->keys[next_key_];
  if (head.extras_bytes != sizeof(uint32_t) || head.key_bytes != key.bytes ||
      std::memcmp(body.data() + head.extras_bytes, part_->text.data() + key.offset, key.bytes) !=
          0) {
    return Broken("a value that was not asked for");
  }
  Answer& answer = AnswerAt(next_key_);
  const uint64_t bytes = head.body_bytes - body.size();
  if (bytes > kValueBytesMax) return Broken("a value that is too long");
  answer.flags = GetBigEndian<uint32_t>(body.data());
  answer.number = head.cas;
  ++next_key_;
  return BeginValue(answer, bytes);
}

// As classic text has it.
AnswerReader::Result AnswerReader::OnTextPacket(const BinaryAnswer& head, std::string_view body) {
  body.remove_prefix(head.extras_bytes);
  const std::string_view name = body.substr(0, head.key_bytes);
  const std::string_view text = body.substr(head.key_bytes);
  Answer& answer = AnswerAt(0);
  if (head.status != BinaryStatus::kOk) {
    part_->errors.push_back(StatusOfError(head.status, text));
    answer.error = 0;
    answer.state = AnswerState::kFailed;
    return Result::kDone;
  }
  if (head.opcode == BinaryOpcode::kStat && !name.empty()) {
    part_->lines.push_back("STAT " + std::string(name) + " " + std::string(text));
    return Result::kNeedMore;
  }
  if (head.opcode != BinaryOpcode::kStat) part_->lines.push_back("VERSION " + std::string(text));
  answer.state = AnswerState::kHit;
  return Result::kDone;
}

}  // namespace cairn
