// What goes wrong between a client and its servers: nothing hangs, no wrong value is returned, and
// what was not reached is told from what is not there.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/server_process.h"

namespace cairn {
namespace {

using Talk = ScriptedPeer::Talk;

ClientOptions OptionsFor(std::vector<Server> servers) {
  ClientOptions options;
  options.servers = std::move(servers);
  options.protocol = ClientOptions::Protocol::kText;
  options.max_fails = 0;
  options.connect_timeout = options.request_timeout = absl::Seconds(10);
  options.call_timeout = absl::Seconds(60);
  return options;
}

// A peer that answers every line of every connection with `answer`.
Talk Answering(std::string answer) {
  return [answer](Conversation& conversation, int) {
    while (!conversation.Line().empty()) conversation.Send(answer);
  };
}

}  // namespace

TEST_CASE("a port that refuses is unavailable", "[client]") {
  Server nobody;
  nobody.host = "127.0.0.1";
  nobody.port = FreePort();
  const auto client = Connect(OptionsFor({nobody}));
  const auto got = client->Get("key");
  CHECK(absl::IsUnavailable(got.status()));
  CHECK_THAT(std::string(got.status().message()),
             Catch::Matchers::ContainsSubstring(nobody.Address()));
  CHECK(absl::IsUnavailable(client->Set("key", "value")));
  const std::string_view keys[] = {"a", "b"};
  const MultiGetResult multi = client->GetMulti(keys);
  CHECK(multi.not_reached() == 2);
  CHECK(absl::IsUnavailable(multi.status(1)));
}

TEST_CASE("a name that does not resolve is a server that is down", "[client]") {
  Server nobody;
  nobody.host = "no-such-host.invalid";
  const auto client = Connect(OptionsFor({nobody}));
  CHECK(absl::IsUnavailable(client->Get("key").status()));
}

TEST_CASE("a socket's path that nobody listens on is unavailable", "[client]") {
  const auto client = Connect(OptionsFor({Server::Parse("/nowhere/at.all").value()}));
  CHECK(absl::IsUnavailable(client->Get("key").status()));
}

TEST_CASE("a server that says nothing costs the request timeout", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) { conversation.Hang(); });
  ClientOptions options = OptionsFor({peer.server()});
  options.request_timeout = absl::Milliseconds(50);
  const auto client = Connect(options);
  CHECK(absl::IsDeadlineExceeded(client->Get("key").status()));
  CHECK(absl::IsDeadlineExceeded(client->Set("key", "value")));
  options.protocol = ClientOptions::Protocol::kAuto;  // its version is what is awaited
  options.connect_timeout = absl::Milliseconds(50);
  CHECK(absl::IsDeadlineExceeded(Connect(options)->Get("key").status()));
}

