#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// The text protocol's data commands, each declared once. Lookup, argument checks, the generated
/// docs/commands.md and the fuzzers' dictionary derive from these rows; the operator's commands
/// have a table of their own in server/admin_commands.cc.
namespace cairn::protocol {

/// What stands behind the verb.
enum class Shape : uint8_t {
  kNone,       ///< nothing; anything there is ignored
  kKeys,       ///< <key>+
  kTouchKeys,  ///< <exptime> <key>+
  kStore,      ///< <key> <flags> <exptime> <bytes> [noreply], and a body
  kStoreCas,   ///< <key> <flags> <exptime> <bytes> <cas> [noreply], and a body
  kKey,        ///< <key> [noreply]
  kKeyNumber,  ///< <key> <number> [noreply]
  kMeta,       ///< <key> <flag>*
  kMetaStore,  ///< <key> <bytes> <flag>*, and a body
};

// enumerator, word, shape, fewest tokens (verb included), usage, help
#define CAIRN_TEXT_COMMANDS(X)                                                                    \
  X(kGet, "get", kKeys, 2, "get <key>+", "reads values")                                          \
  X(kGets, "gets", kKeys, 2, "gets <key>+", "reads values with their CAS unique")                 \
  X(kGat, "gat", kTouchKeys, 3, "gat <exptime> <key>+", "reads values and sets their expiry")     \
  X(kGats, "gats", kTouchKeys, 3, "gats <exptime> <key>+",                                        \
    "reads values with their CAS unique and sets their expiry")                                   \
  X(kSet, "set", kStore, 5, "set <key> <flags> <exptime> <bytes> [noreply]", "stores")            \
  X(kAdd, "add", kStore, 5, "add <key> <flags> <exptime> <bytes> [noreply]",                      \
    "stores when the key is missing")                                                             \
  X(kReplace, "replace", kStore, 5, "replace <key> <flags> <exptime> <bytes> [noreply]",          \
    "stores when the key is there")                                                               \
  X(kAppend, "append", kStore, 5, "append <key> <flags> <exptime> <bytes> [noreply]",             \
    "adds behind a value; flags and exptime stay")                                                \
  X(kPrepend, "prepend", kStore, 5, "prepend <key> <flags> <exptime> <bytes> [noreply]",          \
    "adds before a value; flags and exptime stay")                                                \
  X(kCas, "cas", kStoreCas, 5, "cas <key> <flags> <exptime> <bytes> <cas> [noreply]",             \
    "stores when nobody else has since the CAS unique was read")                                  \
  X(kDelete, "delete", kKey, 2, "delete <key> [noreply]", "deletes")                              \
  X(kIncr, "incr", kKeyNumber, 3, "incr <key> <delta> [noreply]", "adds to a decimal number")     \
  X(kDecr, "decr", kKeyNumber, 3, "decr <key> <delta> [noreply]",                                 \
    "subtracts from a decimal number, down to 0")                                                 \
  X(kTouch, "touch", kKeyNumber, 3, "touch <key> <exptime> [noreply]", "sets the expiry")         \
  X(kMetaGet, "mg", kMeta, 2, "mg <key> <flag>*", "meta get")                                     \
  X(kMetaSet, "ms", kMetaStore, 3, "ms <key> <bytes> <flag>*", "meta set")                        \
  X(kMetaDelete, "md", kMeta, 2, "md <key> <flag>*", "meta delete")                               \
  X(kMetaArithmetic, "ma", kMeta, 2, "ma <key> <flag>*", "meta arithmetic")                       \
  X(kMetaDebug, "me", kMeta, 2, "me <key> [b]", "what is known of an item")                       \
  X(kMetaNoop, "mn", kNone, 1, "mn", "answers MN: the end of a batch")                            \
  X(kVersion, "version", kNone, 1, "version", "names the version")                                \
  X(kQuit, "quit", kNone, 1, "quit", "closes the connection")

enum class Verb : uint8_t {
#define X(enumerator, word, shape, tokens, usage, help) enumerator,
  CAIRN_TEXT_COMMANDS(X)
#undef X
};

struct CommandRow {
  std::string_view word;
  Shape shape;
  unsigned min_tokens;
  std::string_view usage;
  std::string_view help;
};

/// All rows, by Verb.
std::span<const CommandRow> TextCommands();
const CommandRow& RowOf(Verb verb);
/// The command a line begins with; nothing when it is no data command.
std::optional<Verb> FindVerb(std::string_view word);

}  // namespace cairn::protocol
