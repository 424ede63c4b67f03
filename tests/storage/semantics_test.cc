// What operations do to an item's value, CAS, expiry and marks.
#include <string>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

FetchOptions Lease() {
  FetchOptions options;
  options.lease = true;
  return options;
}

StoreOptions Mode(StoreMode mode) {
  StoreOptions options;
  options.mode = mode;
  return options;
}

TEST_CASE("Modes store or not by whether there is an item") {
  StoreFixture f;
  CHECK(f.Put("k", "v", Mode(StoreMode::kReplace)).status == StoreStatus::kNotStored);
  CHECK(f.Put("k", "v", Mode(StoreMode::kAppend)).status == StoreStatus::kNotStored);
  CHECK(f.Put("k", "v", Mode(StoreMode::kPrepend)).status == StoreStatus::kNotStored);
  CHECK(f.Put("k", "1", Mode(StoreMode::kAdd)).status == StoreStatus::kStored);
  CHECK(f.Put("k", "2", Mode(StoreMode::kAdd)).status == StoreStatus::kNotStored);
  CHECK(f.Put("k", "3", Mode(StoreMode::kReplace)).status == StoreStatus::kStored);
  CHECK(f.Put("k", "4", Mode(StoreMode::kAppend)).value_bytes == 2);
  CHECK(f.Put("k", "2", Mode(StoreMode::kPrepend)).value_bytes == 3);
  CHECK(f.Get("k") == "234");
}

TEST_CASE("Append and prepend keep flags and expiry, and create only when asked") {
  StoreFixture f;
  StoreOptions options;
  options.client_flags = 9;
  options.expiry = f.After(5000);
  CHECK(f.Put("k", "b", options).status == StoreStatus::kStored);
  StoreOptions append = Mode(StoreMode::kAppend);
  append.client_flags = 1;
  append.expiry = Expiry::Past();
  CHECK(f.Put("k", "c", append).status == StoreStatus::kStored);
  const auto seen = f.Fetch("k");
  REQUIRE(seen.has_value());
  CHECK(seen->value == "bc");
  CHECK(seen->client_flags == 9);
  CHECK(seen->view.expiry == f.After(5000));
  append.vivify = f.After(1000);
  CHECK(f.Put("new", "x", append).status == StoreStatus::kStored);
  CHECK(f.Fetch("new")->client_flags == 1);
  f.now.ms += 1100;
  CHECK_FALSE(f.Get("new").has_value());
}

TEST_CASE("An append that would be too long leaves the item as it was") {
  StoreFixture f;
  CHECK(f.Set("k", Pattern(600000)) == StoreStatus::kStored);
  CHECK(f.Put("k", Pattern(600000), Mode(StoreMode::kAppend)).status == StoreStatus::kNotStored);
  CHECK(f.Get("k") == Pattern(600000));
  CHECK(f.Put("k", Pattern(1 << 20), Mode(StoreMode::kAppend)).status == StoreStatus::kTooLarge);
}

TEST_CASE("The largest item is what memcached's accounting allows") {
  StoreFixture f;
  CHECK(f.Set("key", Pattern(1048514)) == StoreStatus::kStored);
  CHECK(f.Set("key", Pattern(1048515)) == StoreStatus::kTooLarge);
  StoreOptions flags;
  flags.client_flags = 1;
  CHECK(f.Put("key", Pattern(1048510), flags).status == StoreStatus::kStored);
  CHECK(f.Put("key", Pattern(1048511), flags).status == StoreStatus::kTooLarge);
  CHECK(f.Set(std::string(250, 'k'), Pattern(1048267)) == StoreStatus::kStored);
  CHECK(f.Get("key") == Pattern(1048510));
}

