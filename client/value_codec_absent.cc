// In place of value_codec.cc in builds without zstd.
#include "client/value_codec.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<ValueCodec>> ValueCodec::Make(const CompressionOptions&) {
  return absl::UnimplementedError(
      "compression: this libcairn was built without it (CAIRN_CLIENT_ZSTD)");
}

absl::Status ValueCodec::Encode(std::string_view*, uint32_t*, std::string*) const {
  return absl::OkStatus();
}

std::unique_ptr<char[]> ValueCodec::Decode(std::string_view, size_t*) const { return nullptr; }

}  // namespace cairn
