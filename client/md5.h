#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cairn {

/// MD5 (RFC 1321), for placement only: rings were defined with it. The digest as four words, each
/// little-endian from the digest's bytes.
std::array<uint32_t, 4> Md5Words(std::string_view text);

/// Md5Words(text)[0], what keys are placed by.
uint32_t Md5Word0(std::string_view text);

inline constexpr size_t kMd5Lanes = 4;
/// The longest text that fills one block, with MD5's padding.
inline constexpr size_t kMd5OneBlockBytesMax = 55;

/// Md5Word0 of four texts at once, in the lanes of vector registers: a digest is one chain of
/// dependent steps, which leaves most of a processor idle.
/// REQUIRES: no text is longer than kMd5OneBlockBytesMax
std::array<uint32_t, kMd5Lanes> Md5Word0OfFour(const std::string_view* texts);

}  // namespace cairn
