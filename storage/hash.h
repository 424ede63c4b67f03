#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace cairn::storage {

/// A keyed hash of short strings: folded 64x64-bit multiplications with secrets drawn from a seed,
/// in the way of wyhash (Wang Yi, public domain) and abseil's low-level hash. Whoever does not
/// know the seed cannot choose keys that share a bucket. Immutable after construction.
class KeyedHash {
 public:
  explicit KeyedHash(uint64_t seed) {
    for (uint64_t& secret : secrets_) secret = SplitMix(&seed) | 1;
  }

  uint64_t operator()(std::string_view bytes) const {
    const char* p = bytes.data();
    size_t left = bytes.size();
    uint64_t state = secrets_[0] ^ left;
    while (left > 16) {
      state = Fold(Load64(p) ^ secrets_[1], Load64(p + 8) ^ state);
      p += 16;
      left -= 16;
    }
    uint64_t a = 0;
    uint64_t b = 0;
    if (left >= 8) {
      a = Load64(p);
      b = Load64(p + left - 8);
    } else if (left >= 4) {
      a = Load32(p);
      b = Load32(p + left - 4);
    } else if (left > 0) {
      a = static_cast<unsigned char>(p[0]) |
          static_cast<uint64_t>(static_cast<unsigned char>(p[left >> 1])) << 8 |
          static_cast<uint64_t>(static_cast<unsigned char>(p[left - 1])) << 16;
    }
    state = Fold(a ^ secrets_[2], b ^ state);
    return Fold(state ^ secrets_[3], bytes.size() ^ secrets_[1]);
  }

  static uint64_t SplitMix(uint64_t* state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  static uint64_t Load64(const char* p) {
    uint64_t v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static uint64_t Load32(const char* p) {
    uint32_t v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static uint64_t Fold(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  std::array<uint64_t, 4> secrets_;
};

}  // namespace cairn::storage
