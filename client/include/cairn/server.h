#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cairn/export.h"

namespace cairn {

/// One cache server, as the application's configuration names it.
struct CAIRN_EXPORT Server {
  /// A host name or an address (IPv6 without brackets), or the path of a UNIX socket, which begins
  /// with '/'. Rings are built from it as it is spelled here: "localhost" and "127.0.0.1" are two
  /// different places on them.
  std::string host;
  /// 0 with a UNIX socket.
  uint16_t port = 11211;
  /// Its share of the keys, relative to the others'. Presets without weights ignore it.
  uint32_t weight = 1;
  /// What rings use in place of host and port when not empty, so that an address can change and
  /// every key stays where it is.
  std::string alias;
  /// Takes no keys as long as every other server does: it gets those of each server that is left
  /// alone (ClientOptions::max_fails); with ClientOptions::eject, when every other server is, as
  /// nginx has it.
  bool backup = false;
  /// Taken out: never connected to, its keys live elsewhere. With rings and rendezvous as if it
  /// were not in the list; with modula it keeps its number there, so that the others' keys stay.
  bool down = false;

  bool IsUnixSocket() const { return !host.empty() && host.front() == '/'; }
  /// "host:port", "[v6]:port" or the path: for messages and statistics.
  std::string Address() const;

  /// Reads "host[:port[:weight]] [alias]", "[v6 address][:port[:weight]] [alias]" or
  /// "/path[:weight] [alias]". InvalidArgument, with the text in the message, for anything else.
  static absl::StatusOr<Server> Parse(std::string_view text);
};

}  // namespace cairn
