#include "protocol/binary_codec.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace cairn::protocol {
namespace {

constexpr BinaryOpcodeRow kRows[] = {
#define X(opcode, name, command, quiet, extras, key, value, before_auth, help) \
  {opcode,                                                                     \
   name,                                                                       \
   BinaryCommand::command,                                                     \
   quiet,                                                                      \
   BinaryExtras::extras,                                                       \
   BinaryField::key,                                                           \
   BinaryField::value,                                                         \
   before_auth,                                                                \
   help},
    CAIRN_BINARY_OPCODES(X)
#undef X
};

constexpr uint8_t kNoRow = 0xff;
static_assert(std::size(kRows) < kNoRow, "an index of a row fits a byte");

/// Index into kRows by opcode.
constexpr std::array<uint8_t, 256> kRowByOpcode = [] {
  std::array<uint8_t, 256> rows{};
  rows.fill(kNoRow);
  for (size_t i = 0; i < std::size(kRows); ++i) rows[kRows[i].opcode] = static_cast<uint8_t>(i);
  return rows;
}();

/// Between a number and the bytes that stand for it on the wire. Written as a loop over bytes, GCC
/// 12 makes a loop over bytes of it.
template <typename Number>
Number Swapped(Number number) {
  if constexpr (std::endian::native == std::endian::big) return number;
  if constexpr (sizeof(Number) == 2) return __builtin_bswap16(number);
  if constexpr (sizeof(Number) == 4) return __builtin_bswap32(number);
  if constexpr (sizeof(Number) == 8) return __builtin_bswap64(number);
}

template <typename Number>
Number ReadBigEndian(const char* in) {
  Number number;
  std::memcpy(&number, in, sizeof number);
  return Swapped(number);
}

template <typename Number>
char* WriteBigEndian(Number number, char* out) {
  number = Swapped(number);
  std::memcpy(out, &number, sizeof number);
  return out + sizeof number;
}

bool AllowsExtras(BinaryExtras extras, size_t bytes) {
  switch (extras) {
    case BinaryExtras::kNone:
      return bytes == 0;
    case BinaryExtras::kExpiry:
      return bytes == 4;
    case BinaryExtras::kMaybeExpiry:
      return bytes == 0 || bytes == 4;
    case BinaryExtras::kStore:
      return bytes == 8;
    case BinaryExtras::kArithmetic:
      return bytes == 20;
  }
  return false;
}

bool Allows(BinaryField field, size_t bytes) {
  return field == BinaryField::kMay || (field == BinaryField::kMust) == (bytes != 0);
}

/// Reads the extras of the row's kind, which are there.
void ReadExtras(const char* in, size_t bytes, BinaryRequest* request) {
  switch (request->row->extras) {
    case BinaryExtras::kNone:
      break;
    case BinaryExtras::kMaybeExpiry:
      if (bytes == 0) break;
      [[fallthrough]];
    case BinaryExtras::kExpiry:
      request->exptime = ReadBigEndian<uint32_t>(in);
      break;
    case BinaryExtras::kStore:
      request->client_flags = ReadBigEndian<uint32_t>(in);
      request->exptime = ReadBigEndian<uint32_t>(in + 4);
      break;
    case BinaryExtras::kArithmetic:
      request->delta = ReadBigEndian<uint64_t>(in);
      request->initial = ReadBigEndian<uint64_t>(in + 8);
      request->exptime = ReadBigEndian<uint32_t>(in + 16);
      break;
  }
}

}  // namespace

std::span<const BinaryOpcodeRow> BinaryOpcodes() { return kRows; }

const BinaryOpcodeRow* FindBinaryOpcode(uint8_t opcode) {
  const uint8_t row = kRowByOpcode[opcode];
  return row == kNoRow ? nullptr : &kRows[row];
}

std::string_view BinaryStatusText(BinaryStatus status) {
  switch (status) {
#define X(enumerator, code, text) \
  case BinaryStatus::enumerator:  \
    return text;
    CAIRN_BINARY_STATUSES(X)
#undef X
  }
  return "";
}

