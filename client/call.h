#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cairn/tracing.h"
#include "client/arena.h"
#include "client/byte_buffer.h"

namespace cairn {

class AsyncCall;
class Call;
class ValueCodec;
struct Waiter;

using Clock = std::chrono::steady_clock;

/// How a server is spoken to.
enum class Dialect : uint8_t { kUnknown, kText, kMeta, kBinary };

/// What became of one key. kPending entries of a part that is done were not reached.
enum class AnswerState : uint8_t {
  kPending,
  kHit,        ///< There is a value (reads), or it was done (writes).
  kMiss,       ///< No such key, for reads and writes alike.
  kNotStored,  ///< The condition of an add, replace, append or prepend did not hold.
  kExists,     ///< Another CAS number.
  kFailed,     ///< The server said an error: Part::errors.
};

/// A copy that shares nothing with `status`: one failure is told to the callers of many threads,
/// which need not meet at its reference count.
absl::Status Detached(const absl::Status& status);

/// Why the answers of a call whose time is up did not come.
absl::Status CallTimedOut();

/// What the meta protocol says about the right to compute a value.
inline constexpr uint8_t kLeaseWon = 1;    ///< W: it is the asker's.
inline constexpr uint8_t kLeaseTaken = 2;  ///< Z: it is somebody else's.
inline constexpr uint8_t kLeaseStale = 4;  ///< X: the value was invalidated.
/// Answer::seconds_left of a value without an end, or with one that is not known.
inline constexpr uint32_t kNoEnd = 0xffffffff;

/// One key's answer. Values are in the call's arena.
struct Answer {
  const char* data = nullptr;
  size_t size = 0;
  uint64_t number = 0;  ///< A CAS number, or what a counter became.
  uint32_t flags = 0;
  uint32_t part = 0;  ///< Whose: set when asked, read by the caller to see whether it is done.
  union {
    uint32_t error = 0;     ///< With kFailed, the index in Part::errors.
    uint32_t seconds_left;  ///< With kHit of AnswerShape::kLease.
  };
  AnswerState state = AnswerState::kPending;
  uint8_t lease = 0;     ///< kLease...
  bool damaged = false;  ///< With kFailed: there is a value, which could not be unpacked.
};

/// What stands in the place of a value while it is computed is none.
inline bool IsThere(const Answer& answer) {
  return answer.size > 0 || answer.flags != 0 || (answer.lease & (kLeaseWon | kLeaseTaken)) == 0;
}

/// The shape of the answers to a part's requests.
enum class AnswerShape : uint8_t {
  kValues,   ///< VALUE lines in the order of the keys, END after each request line
  kWord,     ///< a line for each key: the word of success, or one that says why not
  kNumber,   ///< a line for each key with a number
  kLease,    ///< meta: VA and a value, or EN, for each key; text: as kValues
  kLines,    ///< one line (version), or STAT lines until END
  kQuiet,    ///< lines that say what went wrong, then MN; no keys, no answers: Part::errors
  kIgnored,  ///< one answer to a delete, of which nothing is told: Part::overruled
};

/// What one call asks of one server: request bytes, and which answers they bring. Owned by its
/// Call. Made by the calling thread, then the channel's, until `done` is seen true.
struct Part {
  struct Key {
    uint32_t answer = 0;  ///< The index in Call::answers.
    uint32_t offset = 0;  ///< kValues, kLease: where the key is in `text`.
    uint16_t bytes = 0;
    bool ends_line =
        false;  ///< The same two: END follows once its answer, or its absence, is known.
  };

  Call* call = nullptr;
  uint16_t server = 0;
  AnswerShape shape = AnswerShape::kWord;
  Operation operation = Operation::kAskServer;
  /// May be sent again when a connection turns out to have been closed before: it changes nothing.
  bool is_read = false;
  bool sent = false;  ///< Begun to be, at least.
  bool sent_again = false;
  bool spoke_meta = false;    ///< `meta` was sent.
  bool ends_with_mn = false;  ///< `meta` does: its answers are followed by MN.
  /// An item among those that it stores has more than kNeverRefused bytes, and may be too large.
  bool stores_large = false;
  /// Bytes of key and value when it stores that one and nothing else; 0 otherwise.
  size_t item_bytes = 0;
  /// Not ok: what it stored was too large, and this is what its caller is told. It deletes instead.
  absl::Status overruled;
  /// What counts besides key and value: memcached's header where pointers are short and CAS is off,
  /// and CRLF. Usually it is more, and the server says no to the few bytes of difference itself.
  static constexpr size_t kItemOverheadMin = 32 + 2;
  /// So many bytes of key and value no server refuses for certain, since no limit is below 1,024.
  static constexpr size_t kNeverRefused = 1024 - kItemOverheadMin;
  /// The requests in either dialect. Reads have the text only, which every server takes. With
  /// Dialect::kBinary, `text` has packets, of which the first has this for an opaque, and each the
  /// number of keys before it more.
  uint32_t opaque = 0;
  ByteBuffer text;
  ByteBuffer meta;
  /// The line that means success: text's (meta's is HD).
  std::string_view success;
  std::vector<Key> keys;
  uint32_t quiet_keys = 0;         ///< kQuiet: how many keys there are, in place of `keys`.
  std::vector<std::string> lines;  ///< kLines: what came.

