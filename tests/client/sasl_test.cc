// SASL PLAIN, and the binary protocol that comes with it.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "cairn/look_aside.h"
#include "tests/binary_packet.h"
#include "tests/catch.h"
#include "tests/client/connect.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"
#include "tests/server/temporary_folder.h"

namespace cairn {
namespace {

using Catch::Matchers::ContainsSubstring;
using tests::BinaryPacket;

constexpr char kUser[] = "testuser";
constexpr char kPassword[] = "pass:word";

ClientOptions OptionsFor(const Server& server) {
  ClientOptions options = PatientOptions(server);
  options.username = kUser;
  options.password = kPassword;
  options.auth = ClientOptions::Auth::kSaslPlain;
  return options;
}

/// A server with -S that knows kUser.
class SaslServer {
 public:
  SaslServer() : SaslServer("cairnd", "MEMCACHED_SASL_PWDB=") {
    folder_.Write("passwords", std::string("other:more\n") + kUser + ":" + kPassword + "\n");
  }
  /// Cyrus's database, as memcached has it. Not running where it has no SASL, or Cyrus's tools are
  /// not there.
  explicit SaslServer(const std::string& program) : SaslServer(program, "SASL_CONF_PATH=") {
    const std::string database = folder_.Path("sasldb2");
    const std::string make = std::string("printf %s '") + kPassword + "' | PATH=$PATH:/usr/sbin " +
                             "saslpasswd2 -p -c -f " + database + " -a memcached -u $(hostname) " +
                             kUser + " 2>/dev/null";
    has_users_ = system(make.c_str()) == 0;
    folder_.Write(
        "memcached.conf",
        "mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: " +
            database + "\nlog_level: 0\n");
  }

  ServerProcess* Start(std::vector<std::string> options = {}) {
    if (!has_users_) return nullptr;
    const std::string value = variable_.starts_with("SASL") ? "" : "passwords";
    options.emplace_back("-S");
    process_ = std::make_unique<ServerProcess>(
        program_, std::move(options), std::vector<std::string>{variable_ + folder_.Path(value)});
    return process_->running() ? process_.get() : nullptr;
  }

 private:
  SaslServer(std::string program, std::string variable)
      : program_(std::move(program)), variable_(std::move(variable)) {}

