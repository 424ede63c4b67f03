#include "server/auth_file.h"

#include <atomic>
#include <string>
#include <thread>

#include "fmt/format.h"
#include "tests/catch.h"
#include "tests/server/temporary_folder.h"

namespace cairn::server {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

TEST_CASE("Users and passwords are split at the first colon") {
  const TemporaryFolder folder;
  AuthFile file(folder.Write("users", "alice:secret\nbob:a:b\r\n:empty user\nempty password:"));
  std::string error;
  std::string warning;
  REQUIRE(file.Load(&error, &warning));
  CHECK(warning.empty());
  CHECK(file.Check("alice", "secret"));
  CHECK(file.Check("bob", "a:b"));
  CHECK(file.Check("", "empty user"));
  CHECK(file.Check("empty password", ""));
  CHECK_FALSE(file.Check("alice", "secre"));
  CHECK_FALSE(file.Check("alice", "secrets"));
  CHECK_FALSE(file.Check("alice", ""));
  CHECK_FALSE(file.Check("bob", "a"));
  CHECK_FALSE(file.Check("Alice", "secret"));
  CHECK_FALSE(file.Check("", ""));
}

TEST_CASE("Before it is loaded nobody is let in") {
  const AuthFile file("/no/such/file");
  CHECK_FALSE(file.Check("", ""));
}

TEST_CASE("Files that cannot be used are refused in memcached's words") {
  const TemporaryFolder folder;
  const auto error_of = [](const std::string& path) {
    std::string error;
    CHECK_FALSE(AuthFile(path).Load(&error, nullptr));
    return error;
  };
  CHECK(error_of("/no/such/file") ==
        "Could not open authfile [/no/such/file] for reading, error No such file or directory");
  CHECK(error_of(folder.Path("")).find("Is a directory") != std::string::npos);
  for (const std::string_view text : {""sv, "\n"sv, "alice\n"sv, "alice:secret\n\nbob:x\n"sv,
                                      "# comment\nalice:secret\n"sv, "a\0b:secret\n"sv}) {
    const std::string path = folder.Write("bad", text);
    CHECK(error_of(path) ==
          fmt::format("Authfile [{}] has a malformed entry. Should be 'user:password'", path));
  }
}

TEST_CASE("A reload takes the new users, and a bad file keeps the old") {
  const TemporaryFolder folder;
  AuthFile file(folder.Write("users", "alice:secret\n"));
  std::string error;
  REQUIRE(file.Load(&error, nullptr));
  folder.Write("users", "bob:secret\n");
  CHECK(file.Check("alice", "secret"));
  REQUIRE(file.Load(&error, nullptr));
  CHECK_FALSE(file.Check("alice", "secret"));
  CHECK(file.Check("bob", "secret"));
  folder.Write("users", "bob:secret\nmalformed\n");
  CHECK_FALSE(file.Load(&error, nullptr));
  CHECK(file.Check("bob", "secret"));
}

TEST_CASE("What is too much is left out with a warning") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 9; ++i) text += fmt::format("user{}:p\n", i);
  AuthFile many(folder.Write("many", text));
  std::string error;
  std::string warning;
  REQUIRE(many.Load(&error, &warning));
  CHECK(warning.find("first 8 users") != std::string::npos);
  CHECK(many.Check("user7", "p"));
  CHECK_FALSE(many.Check("user8", "p"));

  AuthFile all(folder.Path("many"), /*max_entries=*/0);
  warning.clear();
  REQUIRE(all.Load(&error, &warning));
  CHECK(warning.empty());
  CHECK(all.Check("user8", "p"));

  AuthFile wide(folder.Write("wide", "u:" + std::string(300, 'x') + "\nv:y\n"));
  REQUIRE(wide.Load(&error, &warning));
  CHECK(warning.find("first 255 bytes") != std::string::npos);
  CHECK(wide.Check("u", std::string(253, 'x')));
  CHECK_FALSE(wide.Check("u", std::string(300, 'x')));
  CHECK(wide.Check("v", "y"));
}

TEST_CASE("Passwords are compared as a whole") {
  CHECK(EqualInConstantTime("", ""));
  CHECK(EqualInConstantTime("a\0b"s, "a\0b"s));
  CHECK_FALSE(EqualInConstantTime("a\0b"s, "a\0c"s));
  CHECK_FALSE(EqualInConstantTime("\x80", "\x7f"));
  CHECK_FALSE(EqualInConstantTime("a", ""));
}

TEST_CASE("Users are checked while the file is loaded") {
  const TemporaryFolder folder;
  AuthFile file(folder.Write("users", "alice:secret\n"));
  std::string error;
  REQUIRE(file.Load(&error, nullptr));
  std::atomic<bool> done{false};
  bool always = true;
  std::thread checker([&] {
    while (!done.load()) always = always && file.Check("alice", "secret");
  });
  for (int i = 0; i < 100; ++i) {
    std::string problem;
    if (!file.Load(&problem, nullptr)) FAIL(problem);
  }
  done = true;
  checker.join();
  CHECK(always);
}

}  // namespace
}  // namespace cairn::server
