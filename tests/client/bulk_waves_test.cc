// Calls of many keys go in waves, whether somebody waits for them or not: what becomes of such a
// call between two of them.
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/async.h"
#include "cairn/client.h"
#include "cairn/tracing.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/scripted_peer.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

constexpr size_t kWaveKeys = 4096;  // of the first; the second has twice as many
constexpr size_t kKeys = kWaveKeys + 2 * kWaveKeys + 1000;  // hence three waves
// Within which a wave is answered, and after which a call ends whose next wave is not.
#ifdef CAIRN_SANITIZED
constexpr absl::Duration kTimeout = absl::Seconds(10);
#else
constexpr absl::Duration kTimeout = absl::Seconds(2);
#endif

std::vector<std::string> Keys(size_t count = kKeys) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back("key:" + std::to_string(i));
  return keys;
}

std::vector<std::string_view> Views(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

ClientOptions TextOptions(const std::vector<const ScriptedPeer*>& peers) {
  ClientOptions options = PatientOptions({});
  options.servers.clear();
  for (const ScriptedPeer* peer : peers) {
    options.servers.push_back(peer->server());
    options.servers.back().alias = std::to_string(options.servers.size());
  }
  options.protocol = ClientOptions::Protocol::kText;
  return options;
}

// The answer of a server that has all keys of a line; `asked` counts them.
std::string AnswerTo(const std::string& line, size_t* asked) {
  std::string answer;
  for (size_t begin = std::string_view("get ").size(); begin < line.size();) {
    const size_t end = std::min(line.find(' ', begin), line.size());
    answer.append("VALUE ").append(line, begin, end - begin).append(" 0 2\r\nok\r\n");
    begin = end + 1;
    ++*asked;
  }
  return answer.append("END\r\n");
}

// Answers reads of as many keys; says how many that were.
size_t AnswerReads(Conversation& conversation, size_t keys) {
  size_t asked = 0;
  while (asked < keys) {
    const std::string line = conversation.Line();
    if (!line.starts_with("get ")) break;
    conversation.Send(AnswerTo(line, &asked));
  }
  return asked;
}

MultiGetResult GetAll(Client& client, bool on_a_loop, const std::vector<std::string>& keys,
                      absl::Duration timeout = absl::ZeroDuration()) {
  const std::vector<std::string_view> views = Views(keys);
  CallOptions options;
  options.timeout = timeout;
  if (!on_a_loop) return client.GetMulti(views, options);
  return Wait(client.Async().GetMulti(views, options));
}

class BeginsAndEnds : public Tracer {
 public:
  uint64_t OnBegin() override { return ++begins_; }
  void OnEnd(const RequestTrace& trace) override {
    keys_ += trace.keys;
    if (trace.context == begins_) ++ends_;
  }
  uint64_t begins() const { return begins_; }
  size_t ends() const { return ends_; }
  size_t keys() const { return keys_; }

 private:
  std::atomic<uint64_t> begins_{0};
  std::atomic<size_t> ends_{0};  // of the call that began last
  std::atomic<size_t> keys_{0};
};

}  // namespace

TEST_CASE("a small call on a loop has its turn between the waves of a large one", "[client]") {
  std::string between;
  std::atomic<size_t> after{0};
  ScriptedPeer peer([&](Conversation& conversation, int) {
    size_t asked = 0;
    std::string answers;
    while (asked < kWaveKeys) {
      const std::string line = conversation.Line();
      if (line.empty()) return;
      answers += AnswerTo(line, &asked);
    }
    // Unanswered, the wave is not followed by another one.
    between = conversation.Line();
    size_t ignored = 0;
    conversation.Send(answers + AnswerTo(between, &ignored));
    after = AnswerReads(conversation, kKeys - kWaveKeys);
  });
  const auto client = Client::Make(TextOptions({&peer})).value();
  const std::vector<std::string> keys = Keys();
  std::promise<MultiGetResult> large;
  client->Async().GetMulti(Views(keys)).Then([&](MultiGetResult got) {
    large.set_value(std::move(got));
  });
  CHECK(Wait(client->Async().Get("small")).value() == "ok");
  CHECK(large.get_future().get().hits() == keys.size());
  CHECK(between == "get small");
  CHECK(after == kKeys - kWaveKeys);
}

