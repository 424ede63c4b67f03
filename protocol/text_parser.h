#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/command_table.h"
#include "protocol/meta_flags.h"
#include "protocol/tokens.h"

/// The text protocol's request lines: bytes in, requests out. Pure: no state, no allocation; views
/// point into the line. Behaviour follows memcached 1.6.45.
namespace cairn::protocol {

inline constexpr size_t kMaxKeyTokenBytes = 250;
inline constexpr uint32_t kMaxDeclaredBytes = 2147483645;  // 2^31 - 3

/// How much input may stand without a line end before the connection is given up, unless the line
/// is a get of many keys.
inline constexpr size_t kMaxUnfinishedLineBytes = 2048;
/// The longest line, its end included, other than a get of many keys.
inline constexpr size_t kMaxLineBytes = 16384;

enum class LineSearch : uint8_t {
  kFound,
  kNeedMore,
  kOverflow,  ///< close the connection without an answer
};
struct LineEnd {
  LineSearch search;
  std::string_view line;  ///< without "\n" or "\r\n"
  size_t consumed = 0;    ///< with it
};
/// Finds the first line of `input`.
LineEnd FindLine(std::string_view input);

enum class ParseStatus : uint8_t {
  kOk,
  kUnknown,    ///< no data command: perhaps an operator's; see TextRequest::noreply
  kBadFormat,  ///< "CLIENT_ERROR bad command line format"; a body, if any, is read as commands
  kBadValue,   ///< `error` says what; a body follows and must be thrown away if declared
};

/// A parsed line. Which fields mean something depends on the verb's Shape.
struct TextRequest {
  ParseStatus status = ParseStatus::kOk;
  Verb verb = Verb::kGet;
  bool noreply = false;
  bool has_body = false;
  uint32_t body_bytes = 0;  ///< without CRLF; with has_body
  uint32_t client_flags = 0;
  int32_t exptime = 0;     ///< as on the wire
  uint64_t number = 0;     ///< delta or CAS
  std::string_view key;    ///< as on the line
  std::string_view keys;   ///< kKeys, kTouchKeys: the rest of the line from the first key on
  std::string_view error;  ///< kBadValue, or a bad delay of flush_all: the answer, without CRLF
  MetaFlags meta;          ///< kMeta, kMetaStore
};

/// Parses one line (as FindLine gives it). `raw_bytes` is its length with its end.
TextRequest ParseTextLine(std::string_view line, size_t raw_bytes);

}  // namespace cairn::protocol
