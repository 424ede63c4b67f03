#pragma once

#include <span>
#include <string>
#include <string_view>

#include "server/session.h"

/// The operator's commands of the text protocol: how a handler is called, and which there are. They
/// are rare, so clarity goes before speed.
namespace cairn::server {

/// A line cut at its blanks; the verb is tokens[0].
using Tokens = std::span<const std::string_view>;

struct AdminResult {
  AdminResult(const char* text) : reply(text) {}             // NOLINT(google-explicit-constructor)
  AdminResult(std::string text) : reply(std::move(text)) {}  // NOLINT(google-explicit-constructor)
  AdminResult(StepStatus end) : status(end) {}               // NOLINT(google-explicit-constructor)

  std::string reply;  ///< one line without its end; empty: the handler answered, or nobody does
  StepStatus status = StepStatus::kDone;
};

using AdminHandler = AdminResult (*)(Session& session, Tokens tokens);

// stats_commands.cc
AdminResult ServeStats(Session& session, Tokens tokens);
// tuning_commands.cc
AdminResult ServeSlabs(Session& session, Tokens tokens);
AdminResult ServeLru(Session& session, Tokens tokens);
AdminResult ServeExtstore(Session& session, Tokens tokens);
// crawler_commands.cc
AdminResult ServeLruCrawler(Session& session, Tokens tokens);
// watch_command.cc
AdminResult ServeWatch(Session& session, Tokens tokens);
#if CAIRN_DEBUG_COMMANDS
// debug_commands.cc
AdminResult ServeDebugTime(Session& session, Tokens tokens);
AdminResult ServeDebugItem(Session& session, Tokens tokens);
AdminResult ServeMisbehave(Session& session, Tokens tokens);
#endif

inline constexpr char kBadCommandFormat[] = "CLIENT_ERROR bad command line format";

/// One past the highest slab class an operator may name: memcached's limit, or ours when larger.
unsigned SlabClassLimit(Session& session);

/// True when nothing of an earlier request waits to be sent, or only what an `mn` sends: commands
/// that take the connection over ask for it.
bool FirstOfPacket(Session& session);

/// The operator's commands as rows of docs/commands.md: `usage`, help.
std::string DescribeAdminCommands();

}  // namespace cairn::server