TEST_CASE("Every change gives another CAS, and a comparison needs the last one") {
  StoreFixture f;
  const uint64_t first = f.Put("k", "1").cas;
  const uint64_t second = f.Put("k", "2").cas;
  CHECK((first != 0 && second > first));
  StoreOptions compare;
  compare.compare_cas = first;
  CHECK(f.Put("k", "x", compare).status == StoreStatus::kExists);
  CHECK(f.Put("other", "x", compare).status == StoreStatus::kNotFound);
  compare.compare_cas = 0;
  CHECK(f.Put("k", "x", compare).status == StoreStatus::kExists);
  compare.compare_cas = second;
  const StoreResult third = f.Put("k", "3", compare);
  CHECK(third.status == StoreStatus::kStored);
  CHECK(third.cas > second);
  f.store().Flush(f.now, f.now);
  CHECK(f.Put("k", "4").cas > third.cas);
}

TEST_CASE("Without CAS all are 0 and no comparison holds") {
  Config config = StoreFixture::SmallConfig();
  config.use_cas = false;
  StoreFixture f(config);
  StoreOptions options;
  options.explicit_cas = 5;
  CHECK(f.Put("k", "1", options).cas == 0);
  options.compare_cas = 0;
  CHECK(f.Put("k", "2", options).status == StoreStatus::kExists);
  CHECK(f.store().AccountedBytes(3, 0, 2) == 48 + 3 + 1 + 2 + 2);
}

TEST_CASE("A stale item gives its token once, until it is stored or marked again") {
  StoreFixture f;
  CHECK(f.Set("k", "v") == StoreStatus::kStored);
  DeleteOptions mark;
  mark.mark_stale = true;
  mark.touch = f.After(60000);
  const uint64_t before = f.Fetch("k")->cas;
  CHECK(f.Delete("k", mark) == DeleteStatus::kDeleted);
  auto seen = f.Fetch("k", Lease());
  REQUIRE(seen.has_value());
  CHECK(seen->cas > before);
  CHECK(seen->value == "v");
  CHECK((seen->view.stale && seen->view.won && !seen->view.lost));
  CHECK(seen->view.expiry == f.After(60000));
  seen = f.Fetch("k", Lease());
  CHECK((seen->view.stale && !seen->view.won && seen->view.lost));
  CHECK(f.Delete("k", mark) == DeleteStatus::kDeleted);
  CHECK(f.Fetch("k", Lease())->view.won);
  CHECK(f.Set("k", "new") == StoreStatus::kStored);
  seen = f.Fetch("k", Lease());
  CHECK((!seen->view.stale && !seen->view.won && !seen->view.lost));
}

TEST_CASE("A late refill of a stale item is stored as stale and keeps the expiry") {
  StoreFixture f;
  StoreOptions options;
  options.expiry = f.After(5000);
  const uint64_t old = f.Put("k", "1", options).cas;
  DeleteOptions mark;
  mark.mark_stale = true;
  CHECK(f.Delete("k", mark) == DeleteStatus::kDeleted);
  StoreOptions refill;
  refill.compare_cas = old;
  CHECK(f.Put("k", "2", refill).status == StoreStatus::kExists);
  refill.invalidate_if_older = true;
  CHECK(f.Put("k", "2", refill).status == StoreStatus::kStored);
  const auto seen = f.Fetch("k", Lease());
  CHECK((seen->value == "2" && seen->view.stale && seen->view.won));
  CHECK(seen->view.expiry == f.After(5000));
  refill.compare_cas = seen->cas + 1000;
  CHECK(f.Put("k", "3", refill).status == StoreStatus::kExists);
  refill.compare_cas = seen->cas;
  CHECK(f.Put("k", "3", refill).status == StoreStatus::kStored);
  CHECK_FALSE(f.Fetch("k")->view.stale);
}

TEST_CASE("A missing item can be vivified: the first wins, others lose until it is stored") {
  StoreFixture f;
  FetchOptions vivify = Lease();
  vivify.vivify = f.After(30000);
  auto seen = f.Fetch("k", vivify);
  REQUIRE(seen.has_value());
  CHECK((seen->view.created && seen->view.won && seen->value.empty()));
  seen = f.Fetch("k", vivify);
  CHECK((!seen->view.created && !seen->view.won && seen->view.lost));
  CHECK(f.Set("k", "v") == StoreStatus::kStored);
  seen = f.Fetch("k", vivify);
  CHECK((!seen->view.won && !seen->view.lost));
  CHECK(f.Delete("k") == DeleteStatus::kDeleted);
  vivify.vivify_cas = 1234;
  CHECK(f.Fetch("k", vivify)->cas == 1234);
  CHECK(f.Delete("k") == DeleteStatus::kDeleted);
  vivify.vivify_cas = 0;
  CHECK(f.Fetch("k", vivify)->cas == 0);
}

