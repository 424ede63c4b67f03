// The requests of the binary protocol, which servers that want SASL insist on. See RequestWriter in
// requests.h.
#include <algorithm>
#include <atomic>
#include <string_view>

#include "client/binary_wire.h"
#include "client/requests.h"

namespace cairn {
namespace {

constexpr size_t kExtrasBytesMax = 20;

// Opaques of different parts differ, so that an answer to another part is known for what it is.
uint32_t NextOpaque() {
  static std::atomic<uint32_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed) * 0x9e3779b1;
}

// The greatest says that nothing is to be made where there is nothing.
uint32_t BinaryExptime(int64_t exptime) {
  return static_cast<uint32_t>(std::min<int64_t>(exptime, 0xfffffffe));
}

// No value has it: 0 would mean any.
uint64_t BinaryCas(uint64_t cas) { return cas == 0 ? ~uint64_t{0} : cas; }

BinaryOpcode OpcodeOf(StoreVerb verb) {
  switch (verb) {
    case StoreVerb::kAdd:
      return BinaryOpcode::kAdd;
    case StoreVerb::kReplace:
      return BinaryOpcode::kReplace;
    case StoreVerb::kAppend:
      return BinaryOpcode::kAppend;
    case StoreVerb::kPrepend:
      return BinaryOpcode::kPrepend;
    case StoreVerb::kSet:
    case StoreVerb::kCas:
      break;
  }
  return BinaryOpcode::kSet;
}

}  // namespace

void RequestWriter::Packet(BinaryOpcode opcode, std::string_view extras, std::string_view key,
                           std::string_view value, uint64_t cas) {
  ByteBuffer& out = part_->text;
  if (out.empty()) part_->opaque = NextOpaque();
  const std::string_view prefix = key.empty() ? std::string_view() : prefix_;
  char head[protocol::kBinaryHeaderBytes];
  const BinaryRequestHead request = {opcode,
                                     prefix.size() + key.size(),
                                     extras.size(),
                                     value.size(),
                                     part_->opaque + static_cast<uint32_t>(part_->keys.size()),
                                     cas};
  request.Write(head);
  ByteBuffer::Cursor at =
      out.Extend(sizeof(head) + extras.size() + request.key_bytes + value.size());
  at.Text({head, sizeof(head)}).Text(extras).Text(prefix).Text(key).Text(value);
  out.Advance(at);
}

void RequestWriter::BinaryRead(std::string_view key, uint32_t answer) {
  Packet(BinaryOpcode::kGetKeyQuietly, {}, key);
  AddBinaryRead(key, answer);
}

void RequestWriter::BinaryReadAndTouch(std::string_view key, int64_t exptime, uint32_t answer) {
  char extras[sizeof(uint32_t)];
  PutBigEndian(BinaryExptime(exptime), extras);
  Packet(BinaryOpcode::kGetKeyAndTouchQuietly, {extras, sizeof(extras)}, key);
  AddBinaryRead(key, answer);
}

void RequestWriter::AddBinaryRead(std::string_view key, uint32_t answer) {
  const size_t bytes = prefix_.size() + key.size();
  part_->keys.push_back({answer, static_cast<uint32_t>(part_->text.size() - bytes),
                         static_cast<uint16_t>(bytes), false});
}

void RequestWriter::BinaryStore(const StoreRequest& request, uint32_t answer) {
  char extras[2 * sizeof(uint32_t)];
  PutBigEndian(BinaryExptime(Capped(request.exptime)), PutBigEndian(request.flags, extras));
  const bool joins = request.verb == StoreVerb::kAppend || request.verb == StoreVerb::kPrepend;
  const bool quiet = part_->shape == AnswerShape::kQuiet;
  Packet(quiet ? BinaryOpcode::kSetQuietly : OpcodeOf(request.verb),
         {extras, joins ? 0 : sizeof(extras)}, request.key, request.value,
         request.verb == StoreVerb::kCas ? BinaryCas(request.cas) : 0);
  if (quiet) {
    ++part_->quiet_keys;
  } else {
    AddKey(answer);
  }
}

void RequestWriter::BinaryDelete(std::string_view key, uint64_t cas, uint32_t answer) {
  Packet(BinaryOpcode::kDelete, {}, key, {}, cas);
  AddKey(answer);
}

void RequestWriter::BinaryDeleteIf(std::string_view key, uint64_t cas, uint32_t answer) {
  BinaryDelete(key, BinaryCas(cas), answer);
}

void RequestWriter::BinaryTouch(std::string_view key, int64_t exptime, uint32_t answer) {
  char extras[sizeof(uint32_t)];
  PutBigEndian(BinaryExptime(exptime), extras);
  Packet(BinaryOpcode::kTouch, {extras, sizeof(extras)}, key);
  AddKey(answer);
}

void RequestWriter::BinaryArithmetic(bool increment, std::string_view key, uint64_t delta,
                                     std::optional<FirstNumber> first, uint32_t answer) {
  char extras[kExtrasBytesMax];
  char* const at =
      PutBigEndian(first.has_value() ? first->initial : 0, PutBigEndian(delta, extras));
  PutBigEndian(first.has_value() ? BinaryExptime(Capped(first->exptime)) : kMakeNoNumber, at);
  Packet(increment ? BinaryOpcode::kIncrement : BinaryOpcode::kDecrement, {extras, sizeof(extras)},
         key);
  AddKey(answer);
}

void RequestWriter::BinaryLine(std::string_view line, uint32_t answer) {
  constexpr std::string_view kStats = "stats";
  if (line == "flush_all") {
    Packet(BinaryOpcode::kFlush, {}, {});
  } else if (line.starts_with(kStats)) {
    const std::string_view group = line.substr(std::min(line.size(), kStats.size() + 1));
    // A group is no key: no prefix stands before it.
    RequestWriter(part_, {}, dialect_).Packet(BinaryOpcode::kStat, {}, group);
  } else {
    Packet(BinaryOpcode::kVersion, {}, {});
  }
  AddKey(answer);
}

void RequestWriter::BinaryEnd() {
  // Reads and quiet stores say nothing of what was a miss or was done; the answer to this says that
  // they are over.
  const bool quiet = part_->shape == AnswerShape::kValues || part_->shape == AnswerShape::kLease ||
                     part_->shape == AnswerShape::kQuiet;
  if (quiet) Packet(BinaryOpcode::kNoop, {}, {});
}

}  // namespace cairn
