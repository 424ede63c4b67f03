#include "client/key_hash.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "client/md5.h"

namespace cairn {
namespace {

// A char as libmemcached has it on x86-64, on every platform.
uint32_t SignExtended(char c) {
  return static_cast<uint32_t>(static_cast<int32_t>(static_cast<signed char>(c)));
}

uint32_t OneAtATime(std::string_view text) {
  uint32_t hash = 0;
  for (const char c : text) {
    hash += SignExtended(c);
    hash += hash << 10;
    hash ^= hash >> 6;
  }
  hash += hash << 3;
  hash ^= hash >> 11;
  hash += hash << 15;
  return hash;
}

constexpr uint32_t kFnvStart32 = 2166136261u;
constexpr uint32_t kFnvPrime32 = 16777619u;

uint32_t Fnv1(std::string_view text) {
  uint32_t hash = kFnvStart32;
  for (const char c : text) hash = (hash * kFnvPrime32) ^ static_cast<uint8_t>(c);
  return hash;
}

uint32_t Fnv1a(std::string_view text) {
  uint32_t hash = kFnvStart32;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * kFnvPrime32;
  return hash;
}

// The 64-bit constants cut to 32 bits, as libmemcached and twemproxy have them.
uint32_t Fnv1a64Low32(std::string_view text) {
  uint32_t hash = static_cast<uint32_t>(0xcbf29ce484222325);
  for (const char c : text) hash = (hash ^ SignExtended(c)) * static_cast<uint32_t>(0x100000001b3);
  return hash;
}

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    table[i] = crc;
  }
  return table;
}

uint32_t Crc32(std::string_view text) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = ~uint32_t{0};
  for (const char c : text) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

// Up to eight bytes, the first one lowest.
uint64_t Load(const char* bytes, size_t count) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, count);
  return std::endian::native == std::endian::big ? __builtin_bswap64(word) : word;
}

}  // namespace

uint32_t HashKey(KeyHash hash, std::string_view text) {
  switch (hash) {
    case KeyHash::kMd5:
      return Md5Word0(text);
    case KeyHash::kOneAtATimeSigned:
      return OneAtATime(text);
    case KeyHash::kFnv1_32:
      return Fnv1(text);
    case KeyHash::kFnv1a_32:
      return Fnv1a(text);
    case KeyHash::kFnv1a_64Low32Signed:
      return Fnv1a64Low32(text);
    case KeyHash::kCrc32:
      return Crc32(text);
    case KeyHash::kCrc32Upper15:
      return (Crc32(text) >> 16) & 0x7fff;
  }
  return 0;
}

uint32_t Murmur3(std::string_view text) {
  constexpr uint32_t kC1 = 0xcc9e2d51;
  constexpr uint32_t kC2 = 0x1b873593;
  uint32_t hash = 0;
  const size_t size = text.size();
  for (; text.size() >= 4; text.remove_prefix(4)) {
    hash ^= std::rotl(static_cast<uint32_t>(Load(text.data(), 4)) * kC1, 15) * kC2;
    hash = std::rotl(hash, 13) * 5 + 0xe6546b64;
  }
  if (!text.empty()) {
    hash ^= std::rotl(static_cast<uint32_t>(Load(text.data(), text.size())) * kC1, 15) * kC2;
  }
  hash ^= static_cast<uint32_t>(size);
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
  return hash ^ (hash >> 16);
}

uint64_t HashCairn(std::string_view text) {
  uint64_t hash = text.size();
  for (; text.size() >= 8; text.remove_prefix(8)) hash = Mix64(hash ^ Load(text.data(), 8));
  if (!text.empty()) hash = Mix64(hash ^ Load(text.data(), text.size()));
  return Mix64(hash);
}

}  // namespace cairn
