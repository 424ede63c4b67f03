#include "client/call.h"

#include <utility>

namespace cairn {
namespace {

// A call that has more memory than this is not worth keeping: every thread that calls keeps one.
constexpr size_t kKeptBytesMax = size_t{64} * 1024;

}  // namespace

// The call that a thread keeps for its next one.
struct Call::Spare {
  Call* call = nullptr;
  bool over = false;  // the thread ends, and others of its variables may still let go of calls

  // Deletes it with the thread. A variable of its own, so that the others outlive it.
  struct Ending {
    ~Ending() {
      delete std::exchange(spare.call, nullptr);
      spare.over = true;
    }
  };
  static thread_local constinit Spare spare;
  static thread_local Ending ending;
};

thread_local constinit Call::Spare Call::Spare::spare;
thread_local Call::Spare::Ending Call::Spare::ending;

Call* Call::New() {
  Call* const kept = std::exchange(Spare::spare.call, nullptr);
  return kept != nullptr ? kept : new Call;
}

void Call::Recycle() {
  if (Spare::spare.over || Spare::spare.call != nullptr) {
    delete this;
    return;
  }
  const size_t bytes = parts.Clear() + answers.capacity() * sizeof(Answer);
  if (bytes > kKeptBytesMax) {
    delete this;
    return;
  }
  answers.clear();
  arena.Clear();
  unpacked.clear();
  submitted = forgotten = 0;
  wave_ends.clear();
  parts_left.store(0, std::memory_order_relaxed);
  traced = false;
  trace_context = 0;
  abandoned.store(false, std::memory_order_relaxed);
  codec = nullptr;
  waiter = nullptr;
  async = nullptr;
  references_.store(1, std::memory_order_relaxed);
  (void)&Spare::ending;  // begins to be, so that it ends
  Spare::spare.call = this;
}

size_t Part::Clear() {
  text.clear();
  meta.clear();
  keys.clear();
  lines.clear();
  errors.clear();
  operation = Operation::kAskServer;
  is_read = sent = sent_again = spoke_meta = ends_with_mn = stores_large = false;
  opaque = quiet_keys = 0;
  item_bytes = 0;
  overruled = absl::OkStatus();
  success = {};
  status = absl::OkStatus();
  done.store(false, std::memory_order_relaxed);
  counted.store(false, std::memory_order_relaxed);
  return text.capacity() + meta.capacity() + keys.capacity() * sizeof(Key);
}

size_t PartList::Clear() {
  size_t bytes = 0;
  for (const auto& part : parts_) bytes += sizeof(Part) + part->Clear();
  size_ = 0;
  return bytes;
}

Part& Call::AddPart(uint16_t server, AnswerShape shape, bool is_read) {
  Part& part = parts.Add();
  part.call = this;
  part.server = server;
  part.shape = shape;
  part.is_read = is_read;
  return part;
}

absl::Status Detached(const absl::Status& status) {
  return status.ok() ? absl::OkStatus() : absl::Status(status.code(), status.message());
}

absl::Status CallTimedOut() { return absl::DeadlineExceededError("the call's timeout passed"); }

bool Call::Finish(Part& part, const absl::Status& status) {
  part.status = Detached(status);
  part.done.store(true, std::memory_order_release);
  return parts_left.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

}  // namespace cairn
