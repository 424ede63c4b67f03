// Values that are stored compressed: what others see, what comes back, and what is not believed.
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cairn/async.h"
#include "cairn/async_look_aside.h"
#include "cairn/client.h"
#include "cairn/look_aside.h"
#include "cairn/tracing.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/wait.h"

namespace cairn {
namespace {

constexpr uint32_t kFlag = uint32_t{1} << 29;

// How many keys each request had, and how many calls began.
class Requests : public Tracer {
 public:
  uint64_t OnBegin() override { return ++begun_; }
  void OnEnd(const RequestTrace& request) override { keys_.push_back(request.keys); }
  uint64_t begun() const { return begun_; }
  /// REQUIRES: calls that wait, of one thread.
  const std::vector<size_t>& keys() const { return keys_; }

 private:
  uint64_t begun_ = 0;
  std::vector<size_t> keys_;
};

// One server, a client that compresses, and one that sees what is stored.
struct Packed {
  explicit Packed(CompressionOptions compression = {},
                  ClientOptions::Protocol protocol = ClientOptions::Protocol::kAuto,
                  const std::shared_ptr<Tracer>& tracer = nullptr)
      : one(protocol) {
    ClientOptions options = PatientOptions(one.server.server());
    options.protocol = protocol;
    options.compression = compression;
    options.tracer = tracer;
    auto made = Client::Make(options);
    if (absl::IsUnimplemented(made.status())) {
      WARN("skipped: libcairn was built without zstd");
      return;
    }
    REQUIRE(made.ok());
    client = std::move(*made);
  }
  Item Raw(std::string_view key) { return one.client->Gets(key).value().value(); }

