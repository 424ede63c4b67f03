// The requests behind leases and counters that start. See RequestWriter in requests.h.
#include <charconv>
#include <string>

#include "client/requests.h"

namespace cairn {
namespace {

template <typename Number>
void AppendFlag(std::string* out, std::string_view flag, Number number) {
  char digits[24];
  out->append(flag).append(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
}

}  // namespace

void RequestWriter::LeaseRead(std::string_view key, int64_t lease, int64_t ahead, uint32_t answer) {
  Part::Key& entry = part_->keys.emplace_back();
  entry.answer = answer;
  entry.ends_line = true;
  if (dialect_ != Dialect::kMeta) {
    part_->text.append("gets ");
    entry.offset = static_cast<uint32_t>(part_->text.size());
    entry.bytes = static_cast<uint16_t>(prefix_.size() + key.size());
    part_->text.append(prefix_).append(key).append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    std::string& meta = part_->meta;
    meta.append("mg ").append(prefix_).append(key).append(" v f c t");
    if (lease > 0) AppendFlag(&meta, " N", lease);
    if (ahead > 0) AppendFlag(&meta, " R", ahead);
    AppendFlag(&meta, " O", answer);
    meta.append("\r\n");
  }
}

void RequestWriter::DeleteIf(std::string_view key, uint64_t cas, uint32_t answer) {
  if (dialect_ != Dialect::kMeta) {
    // A value that has expired already takes its place: classic text deletes on no condition.
    part_->text.append("cas ").append(prefix_).append(key).append(" 0 -1 0");
    AppendFlag(&part_->text, " ", cas);
    part_->text.append("\r\n\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.append("md ").append(prefix_).append(key);
    AppendFlag(&part_->meta, " C", cas);
    part_->meta.append("\r\n");
  }
  part_->success = "STORED";
  AddKey(answer);
}

void RequestWriter::GiveBackStale(std::string_view key, uint64_t cas, uint32_t answer) {
  part_->meta.append("md ").append(prefix_).append(key).append(" I");
  AppendFlag(&part_->meta, " C", cas);
  part_->meta.append("\r\n");
  AddKey(answer);
}

void RequestWriter::Invalidate(std::string_view key, int64_t exptime, uint32_t answer) {
  if (dialect_ != Dialect::kMeta) {
    part_->text.append("delete ").append(prefix_).append(key).append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.append("md ").append(prefix_).append(key);
    AppendFlag(&part_->meta, " I T", Capped(exptime));
    part_->meta.append("\r\n");
  }
  part_->success = "DELETED";
  AddKey(answer);
}

void RequestWriter::ArithmeticOrStart(bool increment, std::string_view key, uint64_t delta,
                                      uint64_t initial, int64_t exptime, uint32_t answer) {
  if (dialect_ != Dialect::kMeta) {
    part_->text.append(increment ? "incr " : "decr ").append(prefix_).append(key);
    AppendFlag(&part_->text, " ", delta);
    part_->text.append("\r\n");
  }
  if (dialect_ != Dialect::kText) {
    part_->meta.append("ma ").append(prefix_).append(key);
    AppendFlag(&part_->meta, increment ? " v D" : " v MD D", delta);
    AppendFlag(&part_->meta, " J", initial);
    AppendFlag(&part_->meta, " N", Capped(exptime));
    part_->meta.append("\r\n");
  }
  AddKey(answer);
}

}  // namespace cairn
