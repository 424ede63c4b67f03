#include "protocol/next_key.h"

#include <algorithm>
#include <cstring>

#include "protocol/binary_codec.h"
#include "protocol/command_table.h"
#include "protocol/numbers.h"
#include "protocol/text_parser.h"

namespace cairn::protocol {
namespace {

constexpr size_t kTerminatorBytes = 2;

std::string_view KeyIn(std::string_view rest) {
  const std::string_view key = NextToken(&rest);
  return key.size() <= kMaxKeyTokenBytes ? key : std::string_view();
}

}  // namespace

std::string_view NextTextKey(std::string_view* input) {
  const void* const found = std::memchr(input->data(), '\n', input->size());
  if (found == nullptr) {
    *input = {};
    return {};
  }
  std::string_view line =
      input->substr(0, static_cast<size_t>(static_cast<const char*>(found) - input->data()));
  input->remove_prefix(line.size() + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::string_view rest = line;
  const std::optional<Verb> verb = TakeVerb(&rest);
  if (!verb) return {};
  const Shape shape = RowOf(*verb).shape;
  switch (shape) {
    case Shape::kNone:
    case Shape::kFlush:
      return {};
    case Shape::kTouchKeys:
      NextToken(&rest);
      return KeyIn(rest);
    case Shape::kKeys:
    case Shape::kKey:
    case Shape::kKeyNumber:
    case Shape::kMeta:
      return KeyIn(rest);
    case Shape::kStore:
    case Shape::kStoreCas:
    case Shape::kMetaStore:
      break;
  }
  const std::string_view key = KeyIn(rest);
  NextToken(&rest);
  if (shape != Shape::kMetaStore) {
    NextToken(&rest);  // the flags
    NextToken(&rest);  // the expiry
  }
  const std::optional<uint32_t> body_bytes = ParseStrictUint32(NextToken(&rest));
  const size_t skipped = body_bytes ? size_t{*body_bytes} + kTerminatorBytes : 0;
  input->remove_prefix(std::min(input->size(), skipped));
  return key;
}

std::string_view NextBinaryKey(std::string_view* input) { return BinaryKeyAhead(input); }

}  // namespace cairn::protocol
