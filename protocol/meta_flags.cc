#include "protocol/meta_flags.h"

#include "protocol/base64.h"
#include "protocol/numbers.h"
#include "protocol/text_parser.h"

namespace cairn::protocol {
namespace {

constexpr std::string_view kBadFormat = "CLIENT_ERROR bad command line format";
// memcached cuts a line into 23 tokens at most.
constexpr size_t kMaxFlagsLookedAt = 21;
constexpr std::string_view kBadToken = "CLIENT_ERROR bad token in command line format";

bool DecodesToKey(std::string_view token) {
  char decoded[kMaxKeyTokenBytes];
  return Base64Decode(token, decoded).value_or(0) != 0;
}

template <typename T>
bool Assign(std::optional<T> parsed, T* out, bool* has = nullptr) {
  if (!parsed) return false;
  *out = *parsed;
  if (has != nullptr) *has = true;
  return true;
}

/// Takes a flag that has no argument; false when `flag` is none of these.
bool TakeSwitch(const MetaFlag& flag, MetaFlags* out) {
  switch (flag.letter()) {
    case 'u':
      out->no_update = true;
      return true;
    case 'q':
      out->quiet = true;
      return true;
    case 'v':
      out->value = true;
      return true;
    case 'I':
      out->invalidate = true;
      return true;
    case 'x':
      out->remove_value = true;
      return true;
    case 'c':
    case 'f':
    case 'h':
    case 'k':
    case 'l':
    case 's':
    case 't':
    case 'O':
    case 'P':
    case 'L':
      return true;
    default:
      return false;
  }
}

/// Takes any flag. Returns false with `error` set when the letter is unknown; a bad argument only
/// sets `error`, since later flags may still be worse.
bool TakeFlag(const MetaFlag& flag, std::string_view key, MetaFlags* out,
              std::optional<std::string_view>* error) {
  if (TakeSwitch(flag, out)) return true;
  const std::string_view argument = flag.token().substr(1);
  bool ok = true;
  std::string_view complaint = kBadToken;
  switch (flag.letter()) {
    case 'b':
      out->base64_key = true;
      ok = DecodesToKey(key);
      complaint = "CLIENT_ERROR error decoding key";
      break;
    case 'T':
      ok = Assign(ParseStrictInt32(argument), &out->ttl, &out->has_ttl);
      break;
    case 'N':
      ok = Assign(ParseStrictInt32(argument), &out->vivify_ttl, &out->has_vivify);
      break;
    case 'R':
      ok = Assign(ParseStrictInt32(argument), &out->recache_ttl, &out->has_recache);
      break;
    case 'C':
      ok = Assign(ParseStrictUint64(argument), &out->cas, &out->has_cas);
      break;
    case 'E':
      ok = Assign(ParseStrictUint64(argument), &out->new_cas, &out->has_new_cas);
      break;
    case 'F':
      ok = Assign(ParseStrictUint32(argument), &out->client_flags);
      complaint = error->value_or(kBadFormat);
      break;
    case 'J':
      ok = Assign(ParseStrictUint64(argument), &out->initial);
      complaint = "CLIENT_ERROR invalid numeric initial value";
      break;
    case 'D':
      ok = Assign(ParseStrictUint64(argument), &out->delta);
      complaint = "CLIENT_ERROR invalid numeric delta value";
      break;
    case 'M':
      out->has_mode = true;
      out->mode = argument.empty() ? ' ' : argument.front();
      break;
    default:
      *error = "CLIENT_ERROR invalid flag";
      return false;
  }
  if (!ok) *error = complaint;
  return true;
}

/// Letters, and what stands between the cases and digits: anything else is no flag at all.
bool MayBeFlag(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'z'); }

}  // namespace

bool AllMayBeFlags(std::string_view rest) {
  for (size_t i = 0; i < kMaxFlagsLookedAt; ++i) {
    const std::string_view token = NextToken(&rest);
    if (token.empty()) return true;
    if (!MayBeFlag(token.front())) return false;
  }
  return true;
}

bool MetaFlags::Precedes(char first, char second) const {
  for (const MetaFlag& flag : in_order()) {
    if (flag.letter() == first) return true;
    if (flag.letter() == second) return false;
  }
  return false;
}

std::optional<std::string_view> ParseMetaFlags(std::string_view key, std::string_view rest,
                                               size_t max_flags, MetaFlags* flags) {
  // One flag too many is worse than any wrong flag, so the count comes first.
  size_t count = 0;
  for (std::string_view r = rest; !NextToken(&r).empty();) ++count;
  if (count > max_flags) return "CLIENT_ERROR options flags are too long";

  std::optional<std::string_view> error;
  uint64_t seen[2] = {0, 0};
  for (std::string_view token = NextToken(&rest); !token.empty(); token = NextToken(&rest)) {
    const auto letter = static_cast<uint8_t>(token.front());
    uint64_t& word = seen[letter >> 6];
    const uint64_t bit = uint64_t{1} << (letter & 63);
    if ((word & bit) != 0) return "CLIENT_ERROR duplicate flag";
    word |= bit;
    const MetaFlag flag{token.data(), static_cast<uint32_t>(token.size())};
    if (!TakeFlag(flag, key, flags, &error)) return error;
    flags->flags[flags->count++] = flag;
  }
  return error;
}

}  // namespace cairn::protocol
