#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// Lines are tokens with blanks between.
namespace cairn::protocol {

/// The first blank of begin .. end; `end` when there is none.
inline const char* FindBlank(const char* begin, const char* end) {
  const auto bytes = static_cast<size_t>(end - begin);
#if defined(__SSE2__)
  // Tokens are short: looking at one costs less than calling memchr does.
  const auto blanks_in = [](__m128i text) {
    const __m128i blanks = _mm_cmpeq_epi8(text, _mm_set1_epi8(' '));
    return static_cast<unsigned>(_mm_movemask_epi8(blanks));
  };
  if (bytes >= 16) {
    const unsigned blanks = blanks_in(_mm_loadu_si128(reinterpret_cast<const __m128i*>(begin)));
    if (blanks != 0) return begin + __builtin_ctz(blanks);
  } else if (bytes >= 8) {  // its first eight bytes and its last eight
    const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(begin));
    const __m128i last = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(end - 8));
    const unsigned blanks = blanks_in(_mm_unpacklo_epi64(first, last));
    if (blanks == 0) return end;
    const auto at = static_cast<size_t>(__builtin_ctz(blanks));
    return begin + (at < 8 ? at : at + bytes - 16);
  }
#endif
  if (bytes < 8) {
    while (begin != end && *begin != ' ') ++begin;
    return begin;
  }
  const void* const found = std::memchr(begin, ' ', bytes);
  return found == nullptr ? end : static_cast<const char*>(found);
}

/// Takes the next token off the front of `rest`; empty when there is none.
inline std::string_view NextToken(std::string_view* rest) {
  const char* begin = rest->data();
  const char* const end = begin + rest->size();
  while (begin != end && *begin == ' ') ++begin;
  const char* const blank = FindBlank(begin, end);
  *rest = {blank, static_cast<size_t>(end - blank)};
  return {begin, static_cast<size_t>(blank - begin)};
}

/// The last token of a line; empty when there is none.
inline std::string_view LastToken(std::string_view line) {
  while (line.ends_with(' ')) line.remove_suffix(1);
  const size_t space = line.rfind(' ');
  return space == std::string_view::npos ? line : line.substr(space + 1);
}

}  // namespace cairn::protocol
