#pragma once

#include <string>
#include <string_view>

#include "protocol/binary_codec.h"
#include "server/session.h"

/// The binary protocol's commands: what the files that serve them share.
namespace cairn::server {

/// An answer with this status and, but for success, its text as the value.
void ReplyStatus(Session& session, const protocol::BinaryRequest& request,
                 protocol::BinaryStatus status);
/// The same with another text.
void ReplyStatus(Session& session, const protocol::BinaryRequest& request,
                 protocol::BinaryStatus status, std::string_view text);
/// Success without a value; left out when the request is quiet.
void ReplyStored(Session& session, const protocol::BinaryRequest& request, uint64_t cas);
/// Success with a value.
void ReplyValue(Session& session, const protocol::BinaryRequest& request, uint64_t cas,
                std::string_view value);
/// What ReplyStatus would append, for Session::Swallow.
std::string StatusPacket(const protocol::BinaryRequest& request, protocol::BinaryStatus status,
                         std::string_view text);

/// Get, GetK, Touch, GAT, GATK.
void ServeBinaryFetch(Session& session, const protocol::BinaryRequest& request);

/// Set, Add, Replace, Append, Prepend. `input` begins with the request. The step consumes the
/// packet's prefix alone when the value is received by other means.
Step ServeBinaryStore(Session& session, const protocol::BinaryRequest& request,
                      std::string_view input);

/// Stat.
void ServeBinaryStat(Session& session, const protocol::BinaryRequest& request);

/// SASL list, auth and step.
Step ServeBinarySasl(Session& session, const protocol::BinaryRequest& request,
                     std::string_view input);

}  // namespace cairn::server
