// What a server may send, to the client's reader of answers: the first byte chooses what was asked,
// the rest arrives whole and in pieces, and both ways have to be understood alike.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "client/answer_reader.h"
#include "client/limit_question.h"
#include "client/requests.h"

namespace cairn {
namespace {

constexpr std::string_view kKeys[] = {"a", "key", "b", "user:42"};

void Ask(Call& call, uint8_t kind, Dialect dialect) {
  call.answers.resize(std::size(kKeys));
  const AnswerShape shapes[] = {AnswerShape::kValues, AnswerShape::kWord,  AnswerShape::kNumber,
                                AnswerShape::kLines,  AnswerShape::kLease, AnswerShape::kQuiet};
  // Besides, what has its shape from elsewhere.
  constexpr size_t kTouching = std::size(shapes);
  constexpr size_t kOverruled = kTouching + 1;
  constexpr size_t kAlone = kOverruled + 1;
  const size_t which = kind % (kAlone + 1);
  if (which == kTouching) {
    RequestWriter writer(&call.AddPart(0, AnswerShape::kValues, true), "", dialect);
    writer.ReadAndTouch(kKeys[1], 10, 1);
    return writer.End();
  }
  if (which == kAlone || which == kOverruled) {
    Part& part = call.AddPart(0, AnswerShape::kWord, false);
    RequestWriter writer(&part, "", dialect);
    writer.Store({StoreVerb::kSet, kKeys[1], "value", 0, 0, 0}, 1);
    writer.End();
    if (which == kAlone) return;
    part.overruled = absl::ResourceExhaustedError("too large");
    return BecomeDelete(&part, dialect);
  }
  const AnswerShape shape = shapes[which % std::size(shapes)];
  Part& part = call.AddPart(0, shape, shape == AnswerShape::kValues);
  RequestWriter writer(&part, "", dialect);
  for (uint32_t i = 0; i < std::size(kKeys); ++i) {
    switch (shape) {
      case AnswerShape::kValues:
        writer.Read("gets", kKeys[i], i);
        if (i == 1) writer.End();  // two request lines
        break;
      case AnswerShape::kWord:
      case AnswerShape::kQuiet:
        writer.Store({StoreVerb::kSet, kKeys[i], "value", 0, 0, 0}, i);
        break;
      case AnswerShape::kNumber:
        writer.Arithmetic(true, kKeys[i], 1, i);
        break;
      case AnswerShape::kLease:
        writer.LeaseRead(kKeys[i], 10, 5, i);
        break;
      case AnswerShape::kLines:
        if (i == 0) writer.Line("stats", "", i);
        break;
      case AnswerShape::kIgnored:
        break;
    }
  }
  writer.End();
}

struct Understood {
  AnswerReader::Result result = AnswerReader::Result::kNeedMore;
  size_t consumed = 0;
  std::string answers;
};

Understood Understand(uint8_t kind, std::string_view bytes, size_t piece, bool direct) {
  const Dialect dialects[] = {Dialect::kText, Dialect::kBinary, Dialect::kMeta, Dialect::kBinary};
  const Dialect dialect = dialects[kind >> 6];
  CallRef call;
  Ask(*call, kind & 0x3f, dialect);
  // Not a number that differs from run to run.
  call->parts[0].opaque = 0x100;
  AnswerReader reader;
  reader.Start(&call->parts[0], dialect);
  Understood understood;
  std::string waiting;
  for (size_t at = 0; at < bytes.size() && understood.result == AnswerReader::Result::kNeedMore;) {
    const std::string_view next = bytes.substr(at, piece);
    at += next.size();
    const std::span<char> value = reader.AwaitedValue();
    if (direct && waiting.empty() && value.size() >= next.size()) {
      next.copy(value.data(), next.size());
      reader.ValueArrived(next.size());
      understood.consumed += next.size();
      continue;
    }
    waiting.append(next);
    std::string_view input = waiting;
    understood.result = reader.Read(&input);
    understood.consumed += waiting.size() - input.size();
    waiting.erase(0, waiting.size() - input.size());
  }
  for (const Answer& answer : call->answers) {
    understood.answers += std::to_string(static_cast<int>(answer.state)) + " ";
    if (answer.state == AnswerState::kHit) {
      understood.answers += std::to_string(answer.flags) + " ";
      understood.answers += std::to_string(answer.number) + " ";
      understood.answers += std::to_string(answer.lease) + " ";
      understood.answers += std::to_string(answer.seconds_left) + " ";
      understood.answers.append(answer.data == nullptr ? "" : answer.data, answer.size);
    }
  }
  return understood;
}

// Of an answer that arrives in pieces the end and the meaning do not change when more comes.
void UnderstandLimit(std::string_view bytes, size_t piece) {
  using State = LimitAnswer::State;
  for (const Dialect dialect : {Dialect::kText, Dialect::kBinary}) {
    const LimitAnswer whole = ReadLimitAnswer(bytes, dialect);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const LimitAnswer begun = ReadLimitAnswer(bytes.substr(0, at), dialect);
      if (begun.state == State::kPartial) continue;
      if (begun.state != whole.state || begun.bytes != whole.bytes ||
          begun.item_size_max != whole.item_size_max) {
        abort();
      }
    }
  }
}

}  // namespace
}  // namespace cairn

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t kind = data[0];
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  const size_t piece = data[1] % 16 + size_t{1};
  const auto whole = cairn::Understand(kind, bytes, bytes.size(), false);
  const auto pieces = cairn::Understand(kind, bytes, piece, (data[1] & 0x80) != 0);
  cairn::UnderstandLimit(bytes, piece);
  if (whole.result != pieces.result || whole.answers != pieces.answers) abort();
  if (whole.result == cairn::AnswerReader::Result::kDone && whole.consumed != pieces.consumed) {
    abort();
  }
  return 0;
}
