#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// The binary protocol's packets: parsing requests and writing answers. Nothing here allocates or
/// knows a socket.
///
/// A packet is a header, then extras, key and value, whose lengths the header gives; numbers are
/// big-endian:
///
///   0        1        2                 4        5        6                  8
///   +--------+--------+-----------------+--------+--------+------------------+
///   | magic  | opcode | key bytes       | extras | data   | request: vbucket |
///   |        |        |                 | bytes  | type   | answer: status   |
///   +--------+--------+-----------------+--------+--------+------------------+
///   | body bytes: extras, key and value | opaque, sent back as it is         |
///   +-----------------------------------+------------------------------------+
///   | CAS unique                                                             |
///   +------------------------------------------------------------------------+
namespace cairn::protocol {

inline constexpr size_t kBinaryHeaderBytes = 24;
inline constexpr uint8_t kBinaryRequestMagic = 0x80;
inline constexpr uint8_t kBinaryResponseMagic = 0x81;
inline constexpr size_t kMaxBinaryKeyBytes = 250;
/// A longer body ends the connection.
inline constexpr uint32_t kMaxBinaryBodyBytes = uint32_t{1} << 30;
/// Bytes that a caller may have to show ParseBinaryRequest before it decides: everything but the
/// value.
inline constexpr size_t kMaxBinaryPrefixBytes = kBinaryHeaderBytes + 20 + kMaxBinaryKeyBytes;

/// What extras a command takes.
enum class BinaryExtras : uint8_t {
  kNone,
  kExpiry,       ///< exptime(4)
  kMaybeExpiry,  ///< exptime(4) or nothing
  kStore,        ///< client flags(4) exptime(4)
  kArithmetic,   ///< delta(8) initial(8) exptime(4)
};

/// Whether a command takes a key, or a value.
enum class BinaryField : uint8_t { kNo, kMay, kMust };

// Several opcodes that do the same share a command; the rest is told by the opcode's row.
enum class BinaryCommand : uint8_t {
  kGet,
  kGetKey,
  kTouch,
  kGetAndTouch,
  kGetKeyAndTouch,
  kSet,
  kAdd,
  kReplace,
  kAppend,
  kPrepend,
  kDelete,
  kIncrement,
  kDecrement,
  kFlush,
  kNoop,
  kVersion,
  kQuit,
  kStat,
  kSaslList,
  kSaslAuth,
  kSaslStep,
};

// opcode, name, command, quiet, extras, key, value, before authentication, help.
// Quiet: a miss is not answered, nor the success of what is no read; errors always are. What
// memcached does not serve (verbosity, the range commands) is not here: it is answered as unknown.
#define CAIRN_BINARY_OPCODES(X)                                                                    \
  X(0x00, "Get", kGet, false, kNone, kMust, kNo, false, "reads a value")                           \
  X(0x01, "Set", kSet, false, kStore, kMust, kMay, false, "stores")                                \
  X(0x02, "Add", kAdd, false, kStore, kMust, kMay, false, "stores when the key is missing")        \
  X(0x03, "Replace", kReplace, false, kStore, kMust, kMay, false, "stores when the key is there")  \
  X(0x04, "Delete", kDelete, false, kNone, kMust, kNo, false, "deletes")                           \
  X(0x05, "Increment", kIncrement, false, kArithmetic, kMust, kNo, false,                          \
    "adds to a decimal number, or creates it")                                                     \
  X(0x06, "Decrement", kDecrement, false, kArithmetic, kMust, kNo, false,                          \
    "subtracts from a decimal number down to 0, or creates it")                                    \
  X(0x07, "Quit", kQuit, false, kNone, kNo, kNo, false, "closes the connection")                   \
  X(0x08, "Flush", kFlush, false, kMaybeExpiry, kNo, kNo, false,                                   \
    "forgets everything, now or at a time")                                                        \
  X(0x09, "GetQ", kGet, true, kNone, kMust, kNo, false, "Get, silent on a miss")                   \
  X(0x0a, "Noop", kNoop, false, kNone, kNo, kNo, false, "answers: the end of a batch")             \
  X(0x0b, "Version", kVersion, false, kNone, kNo, kNo, true, "names the version")                  \
  X(0x0c, "GetK", kGetKey, false, kNone, kMust, kNo, false, "reads a value, answers with the key") \
  X(0x0d, "GetKQ", kGetKey, true, kNone, kMust, kNo, false, "GetK, silent on a miss")              \
  X(0x0e, "Append", kAppend, false, kNone, kMust, kMay, false, "adds behind a value")              \
  X(0x0f, "Prepend", kPrepend, false, kNone, kMust, kMay, false, "adds before a value")            \
  X(0x10, "Stat", kStat, false, kNone, kMay, kNo, false, "statistics, a packet each")              \
  X(0x11, "SetQ", kSet, true, kStore, kMust, kMay, false, "Set, silent on success")                \
  X(0x12, "AddQ", kAdd, true, kStore, kMust, kMay, false, "Add, silent on success")                \
  X(0x13, "ReplaceQ", kReplace, true, kStore, kMust, kMay, false, "Replace, silent on success")    \
  X(0x14, "DeleteQ", kDelete, true, kNone, kMust, kNo, false, "Delete, silent on success")         \
  X(0x15, "IncrementQ", kIncrement, true, kArithmetic, kMust, kNo, false,                          \
    "Increment, silent on success")                                                                \
  X(0x16, "DecrementQ", kDecrement, true, kArithmetic, kMust, kNo, false,                          \
    "Decrement, silent on success")                                                                \
  X(0x17, "QuitQ", kQuit, true, kNone, kNo, kNo, false, "Quit without an answer")                  \
  X(0x18, "FlushQ", kFlush, true, kMaybeExpiry, kNo, kNo, false, "Flush, silent on success")       \
  X(0x19, "AppendQ", kAppend, true, kNone, kMust, kMay, false, "Append, silent on success")        \
  X(0x1a, "PrependQ", kPrepend, true, kNone, kMust, kMay, false, "Prepend, silent on success")     \
  X(0x1c, "Touch", kTouch, false, kExpiry, kMust, kNo, false, "sets the expiry")                   \
  X(0x1d, "GAT", kGetAndTouch, false, kExpiry, kMust, kNo, false,                                  \
    "reads a value and sets its expiry")                                                           \
  X(0x1e, "GATQ", kGetAndTouch, true, kExpiry, kMust, kNo, false, "GAT, silent on a miss")         \
  X(0x20, "SASL list", kSaslList, false, kNone, kNo, kNo, true, "names the mechanisms")            \
  X(0x21, "SASL auth", kSaslAuth, false, kNone, kMust, kMay, true,                                 \
    "begins to authenticate; the key is the mechanism")                                            \
  X(0x22, "SASL step", kSaslStep, false, kNone, kMust, kMay, true, "goes on with it")              \
  X(0x23, "GATK", kGetKeyAndTouch, false, kExpiry, kMust, kNo, false,                              \
    "GAT that answers with the key")                                                               \
  X(0x24, "GATKQ", kGetKeyAndTouch, true, kExpiry, kMust, kNo, false, "GATK, silent on a miss")

struct BinaryOpcodeRow {
  uint8_t opcode;
  std::string_view name;
  BinaryCommand command;
  bool quiet;
  BinaryExtras extras;
  BinaryField key;
  BinaryField value;
  bool before_auth;  ///< may be used before SASL authentication
  std::string_view help;
};

/// All rows, by opcode.
std::span<const BinaryOpcodeRow> BinaryOpcodes();
/// Null for an unknown opcode.
const BinaryOpcodeRow* FindBinaryOpcode(uint8_t opcode);

// enumerator, code, text that goes with it when nothing more exact is known
#define CAIRN_BINARY_STATUSES(X)                                         \
  X(kOk, 0x00, "")                                                       \
  X(kNotFound, 0x01, "Not found")                                        \
  X(kExists, 0x02, "Data exists for key.")                               \
  X(kTooLarge, 0x03, "Too large.")                                       \
  X(kInvalidArguments, 0x04, "Invalid arguments")                        \
  X(kNotStored, 0x05, "Not stored.")                                     \
  X(kNonNumeric, 0x06, "Non-numeric server-side value for incr or decr") \
  X(kAuthError, 0x20, "Auth failure.")                                   \
  X(kAuthContinue, 0x21, "")                                             \
  X(kUnknownCommand, 0x81, "Unknown command")                            \
  X(kNoMemory, 0x82, "Out of memory")

enum class BinaryStatus : uint16_t {
#define X(enumerator, code, text) enumerator = code,
  CAIRN_BINARY_STATUSES(X)
#undef X
};

/// What memcached sends as the value of an answer with this status.
std::string_view BinaryStatusText(BinaryStatus status);

/// A request. Views point into the parsed input.
struct BinaryRequest {
  uint8_t opcode = 0;
  const BinaryOpcodeRow* row = nullptr;  ///< null: unknown
  uint32_t opaque = 0;
  uint64_t cas = 0;
  uint32_t body_bytes = 0;
  uint32_t value_bytes = 0;
  std::string_view key;
  // From the extras; 0 when the command has none.
  uint32_t client_flags = 0;
  uint32_t exptime = 0;
  uint64_t delta = 0;
  uint64_t initial = 0;

