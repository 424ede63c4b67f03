#include "protocol/command_table.h"

#include <array>

namespace cairn::protocol {
namespace {

constexpr auto kRows = std::to_array<CommandRow>({
#define X(enumerator, word, shape, usage, help) {word, Shape::shape, usage, help},
    CAIRN_TEXT_COMMANDS(X)
#undef X
});

constexpr size_t kMaxWordBytes = 9;

/// A word as one number, so that lookup is a switch. Nine lower-case characters and '_' fit when
/// each is worth 5 bits; whatever else is in a word only has to differ, which FindVerb makes sure
/// of by comparing.
constexpr uint64_t Pack(std::string_view word) {
  uint64_t packed = word.size();
  for (const char c : word) packed = packed << 6 ^ static_cast<uint8_t>(c);
  return packed;
}

}  // namespace

std::span<const CommandRow> TextCommands() { return kRows; }

const CommandRow& RowOf(Verb verb) { return kRows[static_cast<size_t>(verb)]; }

std::optional<Verb> FindVerb(std::string_view word) {
  if (word.empty() || word.size() > kMaxWordBytes) return std::nullopt;
  switch (Pack(word)) {
#define X(enumerator, text, shape, usage, help) \
  case Pack(text):                              \
    return word == text ? std::optional(Verb::enumerator) : std::nullopt;
    CAIRN_TEXT_COMMANDS(X)
#undef X
    default:
      return std::nullopt;
  }
}

}  // namespace cairn::protocol
