#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace cairn {

/// Memory for the values of one call, given back all at once. Addresses stay. Thread-compatible.
class Arena {
 public:
  /// Gives all of it back, but keeps a chunk for what comes next.
  void Clear() {
    full_.clear();
    next_ = current_.get();
    left_ = current_bytes_;
  }

  /// Null when a value of many bytes, whose length may be a lie, has no room in memory.
  char* Allocate(size_t bytes) {
    if (bytes > left_) return AllocateSlow(bytes);
    char* const place = next_;
    next_ += bytes;
    left_ -= bytes;
    return place;
  }

 private:
  // As large as allocators still keep at hand for their thread.
  static constexpr size_t kFirstChunkBytes = 1024;
  static constexpr size_t kChunkBytesMax = size_t{32} * 1024;

  char* AllocateSlow(size_t bytes) {
    if (bytes > chunk_bytes_ / 2) {  // a chunk of its own, so that the current one is not wasted
      std::unique_ptr<char[]> chunk(bytes > kChunkBytesMax ? new (std::nothrow) char[bytes]
                                                           : new char[bytes]);
      char* const place = chunk.get();
      if (place != nullptr) full_.push_back(std::move(chunk));
      return place;
    }
    if (current_ != nullptr) full_.push_back(std::move(current_));
    current_ = std::make_unique_for_overwrite<char[]>(chunk_bytes_);
    current_bytes_ = chunk_bytes_;
    next_ = current_.get() + bytes;
    left_ = chunk_bytes_ - bytes;
    if (chunk_bytes_ < kChunkBytesMax) chunk_bytes_ *= 2;
    return current_.get();
  }

  char* next_ = nullptr;
  size_t left_ = 0;
  size_t chunk_bytes_ = kFirstChunkBytes;
  std::unique_ptr<char[]> current_;
  size_t current_bytes_ = 0;
  std::vector<std::unique_ptr<char[]>> full_;
};

}  // namespace cairn
