#include "server/output.h"

#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "storage/prefetch.h"

namespace cairn::server {
namespace {

constexpr size_t kInitialBytes = size_t{16} << 10;
// So much of each piece of a value is on its way from memory while the kernel prepares to copy it,
// which takes as long; what follows the processor itself fetches ahead.
constexpr size_t kPrefetchedBytes = 2048;
constexpr size_t kCacheLineBytes = 64;

}  // namespace

void Output::Grow(size_t n) {
  const size_t wanted = std::max({kInitialBytes, capacity_ * 2, used_ + n});
  // Not value-initialised: the bytes are about to be written.
  std::unique_ptr<char[]> larger(new char[wanted]);
  if (used_ != 0) std::memcpy(larger.get(), buffer_.get(), used_);
  buffer_ = std::move(larger);
  capacity_ = wanted;
}

void Output::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(Reserve(bytes.size()), bytes.data(), bytes.size());
  Commit(bytes.size());
}

void Output::AppendPinned(storage::Pin pin, std::span<const std::string_view> pieces) {
  Pinned pinned{used_, 0, std::move(pin), {pieces.begin(), pieces.end()}};
  for (const std::string_view piece : pieces) {
    pinned.bytes += piece.size();
    for (size_t at = 0; at < std::min(piece.size(), kPrefetchedBytes); at += kCacheLineBytes) {
      storage::PrefetchLine(piece.data() + at);
    }
  }
  pinned_bytes_ += pinned.bytes;
  pinned_.push_back(std::move(pinned));
}

void Output::AppendValue(const storage::ItemView& item) {
  if (item.value_bytes >= kPinBytes) {
    storage::Pin pin = item.PinValue();
    if (pin.held()) {
      AppendPinned(std::move(pin), item.value);
      return;
    }
  }
  for (const std::string_view piece : item.value) Append(piece);
}

void Output::DropPinned(size_t bytes) {
  while (pinned_bytes_ > bytes) {
    pinned_bytes_ -= pinned_.back().bytes;
    pinned_.pop_back();
  }
}

size_t Output::Gather(std::span<iovec> vectors) const {
  size_t count = 0;
  size_t skip = sent_;
  const auto add = [&](const char* data, size_t size) {
    if (size <= skip) {
      skip -= size;
      return true;
    }
    if (count == vectors.size()) return false;
    // sendmsg does not write through the vector; its type just cannot say so.
    vectors[count].iov_base = const_cast<char*>(data + skip);
    vectors[count].iov_len = size - skip;
    ++count;
    skip = 0;
    return true;
  };
  size_t at = 0;
  for (const Pinned& pinned : pinned_) {
    if (!add(buffer_.get() + at, pinned.at - at)) return count;
    at = pinned.at;
    for (const std::string_view piece : pinned.pieces) {
      if (!add(piece.data(), piece.size())) return count;
    }
  }
  add(buffer_.get() + at, used_ - at);
  return count;
}

void Output::Consume(size_t n) {
  sent_ += n;
  if (empty()) {
    Clear();
    return;
  }
  // Pins are dropped as soon as their value is out, without moving the buffer: what stays is
  // found by its offset.
  size_t before = 0;  // stream position at which the current pinned value begins
  size_t pinned_so_far = 0;
  size_t done = 0;
  for (const Pinned& pinned : pinned_) {
    before = pinned.at + pinned_so_far;
    if (before + pinned.bytes > sent_) break;
    pinned_so_far += pinned.bytes;
    ++done;
  }
  if (done == 0) return;
  // Their bytes leave the stream, and so they leave the count of what was sent.
  sent_ -= pinned_so_far;
  pinned_bytes_ -= pinned_so_far;
  pinned_.erase(pinned_.begin(), pinned_.begin() + static_cast<std::ptrdiff_t>(done));
}

Output Output::TakeUnsent() {
  Output unsent;
  // Copied bytes that are already out are left behind; a pinned value may be half sent.
  size_t drop = 0;
  if (pinned_.empty()) {
    drop = std::min(sent_, used_);
  } else {
    drop = std::min(sent_, pinned_.front().at);
  }
  unsent.buffer_.reset(new char[std::max<size_t>(used_ - drop, 1)]);
  unsent.capacity_ = used_ - drop;
  if (used_ != drop) std::memcpy(unsent.buffer_.get(), buffer_.get() + drop, used_ - drop);
  unsent.used_ = used_ - drop;
  unsent.sent_ = sent_ - drop;
  unsent.pinned_bytes_ = pinned_bytes_;
  unsent.pinned_ = std::move(pinned_);
  for (Pinned& pinned : unsent.pinned_) pinned.at -= drop;
  pinned_.clear();
  Clear();
  return unsent;
}

void Output::Clear() {
  used_ = 0;
  sent_ = 0;
  pinned_bytes_ = 0;
  pinned_.clear();
}

}  // namespace cairn::server
