#include "client/value_codec.h"

#include <zstd.h>

namespace cairn {
namespace {

constexpr int kLevelMax = 19;

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// They need hundreds of kilobytes, so that each thread keeps its own.
ZSTD_CCtx* Compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  return context.get();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ValueCodec>> ValueCodec::Make(const CompressionOptions& options) {
  constexpr uint32_t kNothing = uint32_t{1} << 30;  // LookAside's
  if (options.flag == 0 || (options.flag & (options.flag - 1)) != 0 || options.flag == kNothing) {
    return absl::InvalidArgumentError("compression.flag is not one bit, or is LookAside's");
  }
  if (options.level < 1 || options.level > kLevelMax) {
    return absl::InvalidArgumentError("compression.level is not within 1 and 19");
  }
  return std::unique_ptr<ValueCodec>(new ValueCodec(options));
}

absl::Status ValueCodec::Encode(std::string_view* value, uint32_t* flags, std::string* room) const {
  if (is_encoded(*flags)) {
    return absl::InvalidArgumentError("flags with the bit that marks compressed values");
  }
  if (value->size() <= options_.above || value->size() > options_.uncompressed_bytes_max) {
    return absl::OkStatus();
  }
  ZSTD_CCtx* const context = Compressor();
  if (context == nullptr) return absl::OkStatus();  // out of memory: as it is
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, options_.level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  // Less room than that it would take plain: what does not get shorter fails, and early.
  room->resize(value->size() - 1);
  const size_t bytes =
      ZSTD_compress2(context, room->data(), room->size(), value->data(), value->size());
  if (ZSTD_isError(bytes) != 0) return absl::OkStatus();
  *value = std::string_view(*room).substr(0, bytes);
  *flags |= options_.flag;
  return absl::OkStatus();
}

std::unique_ptr<char[]> ValueCodec::Decode(std::string_view stored, size_t* bytes) const {
  const unsigned long long said = ZSTD_getFrameContentSize(stored.data(), stored.size());
  // Neither not a frame nor one that does not say.
  if (said == ZSTD_CONTENTSIZE_ERROR || said == ZSTD_CONTENTSIZE_UNKNOWN) return nullptr;
  if (said > options_.uncompressed_bytes_max) return nullptr;
  ZSTD_DCtx* const context = Decompressor();
  if (context == nullptr) return nullptr;
  auto value = std::make_unique_for_overwrite<char[]>(said);
  const size_t made = ZSTD_decompressDCtx(context, value.get(), said, stored.data(), stored.size());
  if (ZSTD_isError(made) != 0 || made != said) return nullptr;
  *bytes = made;
  return value;
}

}  // namespace cairn
