#include "protocol/command_table.h"

#include <cstring>

namespace cairn::protocol {
namespace {

constexpr size_t kMaxWordBytes = 9;
constexpr int kLetterBits = 5;

/// Verbs are of small letters and '_': one of 1 to 28; 0 for whatever else.
constexpr uint64_t Letter(char c) {
  const auto letter = static_cast<uint8_t>(c - '_' + 1);
  return letter <= 'z' - '_' + 1 ? letter : 0;
}

/// A verb as one number, so that lookup is a switch.
constexpr uint64_t Pack(std::string_view word) {
  uint64_t packed = 0;
  for (const char c : word) packed = packed << kLetterBits | Letter(c);
  return packed;
}
static_assert(kMaxWordBytes * kLetterBits < 64);

}  // namespace

std::span<const CommandRow> TextCommands() { return kTextCommandRows; }

std::optional<Verb> TakeVerb(std::string_view* line) {
  // Two of three letters are nearly all that is ever asked.
  if (line->size() > 3 && (*line)[3] == ' ') {
    if (std::memcmp(line->data(), "get", 3) == 0) {
      line->remove_prefix(3);
      return Verb::kGet;
    }
    if (std::memcmp(line->data(), "set", 3) == 0) {
      line->remove_prefix(3);
      return Verb::kSet;
    }
  }
  uint64_t packed = 0;
  size_t length = 0;
  for (; length < line->size() && (*line)[length] != ' '; ++length) {
    const uint64_t letter = Letter((*line)[length]);
    if (letter == 0 || length == kMaxWordBytes) return std::nullopt;
    packed = packed << kLetterBits | letter;
  }
  switch (packed) {
#define X(enumerator, text, shape, usage, help)       \
  case Pack(text):                                    \
    static_assert(sizeof(text) <= kMaxWordBytes + 1); \
    line->remove_prefix(length);                      \
    return Verb::enumerator;
    CAIRN_TEXT_COMMANDS(X)
#undef X
    default:
      return std::nullopt;
  }
}

std::optional<Verb> FindVerb(std::string_view word) {
  const std::optional<Verb> verb = TakeVerb(&word);
  return word.empty() ? verb : std::nullopt;
}

}  // namespace cairn::protocol
