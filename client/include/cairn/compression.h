#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn {

/// Values are stored as zstd frames when that makes them smaller (ClientOptions::compression). A
/// bit of their flags says so; it is not among the flags that a reader is told. Frames say how long
/// the value is, and have a checksum.
///
/// Everybody who reads such values has to know of it, so let readers come first: with `above` at
/// its greatest, nothing is compressed and everything is read.
struct CompressionOptions {
  /// Shorter values stay as they are, and so do those that do not get shorter.
  size_t above = 1024;
  /// The bit: exactly one, and not 2^30, which LookAside needs. An application's own flags must
  /// not have it: InvalidArgument. The default is none that php-memcached (bits 0 to 7, and 16 on
  /// for the user), pylibmc, libmc, pymemcache, dalli or spymemcached give a meaning to; php's user
  /// flags are the application's to choose.
  uint32_t flag = uint32_t{1} << 29;
  /// zstd's level, 1 to 19: more is smaller and slower.
  int level = 1;
  /// A value that says it is longer than this is not unpacked, whatever it is (DataLoss): a cache
  /// that somebody else can write to must not decide how much memory a reader needs. A longer value
  /// is not compressed.
  size_t uncompressed_bytes_max = size_t{16} * 1024 * 1024;
};

}  // namespace cairn
