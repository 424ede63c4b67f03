#include "client/call.h"

namespace cairn {

Part& Call::AddPart(uint16_t server, AnswerShape shape, bool is_read) {
  Part& part = parts.emplace_back();
  part.call = this;
  part.server = server;
  part.shape = shape;
  part.is_read = is_read;
  return part;
}

absl::Status Detached(const absl::Status& status) {
  return status.ok() ? absl::OkStatus() : absl::Status(status.code(), status.message());
}

bool Call::Finish(Part& part, const absl::Status& status) {
  part.status = Detached(status);
  part.done.store(true, std::memory_order_release);
  return parts_left.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

}  // namespace cairn