TEST_CASE("An item that is about to die gives its token") {
  StoreFixture f;
  StoreOptions options;
  options.expiry = f.After(20000);
  CHECK(f.Put("k", "v", options).status == StoreStatus::kStored);
  FetchOptions recache = Lease();
  recache.recache_below_ms = 10000;
  CHECK_FALSE(f.Fetch("k", recache)->view.won);
  recache.recache_below_ms = 30000;
  CHECK(f.Fetch("k", recache)->view.won);
  CHECK(f.Fetch("k", recache)->view.lost);
  CHECK(f.Set("forever", "v") == StoreStatus::kStored);
  CHECK_FALSE(f.Fetch("forever", recache)->view.won);
  // Judged before or after a touch of the same fetch.
  for (const bool after : {false, true}) {
    CHECK(f.Put("k", "v", options).status == StoreStatus::kStored);
    recache.touch = f.After(90000);
    recache.recache_after_touch = after;
    CHECK(f.Fetch("k", recache)->view.won == !after);
  }
}

TEST_CASE("Items die at their moment, not before, and a touch moves it") {
  StoreFixture f;
  StoreOptions options;
  options.expiry = f.After(1000);
  CHECK(f.Put("k", "v", options).status == StoreStatus::kStored);
  f.now.ms += 999;
  CHECK(f.Get("k").has_value());
  FetchOptions touch;
  touch.touch = f.After(5000);
  const auto seen = f.Fetch("k", touch);
  CHECK(seen->view.expiry_before.at().ms < seen->view.expiry.at().ms);
  f.now.ms += 4999;
  CHECK(f.Get("k").has_value());
  f.now.ms += 101;
  CHECK_FALSE(f.Get("k").has_value());
  CHECK(f.last_fetch == FetchStatus::kMissExpired);
  CHECK(f.store().Stats().curr_items == 0);
}

TEST_CASE("An item stored as past is never found, one touched to the past is found once more") {
  StoreFixture f;
  StoreOptions past;
  past.expiry = Expiry::Past();
  CHECK(f.Put("k", "v", past).status == StoreStatus::kStored);
  CHECK_FALSE(f.Get("k").has_value());
  CHECK(f.Set("k", "v") == StoreStatus::kStored);
  FetchOptions touch;
  touch.touch = Expiry::Past();
  CHECK(f.Fetch("k", touch).has_value());
  CHECK_FALSE(f.Fetch("k", touch).has_value());
}

TEST_CASE("Fetches are remembered when they count") {
  StoreFixture f;
  CHECK(f.Set("k", "v") == StoreStatus::kStored);
  f.now.ms += 10000;
  FetchOptions quietly;
  quietly.count_access = false;
  auto seen = f.Fetch("k", quietly);
  CHECK_FALSE(seen->view.fetched_before);
  CHECK(seen->view.last_access() == Time{100000});
  seen = f.Fetch("k");
  CHECK_FALSE(seen->view.fetched_before);
  CHECK(seen->view.last_access() == Time{100000});
  f.now.ms += 5000;
  seen = f.Fetch("k");
  CHECK(seen->view.fetched_before);
  CHECK(seen->view.last_access() == Time{110000});
  // Of what is fetched often the last access is told to the minute.
  for (int second = 0; second < 90; ++second) {
    const int64_t told = seen->view.last_access().ms;
    CHECK(told <= f.now.ms);
    CHECK(told > f.now.ms - 62000);
    f.now.ms += 1000;
    seen = f.Fetch("k");
  }
  f.now.ms += 500000;
  CHECK(f.Fetch("k")->view.last_access().ms >= f.now.ms - 562000);
  CHECK(f.Fetch("k")->view.last_access() == f.now);
}