  absl::Status status;  ///< Not ok: why the answers that are pending did not come.
  std::vector<absl::Status> errors;
  std::atomic<bool> done{false};
  /// Its keys were counted: by who ended it, or by a caller who went before. The first counts.
  std::atomic<bool> counted{false};

  /// When they are written, and it may be long before they are sent.
  void TrimRequests() {
    text.Trim();
    meta.Trim();
  }
  /// When it is done, and what it asked is not of interest any more.
  void ForgetRequests() {
    text.Drop();
    meta.Drop();
  }
  /// As new, but for the memory it has. Says how much that is.
  size_t Clear();
};

/// The parts of a call. They do not move, and stay for the next call when it is over.
class PartList {
 public:
  template <typename List, typename Item>
  class Iterator {
   public:
    Iterator(List* list, size_t at) : list_(list), at_(at) {}
    Item& operator*() const { return (*list_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    List* list_;
    size_t at_;
  };

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Part& operator[](size_t i) { return *parts_[i]; }
  const Part& operator[](size_t i) const { return *parts_[i]; }
  auto begin() { return Iterator<PartList, Part>(this, 0); }
  auto end() { return Iterator<PartList, Part>(this, size_); }
  auto begin() const { return Iterator<const PartList, const Part>(this, 0); }
  auto end() const { return Iterator<const PartList, const Part>(this, size_); }

  Part& Add() {
    if (size_ == parts_.size()) parts_.push_back(std::make_unique<Part>());
    return *parts_[size_++];
  }
  /// Says how much memory is kept.
  size_t Clear();

 private:
  std::vector<std::unique_ptr<Part>> parts_;  // those from size_ on are clear
  size_t size_ = 0;
};

/// One call of the application: its questions to several servers and their answers. Counted, since
/// a call whose time is up returns while a connection still has answers to swallow.
class Call {
 public:
  /// With the memory of an earlier call of this thread, if there was one.
  static Call* New();
  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) Recycle();
  }

  Part& AddPart(uint16_t server, AnswerShape shape, bool is_read);

  /// Ends a part: its answers are complete, or `status` says why not. True when it was the last
  /// one.
  bool Finish(Part& part, const absl::Status& status);

  /// Where the parts end that are submitted next: a bulk call's are in waves, of which one is begun
  /// when those before are over. parts_left counts one wave.
  size_t WaveEnd() const {
    const auto end = std::upper_bound(wave_ends.begin(), wave_ends.end(), submitted);
    return end == wave_ends.end() ? parts.size() : *end;
  }
  bool has_more_waves() const { return submitted < parts.size(); }
  /// Of the waves that are over, and so their memory.
  void ForgetRequests() {
    for (; forgotten < submitted; ++forgotten) parts[forgotten].ForgetRequests();
  }

  bool finished() const { return parts_left.load(std::memory_order_acquire) == 0; }

  /// The answers in the application's order; sized before the first part is submitted.
  std::vector<Answer> answers;
  /// Those before `submitted` were given to a channel.
  PartList parts;
  size_t submitted = 0;
  size_t forgotten = 0;           ///< ForgetRequests() was there.
  std::vector<size_t> wave_ends;  ///< Among the parts; of all waves but the last.
  std::atomic<uint32_t> parts_left{0};
  /// When it began, its requests being written; of a bulk call, its latest wave.
  Clock::time_point begun;
  bool traced = false;         ///< The tracer knows of it:
  uint64_t trace_context = 0;  ///< what Tracer::OnBegin() said.
  /// Its caller has gone: what was not sent need not be.
  std::atomic<bool> abandoned{false};
  Arena arena;
  /// What unpacks its values when it has returned; null: nothing.
  const ValueCodec* codec = nullptr;
  /// What it unpacked: the caller's, while the arena may still be written to by connections.
  std::vector<std::unique_ptr<char[]>> unpacked;
  /// Who waits while another thread does the work; the channel's.
  Waiter* waiter = nullptr;
  /// Whom to tell instead when nobody waits; the event driver's.
  AsyncCall* async = nullptr;

 private:
  struct Spare;

  Call() = default;
  ~Call() = default;
  /// Clears it for the next call, or deletes it.
  void Recycle();

  std::atomic<uint32_t> references_{1};
};

/// A reference to a Call.
class CallRef {
 public:
  CallRef() : call_(Call::New()) {}
  CallRef(CallRef&& other) noexcept : call_(other.call_) { other.call_ = nullptr; }
  CallRef& operator=(CallRef&& other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~CallRef() {
    if (call_ != nullptr) call_->Unref();
  }
  Call* operator->() const { return call_; }
  Call& operator*() const { return *call_; }

 private:
  Call* call_;
};

}  // namespace cairn
