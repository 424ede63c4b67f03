// cairnd: a cache that speaks memcached's protocols.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "fmt/format.h"
#include "server/describe.h"
#include "server/option_table.h"
#include "server/process.h"
#include "server/server.h"

namespace {

using cairn::server::Settings;
using cairn::server::StartError;

// Descriptors that are not clients': standard streams, listeners, and a few a worker.
constexpr unsigned kOwnFds = 64;
constexpr unsigned kOwnFdsPerThread = 5;

int Refuse(const StartError& error) {
  fmt::print(stderr, "{}", error.message);
  return error.code;
}

void PrintNotes(const Settings& settings) {
  for (const std::string& warning : settings.warnings) fmt::print(stderr, "{}", warning);
  if (settings.verbosity == 0) return;
  for (const std::string& note : settings.notes) fmt::print(stderr, "{}", note);
}

int RunServer(const Settings& settings) {
  using namespace cairn::server;
  HoldSignals();
  PrintNotes(settings);
  if (const auto error =
          RaiseLimits(settings, kOwnFds + kOwnFdsPerThread * settings.thread_count)) {
    return Refuse(*error);
  }
  Server server;
  if (const auto error = server.Open(settings)) return Refuse(*error);
  if (const auto error = DropPrivileges(settings)) return Refuse(*error);
  Daemon daemon;
  if (const auto error = daemon.Start(settings)) return Refuse(*error);
  if (const auto error = IgnoreSigPipe()) return Refuse(*error);
  if (const char* path = std::getenv("MEMCACHED_PORT_FILENAME")) {
    WritePortFile(path, server.Ports());
  }
  PidFile pid_file;
  if (!settings.pidfile.empty()) {
    pid_file = PidFile::Write(settings.pidfile, settings.daemonize);
  }
  const auto ready = [&] { return daemon.Ready(settings); };
  if (const auto error = server.Run(ready)) return Refuse(*error);
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]).starts_with(cairn::server::kDescribeFlag)) {
    return cairn::server::PrintDescription(argv[1]);
  }
  const cairn::server::ParseResult parsed = cairn::server::ParseOptions(argc, argv);
  if (const auto* exit = std::get_if<cairn::server::Exit>(&parsed)) {
    fmt::print("{}", exit->out);
    fmt::print(stderr, "{}", exit->err);
    return exit->code;
  }
  return RunServer(std::get<Settings>(parsed));
}
