// Random operations against a plain map: whatever the store still holds must be right.
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "storage/decimal.h"
#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr int kOperations = 30000;
#else
constexpr int kOperations = 200000;
#endif

struct Settings {
  const char* name;
  uint64_t limit_mib;
  bool evict;
  bool use_cas;
  unsigned shards;
  unsigned keys;
  unsigned largest_value;
};

struct ModelItem {
  std::string value;
  uint32_t client_flags = 0;
  uint64_t cas = 0;
  Expiry expiry;
  bool stale = false;
  bool token_sent = false;
  bool binary = false;
  bool fetched = false;
};

/// What the store says that it lost: nothing else may be missing.
class Losses : public LossObserver {
 public:
  void OnLoss(LossReason reason, const ItemView& item, Time now) override {
    const bool expired = item.expiry.Passed(now);
    if (expired != (reason == LossReason::kExpiredReclaimed)) ++wrong_reasons;
    if (!expired) evicted.insert(std::string(item.key));
  }

  std::set<std::string> evicted;
  int wrong_reasons = 0;
};

class Model {
 public:
  Model(const Settings& settings, unsigned seed)
      : settings_(settings), random_(seed), f_(MakeConfig(settings)) {
    f_.store().SetLossObserver(&losses_);
  }

  void Run(int operations) {
    for (int i = 0; i < operations; ++i) {
      INFO(settings_.name << ", operation " << i);
      if (Chance(20)) f_.now.ms += Below(300);
      Step();
      if (i % 20000 == 19999) CheckAll();
    }
    pins_.clear();
    pinned_values_.clear();
    CheckAll();
  }

 private:
  static Config MakeConfig(const Settings& s) {
    Config config;
    config.memory_limit_bytes = s.limit_mib << 20;
    config.max_item_bytes = std::min<uint64_t>(config.memory_limit_bytes / 4, 1 << 20);
    config.evict = s.evict;
    config.use_cas = s.use_cas;
    config.shard_count = s.shards;
    config.hash_seed = 99;
    return config;
  }

  uint64_t Below(uint64_t n) { return random_() % n; }
  bool Chance(unsigned percent) { return Below(100) < percent; }

  std::string RandomKey() {
    const uint64_t n = std::min(Below(settings_.keys), Below(settings_.keys));
    return "key:" + std::to_string(n) + std::string(n % 7 * (n % 5), 'k');
  }
  std::string RandomValue() {
    switch (Below(10)) {
      case 0:
        return std::to_string(Below(100000));
      case 1:
        return Pattern(Below(settings_.largest_value), next_value_++);
      case 2:
        return Pattern(Below(4000), next_value_++);
      default:
        return Pattern(Below(300), next_value_++);
    }
  }
  Expiry RandomExpiry() {
    switch (Below(8)) {
      case 0:
        return f_.After(static_cast<int64_t>(Below(3000)));
      case 1:
        return f_.After(static_cast<int64_t>(Below(200000)));
      case 2:
        return Chance(20) ? Expiry::Past() : f_.After(int64_t{1000} * 86400 * 365 * 12);
      default:
        return Expiry::Never();
    }
  }
  std::optional<uint64_t> RandomCompare(const ModelItem* item) {
    if (!Chance(15)) return std::nullopt;
    if (item != nullptr && Chance(60)) return item->cas;
    return Chance(30) ? 0 : 1 + Below(1000000);
  }
  std::optional<uint64_t> RandomExplicitCas() {
    if (!Chance(5)) return std::nullopt;
    return Chance(20) ? 0 : Chance(50) ? 1 + Below(1000) : (uint64_t{1} << 50) + Below(100);
  }

  static FetchOptions Quietly() {
    FetchOptions options;
    options.count_access = false;
    return options;
  }