  OneServer one;
  std::unique_ptr<Client> client;
};

std::string Text(size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "line " + std::to_string(text.size() % 97) + " of a page\n";
  text.resize(bytes);
  return text;
}

// What no compressor makes shorter.
std::string Noise(size_t bytes) {
  std::string noise(bytes, '\0');
  uint64_t state = 42;
  for (char& c : noise) {
    state = state * 6364136223846793005 + 1442695040888963407;
    c = static_cast<char>(state >> 56);
  }
  return noise;
}

// What gets shorter by a half, and takes a long time to.
std::string Digits(size_t bytes) {
  std::string digits = Noise(bytes);
  for (char& c : digits) c = static_cast<char>('a' + (c & 15));
  return digits;
}

}  // namespace

TEST_CASE("compressed values come back by every call", "[client][compression]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  Packed packed({}, protocol);
  if (packed.client == nullptr) return;
  Client& client = *packed.client;
  const std::string page = Text(20000);
  REQUIRE(client.Set("set", page, {.flags = 7}).ok());
  REQUIRE(client.Add("add", page).value());
  REQUIRE(client.Replace("add", page).value());
  const SetItem items[] = {{"bulk", page}, {"short", "short"}, {"noise", page}};
  REQUIRE(client.SetMulti(items).done_count() == 3);
  REQUIRE(client.SetAll(items).ok());
  REQUIRE(Wait(client.Async().Set("async", page)).ok());

  const Item raw = packed.Raw("set");
  CHECK(raw.flags == (7 | kFlag));
  CHECK(raw.value.size() < page.size() / 4);
  CHECK(packed.Raw("bulk").flags == kFlag);
  CHECK(packed.Raw("short").flags == 0);
  CHECK(packed.Raw("short").value == "short");

  CHECK(client.Get("set").value() == page);
  const Item item = client.Gets("set").value().value();
  CHECK(item.value == page);
  CHECK(item.flags == 7);
  CHECK(client.CompareAndSwap("set", page + "!", item.cas).value() == CasOutcome::kStored);
  CHECK(client.GetAndTouch("set", absl::Hours(1)).value()->value == page + "!");
  CHECK(Wait(client.Async().Get("async")).value() == page);
  const std::string_view keys[] = {"set", "short", "none", "bulk", "async"};
  const MultiGetResult waited = client.GetMulti(keys);
  MultiGetResult called = Wait(client.Async().GetMulti(keys));
  const MultiGetResult moved = std::move(called);
  for (const MultiGetResult* result : {&waited, &moved}) {
    CHECK(result->hits() == 4);
    CHECK((*result)[0].value == page + "!");
    CHECK((*result)[1].value == "short");
    CHECK((*result)[3].value == page);
    CHECK((*result)[3].flags == 0);
  }
}

TEST_CASE("leases and look-aside compress, too", "[client][compression]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  Packed packed({}, protocol);
  if (packed.client == nullptr) return;
  Client& client = *packed.client;
  const std::string page = Text(20000);
  auto leased = client.GetWithLease("one");
  REQUIRE(leased->won);
  CHECK(client.SetWithLease("one", page, leased->token).value());
  CHECK(packed.Raw("one").flags == kFlag);
  CHECK(client.GetWithLease("one")->value == page);
  const std::string_view keys[] = {"two", "one"};
  auto both = client.GetMultiWithLease(keys);
  REQUIRE(both[0]->won);
  CHECK(both[1]->value == page);
  LeasedStore store;
  store.key = "two";
  store.value = page;
  store.token = both[0]->token;
  CHECK(client.SetMultiWithLease({&store, 1})[0].value());
  CHECK(packed.Raw("two").flags == kFlag);
  CHECK(client.Get("two").value() == page);

  LookAsideOptions options;
  options.negative_ttl = absl::Seconds(100);
  LookAside pages(&client, options);
  int computed = 0;
  const auto compute = [&]() -> LookAside::Value { return ++computed, page; };
  CHECK(pages.GetOrCompute("page", compute)->value == page);
  CHECK(pages.GetOrCompute("page", compute)->value == page);
  CHECK(computed == 1);
  CHECK(packed.Raw("page").flags == kFlag);
  const auto nothing = [&]() -> LookAside::Value { return ++computed, std::nullopt; };
  CHECK(pages.GetOrCompute("nothing", nothing)->value == std::nullopt);
  CHECK(pages.GetOrCompute("nothing", nothing)->value == std::nullopt);
  CHECK(computed == 2);
}

TEST_CASE("what does not get shorter is stored as it is", "[client][compression]") {
  Packed packed;
  if (packed.client == nullptr) return;
  const std::string noise = Noise(20000);
  REQUIRE(packed.client->Set("noise", noise).ok());
  CHECK(packed.Raw("noise").flags == 0);
  CHECK(packed.Raw("noise").value == noise);
  CHECK(packed.client->Get("noise").value() == noise);
  const std::string page = Text(1024);
  REQUIRE(packed.client->Set("page", page).ok());
  CHECK(packed.Raw("page").flags == 0);  // not above
  REQUIRE(packed.client->Set("page", Text(1025)).ok());
  CHECK(packed.Raw("page").flags == kFlag);
}

TEST_CASE("what counts is what is sent", "[client][compression]") {
  Packed packed;
  if (packed.client == nullptr) return;
  const std::string large = Text(3 << 20);
  CHECK(packed.client->Set("large", large).ok());
  CHECK((packed.client->Get("large").value() == large));
  CHECK(absl::IsResourceExhausted(packed.client->Set("large", Noise(3 << 20))));
  CHECK(absl::IsResourceExhausted(packed.client->Set("large", std::string(17 << 20, 'x'))));
}

TEST_CASE("encoding is part of a call's time", "[client][compression]") {
  const auto requests = std::make_shared<Requests>();
  CompressionOptions slow;
  slow.level = 19;
  Packed packed(slow, ClientOptions::Protocol::kAuto, requests);
  if (packed.client == nullptr) return;
  Client& client = *packed.client;
  // Less than one takes.
  WriteOptions options;
  options.timeout = absl::Milliseconds(1);
  const std::string page = Digits(1 << 20);
  // One that is refused takes its time, too, and the key stays as it is: nothing is asked.
  const std::string noise = Noise((1 << 20) + 1);
  const std::vector<SetItem> items = {{"noise", noise}, {"a", page}, {"b", page}};
  CHECK(absl::IsDeadlineExceeded(client.Set("one", page, options)));
  for (const size_t first : {size_t{0}, size_t{1}}) {
    const auto some = std::span(items).subspan(first);
    const MultiWriteResult stored = client.SetMulti(some, options);
    CHECK(stored.failed_count() == some.size());
    for (size_t i = 0; i < some.size(); ++i) CHECK(absl::IsDeadlineExceeded(stored.status(i)));
    CHECK(absl::IsDeadlineExceeded(client.SetAll(some, options)));
    const MultiWriteResult called = Wait(client.Async().SetMulti(some, options));
    CHECK(called.failed_count() == some.size());
    for (size_t i = 0; i < some.size(); ++i) CHECK(absl::IsDeadlineExceeded(called.status(i)));
    CHECK(absl::IsDeadlineExceeded(Wait(client.Async().SetAll(some, options))));
  }
  CHECK(absl::IsDeadlineExceeded(Wait(client.Async().Set("one", page, options))));
  // What may not be asked for is told as ever.
  const std::vector<SetItem> odd = {{"", page}, {"a", page}};
  CHECK(absl::IsInvalidArgument(Wait(client.Async().SetMulti(odd, options)).status(0)));
  CHECK(requests->begun() == 0);
  CHECK(client.SetAll(std::span(items).subspan(1)).ok());
  CHECK(requests->begun() == 1);
}

TEST_CASE("nobody waits for a value that took too long to encode", "[client][compression]") {
  CompressionOptions slow;
  slow.level = 19;
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  Packed packed(slow, protocol);
  if (packed.client == nullptr) return;
  LookAsideOptions options;
  options.lease = absl::Minutes(5);
  options.cache_timeout = absl::Milliseconds(60);
  LookAside pages(packed.client.get(), options);
  const std::string page = Digits(1 << 20);
  const bool waits = GENERATE(true, false);
  const absl::StatusOr<Fetched> fetched =
      waits ? pages.GetOrCompute("key", [&]() -> LookAside::Value { return page; })
            : Wait(AsyncLookAside(&pages).GetOrCompute(
                  "key", [&](const AsyncLookAside::Done& done) { done(LookAside::Value(page)); }));
  CHECK((fetched->value == page));
  CHECK(absl::IsDeadlineExceeded(fetched->cache));
  CHECK(packed.client->GetWithLease("key")->won);
}

TEST_CASE("what is too large is told as such only when the older value is gone",
          "[client][compression]") {
  CompressionOptions slow;
  slow.level = 19;
  Packed packed(slow);
  if (packed.client == nullptr) return;
  Client& client = *packed.client;
  REQUIRE(client.Set("large", "old").ok());
  REQUIRE(client.Set("slow", "old").ok());
  const std::string noise = Noise((1 << 20) + 1);
  const std::string page = Digits(1 << 20);
  const std::string huge(17 << 20, 'x');  // refused at once
  WriteOptions options;
  options.timeout = absl::Milliseconds(1);
  CHECK(absl::IsDeadlineExceeded(client.Set("large", noise, options)));
  CHECK(absl::IsDeadlineExceeded(Wait(client.Async().Set("large", noise, options))));
  const SetItem items[] = {{"large", huge}, {"slow", page}};
  const MultiWriteResult waited = client.SetMulti(items, options);
  const MultiWriteResult called = Wait(client.Async().SetMulti(items, options));
  for (const MultiWriteResult* result : {&waited, &called}) {
    CHECK(absl::IsDeadlineExceeded(result->status(0)));
    CHECK(absl::IsDeadlineExceeded(result->status(1)));
  }
  CHECK(absl::IsDeadlineExceeded(client.SetAll(items, options)));
  CHECK(absl::IsDeadlineExceeded(Wait(client.Async().SetAll(items, options))));
  CHECK(client.Get("large").value() == "old");
  CHECK(client.Get("slow").value() == "old");
  CHECK(absl::IsResourceExhausted(client.Set("large", noise)));
  CHECK(client.Get("large").value() == std::nullopt);
}

TEST_CASE("encoding is part of a call's time with leases, too", "[client][compression]") {
  CompressionOptions slow;
  slow.level = 19;
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  Packed packed(slow, protocol);
  if (packed.client == nullptr) return;
  Client& client = *packed.client;
  const std::string page = Digits(1 << 20);
  // More than what is asked before, less than encoding takes.
  constexpr absl::Duration kBrief = absl::Milliseconds(60);
  const auto held = client.GetWithLease("one");
  REQUIRE(held->won);
  LeasedStore store;
  store.key = "one";
  store.value = page;
  store.token = held->token;
  WriteOptions options;
  options.timeout = kBrief;
  const CallOptions brief = {.timeout = kBrief};
  CHECK(absl::IsDeadlineExceeded(client.SetWithLease("one", page, held->token, options).status()));
  CHECK(absl::IsDeadlineExceeded(
      Wait(client.Async().SetWithLease("one", page, held->token, options)).status()));
  CHECK(absl::IsDeadlineExceeded(client.SetMultiWithLease({&store, 1}, brief)[0].status()));
  CHECK(absl::IsDeadlineExceeded(
      Wait(client.Async().SetMultiWithLease({&store, 1}, brief))[0].status()));
  // None was sent: the lease is still held.
  CHECK(client.GetWithLease("one")->taken);
  CHECK(client.SetWithLease("one", page, held->token).value());
}

TEST_CASE("a wave has as much as there is before it is compressed", "[client][compression]") {
  const auto requests = std::make_shared<Requests>();
  Packed packed({}, ClientOptions::Protocol::kAuto, requests);
  if (packed.client == nullptr) return;
  // Waves end with 4 MB. So short, when it is compressed, that none is a request of its own.
  const std::string page(2 << 20, 'x');
  const SetItem items[] = {{"a", page}, {"b", page}, {"c", page}, {"d", page}, {"e", page}};
  CHECK(packed.client->SetMulti(items).done_count() == 5);
  CHECK(requests->keys() == std::vector<size_t>{2, 2, 1});
}

TEST_CASE("one client packs with its own bit, another only reads", "[client][compression]") {
  CompressionOptions other;
  other.flag = uint32_t{1} << 31;
  other.above = 10;
  other.level = 19;
  Packed packed(other);
  if (packed.client == nullptr) return;
  REQUIRE(packed.client->Set("page", Text(200), {.flags = kFlag}).ok());
  CHECK(packed.Raw("page").flags == (kFlag | other.flag));
  CHECK(packed.client->Gets("page").value()->flags == kFlag);
  CHECK(absl::IsInvalidArgument(packed.client->Set("page", "x", {.flags = other.flag})));
  CHECK(absl::IsInvalidArgument(
      packed.client->SetAll(std::vector<SetItem>{{"page", "x"}}, {.flags = other.flag})));
  CHECK(absl::IsFailedPrecondition(packed.client->Append("page", "x").status()));
  CHECK(absl::IsFailedPrecondition(packed.client->Prepend("page", "x").status()));

  ClientOptions options = PatientOptions(packed.one.server.server());
  options.compression = other;
  options.compression->above = std::numeric_limits<size_t>::max();
  const auto reader = std::move(Client::Make(options).value());
  CHECK(reader->Get("page").value() == Text(200));
  REQUIRE(reader->Set("page", Text(200)).ok());
  CHECK(packed.Raw("page").flags == 0);
}

TEST_CASE("compressed values that are damaged are not believed", "[client][compression]") {
  Packed packed;
  if (packed.client == nullptr) return;
  Client& client = *packed.client;
  const std::string page = Text(20000);
  REQUIRE(client.Set("good", page).ok());
  const std::string frame = packed.Raw("good").value;
  std::vector<std::string> bad = {"",
                                  "x",
                                  frame.substr(0, frame.size() - 1),
                                  frame.substr(0, 6),
                                  frame + "more",
                                  frame + frame,
                                  Noise(100)};
  for (const size_t at : {size_t{0}, size_t{4}, frame.size() / 2, frame.size() - 1}) {
    bad.push_back(frame);
    bad.back()[at] = static_cast<char>(bad.back()[at] ^ 0x55);
  }
  std::vector<std::string> names;
  for (const std::string& value : bad) {
    names.push_back("bad" + std::to_string(names.size()));
    REQUIRE(packed.one.client->Set(names.back(), value, {.flags = kFlag}).ok());
  }
  for (const std::string& name : names) {
    CHECK(absl::IsDataLoss(client.Get(name).status()));
    CHECK(absl::IsDataLoss(Wait(client.Async().Gets(name)).status()));
    CHECK(absl::IsDataLoss(client.GetWithLease(name, {.lease = absl::ZeroDuration()}).status()));
  }
  std::vector<std::string_view> keys(names.begin(), names.end());
  keys.push_back("good");
  const MultiGetResult multi = client.GetMulti(keys);
  CHECK(multi.not_reached() == bad.size());
  CHECK(absl::IsDataLoss(multi.status(0)));
  CHECK(multi[bad.size()].value == page);
  // For who would compute it, it is as good as none.
  for (size_t i = 0; i < 3; ++i) {
    const absl::StatusOr<LeasedItem> item = client.GetWithLease(names[i]);
    REQUIRE(item.ok());
    CHECK(item->won);
    CHECK_FALSE(item->value.has_value());
  }
  const auto items = client.GetMultiWithLease(std::span(keys).subspan(3));
  for (size_t i = 3; i < bad.size(); ++i) {
    REQUIRE(items[i - 3].ok());
    CHECK(items[i - 3]->won);
    CHECK_FALSE(items[i - 3]->value.has_value());
  }
  CHECK(items.back()->value == page);
}

TEST_CASE("a damaged value is computed anew and stored over", "[client][compression]") {
  const auto protocol = GENERATE(ClientOptions::Protocol::kAuto, ClientOptions::Protocol::kText);
  Packed packed({}, protocol);
  if (packed.client == nullptr) return;
  REQUIRE(packed.one.client->Set("key", "damaged", {.flags = kFlag}).ok());
  LookAside pages(packed.client.get());
  const auto page = pages.GetOrCompute("key", []() -> LookAside::Value { return "computed"; });
  REQUIRE(page.ok());
  CHECK(page->value == "computed");
  CHECK(page->cache.ok());
  CHECK(packed.client->Get("key").value() == "computed");
}

TEST_CASE("a value does not say how much memory it may take", "[client][compression]") {
  Packed packed;
  if (packed.client == nullptr) return;
  ClientOptions options = PatientOptions(packed.one.server.server());
  options.compression.emplace().uncompressed_bytes_max = size_t{64} << 20;
  const auto writer = std::move(Client::Make(options).value());
  REQUIRE(writer->Set("bomb", std::string(17 << 20, 'x')).ok());
  CHECK(packed.Raw("bomb").value.size() < 10000);
  CHECK(absl::IsDataLoss(packed.client->Get("bomb").status()));
  CHECK(writer->Get("bomb").value()->size() == 17 << 20);
}

TEST_CASE("compression that makes no sense is refused", "[client][compression]") {
  ClientOptions options = PatientOptions(Server::Parse("127.0.0.1").value());
  options.compression.emplace();
  if (absl::IsUnimplemented(Client::Make(options).status())) return;
  CHECK(Client::Make(options).ok());
  for (const uint32_t flag : {uint32_t{0}, uint32_t{3}, uint32_t{1} << 30}) {
    options.compression->flag = flag;
    CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  }
  options.compression->flag = 1;
  for (const int level : {0, -5, 20}) {
    options.compression->level = level;
    CHECK(absl::IsInvalidArgument(Client::Make(options).status()));
  }
}

}  // namespace cairn
