#pragma once

#include <cstddef>
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
  kFlush,      ///< [<delay>] [noreply]
  kMeta,       ///< <key> <flag>*
  kMetaStore,  ///< <key> <bytes> <flag>*, and a body
};

// enumerator, word, shape, usage, help
#define CAIRN_TEXT_COMMANDS(X)                                                             \
  X(kGet, "get", kKeys, "get <key>+", "reads values")                                      \
  X(kGets, "gets", kKeys, "gets <key>+", "reads values with their CAS unique")             \
  X(kGat, "gat", kTouchKeys, "gat <exptime> <key>+", "reads values and sets their expiry") \
  X(kGats, "gats", kTouchKeys, "gats <exptime> <key>+",                                    \
    "reads values with their CAS unique and sets their expiry")                            \
  X(kSet, "set", kStore, "set <key> <flags> <exptime> <bytes> [noreply]", "stores")        \
  X(kAdd, "add", kStore, "add <key> <flags> <exptime> <bytes> [noreply]",                  \
    "stores when the key is missing")                                                      \
  X(kReplace, "replace", kStore, "replace <key> <flags> <exptime> <bytes> [noreply]",      \
    "stores when the key is there")                                                        \
  X(kAppend, "append", kStore, "append <key> <flags> <exptime> <bytes> [noreply]",         \
    "adds behind a value; flags and exptime stay")                                         \
  X(kPrepend, "prepend", kStore, "prepend <key> <flags> <exptime> <bytes> [noreply]",      \
    "adds before a value; flags and exptime stay")                                         \
  X(kCas, "cas", kStoreCas, "cas <key> <flags> <exptime> <bytes> <cas> [noreply]",         \
    "stores when nobody else has since the CAS unique was read")                           \
  X(kDelete, "delete", kKey, "delete <key> [noreply]", "deletes")                          \
  X(kIncr, "incr", kKeyNumber, "incr <key> <delta> [noreply]", "adds to a decimal number") \
  X(kDecr, "decr", kKeyNumber, "decr <key> <delta> [noreply]",                             \
    "subtracts from a decimal number, down to 0")                                          \
  X(kTouch, "touch", kKeyNumber, "touch <key> <exptime> [noreply]", "sets the expiry")     \
  X(kFlushAll, "flush_all", kFlush, "flush_all [<delay>] [noreply]",                       \
    "forgets everything, now or after a delay")                                            \
  X(kMetaGet, "mg", kMeta, "mg <key> <flag>*", "meta get")                                 \
  X(kMetaSet, "ms", kMetaStore, "ms <key> <bytes> <flag>*", "meta set")                    \
  X(kMetaDelete, "md", kMeta, "md <key> <flag>*", "meta delete")                           \
  X(kMetaArithmetic, "ma", kMeta, "ma <key> <flag>*", "meta arithmetic")                   \
  X(kMetaDebug, "me", kMeta, "me <key> [b]", "what is known of an item")                   \
  X(kMetaNoop, "mn", kNone, "mn", "answers MN: the end of a batch")                        \
  X(kVersion, "version", kNone, "version", "names the version")                            \
  X(kQuit, "quit", kNone, "quit", "closes the connection")

enum class Verb : uint8_t {
#define X(enumerator, word, shape, usage, help) enumerator,
  CAIRN_TEXT_COMMANDS(X)
#undef X
};

struct CommandRow {
  std::string_view word;
  Shape shape;
  std::string_view usage;
  std::string_view help;
};

inline constexpr CommandRow kTextCommandRows[] = {
#define X(enumerator, word, shape, usage, help) {word, Shape::shape, usage, help},
    CAIRN_TEXT_COMMANDS(X)
#undef X
};

/// All rows, by Verb.
std::span<const CommandRow> TextCommands();
inline const CommandRow& RowOf(Verb verb) { return kTextCommandRows[static_cast<size_t>(verb)]; }

/// Takes the verb off the front of a line, which goes on with a blank or nothing then. Nothing, and
/// the line as it was, when it is no data command's.
std::optional<Verb> TakeVerb(std::string_view* line);
/// The command of that name; nothing when it is no data command.
std::optional<Verb> FindVerb(std::string_view word);

}  // namespace cairn::protocol
