// The requests behind leases and counters that start. See RequestWriter in requests.h.
#include <string_view>

#include "client/requests.h"

namespace cairn {
namespace {

template <typename Number>
void AppendFlag(ByteBuffer* out, std::string_view flag, Number number) {
  out->Advance(out->Extend(flag.size() + ByteBuffer::kDigitsMax).Text(flag).Number(number));
}

}  // namespace

void RequestWriter::LeaseRead(std::string_view key, int64_t lease, int64_t ahead, uint32_t answer) {
  part_->operation = Operation::kGetWithLease;
  if (dialect_ == Dialect::kBinary) return BinaryRead(key, answer);
  Part::Key& entry = part_->keys.emplace_back();
  entry.answer = answer;
  entry.ends_line = true;
  if (dialect_ != Dialect::kMeta) {
    part_->text.Append("gets ");
    entry.offset = static_cast<uint32_t>(part_->text.size());
    entry.bytes = static_cast<uint16_t>(prefix_.size() + key.size());
    part_->text.Append(prefix_).Append(key).Append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    ByteBuffer& meta = part_->meta;
    meta.Append("mg ").Append(prefix_).Append(key).Append(" v f c t");
    if (lease > 0) AppendFlag(&meta, " N", Capped(lease));
    if (ahead > 0) AppendFlag(&meta, " R", ahead);
    AppendFlag(&meta, " O", answer);
    meta.Append("\r\n");
  }
}

void RequestWriter::DeleteIf(std::string_view key, uint64_t cas, uint32_t answer) {
  part_->operation = Operation::kDeleteIf;
  if (dialect_ == Dialect::kBinary) return BinaryDeleteIf(key, cas, answer);
  if (dialect_ != Dialect::kMeta) {
    // A value that has expired already takes its place: classic text deletes on no condition.
    part_->text.Append("cas ").Append(prefix_).Append(key).Append(" 0");
    AppendFlag(&part_->text, " ", kExptimePassed);
    AppendFlag(&part_->text, " 0 ", cas);
    part_->text.Append("\r\n\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.Append("md ").Append(prefix_).Append(key);
    AppendFlag(&part_->meta, " C", cas);
    part_->meta.Append("\r\n");
  }
  part_->success = "STORED";
  AddKey(answer);
}

void RequestWriter::GiveBackStale(std::string_view key, uint64_t cas, uint32_t answer) {
  part_->operation = Operation::kReleaseLease;
  part_->meta.Append("md ").Append(prefix_).Append(key).Append(" I");
  AppendFlag(&part_->meta, " C", cas);
  part_->meta.Append("\r\n");
  AddKey(answer);
}

void RequestWriter::Invalidate(std::string_view key, int64_t exptime, uint32_t answer) {
  part_->operation = Operation::kInvalidate;
  if (dialect_ == Dialect::kBinary) return BinaryDelete(key, 0, answer);
  if (dialect_ != Dialect::kMeta) {
    part_->text.Append("delete ").Append(prefix_).Append(key).Append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.Append("md ").Append(prefix_).Append(key);
    AppendFlag(&part_->meta, " I T", Capped(exptime));
    part_->meta.Append("\r\n");
  }
  part_->success = "DELETED";
  AddKey(answer);
}

void RequestWriter::ArithmeticOrStart(bool increment, std::string_view key, uint64_t delta,
                                      uint64_t initial, int64_t exptime, uint32_t answer) {
  part_->operation = increment ? Operation::kIncrement : Operation::kDecrement;
  if (dialect_ == Dialect::kBinary) {
    return BinaryArithmetic(increment, key, delta, FirstNumber{initial, exptime}, answer);
  }
  if (dialect_ != Dialect::kMeta) {
    part_->text.Append(increment ? "incr " : "decr ").Append(prefix_).Append(key);
    AppendFlag(&part_->text, " ", delta);
    part_->text.Append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.Append("ma ").Append(prefix_).Append(key);
    AppendFlag(&part_->meta, increment ? " v D" : " v MD D", delta);
    AppendFlag(&part_->meta, " J", initial);
    AppendFlag(&part_->meta, " N", Capped(exptime));
    part_->meta.Append("\r\n");
  }
  AddKey(answer);
}

}  // namespace cairn
