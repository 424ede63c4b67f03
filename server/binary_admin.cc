#include <algorithm>
#include <iterator>

#include "server/binary_commands.h"
#include "server/prefix_stats.h"
#include "server/runtime_settings.h"
#include "server/sasl.h"
#include "server/settings.h"
#include "server/stats_report.h"

namespace cairn::server {
namespace {

using protocol::BinaryCommand;
using protocol::BinaryRequest;
using protocol::BinaryResponse;
using protocol::BinaryStatus;

constexpr size_t kMaxMechanismBytes = 32;
/// Of what a client sends to prove who it is.
constexpr uint32_t kMaxAuthDataBytes = 16 << 10;

/// One statistic; the one without name and value ends the list.
void AppendStat(Session& session, const BinaryRequest& request, std::string_view name,
                std::string_view value) {
  BinaryResponse response;
  response.opcode = request.opcode;
  response.key_bytes = static_cast<uint16_t>(name.size());
  response.body_bytes = static_cast<uint32_t>(name.size() + value.size());
  response.opaque = request.opaque;
  Output& out = session.out();
  protocol::WriteBinaryHeader(response, out.Reserve(protocol::kBinaryHeaderBytes));
  out.Commit(protocol::kBinaryHeaderBytes);
  out.Append(name);
  out.Append(value);
}

/// "detail" and what stands behind it. False when that is nothing known, or not allowed.
bool ServeDetail(Session& session, const BinaryRequest& request, std::string_view what) {
  if (!session.server().settings->dump_enabled) return false;
  PrefixStats& prefixes = *session.server().prefix_stats;
  if (what.starts_with(" dump")) {
    AppendStat(session, request, "detailed", prefixes.Dump());
    return true;
  }
  const bool on = what.starts_with(" on");
  if (!on && !what.starts_with(" off")) return false;
  prefixes.set_enabled(on);
  session.server().runtime->detail_enabled = on;
  return true;
}

/// The groups that the binary protocol shows, of those that the text protocol does.
bool ServeGroup(Session& session, const BinaryRequest& request, std::string_view group) {
  constexpr std::string_view kGroups[] = {"", "settings", "items", "slabs", "sizes"};
  if (std::find(std::begin(kGroups), std::end(kGroups), group) == std::end(kGroups)) return false;
  return ReportStats(session.server(), session.now(), group,
                     [&](std::string_view name, std::string_view value) {
                       AppendStat(session, request, name, value);
                     });
}

void ReplySasl(Session& session, const BinaryRequest& request, const SaslOutcome& outcome) {
  switch (outcome.result) {
    case SaslResult::kOk:
      session.authenticated = true;
      ++session.stats().auth_cmds;
      ReplyValue(session, request, 0, "Authenticated");
      return;
    case SaslResult::kContinue:
      ReplyStatus(session, request, BinaryStatus::kAuthContinue, outcome.challenge);
      return;
    case SaslResult::kFail:
      ++session.stats().auth_cmds;
      ++session.stats().auth_errors;
      ReplyStatus(session, request, BinaryStatus::kAuthError);
      return;
  }
}

Step RefuseSasl(Session& session, const BinaryRequest& request, BinaryStatus status) {
  session.Swallow(request.value_bytes,
                  StatusPacket(request, status, protocol::BinaryStatusText(status)));
  return {StepStatus::kDone, request.prefix_bytes()};
}

}  // namespace

void ServeBinaryStat(Session& session, const BinaryRequest& request) {
  constexpr std::string_view kDetail = "detail";
  const std::string_view group = request.key;
  bool known = true;
  // memcached compares these three words with the beginning of what was asked for.
  if (group.starts_with("reset")) {
    ResetStats(session.server());
  } else if (group.starts_with("settings")) {
    known = ServeGroup(session, request, "settings");
  } else if (group.starts_with(kDetail)) {
    known = ServeDetail(session, request, group.substr(kDetail.size()));
  } else {
    known = ServeGroup(session, request, group);
  }
  if (known) {
    AppendStat(session, request, "", "");
  } else {
    ReplyStatus(session, request, BinaryStatus::kNotFound);
  }
}

Step ServeBinarySasl(Session& session, const BinaryRequest& request, std::string_view input) {
  SaslMechanisms* const mechanisms = session.server().sasl;
  if (mechanisms == nullptr) return RefuseSasl(session, request, BinaryStatus::kUnknownCommand);
  if (request.row->command == BinaryCommand::kSaslList) {
    ReplyValue(session, request, 0, mechanisms->List());
    return {StepStatus::kDone, request.packet_bytes()};
  }
  if (request.key.size() > kMaxMechanismBytes) {
    return RefuseSasl(session, request, BinaryStatus::kInvalidArguments);
  }
  if (request.value_bytes > kMaxAuthDataBytes) {
    return RefuseSasl(session, request, BinaryStatus::kNoMemory);
  }
  if (input.size() < request.packet_bytes()) return {StepStatus::kNeedMore};
  const std::string_view data = input.substr(request.prefix_bytes(), request.value_bytes);
  // Whoever tries anew is nobody until that succeeds.
  session.authenticated = false;
  SaslOutcome outcome;
  if (request.row->command == BinaryCommand::kSaslAuth) {
    if (session.sasl == nullptr) session.sasl = mechanisms->NewSession();
    if (session.sasl != nullptr) outcome = session.sasl->Start(request.key, data);
  } else if (session.sasl != nullptr) {
    outcome = session.sasl->Step(data);
  }
  ReplySasl(session, request, outcome);
  return {StepStatus::kDone, request.packet_bytes()};
}

}  // namespace cairn::server
