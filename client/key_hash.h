#pragma once

#include <cstdint>
#include <string_view>

#include "cairn/placement.h"

namespace cairn {

/// The named hash of `text`.
uint32_t HashKey(KeyHash hash, std::string_view text);

/// MurmurHash3's 32-bit variant with seed 0 (Austin Appleby's; pymemcache's ring).
uint32_t Murmur3(std::string_view text);

/// The 64-bit hash behind PlacementPreset::kCairn. Fixed for good: keys are where it says. Words of
/// eight bytes, little-endian and zero-padded, each mixed in by Mix64; the length starts it.
uint64_t HashCairn(std::string_view text);

/// The finalizer of splitmix64 (Sebastiano Vigna): a bijection in which every bit depends on all.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace cairn
