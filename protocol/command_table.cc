#include "protocol/command_table.h"

#include <array>

namespace cairn::protocol {
namespace {

constexpr auto kRows = std::to_array<CommandRow>({
#define X(enumerator, word, shape, tokens, usage, help) {word, Shape::shape, tokens, usage, help},
    CAIRN_TEXT_COMMANDS(X)
#undef X
});

/// A word of up to 8 characters as one number, so that lookup is a switch.
constexpr uint64_t Pack(std::string_view word) {
  uint64_t packed = 0;
  for (const char c : word) packed = packed << 8 | static_cast<uint8_t>(c);
  return packed;
}

}  // namespace

std::span<const CommandRow> TextCommands() { return kRows; }

const CommandRow& RowOf(Verb verb) { return kRows[static_cast<size_t>(verb)]; }

std::optional<Verb> FindVerb(std::string_view word) {
  if (word.empty() || word.size() > sizeof(uint64_t)) return std::nullopt;
  switch (Pack(word)) {
#define X(enumerator, word, shape, tokens, usage, help) \
  case Pack(word):                                      \
    return Verb::enumerator;
    CAIRN_TEXT_COMMANDS(X)
#undef X
    default:
      return std::nullopt;
  }
}

}  // namespace cairn::protocol