  /// The model's item, after making the model know whether the store still has it.
  ModelItem* Sync(const std::string& key) {
    const auto seen = f_.Fetch(key, Quietly());
    const auto it = items_.find(key);
    if (it == items_.end()) {
      CHECK(!seen.has_value());
      return nullptr;
    }
    ModelItem& item = it->second;
    if (!seen.has_value()) {
      if (losses_.evicted.erase(key) == 0) {
        CHECK(item.expiry.Passed(f_.now));
      } else {
        CHECK(settings_.evict);
      }
      items_.erase(it);
      return nullptr;
    }
    CHECK(losses_.evicted.count(key) == 0);
    CheckSame(*seen, item);
    return &item;
  }
  void CheckSame(const StoreFixture::Seen& seen, const ModelItem& item) {
    CHECK(seen.value == item.value);
    CHECK(seen.client_flags == item.client_flags);
    CHECK(seen.cas == item.cas);
    CHECK(seen.view.stale == item.stale);
    CHECK(seen.view.key_is_binary == item.binary);
    CHECK(seen.view.fetched_before == item.fetched);
    CHECK(RoundedUp(item.expiry, seen.view.expiry));
    CHECK(!seen.view.expiry.Passed(f_.now));
  }
  static bool RoundedUp(Expiry wanted, Expiry got) {
    if (wanted.never() || got.never()) return wanted == got;
    const int64_t over = got.at().ms - wanted.at().ms;
    return over >= 0 && over < (wanted.at().ms > int64_t{1000} * 86400 * 365 * 6 ? 1000 : 100);
  }
  void Forget(const std::string& key) {
    items_.erase(key);
    losses_.evicted.erase(key);
    static_cast<void>(f_.Delete(key));
  }
  /// CAS values are new each time, unless chosen by the caller.
  void NoteCas(ModelItem* item, uint64_t cas, std::optional<uint64_t> wanted) {
    if (!settings_.use_cas) {
      CHECK(cas == 0);
    } else if (wanted.has_value()) {
      CHECK(cas == *wanted);
    } else {
      CHECK(cas != 0);
      CHECK(cas != item->cas);
    }
    item->cas = cas;
  }

  void Step() {
    switch (Below(20)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        return StepStore();
      case 5:
      case 6:
      case 7:
      case 8:
      case 9:
      case 10:
        return StepFetch();
      case 11:
      case 12:
        return StepArithmetic();
      case 13:
      case 14:
        return StepDelete();
      case 15:
        return StepPin();
      default:
        return StepRarely();
    }
  }

  void StepStore() {
    const std::string key = RandomKey();
    const ModelItem* old = Sync(key);
    const std::string value = RandomValue();
    StoreOptions o;
    o.mode = Chance(60) ? StoreMode::kSet : static_cast<StoreMode>(Below(5));
    o.client_flags = Chance(70) ? 0 : static_cast<uint32_t>(Below(1000));
    o.expiry = RandomExpiry();
    o.key_is_binary = Chance(10);
    o.compare_cas = RandomCompare(old);
    o.explicit_cas = RandomExplicitCas();
    o.invalidate_if_older = Chance(30);
    if (Chance(30)) o.vivify = RandomExpiry();

    ModelItem expected;
    const StoreStatus status = Expect(old, value, o, key, &expected);
    StoreResult result;
    if (Chance(30)) {
      StoreStatus reserved = StoreStatus::kStored;
      Reservation reservation = f_.store().Reserve(f_.store().MakeKey(key), value.size(),
                                                   o.client_flags, f_.now, &reserved);
      if (!reservation.held()) {
        CHECK(reserved == (Fits(key, value, o) ? StoreStatus::kNoMemory : StoreStatus::kTooLarge));
        CHECK((reserved == StoreStatus::kTooLarge || MayLackMemory()));
        return;
      }
      StoreFixture::Fill(&reservation, value);
      if (Chance(10)) return;
      result = f_.store().Commit(std::move(reservation), f_.store().MakeKey(key), o, f_.now);
    } else {
      result = f_.Put(key, value, o);
    }
    if (result.status == StoreStatus::kNoMemory) {
      CHECK(MayLackMemory());
      return;
    }
    if (result.status != status) {
      // Making room for the new value may have evicted the old one.
      CHECK((settings_.evict && old != nullptr));
      CHECK(losses_.evicted.count(key) == 1);
      Forget(key);
      return;
    }
    if (status != StoreStatus::kStored) return;
    if (settings_.evict && o.vivify.has_value() && result.value_bytes < expected.value.size()) {
      // An append whose item was evicted meanwhile made a new one.
      old = nullptr;
      CHECK(Expect(old, value, o, key, &expected) == StoreStatus::kStored);
    }
    if (old != nullptr) expected.cas = old->cas;
    NoteCas(&expected, result.cas, o.explicit_cas);
    CHECK(result.value_bytes == expected.value.size());
    losses_.evicted.erase(key);  // the old item may have gone for the new one
    items_[key] = expected;
  }
  bool Fits(const std::string& key, const std::string& value, const StoreOptions& o) {
    return f_.store().AccountedBytes(key.size(), o.client_flags, value.size()) <=
           std::min<uint64_t>(settings_.limit_mib << 18, 1 << 20);
  }
  bool MayLackMemory() const { return !settings_.evict || !pins_.empty(); }