TEST_CASE("a bulk call ends with its timeout between waves, and begins no other", "[client]") {
  const bool on_a_loop = GENERATE(false, true);
  INFO((on_a_loop ? "on a loop" : "waiting"));
  std::atomic<size_t> asked{0};
  {
    ScriptedPeer peer([&](Conversation& conversation, int) {
      AnswerReads(conversation, kWaveKeys);
      size_t unanswered = 0;
      for (;;) {
        const std::string line = conversation.Line();
        if (line.empty()) break;
        (void)AnswerTo(line, &unanswered);
      }
      asked = unanswered;
    });
    const auto client = Client::Make(TextOptions({&peer})).value();
    const std::vector<std::string> keys = Keys();
    const MultiGetResult got = GetAll(*client, on_a_loop, keys, kTimeout);
    CHECK(got.hits() == kWaveKeys);
    CHECK(got.not_reached() == keys.size() - kWaveKeys);
    CHECK(got[kWaveKeys - 1].value == "ok");
    CHECK(absl::IsDeadlineExceeded(got.status(kWaveKeys)));
    CHECK(absl::IsDeadlineExceeded(got.status(keys.size() - 1)));
  }
  CHECK(asked == 2 * kWaveKeys);
}

TEST_CASE("a server that dies between the waves of a bulk call fails its keys of those to come",
          "[client]") {
  const bool on_a_loop = GENERATE(false, true);
  INFO((on_a_loop ? "on a loop" : "waiting"));
  std::atomic<size_t> first_wave{0};
  ScriptedPeer stays([](Conversation& conversation, int) { AnswerReads(conversation, kKeys + 1); });
  ScriptedPeer dies([&](Conversation& conversation, int connection) {
    if (connection == 0) AnswerReads(conversation, first_wave);
  });
  const auto client = Client::Make(TextOptions({&stays, &dies})).value();
  const std::vector<std::string> keys = Keys();
  for (size_t i = 0; i < kWaveKeys; ++i) first_wave += client->ServerOf(keys[i]);
  const MultiGetResult got = GetAll(*client, on_a_loop, keys);
  size_t wrong = 0;
  size_t failed = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool fails = i >= kWaveKeys && client->ServerOf(keys[i]) == 1;
    failed += fails ? 1 : 0;
    const bool right = fails ? absl::IsUnavailable(got.status(i)) : got[i].value == "ok";
    wrong += right ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(failed > 0);
  CHECK(got.not_reached() == failed);
}

TEST_CASE("what a bulk call has not asked yet ends as cancelled with its loop", "[client]") {
  std::promise<void> second_wave;
  ScriptedPeer peer([&](Conversation& conversation, int) {
    AnswerReads(conversation, kWaveKeys);
    if (conversation.Line().starts_with("get ")) second_wave.set_value();
    conversation.Hang();
  });
  auto client = Client::Make(TextOptions({&peer})).value();
  const std::vector<std::string> keys = Keys();
  { const auto dropped = client->Async().GetMulti(Views(keys)); }  // was never begun
  int told = 0;
  client->Async().GetMulti(Views(keys)).Then([&](const MultiGetResult& got) {
    ++told;
    CHECK(got.hits() == kWaveKeys);
    CHECK(got.not_reached() == keys.size() - kWaveKeys);
    CHECK(absl::IsCancelled(got.status(kWaveKeys)));
    CHECK(absl::IsCancelled(got.status(keys.size() - 1)));
  });
  second_wave.get_future().wait();
  client.reset();
  CHECK(told == 1);
  CHECK(peer.connections() == 1);
}

TEST_CASE("a bulk call of several waves is one call to a tracer", "[client]") {
  const bool on_a_loop = GENERATE(false, true);
  INFO((on_a_loop ? "on a loop" : "waiting"));
  const ServerProcess server;
  ClientOptions options = PatientOptions(server.server());
  const auto tracer = std::make_shared<BeginsAndEnds>();
  options.tracer = tracer;
  const auto client = Client::Make(options).value();
  const std::vector<std::string> keys = Keys();
  CHECK(GetAll(*client, on_a_loop, keys).misses() == keys.size());
  CHECK(tracer->begins() == 1);
  CHECK(tracer->ends() == 3);
  CHECK(tracer->keys() == keys.size());
  CHECK(client->Stats()[0].misses == keys.size());
}