  const std::string program_;
  const std::string variable_;
  const server::TemporaryFolder folder_;
  bool has_users_ = true;
  std::unique_ptr<ServerProcess> process_;
};

void CheckWrites(Client& client) {
  CHECK(client.Set("key", "value", {.flags = 7}).ok());
  const auto item = client.Gets("key").value();
  REQUIRE(item.has_value());
  CHECK(item->value == "value");
  CHECK(item->flags == 7);
  CHECK(item->cas != 0);
  CHECK_FALSE(client.Add("key", "x").value());
  CHECK(client.Add("added", "x").value());
  CHECK(client.Replace("key", "b").value());
  CHECK_FALSE(client.Replace("none", "b").value());
  CHECK(client.Append("key", "c").value());
  CHECK(client.Prepend("key", "a").value());
  CHECK_FALSE(client.Append("none", "c").value());
  CHECK(client.Get("key").value() == "abc");
  CHECK(client.CompareAndSwap("key", "x", item->cas).value() == CasOutcome::kChanged);
  CHECK(client.CompareAndSwap("key", "x", 0).value() == CasOutcome::kChanged);
  CHECK(client.CompareAndSwap("none", "x", item->cas).value() == CasOutcome::kNotFound);
  const uint64_t cas = client.Gets("key").value()->cas;
  CHECK(client.CompareAndSwap("key", "", cas).value() == CasOutcome::kStored);
  CHECK(client.Get("key").value() == "");
  CHECK(client.DeleteIf("key", cas).value() == CasOutcome::kChanged);
  CHECK(client.Delete("key").value());
  CHECK_FALSE(client.Delete("key").value());
  CHECK(client.Get("key").value() == std::nullopt);
}

void CheckTimesAndNumbers(Client& client) {
  CHECK(client.Set("key", "12").ok());
  CHECK(client.Increment("key", 30).value() == 42);
  CHECK(client.Decrement("key", 50).value() == 0);
  CHECK(client.Increment("none").value() == std::nullopt);
  CHECK(client.IncrementOrStart("counter", 5, 100, absl::Hours(1)).value() == 105);
  CHECK(client.IncrementOrStart("counter", 5, 100, absl::Hours(1)).value() == 110);
  CHECK(client.Set("word", "x").ok());
  CHECK(absl::IsInvalidArgument(client.Increment("word").status()));
  CHECK(client.Touch("key", absl::Hours(1)).value());
  CHECK_FALSE(client.Touch("none", absl::Hours(1)).value());
  CHECK(client.GetAndTouch("key", absl::Hours(1)).value().has_value());
  CHECK(client.GetAndTouch("none", absl::Hours(1)).value() == std::nullopt);
  CHECK(client.GetAndTouch("word", absl::ZeroDuration()).value()->value == "x");
  CHECK(client.Get("word").value() == std::nullopt);
  CHECK(client.Set("gone", "x", {.ttl = absl::ZeroDuration()}).ok());
  CHECK(client.Get("gone").value() == std::nullopt);
}

void CheckBulk(Client& client) {
  std::vector<std::string> names;
  std::vector<std::string> values;
  for (size_t i = 0; i < 1000; ++i) {
    names.push_back("bulk" + std::to_string(i));
    values.emplace_back(i < 3 ? 500000 : i, static_cast<char>('a' + i % 26));
  }
  std::vector<SetItem> items;
  for (size_t i = 0; i < names.size(); i += 2) items.push_back({names[i], values[i]});
  CHECK(client.SetAll(items).ok());
  CHECK(client.SetMulti(items).done_count() == items.size());
  const std::vector<std::string_view> keys(names.begin(), names.end());
  const MultiGetResult waited = client.GetMulti(keys, {}, true);
  const MultiGetResult called = Wait(client.Async().GetMulti(keys));
  for (const MultiGetResult* result : {&waited, &called}) {
    CHECK(result->hits() == keys.size() / 2);
    CHECK(result->misses() == keys.size() / 2);
    for (size_t i = 0; i < keys.size(); i += 2) CHECK(((*result)[i].value == values[i]));
  }
  CHECK(client.TouchMulti(keys, absl::Hours(1)).done_count() == items.size());
  CHECK(client.DeleteMulti(keys).done_count() == items.size());
  CHECK(client.GetMulti(keys).misses() == keys.size());
}

void CheckAll(ServerProcess& process) {
  ClientOptions options = OptionsFor(process.server());
  options.key_prefix = "p:";
  const auto client = Connect(options);
  CheckWrites(*client);
  CheckTimesAndNumbers(*client);
  CheckBulk(*client);
  CHECK_FALSE(client->Version(0).value().empty());
  CHECK(client->Stats(0).value().size() > 10);
  CHECK(client->Stats(0, "settings").value().size() > 10);
  CHECK_FALSE(client->Stats(0, "nonsense").ok());
  CHECK(client->FlushAll().ok());
  CHECK(client->Get("added").value() == std::nullopt);
}

}  // namespace

TEST_CASE("everything there is works with SASL and cairnd", "[client][sasl]") {
  SaslServer server;
  ServerProcess* const process = server.Start();
  REQUIRE(process != nullptr);
  CheckAll(*process);
}

TEST_CASE("everything there is works with SASL and memcached", "[client][sasl]") {
  SaslServer server("memcached");
  ServerProcess* const process = server.Start();
  if (process == nullptr) {
    WARN("skipped: no memcached with SASL, or no saslpasswd2");
    return;
  }
  CheckAll(*process);
}

TEST_CASE("what is asked in the binary protocol is counted", "[client][sasl]") {
  SaslServer server;
  ServerProcess* const process = server.Start();
  REQUIRE(process != nullptr);
  const auto client = Connect(OptionsFor(process->server()));
  const SetItem items[] = {{"x", "1"}, {"y", "2"}};
  CHECK(client->Set("word", "word").ok());
  CHECK(client->SetAll(items).ok());
  CHECK_FALSE(client->Increment("word").ok());
  const std::string_view keys[] = {"x", "absent", "y"};
  CHECK(client->GetMulti(keys).hits() == 2);
  const ServerStatistics now = client->Stats().at(0);
  CHECK(now.requests == 4);
  CHECK(now.written == 3);
  CHECK(now.refused == 1);
  CHECK(now.hits == 2);
  CHECK(now.misses == 1);
}

TEST_CASE("a name or password that is wrong reaches nothing", "[client][sasl]") {
  SaslServer server;
  ServerProcess* const process = server.Start();
  REQUIRE(process != nullptr);
  ClientOptions options = OptionsFor(process->server());
  options.password = "wrong";
  const auto got = Connect(options)->Get("key");
  CHECK(absl::IsUnavailable(got.status()));
  CHECK_THAT(std::string(got.status().message()), ContainsSubstring("authentication failed"));
  CHECK(absl::IsUnavailable(Wait(Connect(options)->Async().Get("key")).status()));
  options.auth = ClientOptions::Auth::kAscii;
  CHECK_FALSE(Connect(options)->Get("key").ok());
  options.username.clear();
  CHECK_FALSE(Connect(options)->Get("key").ok());
  options.auth = ClientOptions::Auth::kSaslPlain;
  CHECK(absl::IsInvalidArgument(Client::Make(options).status()));

  ServerProcess open;
  const auto refused = Connect(OptionsFor(open.server()))->Get("key");
  CHECK(absl::IsUnavailable(refused.status()));
}

TEST_CASE("values that are too large for a server with SASL are refused one by one",
          "[client][sasl]") {
  SaslServer server;
  ServerProcess* const process = server.Start();
  REQUIRE(process != nullptr);
  ClientOptions options = OptionsFor(process->server());
  options.value_bytes_max = size_t{8} << 20;
  const auto client = Connect(options);
  const std::string large(size_t{2} << 20, 'x');
  CHECK(absl::IsResourceExhausted(client->Set("large", large)));
  const SetItem items[] = {{"a", "1"}, {"large", large}, {"b", "2"}};
  const MultiWriteResult set = client->SetMulti(items);
  CHECK((set.done(0) && !set.done(1) && set.done(2)));
  CHECK(absl::IsResourceExhausted(client->SetAll(items)));
  CHECK(client->Get("b").value() == "2");

  // Nor is an older value left by what is not even sent.
  options.value_bytes_max = 100;
  const auto modest = Connect(options);
  REQUIRE(modest->SetAll({{{"large", "old"}, {"c", "old"}}}).ok());
  CHECK(absl::IsResourceExhausted(modest->SetAll({{{"large", large}, {"a", "3"}}})));
  CHECK(absl::IsResourceExhausted(modest->Set("c", large)));
  CHECK_FALSE(modest->Get("large").value().has_value());
  CHECK_FALSE(modest->Get("c").value().has_value());
  CHECK(modest->Get("a").value() == "3");
}

TEST_CASE("what a server with SASL does not take is not sent to it", "[client][sasl]") {
  const bool is_ours = GENERATE(true, false);
  SaslServer server = is_ours ? SaslServer() : SaslServer("memcached");
  ServerProcess* const process = server.Start({"-I", "512k"});
  if (process == nullptr) {
    WARN("skipped: no memcached with SASL, or no saslpasswd2");
    return;
  }
  ClientOptions options = OptionsFor(process->server());
  options.key_prefix = "p:";
  const auto other = Connect(options);
  REQUIRE(other->SetAll({{{"a", "old"}, {"b", "old"}, {"c", "old"}, {"large", "old"}}}).ok());
  const auto client = Connect(options);
  const std::string large(600'000, 'x');
  const std::string smaller(400'000, 'x');
  const SetItem items[] = {{"a", large}, {"b", "new"}, {"c", large}};
  SECTION("one") { CHECK(absl::IsResourceExhausted(client->Set("large", large))); }
  SECTION("one on a loop") {
    CHECK(absl::IsResourceExhausted(Wait(client->Async().Set("large", large))));
  }
  SECTION("many") {
    const MultiWriteResult set = client->SetMulti(items);
    CHECK((!set.done(0) && set.done(1) && !set.done(2)));
    CHECK(client->Get("b").value() == "new");
    CHECK(client->GetMulti({{"a", "c"}}).misses() == 2);
  }
  SECTION("many, quietly") {
    CHECK(absl::IsResourceExhausted(client->SetAll(items)));
    CHECK(client->Get("b").value() == "new");
    CHECK(client->GetMulti({{"a", "c"}}).misses() == 2);
  }
  SECTION("what leaves what is there") {
    CHECK(absl::IsResourceExhausted(client->Replace("large", large).status()));
    CHECK(client->Get("large").value() == "old");
  }
  CHECK(client->Stats()[0].bytes_sent < 2000);
  CHECK(client->Stats()[0].bytes_received > 200);
  CHECK(client->Set("large", smaller).ok());
  CHECK(client->Get("large").value() == smaller);
}

TEST_CASE("the patterns work with SASL", "[client][sasl]") {
  SaslServer server;
  ServerProcess* const process = server.Start();
  REQUIRE(process != nullptr);
  const auto client = Connect(OptionsFor(process->server()));
  LookAside pages(client.get(), {});
  int computed = 0;
  const auto compute = [&]() -> LookAside::Value { return "page " + std::to_string(++computed); };
  CHECK(pages.GetOrCompute("page", compute)->value == "page 1");
  CHECK(pages.GetOrCompute("page", compute)->value == "page 1");
  CHECK(pages.DeleteOnWrite(std::vector<std::string_view>{"page"}, [] { return absl::OkStatus(); })
            .write.ok());
  CHECK(pages.GetOrCompute("page", compute)->value == "page 2");
  process->Kill();
  process->Start();
  CHECK(pages.GetOrCompute("page", compute)->value == "page 3");
}

TEST_CASE("binary answers that make no sense are not believed", "[client][sasl]") {
  BinaryPacket hit;
  hit.magic = 0x81;
  hit.opcode = 0x0d;
  hit.extras = std::string(4, '\0');
  hit.key = "key";
  hit.value = "value";
  BinaryPacket end;
  end.magic = 0x81;
  end.opcode = 0x0a;
  std::function<void(uint32_t)> alter = [](uint32_t) {};
  bool good = false;
  SECTION("they make sense") { good = true; }
  SECTION("another key") {
    alter = [&](uint32_t) { hit.key = "kez"; };
  }
  SECTION("another question's") {
    alter = [&](uint32_t opaque) { hit.opaque = opaque + 1; };
  }
  SECTION("an end of something else") {
    alter = [&](uint32_t opaque) { end.opaque = opaque; };
  }
  SECTION("a request") {
    alter = [&](uint32_t) { hit.magic = 0x80; };
  }
  SECTION("no flags") {
    alter = [&](uint32_t) { hit.extras.clear(); };
  }
  ScriptedPeer peer([&](Conversation& conversation, int) {
    conversation.Skip(24 + 5 + 2 + sizeof(kUser) - 1 + sizeof(kPassword) - 1);
    BinaryPacket welcome;
    welcome.magic = 0x81;
    welcome.opcode = 0x21;
    conversation.Send(welcome.Encode());
    const std::string head = conversation.Bytes(24);
    conversation.Skip(3 + 24);
    const auto opaque = static_cast<uint32_t>(tests::FromBigEndian(head.substr(12, 4)));
    hit.opaque = opaque;
    end.opaque = opaque + 1;
    alter(opaque);
    conversation.Send(hit.Encode() + end.Encode());
    conversation.Hang();
  });
  const auto client = Connect(OptionsFor(peer.server()));
  const auto got = client->Get("key");
  if (good) {
    CHECK(got.value() == "value");
  } else {
    CHECK(absl::IsDataLoss(got.status()));
  }
}

}  // namespace cairn