BinaryParsed ParseBinaryRequest(std::string_view input, bool authenticated) {
  BinaryParsed parsed;
  BinaryRequest& request = parsed.request;
  if (!input.empty() && static_cast<uint8_t>(input[0]) != kBinaryRequestMagic) {
    parsed.result = BinaryParse::kBadMagic;
    return parsed;
  }
  if (input.size() < kBinaryHeaderBytes) return parsed;
  const char* const header = input.data();
  request.opcode = static_cast<uint8_t>(header[1]);
  request.row = FindBinaryOpcode(request.opcode);
  const size_t key_bytes = ReadBigEndian<uint16_t>(header + 2);
  const size_t extras_bytes = static_cast<uint8_t>(header[4]);
  request.body_bytes = ReadBigEndian<uint32_t>(header + 8);
  request.opaque = ReadBigEndian<uint32_t>(header + 12);
  request.cas = ReadBigEndian<uint64_t>(header + 16);

  const auto refuse = [&parsed](BinaryStatus status) {
    parsed.result = BinaryParse::kRefused;
    parsed.status = status;
    return parsed;
  };
  // The order of these checks is memcached's: each has an answer of its own.
  if (key_bytes + extras_bytes > request.body_bytes) return refuse(BinaryStatus::kUnknownCommand);
  if (request.body_bytes > kMaxBinaryBodyBytes) return refuse(BinaryStatus::kInvalidArguments);
  const BinaryOpcodeRow* const row = request.row;
  if (!authenticated && (row == nullptr || !row->before_auth)) {
    return refuse(BinaryStatus::kAuthError);
  }
  if (key_bytes > kMaxBinaryKeyBytes) return refuse(BinaryStatus::kInvalidArguments);
  if (row == nullptr) {
    parsed.result = BinaryParse::kUnknown;
    parsed.status = BinaryStatus::kUnknownCommand;
    return parsed;
  }
  request.value_bytes = static_cast<uint32_t>(request.body_bytes - key_bytes - extras_bytes);
  if (!AllowsExtras(row->extras, extras_bytes) || !Allows(row->key, key_bytes) ||
      !Allows(row->value, request.value_bytes)) {
    return refuse(BinaryStatus::kInvalidArguments);
  }
  if (input.size() < request.prefix_bytes()) return parsed;
  ReadExtras(header + kBinaryHeaderBytes, extras_bytes, &request);
  request.key = input.substr(kBinaryHeaderBytes + extras_bytes, key_bytes);
  parsed.result = BinaryParse::kOk;
  return parsed;
}

std::string_view BinaryKeyAhead(std::string_view* input) {
  const char* const header = input->data();
  if (input->size() < kBinaryHeaderBytes ||
      static_cast<uint8_t>(header[0]) != kBinaryRequestMagic) {
    *input = {};
    return {};
  }
  const size_t key_bytes = ReadBigEndian<uint16_t>(header + 2);
  const size_t key_at = kBinaryHeaderBytes + static_cast<uint8_t>(header[4]);
  const size_t packet_bytes = kBinaryHeaderBytes + ReadBigEndian<uint32_t>(header + 8);
  if (key_at + key_bytes > std::min(input->size(), packet_bytes)) {
    *input = {};
    return {};
  }
  const std::string_view key = input->substr(key_at, key_bytes);
  input->remove_prefix(std::min(input->size(), packet_bytes));
  return key.size() <= kMaxBinaryKeyBytes ? key : std::string_view();
}

char* WriteBinaryHeader(const BinaryResponse& response, char* out) {
  *out++ = static_cast<char>(kBinaryResponseMagic);
  *out++ = static_cast<char>(response.opcode);
  out = WriteBigEndian<uint16_t>(response.key_bytes, out);
  *out++ = static_cast<char>(response.extras_bytes);
  *out++ = 0;  // data type: there is only this one
  out = WriteBigEndian<uint16_t>(static_cast<uint16_t>(response.status), out);
  out = WriteBigEndian<uint32_t>(response.body_bytes, out);
  out = WriteBigEndian<uint32_t>(response.opaque, out);
  return WriteBigEndian<uint64_t>(response.cas, out);
}

char* WriteBigEndian32(uint32_t number, char* out) { return WriteBigEndian(number, out); }
char* WriteBigEndian64(uint64_t number, char* out) { return WriteBigEndian(number, out); }

}  // namespace cairn::protocol