TEST_CASE("leases by locks are one call to a tracer", "[client][lease]") {
  const bool on_a_loop = GENERATE(false, true);
  INFO((on_a_loop ? "on a loop" : "waiting"));
  const ServerProcess server;
  ClientOptions options = PatientOptions(server.server());
  options.protocol = ClientOptions::Protocol::kText;
  const auto tracer = std::make_shared<BeginsAndEnds>();
  options.tracer = tracer;
  const auto client = Client::Make(options).value();
  const std::string_view keys[] = {"a", "b"};
  const auto got =
      on_a_loop ? Wait(client->Async().GetMultiWithLease(keys)) : client->GetMultiWithLease(keys);
  CHECK(got[1].value().won);
  CHECK(tracer->begins() == 1);
  CHECK(tracer->ends() == 3);  // whether it is there, the lock, and whether it came meanwhile
}

TEST_CASE("what was given to a bulk call on a loop need not last for all its waves", "[client]") {
  const OneServer one;
  AsyncClient& async = one.client->Async();
  // Waves of so many keys, and of so many bytes.
  const auto [count, bytes] =
      GENERATE(std::pair(kKeys, size_t{10}), std::pair(size_t{100}, size_t{100'000}));
  INFO(count << " values of " << bytes);
  std::vector<std::string> keys = Keys(count);
  std::vector<std::string> values;
  std::vector<SetItem> items;
  for (size_t i = 0; i < count; ++i) {
    values.push_back(std::to_string(i) + ":");
    values.back().resize(bytes, 'v');
  }
  for (size_t i = 0; i < count; ++i) items.push_back({keys[i], values[i]});
  std::vector<std::string_view> views = Views(keys);
  const auto scribble = [&] {
    for (std::string& key : keys) key.assign(key.size(), '?');
    for (std::string& value : values) value.assign(value.size(), '?');
    std::fill(items.begin(), items.end(), SetItem());
    std::fill(views.begin(), views.end(), std::string_view());
  };
  auto set = async.SetMulti(items);
  auto get = async.GetMulti(views);
  auto touch = async.TouchMulti(views, absl::Minutes(5));
  auto remove = async.DeleteMulti(views);
  auto set_all = async.SetAll(items);
  scribble();
  CHECK(Wait(std::move(set)).done_count() == count);
  const MultiGetResult got = Wait(std::move(get));
  REQUIRE(got.hits() == count);
  size_t wrong = 0;
  for (size_t i = 0; i < count; ++i) {
    std::string value = std::to_string(i) + ":";
    value.resize(bytes, 'v');
    wrong += got[i].value == value ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(Wait(std::move(touch)).done_count() == count);
  CHECK(Wait(std::move(remove)).done_count() == count);
  CHECK(one.client->GetMulti(Views(Keys(count))).misses() == count);
  CHECK(Wait(std::move(set_all)).ok());
  CHECK(one.client->GetMulti(Views(Keys(count))).hits() == count);
}

TEST_CASE("leases of several waves of keys", "[client][lease]") {
  const bool on_a_loop = GENERATE(false, true);
  INFO((on_a_loop ? "on a loop" : "waiting"));
  const OneServer one;
  Client& client = *one.client;
  const std::vector<std::string> keys = Keys();
  const std::vector<std::string_view> views = Views(keys);
  const auto got =
      on_a_loop ? Wait(client.Async().GetMultiWithLease(views)) : client.GetMultiWithLease(views);
  std::vector<LeasedStore> stores;
  for (size_t i = 0; i < keys.size(); ++i) {
    REQUIRE((got[i].ok() && got[i]->won));
    stores.push_back({keys[i], keys[i], got[i]->token, absl::InfiniteDuration(), 0});
  }
  const auto stored =
      on_a_loop ? Wait(client.Async().SetMultiWithLease(stores)) : client.SetMultiWithLease(stores);
  const auto invalidated = on_a_loop ? Wait(client.Async().InvalidateMulti(views, absl::Minutes(1)))
                                     : client.InvalidateMulti(views, absl::Minutes(1));
  const auto stale = client.GetMultiWithLease(views);
  size_t wrong = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool right = stored[i].value_or(false) && invalidated[i].value_or(false) &&
                       stale[i].ok() && stale[i]->stale && stale[i]->value == keys[i];
    wrong += right ? 0 : 1;
  }
  CHECK(wrong == 0);
}

}  // namespace cairn