  StoreStatus Expect(const ModelItem* old, const std::string& value, const StoreOptions& o,
                     const std::string& key, ModelItem* expected) {
    if (!Fits(key, value, o)) return StoreStatus::kTooLarge;
    const bool combine = o.mode == StoreMode::kAppend || o.mode == StoreMode::kPrepend;
    *expected = {value, o.client_flags, 0, o.expiry, false, false, o.key_is_binary, false};
    if (old == nullptr) {
      if (combine) {
        if (!o.vivify.has_value()) return StoreStatus::kNotStored;
        expected->expiry = *o.vivify;
      } else if (o.mode != StoreMode::kAdd) {
        if (o.compare_cas.has_value()) return StoreStatus::kNotFound;
        if (o.mode == StoreMode::kReplace) return StoreStatus::kNotStored;
      }
      return StoreStatus::kStored;
    }
    if (o.mode == StoreMode::kAdd) return StoreStatus::kNotStored;
    if (o.compare_cas.has_value()) {
      const uint64_t given = settings_.use_cas ? *o.compare_cas : 0;
      if (given == 0) {
        if (!combine) return StoreStatus::kExists;
      } else if (given != old->cas) {
        if (combine || !o.invalidate_if_older || given > old->cas) return StoreStatus::kExists;
        expected->stale = true;
        expected->token_sent = old->token_sent;
        expected->expiry = old->expiry;
      }
    }
    if (combine) {
      *expected = *old;
      expected->value = o.mode == StoreMode::kAppend ? old->value + value : value + old->value;
      expected->stale = expected->token_sent = expected->fetched = false;
      StoreOptions kept = o;
      kept.client_flags = old->client_flags;
      if (!Fits(key, expected->value, kept)) return StoreStatus::kNotStored;
    }
    return StoreStatus::kStored;
  }

  void StepFetch() {
    const std::string key = RandomKey();
    ModelItem* item = Sync(key);
    FetchOptions o;
    o.count_access = Chance(80);
    o.lease = Chance(50);
    if (Chance(10)) o.touch = RandomExpiry();
    if (Chance(10)) o.vivify = RandomExpiry();
    if (Chance(10)) o.recache_below_ms = static_cast<int64_t>(Below(100000));
    o.recache_after_touch = Chance(50);
    const auto seen = f_.Fetch(key, o);
    if (item == nullptr) {
      if (!o.vivify.has_value()) {
        CHECK(!seen.has_value());
        return;
      }
      if (f_.last_fetch == FetchStatus::kNoMemory) {
        CHECK(MayLackMemory());
        return;
      }
      REQUIRE(seen.has_value());
      CHECK((seen->view.created && seen->view.won && seen->value.empty()));
      ModelItem made;
      made.expiry = *o.vivify;
      made.token_sent = true;
      made.fetched = o.count_access;
      NoteCas(&made, seen->cas, std::nullopt);
      items_[key] = made;
      return;
    }
    REQUIRE(seen.has_value());
    const bool leases = o.lease || o.recache_below_ms.has_value();
    bool wins = o.lease && item->stale;
    const Expiry judged = o.recache_after_touch && o.touch.has_value() ? *o.touch : item->expiry;
    bool unsure = false;
    if (o.recache_below_ms.has_value() && !judged.never()) {
      const int64_t limit = f_.now.ms + *o.recache_below_ms;
      wins = wins || judged.at().ms < limit;
      // The store's moment is up to 100 ms later.
      unsure = judged.at().ms < limit && judged.at().ms + 1000 > limit;
    }
    if (!unsure) CHECK(seen->view.won == (leases && wins && !item->token_sent));
    CHECK(seen->view.lost == (leases && item->token_sent));
    item->token_sent = item->token_sent || seen->view.won;
    CHECK(seen->value == item->value);
    CHECK(seen->view.fetched_before == item->fetched);
    if (o.touch.has_value()) item->expiry = *o.touch;
    item->fetched = item->fetched || o.count_access;
    CHECK(RoundedUp(item->expiry == Expiry::Past() ? seen->view.expiry : item->expiry,
                    seen->view.expiry));
  }

