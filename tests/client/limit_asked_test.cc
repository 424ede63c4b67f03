// A server is asked for its limit when a value may be too large for it.
#include <event2/event.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/large_values.h"
#include "tests/client/server_process.h"
#include "tests/server/temporary_folder.h"

namespace cairn {

TEST_CASE("a limit is asked for when it may matter, and once", "[client]") {
  Storing storing(
      {.settings = kSixteen, .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(LargeValueOptions(storing.peer.server()));
  REQUIRE(client->Set("k", "small").ok());
  REQUIRE(client->SetMulti(std::vector<SetItem>(1000, {"k", "small"})).done(999));
  REQUIRE(client->DeleteMulti(std::vector<std::string_view>(1000, "k")).done(999));
  CHECK(storing.asked == 0);
  // What made it ask waits for the answer.
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(20'000, 'x'))));
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 1001);
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(20'000, 'x'))));
  CHECK(client->Set("k", std::string(16'000, 'x')).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 1002);
}

TEST_CASE("a strange answer about limits changes nothing", "[client]") {
  const std::string answer = GENERATE(
      as<std::string>(), "END\r\n", "STAT item_size_max many\r\nEND\r\n",
      "STAT item_size_max \r\nEND\r\n", "STAT item_size_max 0\r\nEND\r\n",
      "STAT item_size_max -1\r\nEND\r\n", "STAT item_size_max 99999999999999999999999\r\nEND\r\n",
      "STAT \r\nSTAT item_size_max\r\nEND\r\n",
      // A proxy's own limit is not its servers'.
      "STAT item_size_max 16384\r\nSTAT proxy_enabled yes\r\nEND\r\n",
      "STAT proxy_enabled yes\r\nSTAT item_size_max 16384\r\nEND\r\n");
  INFO(answer);
  Storing storing(
      {.settings = answer, .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(LargeValueOptions(storing.peer.server()));
  for (int i = 0; i < 3; ++i) CHECK(client->Set("k", std::string(20'000, 'x')).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 3);
  CHECK(storing.peer.connections() == 1);
  CHECK(client->Stats()[0].written == 3);
}

TEST_CASE("who hangs up on the question, or has no answer to it, is not asked again", "[client]") {
  const std::string answer =
      GENERATE(as<std::string>(), "", "HD\r\n", "MN\r\nEND\r\n", "END\r\nEND\r\n", "ERROR\r\n",
               "SERVER_ERROR what\r\n", "CLIENT_ERROR no\r\n", std::string(20'000, 'x'),
               "VALUE k 0 1\r\nx\r\nEND\r\n");
  INFO(answer);
  Storing storing({.settings = answer,
                   .hangs_up = answer.empty() ? 1 : 0,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  ClientOptions options = LargeValueOptions(storing.peer.server());
  options.max_fails = 1;  // it is no failure of the server's
  const auto client = Connect(options);
  const bool first = GENERATE(true, false);
  if (!first) REQUIRE(client->Set("k", "small").ok());
  const std::string large(20'000, 'x');
  const SetItem items[] = {{"k", "x"}, {"k", large}, {"k", "y"}};
  CHECK(client->SetMulti(items).done_count() == 3);
  for (int i = 0; i < 3; ++i) CHECK(client->Set("k", large).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == (first ? 6 : 7));
  CHECK(storing.peer.connections() == 2);
  CHECK(client->Stats()[0].not_reached.total() == 0);
}

TEST_CASE("who says nothing to the question is a server that does not answer", "[client]") {
  Storing storing({.settings = kSixteen, .keeps_silent = 1});
  ClientOptions options = LargeValueOptions(storing.peer.server());
  options.request_timeout = absl::Milliseconds(500);
  const auto client = Connect(options);
  REQUIRE(client->Set("k", "small").ok());
  const std::string large(20'000, 'x');
  CHECK(absl::IsDeadlineExceeded(client->Set("k", large)));
  CHECK(storing.stored == 1);
  // It is not asked again for a while.
  CHECK(client->Set("k", large).ok());
  CHECK(storing.asked == 1);
  CHECK(storing.peer.connections() == 2);
}

TEST_CASE("a question that was given up is asked again", "[client]") {
  Storing storing({.settings = kSixteen, .keeps_silent = 1});
  const auto client = Connect(LargeValueOptions(storing.peer.server()));
  const std::string large(20'000, 'x');
  event_base* const base = event_base_new();
  {
    AsyncClient gives_up(client.get(), base);
    gives_up.Set("k", large).Then([](const absl::Status&) {});
    while (storing.asked == 0) event_base_loop(base, EVLOOP_NONBLOCK);
  }
  event_base_free(base);
  CHECK(absl::IsResourceExhausted(client->Set("k", large)));
  CHECK(storing.asked == 2);
  CHECK(storing.stored == 0);
}

TEST_CASE("a server that comes back may have another limit", "[client]") {
  auto storing = std::make_unique<Storing>(Script{.settings = kSixteen});
  const Server server = storing->peer.server();
  const auto client = Connect(LargeValueOptions(server));
  REQUIRE(client->Set("k", std::string(kLarge, 'x')).ok());
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(20'000, 'x'))));
  storing.reset();
  storing = std::make_unique<Storing>(
      Script{.settings = "STAT item_size_max 65536\r\nEND\r\n", .port = server.port});
  while (!client->Set("k", "small").ok()) std::this_thread::yield();
  CHECK(client->Set("k", std::string(20'000, 'x')).ok());
  CHECK(client->Set("k", std::string(60'000, 'x')).ok());
  CHECK(absl::IsResourceExhausted(client->Set("k", std::string(70'000, 'x'))));
  CHECK(storing->asked == 1);
}

TEST_CASE("a connection that was only asked for the limit is made again like any other",
          "[client]") {
  ServerProcess server("cairnd", {"-I", "2k"});
  const auto client = Connect(LargeValueOptions(server.server()));
  CHECK(absl::IsResourceExhausted(client->Replace("k", std::string(5000, 'x')).status()));
  server.Kill();
  server.Start();
  CHECK(client->Get("k").value() == std::nullopt);
  CHECK(client->Stats()[0].connections_made == 2);
}

TEST_CASE("a limit holds over a UNIX socket, too, also of a server that was started again",
          "[client]") {
  const server::TemporaryFolder folder;
  ServerProcess server("cairnd", {"-I", "2k", "-s", folder.Path("socket")});
  ClientOptions options = LargeValueOptions(server.server());
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  for (int starts = 0; starts < 3; ++starts) {
    REQUIRE(client->Set("key", "old").ok());
    CHECK(absl::IsResourceExhausted(client->Set("key", std::string(5000, 'x'))));
    CHECK(client->Get("key").value() == std::nullopt);
    CHECK(Stat(*client, "bytes_read") < 1000);
    server.Kill();
    server.Start();
  }
  CHECK(client->Stats()[0].connections_made == 3);
}

// To a UNIX socket the connection that is made in place of the one that broke is there at once.
TEST_CASE("who hangs up on the question over a UNIX socket loses nothing by it either",
          "[client]") {
  const server::TemporaryFolder folder;
  Storing storing({.settings = kSixteen,
                   .hangs_up = 1000,
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion),
                   .path = folder.Path("socket")});
  ClientOptions options = LargeValueOptions(storing.peer.server());
  // In classic text nothing is asked of a new connection.
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  CHECK(client->Set("key", std::string(5000, 'x')).ok());
  CHECK(client->Set("key", "small").ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == 2);
}

TEST_CASE("the question waits for what was asked before, and nothing is lost by it", "[client]") {
  Storing storing({.settings = kSixteen,
                   .hangs_up = GENERATE(0, 1000),
                   .version = GENERATE(as<std::string>(), "1.6.45", kOldVersion)});
  const auto client = Connect(LargeValueOptions(storing.peer.server()));
  const std::string large(10'000, 'x');
  std::vector<SetItem> items(2000, {"k", "small"});
  for (size_t i = 700; i < items.size(); i += 500) items[i].value = large;
  std::vector<std::thread> threads;
  std::atomic<size_t> done{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { done += client->SetMulti(items).done_count(); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == 4 * items.size());
  CHECK(storing.stored == 4 * 2000);
  CHECK(storing.asked == 1);
}

TEST_CASE("the call that finds a server up again may ask it for its limit", "[client]") {
  Server server;
  server.host = "127.0.0.1";
  server.port = FreePort();
  ClientOptions options = LargeValueOptions(server);
  options.max_fails = 1;
  options.fail_timeout = absl::Milliseconds(50);
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  const auto client = Connect(options);
  const std::string large(20'000, 'x');
  REQUIRE(absl::IsUnavailable(client->Set("k", large)));
  const bool hangs_up = GENERATE(false, true);
  Storing storing({.settings = kSixteen, .hangs_up = hangs_up ? 1 : 0, .port = server.port});
  absl::Status status = client->Set("k", large);
  while (absl::IsUnavailable(status)) status = client->Set("k", large);
  CHECK((hangs_up ? status.ok() : absl::IsResourceExhausted(status)));
  CHECK(storing.asked == 1);
  CHECK(storing.peer.connections() == (hangs_up ? 2 : 1));
  // It is not left alone any more.
  CHECK(client->Set("k", "small").ok());
  CHECK(storing.stored == (hangs_up ? 2 : 1));
}

TEST_CASE("of a server with several addresses the one that answers is asked", "[client]") {
  const bool hangs_up = GENERATE(false, true);
  Storing storing({.settings = kSixteen, .hangs_up = hangs_up ? 1 : 0});
  Server server = storing.peer.server();
  server.host = "cache.example";
  ClientOptions options = LargeValueOptions(server);
  options.protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  // Nobody listens on the first.
  options.resolver = [](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    return std::vector<std::string>{"127.0.0.3", "127.0.0.1"};
  };
  const auto client = Connect(options);
  const absl::Status status = client->Set("k", std::string(20'000, 'x'));
  CHECK((hangs_up ? status.ok() : absl::IsResourceExhausted(status)));
  CHECK(client->Set("k", "small").ok());
  CHECK(storing.asked == 1);
  CHECK(storing.stored == (hangs_up ? 2 : 1));
  CHECK(client->Stats()[0].not_reached.total() == 0);
}

}  // namespace cairn