  /// Of the packet, up to its value.
  size_t prefix_bytes() const { return kBinaryHeaderBytes + body_bytes - value_bytes; }
  size_t packet_bytes() const { return kBinaryHeaderBytes + body_bytes; }
};

enum class BinaryParse : uint8_t {
  kNeedMore,  ///< the packet up to its value is incomplete; a wrong header is told before
  kOk,        ///< `request` is valid; its value may still be on its way
  kUnknown,   ///< answer kUnknownCommand once body_bytes were skipped; the connection goes on
  kRefused,   ///< answer `status`, then close; only opcode and opaque are set
  kBadMagic,  ///< close without a word
};

struct BinaryParsed {
  BinaryParse result = BinaryParse::kNeedMore;
  BinaryStatus status = BinaryStatus::kOk;
  BinaryRequest request;
};

/// Parses the packet at the start of `input`. While `authenticated` is false, commands that need
/// authentication are refused.
BinaryParsed ParseBinaryRequest(std::string_view input, bool authenticated);

/// Takes the packet at the start of `input` off: its key as it stands there, unjudged; empty when
/// there is none, or one that is too long. All of the input when the key is incomplete.
std::string_view BinaryKeyAhead(std::string_view* input);

/// The header of an answer.
struct BinaryResponse {
  uint8_t opcode = 0;
  BinaryStatus status = BinaryStatus::kOk;
  uint8_t extras_bytes = 0;
  uint16_t key_bytes = 0;
  uint32_t body_bytes = 0;  ///< extras, key and value
  uint32_t opaque = 0;
  uint64_t cas = 0;
};

/// Writes kBinaryHeaderBytes to `out`; returns the end.
char* WriteBinaryHeader(const BinaryResponse& response, char* out);

/// Big-endian numbers; each returns the end of what it wrote.
char* WriteBigEndian32(uint32_t number, char* out);
char* WriteBigEndian64(uint64_t number, char* out);

}  // namespace cairn::protocol