  void StepArithmetic() {
    const std::string key = RandomKey();
    ModelItem* item = Sync(key);
    ArithmeticOptions o;
    o.decrement = Chance(40);
    o.delta = Chance(20) ? random_() : Below(1000);
    if (Chance(30)) o.create = RandomExpiry();
    o.initial = Below(1000);
    if (Chance(10)) o.touch = RandomExpiry();
    o.compare_cas = RandomCompare(item);
    o.explicit_cas = RandomExplicitCas();
    std::optional<StoreFixture::Seen> seen;
    const ArithmeticResult result =
        f_.store().Arithmetic(f_.store().MakeKey(key), o, f_.now, [&](const ItemView& view) {
          seen = StoreFixture::Seen{StoreFixture::Join(view), view.client_flags, view.cas, view};
        });
    if (result.status == ArithmeticStatus::kNoMemory) {
      CHECK(MayLackMemory());
      return;
    }
    if (item == nullptr) {
      if (!o.create.has_value()) {
        CHECK((result.status == ArithmeticStatus::kNotFound ||
               result.status == ArithmeticStatus::kNotFoundExpired));
        return;
      }
      CHECK(result.status == ArithmeticStatus::kCreated);
      REQUIRE(seen.has_value());
      CHECK(seen->value == std::to_string(o.initial));
      ModelItem made;
      made.value = seen->value;
      made.expiry = *o.create;
      NoteCas(&made, seen->cas, o.explicit_cas);
      items_[key] = made;
      return;
    }
    const auto number = ParseCounter(item->value);
    const bool differs = o.compare_cas.value_or(0) != 0 && *o.compare_cas != item->cas;
    if (result.status == ArithmeticStatus::kNonNumeric) {
      CHECK(!number.has_value());
      return;
    }
    if (differs) {
      CHECK(result.status == ArithmeticStatus::kExists);
      return;
    }
    CHECK(result.status == ArithmeticStatus::kOk);
    REQUIRE((seen.has_value() && number.has_value()));
    const uint64_t sum =
        !o.decrement ? *number + o.delta : (*number > o.delta ? *number - o.delta : 0);
    CHECK(result.number == sum);
    const std::string digits = std::to_string(sum);
    CHECK(seen->value.substr(0, digits.size()) == digits);
    CHECK(seen->value.find_first_not_of(' ', digits.size()) == std::string::npos);
    // A number that got longer, or a CAS that needs more room, makes a new item.
    const bool wide = o.explicit_cas.value_or(0) >> 42 != 0;
    CHECK((wide || seen->value.size() == std::max(digits.size(), item->value.size())));
    if (digits.size() > item->value.size() || wide) {
      item->stale = item->token_sent = item->fetched = false;
    }
    item->value = seen->value;
    NoteCas(item, seen->cas, o.explicit_cas);
    if (o.touch.has_value()) item->expiry = *o.touch;
    losses_.evicted.erase(key);
    if (wide) Forget(key);  // unless there was room already
  }

  void StepDelete() {
    const std::string key = RandomKey();
    ModelItem* item = Sync(key);
    DeleteOptions o;
    o.compare_cas = RandomCompare(item);
    o.mark_stale = Chance(20);
    o.drop_value = Chance(20);
    if (Chance(30)) o.touch = RandomExpiry();
    o.explicit_cas = RandomExplicitCas();
    const DeleteStatus status = f_.Delete(key, o);
    if (item == nullptr) {
      CHECK(status == DeleteStatus::kNotFound);
      return;
    }
    if (o.compare_cas.has_value() && *o.compare_cas != item->cas) {
      CHECK(status == DeleteStatus::kExists);
      return;
    }
    CHECK(status == DeleteStatus::kDeleted);
    if (!o.mark_stale && !o.drop_value) {
      items_.erase(key);
      return;
    }
    const auto seen = f_.Fetch(key, Quietly());
    if (!seen.has_value()) {  // touched to the past, or no memory for the change
      Forget(key);
      return;
    }
    losses_.evicted.erase(key);
    if (o.mark_stale || o.explicit_cas.has_value()) {
      NoteCas(item, seen->cas, o.explicit_cas);
    } else {
      CHECK(seen->cas == item->cas);  // a value that is only dropped leaves the CAS
    }
    if (o.drop_value) {
      item->value.clear();
      item->client_flags = 0;
      item->expiry = Expiry::Never();
      item->stale = item->token_sent = item->fetched = false;
    }
    if (o.touch.has_value()) item->expiry = *o.touch;
    if (o.mark_stale) {
      item->stale = true;
      item->token_sent = false;
    }
    item->fetched = seen->view.fetched_before;
    CheckSame(*seen, *item);
  }

