#include "protocol/numbers.h"
#include "server/auth_file.h"
#include "server/text_commands.h"

namespace cairn::server {
namespace {

constexpr size_t kMinInputBytes = 3;
// A set line cannot be shorter; what is, is no client of ours.
constexpr size_t kMinLineBytes = 6;
constexpr uint32_t kMaxTokenBytes = 16384;
constexpr size_t kTerminatorBytes = 2;

/// The length that "set <key> <flags> <exptime> <bytes>" declares; nothing when it is another line.
std::optional<uint32_t> DeclaredBytes(std::string_view line) {
  const std::string_view verb = protocol::NextToken(&line);
  for (int i = 0; i < 3; ++i) protocol::NextToken(&line);
  const std::string_view bytes = protocol::NextToken(&line);
  if (!verb.starts_with("set") || bytes.empty()) return std::nullopt;
  return protocol::ParseStrictUint32(bytes);
}

/// Answers "user pass".
void Judge(Session& session, std::string_view token) {
  const size_t space = token.find(' ');
  if (space == std::string_view::npos) {
    Reply(session, "CLIENT_ERROR bad authentication token format");
    return;
  }
  ++session.stats().auth_cmds;
  if (session.server().auth_file->Check(token.substr(0, space), token.substr(space + 1))) {
    session.authenticated = true;
    Reply(session, "STORED");
    return;
  }
  ++session.stats().auth_errors;
  Reply(session, "CLIENT_ERROR authentication failure");
}

}  // namespace

Step ServeUnauthenticated(Session& session, std::string_view input) {
  if (input.size() < kMinInputBytes) return {StepStatus::kNeedMore};
  const size_t newline = input.find('\n');
  if (newline == std::string_view::npos) {
    const bool junk = input.size() > protocol::kMaxUnfinishedLineBytes;
    return {junk ? StepStatus::kClose : StepStatus::kNeedMore};
  }
  if (newline < kMinLineBytes) return {StepStatus::kClose};
  std::string_view line = input.substr(0, newline);
  if (line.ends_with('\r')) line.remove_suffix(1);
  const size_t consumed = newline + 1;

  const std::optional<uint32_t> declared = DeclaredBytes(line);
  if (!declared) {
    Reply(session, "CLIENT_ERROR unauthenticated");
    return {StepStatus::kDone, consumed};
  }
  if (*declared > kMaxTokenBytes) {
    Reply(session, "CLIENT_ERROR auth token too long");
    return {StepStatus::kDone, consumed};
  }
  const std::string_view body = input.substr(consumed);
  if (body.size() < *declared + kTerminatorBytes) return {StepStatus::kNeedMore};
  if (body.substr(*declared, kTerminatorBytes) != "\r\n") {
    Reply(session, "CLIENT_ERROR bad command line termination");
  } else {
    Judge(session, body.substr(0, *declared));
  }
  return {StepStatus::kDone, consumed + *declared + kTerminatorBytes};
}

}  // namespace cairn::server