TEST_CASE("Arithmetic wraps, stops at zero, pads and grows") {
  StoreFixture f;
  const auto add = [&](std::string_view key, uint64_t delta, bool decrement) {
    ArithmeticOptions options;
    options.delta = delta;
    options.decrement = decrement;
    return f.store().Arithmetic(f.store().MakeKey(key), options, f.now, [](const ItemView&) {});
  };
  CHECK(add("n", 1, false).status == ArithmeticStatus::kNotFound);
  CHECK(f.Set("n", "100") == StoreStatus::kStored);
  CHECK(add("n", 1, true).number == 99);
  CHECK(f.Get("n") == "99 ");
  CHECK(add("n", 901, false).number == 1000);
  CHECK(f.Get("n") == "1000");
  CHECK(add("n", 2000, true).number == 0);
  CHECK(f.Get("n") == "0   ");
  CHECK(f.Set("n", "18446744073709551615") == StoreStatus::kStored);
  CHECK(add("n", 5, false).number == 4);
  CHECK(f.Get("n") == "4" + std::string(19, ' '));
  CHECK(f.Set("n", "x") == StoreStatus::kStored);
  CHECK(add("n", 1, false).status == ArithmeticStatus::kNonNumeric);
  CHECK(f.Set("n", "") == StoreStatus::kStored);
  CHECK(add("n", 1, false).status == ArithmeticStatus::kNonNumeric);
  CHECK(f.Set("n", Pattern(50000)) == StoreStatus::kStored);
  CHECK(add("n", 1, false).status == ArithmeticStatus::kNonNumeric);
}

TEST_CASE("Arithmetic creates, compares, touches, and keeps flags and expiry") {
  StoreFixture f;
  ArithmeticOptions options;
  options.create = f.After(5000);
  options.initial = 13;
  const auto run = [&] {
    return f.store().Arithmetic(f.store().MakeKey("n"), options, f.now, [](const ItemView&) {});
  };
  CHECK(run().status == ArithmeticStatus::kCreated);
  CHECK(f.Get("n") == "13");
  StoreOptions put;
  put.client_flags = 5;
  put.expiry = f.After(8000);
  const uint64_t cas = f.Put("n", "99", put).cas;
  options.compare_cas = cas + 1;
  CHECK(run().status == ArithmeticStatus::kExists);
  options.compare_cas = cas;
  CHECK(run().number == 100);
  auto seen = f.Fetch("n");
  CHECK((seen->value == "100" && seen->client_flags == 5 && seen->cas > cas));
  CHECK(seen->view.expiry == f.After(8000));
  options.compare_cas = 0;  // compares nothing
  options.touch = f.After(20000);
  options.explicit_cas = 777;
  CHECK(run().number == 101);
  seen = f.Fetch("n");
  CHECK((seen->cas == 777 && seen->view.expiry == f.After(20000)));
  f.now.ms += 30000;
  options.create.reset();
  CHECK(run().status == ArithmeticStatus::kNotFoundExpired);
}

TEST_CASE("Deletes compare, and can keep the item without its value") {
  StoreFixture f;
  const uint64_t cas = f.Put("k", "value").cas;
  DeleteOptions options;
  options.compare_cas = cas + 1;
  CHECK(f.Delete("k", options) == DeleteStatus::kExists);
  options.compare_cas = cas;
  options.drop_value = true;
  options.touch = f.After(5000);
  CHECK(f.Delete("k", options) == DeleteStatus::kDeleted);
  auto seen = f.Fetch("k");
  REQUIRE(seen.has_value());
  CHECK((seen->value.empty() && !seen->view.stale));
  CHECK(seen->view.expiry == f.After(5000));
  options = {};
  options.drop_value = options.mark_stale = true;
  CHECK(f.Delete("k", options) == DeleteStatus::kDeleted);
  seen = f.Fetch("k", Lease());
  CHECK((seen->view.stale && seen->view.won && seen->view.expiry.never()));
  CHECK(f.Delete("k") == DeleteStatus::kDeleted);
  CHECK(f.Delete("k") == DeleteStatus::kNotFound);
}

