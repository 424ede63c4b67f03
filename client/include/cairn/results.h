#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cairn/export.h"

namespace cairn {

struct ResultImpl;  // private to the library

/// A value as it is stored.
struct Item {
  std::string value;
  uint32_t flags = 0;
  uint64_t cas = 0;  ///< For Client::CompareAndSwap; 0 when it was not asked for.
};

/// What became of a CompareAndSwap.
enum class CasOutcome : uint8_t {
  kStored,
  kChanged,   ///< Somebody stored another value since; read again.
  kNotFound,  ///< The key is gone.
};

/// What is known of a key. Only kHit and kMiss are the server's word.
enum class KeyOutcome : uint8_t { kHit, kMiss, kNotReached };

/// The answers of a GetMulti, in the order of its keys. Owns the values; movable.
/// Thread-compatible.
class CAIRN_EXPORT MultiGetResult {
 public:
  /// One key's answer. Views are valid as long as the MultiGetResult, also after it was moved.
  struct Entry {
    KeyOutcome outcome = KeyOutcome::kNotReached;
    std::string_view value;
    uint32_t flags = 0;
    uint64_t cas = 0;

    bool hit() const { return outcome == KeyOutcome::kHit; }
  };

  MultiGetResult();
  MultiGetResult(MultiGetResult&&) noexcept;
  MultiGetResult& operator=(MultiGetResult&&) noexcept;
  ~MultiGetResult();

  size_t size() const { return size_; }
  /// REQUIRES: i < size()
  Entry operator[](size_t i) const;
  /// Ok for a hit or a miss; why not, for a key that was not reached.
  absl::Status status(size_t i) const;

  size_t hits() const { return hits_; }
  size_t misses() const { return misses_; }
  size_t not_reached() const { return size_ - hits_ - misses_; }

 private:
  friend class AsyncClient;
  friend class Client;
  explicit MultiGetResult(ResultImpl&& impl);
  std::unique_ptr<ResultImpl> impl_;
  size_t size_ = 0;
  size_t hits_ = 0;
  size_t misses_ = 0;
};

/// What became of the writes of a SetMulti, DeleteMulti or TouchMulti, in their order.
class CAIRN_EXPORT MultiWriteResult {
 public:
  MultiWriteResult();
  MultiWriteResult(MultiWriteResult&&) noexcept;
  MultiWriteResult& operator=(MultiWriteResult&&) noexcept;
  ~MultiWriteResult();

  size_t size() const { return size_; }
  /// The server did it. False with an ok status when there was no such key to delete or touch.
  /// REQUIRES: i < size()
  bool done(size_t i) const;
  /// Ok when the server answered; why not, otherwise. Whether a write that timed out was carried
  /// out is not known.
  absl::Status status(size_t i) const;

  size_t done_count() const { return done_; }
  /// How many have a status that is not ok.
  size_t failed_count() const { return failed_; }

 private:
  friend class AsyncClient;
  friend class Client;
  explicit MultiWriteResult(ResultImpl&& impl);
  std::unique_ptr<ResultImpl> impl_;
  size_t size_ = 0;
  size_t done_ = 0;
  size_t failed_ = 0;
};

}  // namespace cairn
