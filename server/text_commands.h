#pragma once

#include <string_view>

#include "protocol/text_parser.h"
#include "server/session.h"

/// The text protocol's commands on the store: one adapter from parsed requests to store operations
/// and from their results to memcached's words.
namespace cairn::server {

inline constexpr std::string_view kBadDataChunk = "CLIENT_ERROR bad data chunk";
inline constexpr std::string_view kTooLargeReply = "SERVER_ERROR object too large for cache";
inline constexpr std::string_view kNoMemoryReply = "SERVER_ERROR out of memory storing object";

/// With -vv, writes a request's line to stderr.
void LogRequest(Session& session, std::string_view line);

/// Appends one line and its end.
void Reply(Session& session, std::string_view line);
/// The same unless the request said noreply.
void ReplyUnless(Session& session, bool noreply, std::string_view line);

/// get, gets, gat, gats.
void ServeRetrieval(Session& session, const protocol::TextRequest& request);

/// set, add, replace, append, prepend, cas and ms. `line` is the request's, `body` the input behind
/// it. Returns how much of `body` was used, or nothing when more of it is needed first.
std::optional<size_t> ServeStore(Session& session, const protocol::TextRequest& request,
                                 std::string_view line, std::string_view body);

void ServeDelete(Session& session, const protocol::TextRequest& request);
void ServeArithmetic(Session& session, const protocol::TextRequest& request);
void ServeTouch(Session& session, const protocol::TextRequest& request);
void ServeFlushAll(Session& session, const protocol::TextRequest& request);

// meta_commands.cc
void ServeMetaGet(Session& session, const protocol::TextRequest& request);
void ServeMetaDelete(Session& session, const protocol::TextRequest& request);
void ServeMetaArithmetic(Session& session, const protocol::TextRequest& request);
void ServeMetaDebug(Session& session, const protocol::TextRequest& request);

/// Serves the input of a client that has yet to authenticate (-Y): see ascii_auth.cc.
Step ServeUnauthenticated(Session& session, std::string_view input);

}  // namespace cairn::server