  void StepPin() {
    if (pins_.size() > 3) {
      const size_t n = Below(pins_.size());
      std::string now;
      for (const std::string_view piece : pins_[n].pieces) now.append(piece);
      CHECK(now == pinned_values_[n]);
      pins_.erase(pins_.begin() + static_cast<std::ptrdiff_t>(n));
      pinned_values_.erase(pinned_values_.begin() + static_cast<std::ptrdiff_t>(n));
      return;
    }
    const std::string key_bytes = RandomKey();
    const Key key = f_.store().MakeKey(key_bytes);
    Pinned pinned;
    const FetchStatus status = f_.store().Fetch(key, Quietly(), f_.now, [&](const ItemView& view) {
      pinned.pin = view.PinValue();
      pinned.pieces.assign(view.value.begin(), view.value.end());
    });
    if (status != FetchStatus::kHit || !pinned.pin.held()) return;
    std::string value;
    for (const std::string_view piece : pinned.pieces) value.append(piece);
    pins_.push_back(std::move(pinned));
    pinned_values_.push_back(value);
  }

  void StepRarely() {
    switch (Below(400)) {
      case 0:
        f_.store().Flush(f_.now, f_.now);
        items_.clear();
        losses_.evicted.clear();
        CHECK(f_.store().Stats().curr_items == 0);
        break;
      case 1:
        f_.store().Flush(Time{f_.now.ms + 100}, f_.now);
        f_.now.ms += 100;
        items_.clear();
        losses_.evicted.clear();
        break;
      case 2:
      case 3: {
        if (!settings_.evict) break;  // lowering evicts whatever the setting
        const uint64_t limit = settings_.limit_mib << 20;
        CHECK(f_.store().SetMemoryLimit(Chance(50) ? limit : limit * 3 / 4, f_.now));
        break;
      }
      case 4:
        CheckWalk();
        break;
      default:
        static_cast<void>(f_.store().Maintain(Below(2000), f_.now));
    }
  }

  void CheckWalk() {
    std::set<std::string> seen;
    WalkCursor cursor;
    while (!cursor.done) {
      f_.store().Walk(&cursor, 100, f_.now,
                      [&](const ItemView& view) { seen.insert(std::string(view.key)); });
    }
    for (const std::string& key : seen) CHECK(items_.count(key) == 1);
    for (const auto& [key, item] : items_) {
      const bool there = f_.Fetch(key, Quietly()).has_value();
      CHECK(there == (seen.count(key) == 1));
    }
  }

  void CheckAll() {
    const absl::Status status = f_.store().CheckInvariants();
    INFO(status.ToString());
    REQUIRE(status.ok());
    std::vector<std::string> keys;
    for (const auto& [key, item] : items_) keys.push_back(key);
    for (const std::string& key : keys) Sync(key);
    CHECK(losses_.evicted.empty());
    CHECK(losses_.wrong_reasons == 0);
    while (!f_.store().Maintain(1000, f_.now).pass_completed) {
    }
    const StoreStats stats = f_.store().Stats();
    CHECK(stats.curr_items == items_.size());
    uint64_t of_classes = 0;
    for (const ClassStats& c : f_.store().StatsByClass(f_.now)) of_classes += c.items;
    CHECK(of_classes == stats.curr_items);
    if (!settings_.evict) CHECK(stats.evictions == 0);
    CHECK(stats.pages_total * stats.page_bytes + stats.index_bytes <=
          f_.store().memory_limit_bytes() + (uint64_t{256} << 10));
  }

  struct Pinned {
    Pin pin;
    std::vector<std::string_view> pieces;
  };

  Settings settings_;
  std::mt19937_64 random_;
  Losses losses_;
  StoreFixture f_;
  std::map<std::string, ModelItem> items_;
  std::vector<Pinned> pins_;
  std::vector<std::string> pinned_values_;
  unsigned next_value_ = 1;
};

TEST_CASE("Random operations leave the store in agreement with a plain map") {
  const Settings all[] = {
      {"tiny, evicting", 2, true, true, 1, 5000, 100000},
      {"small, evicting, four shards", 4, true, true, 4, 20000, 300000},
      {"small, without CAS", 8, true, false, 2, 20000, 50000},
      {"roomy, evicting", 64, true, true, 0, 3000, 20000},
      {"refusing", 2, false, true, 1, 2000, 60000},
      {"refusing, four shards", 16, false, true, 4, 20000, 200000},
  };
  for (const Settings& settings : all) {
    Model model(settings, 1);
    model.Run(kOperations / 6);
  }
  // Longer or other runs by hand: seeds from the environment.
  if (const char* seed = std::getenv("CAIRN_MODEL_SEED"); seed != nullptr) {
    for (const Settings& settings : all) {
      Model model(settings, static_cast<unsigned>(std::atoi(seed)));
      model.Run(kOperations);
    }
  }
}

}  // namespace
}  // namespace cairn::storage
