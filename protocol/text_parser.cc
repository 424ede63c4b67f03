#include "protocol/text_parser.h"

#include <cstring>

#include "protocol/base64.h"
#include "protocol/numbers.h"

namespace cairn::protocol {
namespace {

constexpr std::string_view kBadFormat = "CLIENT_ERROR bad command line format";
// ma has one answer for everything.
constexpr std::string_view kBadArithmeticFlag = "CLIENT_ERROR invalid or duplicate flag";
constexpr std::string_view kNoreply = "noreply";
constexpr size_t kMinRawLineBytes = 4;
constexpr size_t kMaxLeadingBlanks = 100;

/// Only these may be longer than a read buffer.
bool IsLongGet(std::string_view input) {
  size_t blanks = 0;
  while (blanks < input.size() && input[blanks] == ' ') ++blanks;
  if (blanks > kMaxLeadingBlanks) return false;
  input.remove_prefix(blanks);
  return input.starts_with("get ") || input.starts_with("gets ");
}

void ParseStore(std::string_view rest, bool with_cas, TextRequest* request) {
  request->key = NextToken(&rest);
  const std::string_view flags = NextToken(&rest);
  const std::string_view exptime = NextToken(&rest);
  const std::string_view bytes = NextToken(&rest);
  if (bytes.empty()) {
    request->status = ParseStatus::kBadFormat;
    return;
  }
  const std::optional<int32_t> declared = ParseStrictInt32(bytes);
  if (!declared || *declared < 0 || static_cast<uint32_t>(*declared) > kMaxDeclaredBytes) {
    request->status = ParseStatus::kBadFormat;
    return;
  }
  request->has_body = true;
  request->body_bytes = static_cast<uint32_t>(*declared);
  request->noreply = LastToken(rest) == kNoreply;

  const std::optional<uint32_t> client_flags = ParseLooseUint32(flags);
  const std::optional<int32_t> wire_exptime = ParseLooseInt32(exptime);
  std::optional<uint64_t> cas = 0;
  if (with_cas) cas = ParseStrictUint64(NextToken(&rest));
  if (request->key.size() > kMaxKeyTokenBytes || !client_flags || !wire_exptime || !cas) {
    request->status = ParseStatus::kBadValue;
    request->error = kBadFormat;
    return;
  }
  request->client_flags = *client_flags;
  request->exptime = *wire_exptime;
  request->number = *cas;
}

void ParseKeyed(std::string_view rest, TextRequest* request) {
  const std::string_view all = rest;
  request->key = NextToken(&rest);
  const std::string_view number = NextToken(&rest);
  const bool numbered = RowOf(request->verb).shape == Shape::kKeyNumber;
  if (request->key.empty() || (numbered && number.empty())) {
    request->status = ParseStatus::kBadFormat;
    return;
  }
  request->noreply = LastToken(all) == kNoreply;
  if (request->key.size() > kMaxKeyTokenBytes) {
    request->status = ParseStatus::kBadValue;
    request->error = kBadFormat;
    return;
  }
  if (!numbered) return;
  if (request->verb == Verb::kTouch) {
    const std::optional<int32_t> exptime = ParseStrictInt32(number);
    request->exptime = exptime.value_or(0);
    request->error = exptime ? std::string_view() : "CLIENT_ERROR invalid exptime argument";
  } else {
    const std::optional<uint64_t> delta = ParseStrictUint64(number);
    request->number = delta.value_or(0);
    request->error = delta ? std::string_view() : "CLIENT_ERROR invalid numeric delta argument";
  }
  if (!request->error.empty()) request->status = ParseStatus::kBadValue;
}

void ParseFlush(std::string_view rest, TextRequest* request) {
  request->noreply = LastToken(rest) == kNoreply;
  const std::string_view delay = NextToken(&rest);
  const bool alone = request->noreply && NextToken(&rest).empty();
  if (delay.empty() || alone) return;
  const std::optional<int32_t> exptime = ParseStrictInt32(delay);
  request->exptime = exptime.value_or(0);
  // Told by who serves it: a flush counts, and may be forbidden, before its delay is looked at.
  if (!exptime) request->error = "CLIENT_ERROR invalid exptime argument";
}

/// True when one of the tokens is no key. Most of the text need not be looked at for that.
bool HasTooLongToken(std::string_view tokens) {
  while (tokens.size() > kMaxKeyTokenBytes) {
    const size_t space = tokens.rfind(' ', kMaxKeyTokenBytes);
    if (space == std::string_view::npos) return true;
    tokens.remove_prefix(space + 1);
  }
  return false;
}

/// The keys are looked at here, so that a bad one is answered before any value went out.
void ParseKeys(std::string_view rest, TextRequest* request) {
  if (RowOf(request->verb).shape == Shape::kTouchKeys) {
    const std::optional<int32_t> exptime = ParseStrictInt32(NextToken(&rest));
    request->exptime = exptime.value_or(0);
    if (!exptime) request->error = "CLIENT_ERROR invalid exptime argument";
  }
  request->keys = rest;
  std::string_view keys = rest;
  request->key = NextToken(&keys);
  if (request->key.empty()) {
    request->status = ParseStatus::kBadFormat;
    return;
  }
  if (request->error.empty() && HasTooLongToken(rest)) request->error = kBadFormat;
  if (!request->error.empty()) request->status = ParseStatus::kBadValue;
}

void ParseMeta(std::string_view rest, TextRequest* request) {
  const bool store = RowOf(request->verb).shape == Shape::kMetaStore;
  request->key = NextToken(&rest);
  if (request->key.empty()) {
    request->status = ParseStatus::kBadFormat;
    return;
  }
  std::string_view flags = rest;
  if (store) NextToken(&flags);
  if (request->verb != Verb::kMetaDebug && !AllMayBeFlags(flags)) {
    request->status = ParseStatus::kBadFormat;
    return;
  }
  if (store) {
    const std::optional<int32_t> declared = ParseStrictInt32(NextToken(&rest));
    if (!declared || *declared < 0 || static_cast<uint32_t>(*declared) > kMaxDeclaredBytes) {
      request->status = ParseStatus::kBadFormat;
      return;
    }
    request->has_body = true;
    request->body_bytes = static_cast<uint32_t>(*declared);
  }
  std::optional<std::string_view> error;
  if (request->key.size() > kMaxKeyTokenBytes) {
    error = kBadFormat;
  } else if (request->verb == Verb::kMetaDebug) {
    request->meta.base64_key = NextToken(&rest) == "b";  // other flags are not looked at
    char decoded[kMaxKeyTokenBytes];
    if (request->meta.base64_key && Base64Decode(request->key, decoded).value_or(0) == 0) {
      error = kBadFormat;
    }
  } else {
    error = ParseMetaFlags(request->key, rest, kMaxMetaFlags - (store ? 1 : 0), &request->meta);
  }
  if (!error) return;
  request->status = ParseStatus::kBadValue;
  request->error = request->verb == Verb::kMetaArithmetic ? kBadArithmeticFlag : *error;
}

}  // namespace

LineEnd FindLine(std::string_view input) {
  const void* found = input.empty() ? nullptr : std::memchr(input.data(), '\n', input.size());
  if (found == nullptr) {
    const bool overflow = input.size() > kMaxUnfinishedLineBytes && !IsLongGet(input);
    return {overflow ? LineSearch::kOverflow : LineSearch::kNeedMore, {}, 0};
  }
  const auto length = static_cast<size_t>(static_cast<const char*>(found) - input.data());
  if (length >= kMaxLineBytes && !IsLongGet(input)) return {LineSearch::kOverflow, {}, 0};
  std::string_view line = input.substr(0, length);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return {LineSearch::kFound, line, length + 1};
}

TextRequest ParseTextLine(std::string_view line, size_t raw_bytes) {
  TextRequest request;
  if (raw_bytes < kMinRawLineBytes) {
    request.status = ParseStatus::kBadFormat;
    return request;
  }
  std::string_view rest = line;
  const std::optional<Verb> verb = TakeVerb(&rest);
  if (!verb) {
    request.status = ParseStatus::kUnknown;
    request.noreply = LastToken(line) == kNoreply;
    return request;
  }
  request.verb = *verb;
  switch (RowOf(*verb).shape) {
    case Shape::kNone:
      break;
    case Shape::kKeys:
    case Shape::kTouchKeys:
      ParseKeys(rest, &request);
      break;
    case Shape::kStore:
      ParseStore(rest, false, &request);
      break;
    case Shape::kStoreCas:
      ParseStore(rest, true, &request);
      break;
    case Shape::kKey:
    case Shape::kKeyNumber:
      ParseKeyed(rest, &request);
      break;
    case Shape::kFlush:
      ParseFlush(rest, &request);
      break;
    case Shape::kMeta:
    case Shape::kMetaStore:
      ParseMeta(rest, &request);
      break;
  }
  return request;
}

}  // namespace cairn::protocol