TEST_CASE("A flush takes all that is there at its moment and nothing later") {
  StoreFixture f;
  CHECK(f.Set("a", Pattern(100)) == StoreStatus::kStored);
  CHECK(f.Set("large", Pattern(200000)) == StoreStatus::kStored);
  f.store().Flush(f.now, f.now);
  CHECK(f.store().Stats().curr_items == 0);
  CHECK(f.store().Stats().flushed_items == 2);
  CHECK(f.store().Stats().pages_total == f.store().Stats().pages_free);
  CHECK(f.Set("a", "same moment") == StoreStatus::kStored);
  CHECK(f.Get("a") == "same moment");
  f.store().Flush(Time{f.now.ms + 2000}, f.now);
  CHECK(f.Set("b", "2") == StoreStatus::kStored);
  f.now.ms += 1999;
  CHECK(f.Get("b") == "2");
  f.now.ms += 1;
  CHECK_FALSE(f.Get("b").has_value());
  CHECK(f.Set("b", "3") == StoreStatus::kStored);
  CHECK(f.Get("b") == "3");
  // A later call replaces a pending one.
  f.store().Flush(Time{f.now.ms + 1000}, f.now);
  f.store().Flush(Time{f.now.ms + 9000}, f.now);
  f.now.ms += 2000;
  CHECK(f.Get("b") == "3");
}

class Losses : public LossObserver {
 public:
  void OnLoss(LossReason reason, const ItemView& item, Time) override {
    ++count[reason == LossReason::kEvicted ? 0 : 1];
    bytes += StoreFixture::Join(item).size();
  }
  uint64_t count[2] = {};
  uint64_t bytes = 0;
};

TEST_CASE("Every item lost is counted and told to the observer") {
  StoreFixture f;
  Losses losses;
  f.store().SetLossObserver(&losses);
  StoreOptions brief;
  brief.expiry = f.After(1000);
  for (int i = 0; i < 100000; ++i) {
    const bool dies = i % 3 == 0;
    REQUIRE(f.Put("key" + std::to_string(i), Pattern(100), dies ? brief : StoreOptions()).status ==
            StoreStatus::kStored);
    if (i == 50000) f.now.ms += 2000;
  }
  while (!f.store().Maintain(1000, f.now).pass_completed) {
  }
  const StoreStats stats = f.store().Stats();
  CHECK(losses.count[0] == stats.evictions);
  CHECK(losses.count[1] == stats.reclaimed + stats.crawler_reclaimed);
  CHECK(losses.count[0] + losses.count[1] + stats.curr_items == 100000);
  CHECK(losses.bytes == (losses.count[0] + losses.count[1]) * 100);
  f.store().SetLossObserver(nullptr);
}

TEST_CASE("A walk shows every item as a fetch would, and touches none") {
  StoreFixture f;
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(f.Set("key" + std::to_string(i), std::to_string(i)) == StoreStatus::kStored);
  }
  uint64_t sum = 0;
  WalkCursor cursor;
  int steps = 0;
  for (; !cursor.done; ++steps) {
    f.store().Walk(&cursor, 100, f.now, [&](const ItemView& view) {
      CHECK_FALSE(view.fetched_before);
      sum += std::stoull(StoreFixture::Join(view));
    });
  }
  CHECK(sum == 3000 * 2999 / 2);
  CHECK(steps >= 30 / 2);
}

TEST_CASE("An item that gets a wide CAS keeps its value, whatever its size") {
  StoreFixture f;
  DeleteOptions mark;
  mark.mark_stale = true;
  for (size_t size = 0; size < 3000; size += size < 900 || size > 1100 ? 50 : 1) {
    INFO(size);
    const std::string value = Pattern(size);
    REQUIRE(f.Set("key", value) == StoreStatus::kStored);
    mark.explicit_cas = (uint64_t{1} << 50) + size;
    REQUIRE(f.Delete("key", mark) == DeleteStatus::kDeleted);
    const auto seen = f.Fetch("key");
    REQUIRE(seen.has_value());
    CHECK(seen->value == value);
    CHECK(seen->cas == *mark.explicit_cas);
    CHECK(seen->view.stale);
  }
}

}  // namespace
}  // namespace cairn::storage
