#include "server/meta_reply.h"

#include "protocol/base64.h"
#include "protocol/numbers.h"

namespace cairn::server {

void MetaKey::Decode(const protocol::TextRequest& request) {
  bytes_ = request.key;
  if (!request.meta.base64_key) return;
  bytes_ = std::string_view(decoded_.data(), *protocol::Base64Decode(request.key, decoded_.data()));
}

bool HasLongOpaque(const protocol::MetaFlags& flags) {
  for (const protocol::MetaFlag& flag : flags.in_order()) {
    if (flag.letter() == 'O' && flag.token().size() > protocol::kMaxOpaqueTokenBytes) return true;
  }
  return false;
}

void MetaReply::AddToken(std::string_view token) {
  char* const out = out_->Reserve(1 + token.size());
  *out = ' ';
  token.copy(out + 1, token.size());
  out_->Commit(1 + token.size());
}

void MetaReply::AddNumber(char letter, uint64_t number) {
  char* const begin = out_->Reserve(2 + protocol::kMaxDecimalBytes);
  begin[0] = ' ';
  begin[1] = letter;
  char* const end = protocol::WriteDecimal(number, begin + 2);
  out_->Commit(static_cast<size_t>(end - begin));
}

void MetaReply::AddSigned(char letter, int64_t number) {
  if (number >= 0) {
    AddNumber(letter, static_cast<uint64_t>(number));
    return;
  }
  const char text[] = {' ', letter, '-', '1'};
  out_->Append({text, sizeof text});
}

void MetaReply::AddLetter(char letter) {
  const char text[] = {' ', letter};
  out_->Append({text, sizeof text});
}

void MetaReply::AddItemKey(std::string_view key, bool binary) {
  out_->Append(" k");
  if (!binary) {
    out_->Append(key);
    return;
  }
  char* const begin = out_->Reserve(protocol::Base64EncodedBytes(key.size()));
  char* const end = protocol::Base64Encode(key, begin);
  out_->Commit(static_cast<size_t>(end - begin));
  out_->Append(" b");
}

}  // namespace cairn::server
