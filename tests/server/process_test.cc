#include "server/process.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>

#include "fmt/format.h"
#include "tests/catch.h"
#include "tests/server/temporary_folder.h"

namespace cairn::server {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST_CASE("The port file has a line for each internet socket") {
  const TemporaryFolder folder;
  const BoundPort ports[] = {{false, AF_INET, 11211},
                             {false, AF_INET6, 11212},
                             {false, AF_UNIX, 0},
                             {true, AF_INET, 11213}};
  WritePortFile(folder.Path("ports"), ports);
  CHECK(ReadAll(folder.Path("ports")) == "TCP INET: 11211\nTCP INET6: 11212\nUDP INET: 11213\n");
  CHECK_FALSE(std::filesystem::exists(folder.Path("ports.lck")));
}

TEST_CASE("The pid file lives as long as it is kept") {
  const TemporaryFolder folder;
  const std::string path = folder.Write("pid", "not a number\n");
  {
    PidFile outer;
    {
      PidFile inner = PidFile::Write(path, /*remove_at_end=*/true);
      CHECK(ReadAll(path) == fmt::format("{}\n", getpid()));
      outer = std::move(inner);
    }
    CHECK(std::filesystem::exists(path));
    CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
  }
  CHECK_FALSE(std::filesystem::exists(path));
  { const PidFile kept = PidFile::Write(path, /*remove_at_end=*/false); }
  CHECK(std::filesystem::exists(path));
  { const PidFile nowhere = PidFile::Write(folder.Path("no/such/folder"), true); }
}

TEST_CASE("The descriptor limit is raised, never lowered") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  Settings settings;
  settings.max_connections = 1;
  CHECK_FALSE(RaiseLimits(settings, 1).has_value());
  rlimit after{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &after) == 0);
  CHECK(after.rlim_cur == before.rlim_cur);
  // More than the kernel gives anybody.
  settings.max_connections = 2000000000;
  const auto error = RaiseLimits(settings, 64);
  REQUIRE(error.has_value());
  CHECK(error->code == 71);
  CHECK(error->message ==
        "failed to set rlimit for open files. Try starting as root or requesting smaller maxconns "
        "value.\n");
}

TEST_CASE("Root must name a user that there is") {
  if (getuid() != 0) {
    CHECK_FALSE(DropPrivileges(Settings()).has_value());
    return;
  }
  Settings settings;
  auto error = DropPrivileges(settings);
  REQUIRE(error.has_value());
  CHECK(error->code == 64);
  CHECK(error->message == "must add '-u root' to start as root\n");
  settings.user = "no_such_user";
  error = DropPrivileges(settings);
  REQUIRE(error.has_value());
  CHECK(error->code == 67);
  CHECK(error->message == "can't find the user no_such_user to switch to\n");
}

volatile std::sig_atomic_t g_signals_seen = 0;

TEST_CASE("Signals that are held arrive when they are released") {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { g_signals_seen = g_signals_seen + 1; };
  HoldSignals();
  raise(SIGHUP);
  REQUIRE(sigaction(SIGHUP, &action, &before) == 0);
  CHECK(g_signals_seen == 0);
  ReleaseSignals();
  CHECK(g_signals_seen == 1);
  sigaction(SIGHUP, &before, nullptr);
}

}  // namespace
}  // namespace cairn::server
