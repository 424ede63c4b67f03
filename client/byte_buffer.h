#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>

namespace cairn {

/// Text that only grows at its end, a piece at a time whose greatest size is known before it is
/// written. What std::string would do, without a look at the room left for each word of it and
/// without clearing what is about to be written. Thread-compatible.
class ByteBuffer {
 public:
  /// Writes from a place on. Whoever made it has seen to the room.
  class Cursor {
   public:
    Cursor& Text(std::string_view text) {
      if (!text.empty()) std::memcpy(at_, text.data(), text.size());
      at_ += text.size();
      return *this;
    }
    Cursor& Char(char c) {
      *at_++ = c;
      return *this;
    }
    template <typename T>
    Cursor& Number(T number) {
      at_ = std::to_chars(at_, at_ + kDigitsMax, number).ptr;
      return *this;
    }

   private:
    friend class ByteBuffer;
    explicit Cursor(char* at) : at_(at) {}
    char* at_;
  };
  /// The most that a Cursor writes for a number.
  static constexpr size_t kDigitsMax = 20;

  const char* data() const { return bytes_.get(); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return capacity_; }
  std::string_view view() const { return {bytes_.get(), size_}; }
  void clear() { size_ = 0; }
  /// Gives back the room that was not needed; all of it, and what is there.
  void Trim() {
    if (capacity_ > size_ && size_ > 0) Resize(size_);
  }
  void Drop() {
    bytes_.reset();
    size_ = capacity_ = 0;
  }

  /// Room for that much at the end. Nothing is there until Advance().
  Cursor Extend(size_t bytes_max) {
    if (capacity_ - size_ < bytes_max) Grow(bytes_max);
    return Cursor(bytes_.get() + size_);
  }
  void Advance(const Cursor& to) { size_ = static_cast<size_t>(to.at_ - bytes_.get()); }
  ByteBuffer& Append(std::string_view text) {
    Advance(Extend(text.size()).Text(text));
    return *this;
  }

 private:
  struct Free {
    void operator()(char* bytes) const { free(bytes); }
  };

  void Grow(size_t bytes_max) { Resize(std::max(size_ + bytes_max, 2 * capacity_)); }
  void Resize(size_t capacity) {
    // realloc moves pages instead of copying what is large.
    auto* const resized = static_cast<char*>(realloc(bytes_.get(), capacity));
    if (resized == nullptr) throw std::bad_alloc();
    (void)bytes_.release();
    bytes_.reset(resized);
    capacity_ = capacity;
  }

  std::unique_ptr<char, Free> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace cairn
