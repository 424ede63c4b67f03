#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/compression.h"

namespace cairn {

/// What is stored for a value, and back. Thread-safe.
class ValueCodec {
 public:
  /// InvalidArgument when the options make no sense, Unimplemented when the library was built
  /// without zstd.
  static absl::StatusOr<std::unique_ptr<ValueCodec>> Make(const CompressionOptions& options);

  /// Makes of `value` what is stored, which is in `room` when it is something else, and marks it
  /// in `flags`. InvalidArgument when they are marked already.
  absl::Status Encode(std::string_view* value, uint32_t* flags, std::string* room) const;

  bool is_encoded(uint32_t flags) const { return (flags & options_.flag) != 0; }
  uint32_t Unmarked(uint32_t flags) const { return flags & ~options_.flag; }
  /// The value of what is_encoded(); null when it is damaged, or longer than is allowed.
  std::unique_ptr<char[]> Decode(std::string_view stored, size_t* bytes) const;

 private:
  explicit ValueCodec(const CompressionOptions& options) : options_(options) {}
  const CompressionOptions options_;
};

}  // namespace cairn
