#include "client/md5.h"

#include <bit>
#include <cstring>
#include <utility>

namespace cairn {
namespace {

// floor(2^32 * |sin(i + 1)|)
constexpr uint32_t kSines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr int kRotations[4][4] = {
    {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
constexpr uint32_t kStart[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
constexpr size_t kBlockBytes = 64;
constexpr size_t kBlockWords = 16;
constexpr int kSteps = 64;
// The last three steps change the other three words only.
constexpr int kStepsOfWord0 = 61;

// A word of each of several texts.
using FourLanes [[gnu::vector_size(16)]] = uint32_t;

// One step: W is a word of one text or of several. What does not depend on the step before is added
// first, so that the chain of dependent instructions is as short as it gets.
template <int I, typename W>
[[gnu::always_inline]] inline void Step(W* state, const W* block) {
  W& a = state[(64 - I) % 4];
  const W b = state[(65 - I) % 4];
  const W c = state[(66 - I) % 4];
  const W d = state[(67 - I) % 4];
  if constexpr (I < 16) {
    a += block[I] + kSines[I];
    a += d ^ (b & (c ^ d));
  } else if constexpr (I < 32) {
    a += block[(5 * I + 1) % 16] + kSines[I] + (c & ~d);
    a += b & d;  // the bits of the two never meet: adding is or-ing
  } else if constexpr (I < 48) {
    a += block[(3 * I + 5) % 16] + kSines[I];
    a += (c ^ d) ^ b;
  } else {
    a += block[(7 * I) % 16] + kSines[I];
    a += c ^ (b | ~d);
  }
  constexpr int kRotation = kRotations[I / 16][I % 4];
  a = (a << kRotation) | (a >> (32 - kRotation));
  a += b;
}

template <typename W, int... I>
[[gnu::always_inline]] inline void Steps(W* state, const W* block,
                                         std::integer_sequence<int, I...>) {
  (Step<I>(state, block), ...);
}

uint32_t LittleEndian(uint32_t word) {
  return std::endian::native == std::endian::big ? __builtin_bswap32(word) : word;
}

uint32_t LoadWord(const char* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return LittleEndian(word);
}

void LoadBlock(const char* bytes, uint32_t* block) {
  std::memcpy(block, bytes, kBlockBytes);
  if constexpr (std::endian::native == std::endian::big) {
    for (size_t i = 0; i < kBlockWords; ++i) block[i] = LittleEndian(block[i]);
  }
}

void AddBlock(std::array<uint32_t, 4>& sums, const char* bytes) {
  uint32_t block[kBlockWords];
  LoadBlock(bytes, block);
  uint32_t state[4] = {sums[0], sums[1], sums[2], sums[3]};
  Steps(state, block, std::make_integer_sequence<int, kSteps>());
  for (size_t i = 0; i < 4; ++i) sums[i] += state[i];
}

// REQUIRES: text.size() <= kMd5OneBlockBytesMax
[[gnu::always_inline]] inline void PadOneBlock(std::string_view text, char* bytes) {
  std::memset(bytes, 0, kBlockBytes);
  std::memcpy(bytes, text.data(), text.size());
  bytes[text.size()] = static_cast<char>(0x80);
  const uint32_t bits = LittleEndian(static_cast<uint32_t>(text.size() * 8));
  std::memcpy(bytes + 56, &bits, sizeof(bits));
}

template <typename Lanes>
[[gnu::always_inline]] inline void Word0OfLanes(const std::string_view* texts, uint32_t* words) {
  constexpr size_t kLanes = sizeof(Lanes) / sizeof(uint32_t);
  alignas(Lanes) uint32_t lane_words[kBlockWords][kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    char bytes[kBlockBytes];
    PadOneBlock(texts[lane], bytes);
    uint32_t block[kBlockWords];
    LoadBlock(bytes, block);
    for (size_t i = 0; i < kBlockWords; ++i) lane_words[i][lane] = block[i];
  }
  Lanes block[kBlockWords];
  std::memcpy(block, lane_words, sizeof(block));
  Lanes state[4];
  for (size_t i = 0; i < 4; ++i) state[i] = Lanes{} + kStart[i];
  Steps(state, block, std::make_integer_sequence<int, kStepsOfWord0>());
  const Lanes sums = state[0] + kStart[0];
  std::memcpy(words, &sums, sizeof(sums));
}

#ifdef __x86_64__
using EightLanes [[gnu::vector_size(32)]] = uint32_t;

[[gnu::target("avx2")]] void Word0OfEight(const std::string_view* texts, uint32_t* words) {
  Word0OfLanes<EightLanes>(texts, words);
}

const bool kHasWideRegisters = __builtin_cpu_supports("avx2");
#else
constexpr bool kHasWideRegisters = false;
#endif

}  // namespace

std::array<uint32_t, 4> Md5Words(std::string_view text) {
  std::array<uint32_t, 4> sums = {kStart[0], kStart[1], kStart[2], kStart[3]};
  const uint64_t bits = uint64_t{text.size()} * 8;
  while (text.size() >= kBlockBytes) {
    AddBlock(sums, text.data());
    text.remove_prefix(kBlockBytes);
  }
  char tail[2 * kBlockBytes] = {};
  if (!text.empty()) std::memcpy(tail, text.data(), text.size());
  tail[text.size()] = static_cast<char>(0x80);
  const size_t tail_bytes = text.size() <= kMd5OneBlockBytesMax ? kBlockBytes : 2 * kBlockBytes;
  for (size_t i = 0; i < 8; ++i) {
    tail[tail_bytes - 8 + i] = static_cast<char>(static_cast<uint8_t>(bits >> (8 * i)));
  }
  for (size_t at = 0; at < tail_bytes; at += kBlockBytes) AddBlock(sums, tail + at);
  return sums;
}

uint32_t Md5Word0(std::string_view text) {
  if (text.size() > kMd5OneBlockBytesMax) return Md5Words(text)[0];
  // Word by word, and not by a copy of so many bytes: the first steps would wait for it, since they
  // read other pieces than it wrote.
  uint32_t block[kBlockWords] = {};
  const size_t full = text.size() / 4;
  const size_t rest = text.size() % 4;
  for (size_t i = 0; i < full; ++i) block[i] = LoadWord(text.data() + 4 * i);
  uint32_t last = 0x80;
  for (size_t i = rest; i > 0; --i) {
    last = (last << 8) | static_cast<uint8_t>(text[4 * full + i - 1]);
  }
  block[full] = last;
  block[14] = static_cast<uint32_t>(text.size() * 8);
  uint32_t state[4] = {kStart[0], kStart[1], kStart[2], kStart[3]};
  Steps(state, block, std::make_integer_sequence<int, kStepsOfWord0>());
  return state[0] + kStart[0];
}

size_t Md5Lanes() { return kHasWideRegisters ? 8 : 4; }

void Md5Word0OfLanes(std::span<const std::string_view> texts, uint32_t* words) {
#ifdef __x86_64__
  if (texts.size() == 8) return Word0OfEight(texts.data(), words);
#endif
  Word0OfLanes<FourLanes>(texts.data(), words);
}

}  // namespace cairn
