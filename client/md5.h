#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cairn {

/// MD5 (RFC 1321), for placement only: rings were defined with it. The digest as four words, each
/// little-endian from the digest's bytes.
std::array<uint32_t, 4> Md5Words(std::string_view text);

/// Md5Words(text)[0], what keys are placed by.
uint32_t Md5Word0(std::string_view text);

/// The longest text that fills one block, with MD5's padding.
inline constexpr size_t kMd5OneBlockBytesMax = 55;

/// How many digests are best made at once, in the lanes of vector registers: one alone is a chain
/// of dependent steps, which leaves most of a processor idle. 4, or 8 where it has wide registers.
size_t Md5Lanes();
inline constexpr size_t kMd5LanesMax = 8;

/// Md5Word0 of 4 texts, or of Md5Lanes().
/// REQUIRES: no text is longer than kMd5OneBlockBytesMax
void Md5Word0OfLanes(std::span<const std::string_view> texts, uint32_t* words);

}  // namespace cairn