TEST_CASE("a call ends with its own timeout, and its late answer is nobody else's", "[client]") {
  std::atomic<bool> late{false};
  ScriptedPeer peer([&late](Conversation& conversation, int) {
    conversation.Expect("get first");
    while (!late) std::this_thread::yield();
    conversation.Send("VALUE first 0 5\r\nlate!\r\nEND\r\n");
    conversation.Expect("get second");
    conversation.Send("VALUE second 0 3\r\nyes\r\nEND\r\n");
    conversation.Hang();
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  CHECK(absl::IsDeadlineExceeded(client->Get("first", {absl::Milliseconds(20)}).status()));
  late = true;
  CHECK(client->Get("second").value() == "yes");
  CHECK(peer.connections() == 1);
}

TEST_CASE("a peer that trickles does not outlast the call's timeout", "[client]") {
  std::atomic<bool> stop{false};
  ScriptedPeer peer([&stop](Conversation& conversation, int) {
    conversation.Line();
    conversation.Send("VALUE key 0 1000000\r\n");
    while (!stop) {
      conversation.Send("x");
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  const std::string_view keys[] = {"key", "other"};
  const MultiGetResult got = client->GetMulti(keys, {absl::Milliseconds(50)});
  CHECK(got.not_reached() == 2);
  CHECK(absl::IsDeadlineExceeded(got.status(0)));
  stop = true;
}

TEST_CASE("an answer that makes no sense is data loss, never a value", "[client]") {
  const std::string answer =
      GENERATE(as<std::string>{},
               "VALUE other 0 5\r\nhello\r\nEND\r\n",           // another key's
               "VALUE key 0 5\r\nhello world\r\nEND\r\n",       // longer than it says
               "VALUE key 0 x\r\nhello\r\nEND\r\n",             // no length
               "VALUE key 0\r\nhello\r\nEND\r\n",               //
               "VALUE key 0 -5\r\nhello\r\nEND\r\n",            //
               "VALUE key 0 99999999999999\r\n",                // no such value exists
               "VALUE key 0 1\r\nh\r\nVALUE key 0 1\r\ni\r\n",  // twice
               "STORED\r\n",                                    // to something else
               "\r\n",                                          //
               "END\n",                                         // not a line
               "HTTP/1.1 400 Bad Request\r\n\r\n");
  INFO(answer);
  ScriptedPeer peer(Answering(answer));
  const auto client = Connect(OptionsFor({peer.server()}));
  const auto got = client->Get("key");
  CHECK(absl::IsDataLoss(got.status()));
  CHECK(absl::IsDataLoss(client->Get("key").status()));
  CHECK(peer.connections() == 2);  // the first one was never used again
}

#ifndef CAIRN_SANITIZED  // whose own memory knows no such bound
TEST_CASE("a value that has no room in memory is an error, not an exception", "[client]") {
  ScriptedPeer peer(Answering("VALUE key 0 1000000000\r\n"));
  const auto client = Connect(OptionsFor({peer.server()}));
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  REQUIRE(pages > 0);
  rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  rlimit less = before;
  less.rlim_cur = pages * static_cast<size_t>(getpagesize()) + (size_t{500} << 20);
  REQUIRE(setrlimit(RLIMIT_AS, &less) == 0);
  const absl::Status status = client->Get("key").status();
  REQUIRE(setrlimit(RLIMIT_AS, &before) == 0);
  CHECK(absl::IsResourceExhausted(status));
}
#endif

TEST_CASE("an answer to a write has to be one", "[client]") {
  const std::string answer = GENERATE(as<std::string>{}, "DELETED\r\n", "END\r\n", "OK\r\n",
                                      "HD\r\n", "VALUE key 0 1\r\n");
  ScriptedPeer peer(Answering(answer));
  const auto client = Connect(OptionsFor({peer.server()}));
  CHECK(absl::IsDataLoss(client->Touch("key", absl::Seconds(9)).status()));
  CHECK(absl::IsDataLoss(client->Increment("key").status()));
}

TEST_CASE("a meta stream that is a line behind is found before it is believed", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int number) {
    conversation.Expect("version");
    conversation.Send("VERSION 1.6.45\r\n");
    conversation.Expect("mn");
    conversation.Send("MN\r\n");
    for (const char* key : {"a", "b"}) conversation.Expect(std::string("md ") + key);
    conversation.Expect("mn");
    conversation.Send(number == 0 ? "HD\r\nHD\r\nHD\r\n" : "HD\r\nHD\r\nMN\r\n");
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  const auto client = Connect(options);
  CHECK(client->Set("warm up", "").code() == absl::StatusCode::kInvalidArgument);
  const std::string_view keys[] = {"a", "b"};
  const MultiWriteResult wrong = client->DeleteMulti(keys);
  CHECK(absl::IsDataLoss(wrong.status(0)));
  CHECK(absl::IsDataLoss(wrong.status(1)));
  CHECK(client->DeleteMulti(keys).done_count() == 2);
}

TEST_CASE("what an old server did before it went away is known", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Expect("version");
    conversation.Send("VERSION 1.4.39\r\n");
    conversation.Expect("delete a");
    conversation.Expect("delete b");
    conversation.Send("DELETED\r\n");
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  const std::string_view keys[] = {"a", "b"};
  const MultiWriteResult result = Connect(options)->DeleteMulti(keys);
  CHECK(result.done(0));
  CHECK(absl::IsUnavailable(result.status(1)));
}

TEST_CASE("after one write's answer there may be nothing more", "[client]") {
  std::atomic<bool> said{false};
  ScriptedPeer peer([&said](Conversation& conversation, int number) {
    conversation.Expect("version");
    conversation.Send("VERSION 1.6.45\r\n");
    conversation.Expect("mn");
    conversation.Send("MN\r\n");
    conversation.Expect(number == 0 ? "ms a 1" : "ms b 1");
    conversation.Expect("x");
    conversation.Send(number == 0 ? "HD\r\nNS\r\n" : "HD\r\n");
    said = true;
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  const auto client = Connect(options);
  CHECK(client->Set("a", "x").ok());
  while (!said) std::this_thread::yield();
  CHECK(client->Set("b", "x").ok());
  CHECK(peer.connections() == 2);
}

TEST_CASE("what a peer says unasked while idle is never an answer", "[client]") {
  std::atomic<bool> said{false};
  ScriptedPeer peer([&said](Conversation& conversation, int number) {
    while (!conversation.Line().empty()) {
      conversation.Send("VALUE key 0 1\r\n" + std::to_string(number) + "\r\nEND\r\n");
      if (number > 0) continue;
      conversation.Send("VALUE key 0 5\r\nwrong\r\nEND\r\n");
      said = true;
    }
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  // Whether it comes with the answer or after it: the connection is given up.
  const auto first = client->Get("key");
  if (first.ok()) CHECK(*first == "0");
  while (!said) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) {
    const auto got = client->Get("key");
    if (got.ok()) CHECK(*got != "wrong");
  }
  CHECK(client->Get("key").value() == "1");
}

TEST_CASE("an answer cut short is not a value", "[client]") {
  const std::string answer = GENERATE(as<std::string>{}, "VALUE key 0 5\r\nhel",
                                      "VALUE key 0 5\r\nhello", "VALUE ke", "EN");
  ScriptedPeer peer([answer](Conversation& conversation, int) {
    conversation.Line();
    conversation.Send(answer);
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  CHECK(absl::IsUnavailable(client->Get("key").status()));
}

TEST_CASE("what was answered before the connection broke stays answered", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Line();
    conversation.Send("VALUE b 0 1\r\nB\r\nVALUE c 0 9\r\nhalf");
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  const std::string_view keys[] = {"a", "b", "c", "d"};
  const MultiGetResult got = client->GetMulti(keys);
  CHECK(got[0].outcome == KeyOutcome::kMiss);
  CHECK(got[1].value == "B");
  CHECK(got[2].outcome == KeyOutcome::kNotReached);
  CHECK(got[3].outcome == KeyOutcome::kNotReached);
  CHECK(absl::IsUnavailable(got.status(2)));
}

TEST_CASE("a server's errors are told apart and cost no other answer", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    for (;;) {
      const std::string line = conversation.Line();
      if (line.empty()) return;
      if (line.starts_with("set ")) {
        conversation.Skip(3);
        const bool is_large = line.find("large") != std::string::npos;
        const bool is_full = line.find("full") != std::string::npos;
        conversation.Send(is_large  ? "SERVER_ERROR object too large for cache\r\n"
                          : is_full ? "SERVER_ERROR Out of memory during read\r\n"
                                    : "STORED\r\n");
      } else if (line.starts_with("incr")) {
        conversation.Send("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
      } else {
        conversation.Send("SERVER_ERROR backend is gone\r\n");
      }
    }
  });
  const auto client = Connect(OptionsFor({peer.server()}));
  const SetItem items[] = {{"a", "1"}, {"large", "2"}, {"b", "3"}};
  const MultiWriteResult set = client->SetMulti(items);
  CHECK(set.done(0));
  CHECK(absl::IsResourceExhausted(set.status(1)));
  CHECK(set.done(2));
  CHECK(set.failed_count() == 1);
  CHECK(absl::IsResourceExhausted(client->Set("full", "4")));
  CHECK(absl::IsInvalidArgument(client->Increment("a").status()));
  CHECK(client->Get("a").status().code() == absl::StatusCode::kUnknown);
  CHECK(peer.connections() == 1);
}

TEST_CASE("of values that are stored quietly the errors are told, and nothing else is believed",
          "[client]") {
  const std::string answers = GENERATE(as<std::string>{}, "", "NS\r\n",
                                       "SERVER_ERROR object too large for cache\r\n", "HD\r\n");
  INFO(answers);
  ScriptedPeer peer([answers](Conversation& conversation, int) {
    conversation.Expect("version");
    conversation.Send("VERSION 1.6.45\r\n");
    conversation.Expect("mn");
    conversation.Send("MN\r\n");
    conversation.Expect("get first");
    conversation.Send("END\r\n");
    for (const char* key : {"a", "b"}) {
      conversation.Expect(std::string("ms ") + key + " 1 q");
      conversation.Expect("x");
    }
    conversation.Expect("mn");
    conversation.Send(answers + "MN\r\n");
    conversation.Expect("get last");
    conversation.Send("END\r\n");
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  const auto client = Connect(options);
  REQUIRE(client->Get("first").ok());
  const SetItem items[] = {{"a", "x"}, {"b", "x"}};
  const absl::Status stored = client->SetAll(items);
  if (answers.empty()) CHECK(stored.ok());
  if (answers == "NS\r\n") CHECK(stored.code() == absl::StatusCode::kUnknown);
  if (answers.starts_with("SERVER")) CHECK(absl::IsResourceExhausted(stored));
  if (answers == "HD\r\n") {
    CHECK(absl::IsDataLoss(stored));
    return;
  }
  CHECK(client->Get("last").value() == std::nullopt);
  CHECK(peer.connections() == 1);
}

TEST_CASE("a peer that hangs up on questions is spoken to in text", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    while (true) {
      const std::string line = conversation.Line();
      if (line != "get key") return;
      conversation.Send("VALUE key 0 2\r\nok\r\nEND\r\n");
    }
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  CHECK(Connect(options)->Get("key").value() == "ok");
}

TEST_CASE("an old server and a proxy are spoken to in text", "[client]") {
  const std::string version =
      GENERATE(as<std::string>{}, "VERSION 1.4.39", "VERSION 1.6.11", "ERROR", "VERSION proxy");
  ScriptedPeer peer([version](Conversation& conversation, int) {
    conversation.Expect("version");
    conversation.Send(version + "\r\n");
    conversation.Expect("delete key");
    conversation.Send("DELETED\r\n");
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  CHECK(Connect(options)->Delete("key").value());
}

TEST_CASE("a proxy that hands on a version and no meta commands is spoken to in text", "[client]") {
  // Some hang up without a word, some after it, some not at all.
  const std::string says = GENERATE(as<std::string>{}, "", "ERROR\r\n", "CLIENT_ERROR what?\r\n");
  const bool hangs_up = says.empty() || GENERATE(false, true);
  ScriptedPeer peer([says, hangs_up](Conversation& conversation, int number) {
    if (number == 0) {
      conversation.Expect("version");
      conversation.Send("VERSION 1.6.45\r\n");
      conversation.Expect("mn");
      conversation.Send(says);
      if (!hangs_up) conversation.Hang();
      return;
    }
    conversation.Expect("delete key");
    conversation.Send("DELETED\r\n");
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  CHECK(Connect(options)->Delete("key").value());
}

TEST_CASE("name and password are told first", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Expect("set auth 0 0 11");
    const bool known = conversation.Line() == "user secret";
    conversation.Expect("version");
    conversation.Send(known ? "STORED\r\n" : "CLIENT_ERROR authentication failure\r\n");
    conversation.Send("VERSION 1.6.45\r\n");
    conversation.Expect("mn");
    conversation.Send("MN\r\n");
    conversation.Expect("get key");
    conversation.Send("END\r\n");
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kAuto;
  options.username = "user";
  options.password = "secret";
  CHECK(Connect(options)->Get("key").value() == std::nullopt);
}

TEST_CASE("a wrong password is told as such", "[client]") {
  ScriptedPeer peer(Answering("CLIENT_ERROR authentication failure\r\n"));
  ClientOptions options = OptionsFor({peer.server()});
  options.username = "user";
  options.password = "guess!";
  const auto got = Connect(options)->Get("key");
  CHECK_THAT(std::string(got.status().message()),
             Catch::Matchers::ContainsSubstring("authentication"));
}

TEST_CASE("a server that failed too often is left alone, and tried again later", "[client]") {
  std::atomic<bool> well{false};
  ScriptedPeer peer([&well](Conversation& conversation, int) {
    while (!conversation.Line().empty()) {
      conversation.Send(well ? "END\r\n" : "garbage\r\n");
    }
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.max_fails = 3;
  options.fail_timeout = absl::Milliseconds(200);
  const auto client = Connect(options);
  for (int i = 0; i < 3; ++i) CHECK(absl::IsDataLoss(client->Get("key").status()));
  const int before = peer.connections();
  well = true;
  const auto left_alone = client->Get("key");
  if (absl::IsUnavailable(left_alone.status())) CHECK(peer.connections() == before);
  while (!client->Get("key").ok()) std::this_thread::yield();  // for as long as the pause lasts
  CHECK(peer.connections() == before + 1);
}

TEST_CASE("what is no version is not taken for one", "[client]") {
  ScriptedPeer peer([](Conversation& conversation, int) {
    conversation.Expect("version");
    conversation.Send("STAT x\r\nEND\r\n");
    conversation.Hang();
  });
  ClientOptions options = OptionsFor({peer.server()});
  options.protocol = ClientOptions::Protocol::kText;
  CHECK(absl::IsDataLoss(Connect(options)->Version(0).status()));
}

TEST_CASE("options that contradict themselves are refused", "[client]") {
  Server server;
  server.host = "127.0.0.1";
  CHECK(absl::IsInvalidArgument(Client::Make({}).status()));
  ClientOptions options = OptionsFor({server});
  options.key_prefix = "with blank ";
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  options.key_prefix = std::string(200, 'p');
  CHECK(Client::Make(options).ok());
  options.key_prefix = std::string(201, 'p');
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  options = OptionsFor({server});
  options.connections_per_server = 0;
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  options = OptionsFor({server});
  options.request_timeout = absl::ZeroDuration();
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  options = OptionsFor({server});
  options.password = "a\r\nflush_all";
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
}

TEST_CASE("servers without a host or a port are refused by name", "[client]") {
  Server good;
  good.host = "127.0.0.1";
  Server bad = good;
  std::string says;
  SECTION("no host") {
    bad.host.clear();
    says = R"(servers[1], ":11211", has no host)";
  }
  SECTION("no port") {
    bad.port = 0;
    says = R"(servers[1], "127.0.0.1:0", has no port)";
  }
  const absl::Status refused = Client::Make(OptionsFor({good, bad})).status();
  CHECK(absl::IsInvalidArgument(refused));
  CHECK(std::string(refused.message()) == says);
}

TEST_CASE("a server at a UNIX socket needs no port", "[client]") {
  Server server;
  server.host = "/nowhere/socket";
  server.port = 0;
  CHECK(Client::Make(OptionsFor({server})).ok());
}

}  // namespace cairn
