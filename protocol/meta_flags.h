#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// The flags of the meta commands: one letter with its argument glued to it, in any order.
namespace cairn::protocol {

inline constexpr size_t kMaxMetaFlags = 18;
inline constexpr size_t kMaxOpaqueTokenBytes = 32;  ///< the letter O included

/// Trivial, so that a request that has no flags does not pay for room for them.
struct MetaFlag {
  const char* data;
  uint32_t bytes;

  char letter() const { return *data; }
  std::string_view token() const { return {data, bytes}; }  ///< whole, letter included
};

/// All flags of a line, in order and by meaning. Views point into the line.
struct MetaFlags {
  uint8_t count = 0;
  bool base64_key = false;    ///< b
  bool no_update = false;     ///< u
  bool quiet = false;         ///< q
  bool value = false;         ///< v
  bool invalidate = false;    ///< I
  bool remove_value = false;  ///< x
  bool has_ttl = false;       ///< T
  bool has_vivify = false;    ///< N
  bool has_recache = false;   ///< R
  bool has_cas = false;       ///< C
  bool has_new_cas = false;   ///< E
  char mode = 0;              ///< first character of M's argument; 0: no M
  bool has_mode = false;
  int32_t ttl = 0;
  int32_t vivify_ttl = 0;
  int32_t recache_ttl = 0;
  uint32_t client_flags = 0;  ///< F
  uint64_t cas = 0;
  uint64_t new_cas = 0;
  uint64_t delta = 1;                         ///< D
  uint64_t initial = 0;                       ///< J
  std::array<MetaFlag, kMaxMetaFlags> flags;  ///< the first `count`

  std::span<const MetaFlag> in_order() const { return std::span(flags).first(count); }
  /// True when `first` stands before `second`, or `second` is absent. False without `first`.
  bool Precedes(char first, char second) const;
};

/// False when a token cannot be a flag at all, known or not: the line is then no meta command.
bool AllMayBeFlags(std::string_view rest);

/// Parses `rest`, the line behind its `key` (and length). Returns the answer to give (without CRLF)
/// when it is wrong. `max_flags` is one less for ms. REQUIRES: AllMayBeFlags(rest).
std::optional<std::string_view> ParseMetaFlags(std::string_view key, std::string_view rest,
                                               size_t max_flags, MetaFlags* flags);

}  // namespace cairn::protocol
