#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "storage/store.h"

struct iovec;

namespace cairn::server {

/// Bytes on their way to one client, in order: text that was copied in, and pieces of large values
/// that are referred to and kept alive by a Pin. A worker has one that it fills for whichever
/// connection it serves; what the kernel did not take then moves to the connection.
///
/// One event-loop thread.
class Output {
 public:
  /// Past this many unsent bytes a session stops answering until the client has read some, unless
  /// fewer are allowed.
  static constexpr size_t kHighWaterBytes = size_t{256} << 10;
  /// Values from this size are referred to instead of copied.
  static constexpr size_t kPinBytes = size_t{16} << 10;

  Output() = default;
  Output(Output&&) noexcept = default;
  Output& operator=(Output&&) noexcept = default;

  /// Contiguous room for `n` bytes at the end, valid until the next call. Commit what was written.
  char* Reserve(size_t n) {
    if (capacity_ - used_ < n) Grow(n);
    return buffer_.get() + used_;
  }
  void Commit(size_t n) { used_ += n; }
  void Append(std::string_view bytes);
  /// Refers to `pieces`, which stay valid while `pin` is held.
  void AppendPinned(storage::Pin pin, std::span<const std::string_view> pieces);
  /// Appends a value under its shard's lock: pinned when large and pinnable, else copied. Only
  /// from inside a storage visitor.
  void AppendValue(const storage::ItemView& item);

  /// Where the output ends now, for TruncateTo.
  struct Mark {
    size_t used, pinned_bytes;
  };
  Mark mark() const { return {used_, pinned_bytes_}; }
  /// Forgets what was appended after `mark`. REQUIRES: nothing was sent in between.
  void TruncateTo(Mark mark) {
    used_ = mark.used;
    if (pinned_bytes_ != mark.pinned_bytes) DropPinned(mark.pinned_bytes);
  }

  bool empty() const { return unsent_bytes() == 0; }
  size_t unsent_bytes() const { return used_ + pinned_bytes_ - sent_; }
  /// Unsent bytes held by value: what it costs in memory besides the pinned values.
  size_t copied_bytes() const { return used_; }
  bool over_high_water() const { return unsent_bytes() >= high_water_; }
  void set_high_water(size_t bytes) { high_water_ = bytes; }
  /// All of it in one piece, if nothing was sent and no value is referred to; else nothing.
  std::string_view Whole() const {
    if (sent_ != 0 || !pinned_.empty()) return {};
    return {buffer_.get(), used_};
  }

  /// Fills `vectors` with unsent bytes in order; returns how many were used.
  size_t Gather(std::span<iovec> vectors) const;
  /// Drops the first `n` unsent bytes, and the pins of values that are wholly sent.
  void Consume(size_t n);
  /// Moves everything unsent into a new object sized to it, leaving this one empty but keeping its
  /// memory for the next use.
  Output TakeUnsent();
  void Clear();

 private:
  struct Pinned {
    size_t at;     // offset in buffer_ that this value stands before
    size_t bytes;  // of all its pieces
    storage::Pin pin;
    absl::InlinedVector<std::string_view, 4> pieces;
  };

  /// Makes room for `n` more bytes.
  void Grow(size_t n);
  /// Drops what was pinned after the first `bytes`.
  void DropPinned(size_t bytes);

  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  size_t used_ = 0;
  size_t sent_ = 0;  // of the whole stream: buffer and pinned pieces together
  size_t high_water_ = kHighWaterBytes;
  size_t pinned_bytes_ = 0;
  std::vector<Pinned> pinned_;
};

}  // namespace cairn::server
