#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "protocol/text_parser.h"
#include "server/output.h"
#include "storage/store.h"

namespace cairn::server {

/// The key of a meta command: the token itself, or what its base64 stands for.
class MetaKey {
 public:
  /// REQUIRES: the request parsed without an error, so that its key is base64 if it says so.
  void Decode(const protocol::TextRequest& request);
  void SetPlain(std::string_view key) { bytes_ = key; }
  std::string_view bytes() const { return bytes_; }

  MetaKey() = default;
  MetaKey(const MetaKey&) = delete;
  MetaKey& operator=(const MetaKey&) = delete;

 private:
  std::array<char, storage::kMaxKeyBytes> decoded_;
  std::string_view bytes_;
};

/// An opaque may have 31 bytes behind its O.
bool HasLongOpaque(const protocol::MetaFlags& flags);

/// Writes the first line of a meta answer.
class MetaReply {
 public:
  explicit MetaReply(Output* out) : out_(out) {}

  /// The status code, as it is.
  void Add(std::string_view text) { out_->Append(text); }
  /// " <token>"
  void AddToken(std::string_view token);
  /// " <letter><number>"
  void AddNumber(char letter, uint64_t number);
  /// " <letter>-1" for a negative number.
  void AddSigned(char letter, int64_t number);
  /// " <letter>"
  void AddLetter(char letter);
  /// " k<key>", or " k<key in base64> b" for a binary one.
  void AddItemKey(std::string_view key, bool binary);
  void End() { out_->Append("\r\n"); }

 private:
  Output* out_;
};

}  // namespace cairn::server
