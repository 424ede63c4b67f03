#include "client/look_aside_call.h"

#include <algorithm>
#include <random>
#include <utility>

#include "client/server_state.h"

namespace cairn {
namespace {

// How often the cache is asked whether another process is done: soon at first, then less and less.
constexpr absl::Duration kFirstDelay = absl::Milliseconds(2);
constexpr absl::Duration kDelayMax = absl::Milliseconds(100);

// In [0, 1). Not secret, so a small generator will do.
double Random() {
  thread_local std::minstd_rand generator(std::random_device{}());
  return std::uniform_real_distribution<double>()(generator);
}

Fetched FromCache(std::string value, uint32_t flags, bool stale) {
  Fetched fetched;
  fetched.source = stale ? Fetched::Source::kStale : Fetched::Source::kCache;
  if ((flags & kNothingFlag) == 0 || !value.empty()) fetched.value = std::move(value);
  return fetched;
}

}  // namespace

absl::Duration Jittered(const LookAsideOptions& options, absl::Duration ttl) {
  const double jitter = std::clamp(options.ttl_jitter, 0.0, 1.0);
  return jitter > 0 && ttl != absl::InfiniteDuration() ? ttl * (1 - jitter * Random()) : ttl;
}

LookAsideCall::LookAsideCall(LookAside::Impl* impl, const LookAsideOptions* options)
    : impl_(*impl),
      options_(*options),
      counts_(impl->counts()),
      wait_end_(Clock::now() + ToClock(options->wait_max)),
      poll_delay_(kFirstDelay) {
  leases_.lease = std::max(options->lease, absl::Seconds(1));
  // A value that is early as soon as it is stored would be computed by every other caller.
  const double shortest = 1 - std::clamp(options->ttl_jitter, 0.0, 1.0);
  leases_.refresh_ahead = std::min(options->refresh_ahead, options->ttl * shortest / 2);
  leases_.timeout = options->cache_timeout;
}

LookAsideCall::~LookAsideCall() {
  for (const std::vector<Slot>* slots : {&slots_, &later_}) {
    for (const Slot& slot : *slots) {
      if (slot.flight == nullptr) continue;
      if (slot.next == Next::kPoll) impl_.flights().GiveUp(slot.key, slot.flight);
      if (slot.next == Next::kCompute) {
        impl_.flights().Land(slot.key, slot.flight, {absl::AbortedError("never computed"), {}});
      }
    }
  }
}

void LookAsideCall::Begin(std::span<const std::string_view> keys) {
  slots_.resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) slots_[i].key = keys[i];
  AskFor(false);
}

void LookAsideCall::Cancel(const absl::Status& why) {
  for (Slot& slot : slots_) {
    if (slot.next != Next::kDone) slot.result = why;
  }
  need_ = Need::kNothing;
}

std::vector<absl::StatusOr<Fetched>> LookAsideCall::TakeResults() {
  std::vector<absl::StatusOr<Fetched>> results;
  results.reserve(slots_.size());
  for (Slot& slot : slots_) results.push_back(std::move(slot.result));
  return results;
}

// What comes next: to compute what is this call's, and then to wait.
void LookAsideCall::Plan() {
  computing_.clear();
  for (Slot& slot : slots_) {
    if (slot.next == Next::kCompute) computing_.push_back(&slot);
  }
  if (!computing_.empty()) {
    made_.assign(computing_.size(), Made());
    return options_.fill_from == nullptr || waited_enough_ ? AskComputation() : AskFilling();
  }
  TakeLandings();
  bool over = true;
  bool asks = false;
  bool polls = false;
  for (Slot& slot : slots_) {
    over = over && slot.next == Next::kDone;
    asks = asks || slot.next == Next::kAsk;
    polls = polls || slot.next == Next::kPoll;
  }
  if (over) {
    need_ = Need::kNothing;
    return;
  }
  const Clock::time_point now = Clock::now();
  if (now >= wait_end_) return EndWaiting();
  if (asks) return AskFor(false);
  if (polls && poll_at_ <= now) {
    poll_at_ = std::min(now + ToClock(poll_delay_ * (0.75 + 0.5 * Random())), wait_end_);
    poll_delay_ = std::min(poll_delay_ * 2, kDelayMax);
  }
  for (Slot& slot : slots_) slot.waited = slot.waited || slot.next != Next::kDone;
  need_ = Need::kWaiting;
}

// --- What the cache says

// Who leads a flight asks the cache now and then.
void LookAsideCall::AskFor(bool polls) {
  asked_.clear();
  keys_.clear();
  for (Slot& slot : slots_) {
    if (slot.next != Next::kAsk && !(polls && slot.next == Next::kPoll)) continue;
    asked_.push_back(&slot);
    keys_.push_back(slot.key);
  }
  if (asked_.empty()) return Plan();
  need_ = Need::kLeases;
}

void LookAsideCall::OnLeases(std::span<absl::StatusOr<LeasedItem>> answers) {
  for (size_t i = 0; i < asked_.size(); ++i) OnAnswer(*asked_[i], std::move(answers[i]));
  Plan();
}

void LookAsideCall::OnAnswer(Slot& slot, absl::StatusOr<LeasedItem> answer) {
  if (!answer.ok()) return OnNotReached(slot, answer.status());
  // That there is nothing is remembered for a short time only: all of it would be early.
  const bool early_nothing =
      answer->won && !answer->stale && (answer->flags & kNothingFlag) != 0 && answer->value == "";
  if (answer->won && !early_nothing) return OnWon(slot, *std::move(answer));
  const bool waits =
      answer->taken && (!answer->value.has_value() || (answer->stale && !options_.take_stale));
  if (waits) return OnTaken(slot, *answer);
  if (answer->value.has_value()) return OnValue(slot, *std::move(answer));
  OnNotReached(slot, absl::UnknownError("the server neither has a value nor gives a lease"));
}

void LookAsideCall::Join(Slot& slot, uint64_t lease_id, Next leading) {
  bool leads = false;
  slot.flight = impl_.flights().Join(slot.key, lease_id, &leads);
  slot.notified = false;
  slot.next = leads ? leading : Next::kJoin;
}

void LookAsideCall::OnNotReached(Slot& slot, const absl::Status& why) {
  const bool was_asked = !absl::IsInvalidArgument(why);  // not so with what is no key
  if (slot.not_reached.ok() && was_asked) Impl::Count(counts_.not_reached);
  slot.not_reached = why;
  if (slot.next == Next::kPoll) {
    slot.next = Next::kCompute;
  } else {
    Join(slot, Flights::kNoLease, Next::kCompute);
  }
  if (slot.next == Next::kCompute) impl_.flights().BeginComputing(*slot.flight);
}

void LookAsideCall::OnValue(Slot& slot, LeasedItem item) {
  Fetched fetched = FromCache(*std::move(item.value), item.flags, item.stale);
  if (slot.next == Next::kPoll) impl_.flights().Land(slot.key, slot.flight, {fetched.value, {}});
  if (slot.waited) {
    Impl::Count(counts_.shared);
    if (fetched.source == Fetched::Source::kCache) fetched.source = Fetched::Source::kShared;
  } else {
    Impl::Count(counts_.hits);
    if (item.stale) Impl::Count(counts_.stale);
  }
  Done(slot, std::move(fetched));
}

void LookAsideCall::OnWon(Slot& slot, LeasedItem item) {
  slot.token = std::move(item.token);
  if (slot.next == Next::kPoll) {
    slot.flight->set_lease_id(item.lease_id);
    impl_.flights().BeginComputing(*slot.flight);
  } else {
    slot.flight = impl_.flights().Lead(slot.key, item.lease_id);
    slot.notified = false;
  }
  slot.next = Next::kCompute;
  if (!item.value.has_value() || (item.stale && !options_.take_stale)) return;
  slot.older = FromCache(*std::move(item.value), item.flags, item.stale);
  if (options_.background) PutOff(slot);
}

void LookAsideCall::OnTaken(Slot& slot, const LeasedItem& item) {
  if (slot.next == Next::kPoll) {
    slot.flight->set_lease_id(item.lease_id);
    return;
  }
  Join(slot, item.lease_id, Next::kPoll);
}

// The slot answers with what it has, and is computed by a call of its own.
void LookAsideCall::PutOff(Slot& slot) {
  Slot& later = later_.emplace_back();
  later.key = slot.key;
  later.next = Next::kCompute;
  later.token = std::move(slot.token);
  later.flight = std::move(slot.flight);
  later.older = slot.older;
  Impl::Count(counts_.hits);
  if (slot.older->source == Fetched::Source::kStale) Impl::Count(counts_.stale);
  Done(slot, *std::move(slot.older));
}

std::unique_ptr<LookAsideCall> LookAsideCall::MoveLater(const LookAsideOptions* options,
                                                        std::vector<std::string>* keys) {
  keys->clear();
  keys->reserve(later_.size());  // where they are then, they stay
  for (Slot& slot : later_) slot.key = keys->emplace_back(slot.key);
  auto call = std::make_unique<LookAsideCall>(&impl_, options);
  call->slots_ = std::move(later_);
  later_.clear();
  call->Plan();
  return call;
}

void LookAsideCall::Done(Slot& slot, Fetched fetched) {
  slot.result = std::move(fetched);
  slot.next = Next::kDone;
}

// --- Computing

// What the pool that keys move away from has of those that are not here. What is here, though
// invalidated or near its end, came after what is there.
void LookAsideCall::AskFilling() {
  using Kind = LeaseToken::Kind;
  keys_.clear();
  asked_for_.clear();
  for (size_t i = 0; i < computing_.size(); ++i) {
    const Kind lease = computing_[i]->token.kind_;
    if (lease == Kind::kStale || lease == Kind::kEarly) continue;
    keys_.push_back(computing_[i]->key);
    asked_for_.push_back(i);
  }
  if (keys_.empty()) return AskComputation();
  need_ = Need::kFilling;
}

void LookAsideCall::OnFilled(std::vector<absl::StatusOr<LeasedItem>> found) {
  for (size_t n = 0; n < found.size(); ++n) {
    Made& made = made_[asked_for_[n]];
    made.fill = found[n].status();
    if (!made.fill.ok()) continue;
    LeasedItem& item = *found[n];
    // A stale value is better computed, here; and its lease there is nobody's business.
    if (item.won) releases_.push_back({computing_[asked_for_[n]]->key, item.token});
    if (item.stale || !item.value.has_value()) continue;
    made.value = FromCache(*std::move(item.value), item.flags, false).value;
    made.ttl = item.ttl_left.value_or(Jittered(options_, options_.ttl));
    made.flags = item.flags;
    made.source = Fetched::Source::kFilled;
    Impl::Count(counts_.filled);
  }
  ReleaseThen(options_.fill_from, &LookAsideCall::AskComputation);
}

void LookAsideCall::AskComputation() {
  keys_.clear();
  asked_for_.clear();
  for (size_t i = 0; i < computing_.size(); ++i) {
    if (made_[i].source == Fetched::Source::kFilled) continue;
    keys_.push_back(computing_[i]->key);
    asked_for_.push_back(i);
  }
  if (keys_.empty()) return BeginStoring();
  Impl::Count(counts_.computed, keys_.size());
  need_ = Need::kComputation;
}

void LookAsideCall::OnComputed(Computed values) {
  if (values.ok() && values->size() != asked_for_.size()) {
    values = absl::InternalError("the computation answered for another number of keys");
  }
  for (size_t n = 0; n < asked_for_.size(); ++n) {
    Made& made = made_[asked_for_[n]];
    if (!values.ok()) {
      made.value = values.status();
      continue;
    }
    made.value = std::move((*values)[n]);
    made.ttl = Jittered(options_, made.value->has_value() ? options_.ttl : options_.negative_ttl);
  }
  BeginStoring();
}

void LookAsideCall::BeginStoring() {
  stores_.clear();
  stored_.clear();
  const bool is_no_answer = options_.negative_ttl < absl::ZeroDuration();
  for (size_t i = 0; i < computing_.size(); ++i) {
    const Slot& slot = *computing_[i];
    Made& made = made_[i];
    if (!slot.token.held()) {
      made.cache = slot.not_reached;
    } else if (!made.value.ok() || (!made.value->has_value() && is_no_answer &&
                                    made.source == Fetched::Source::kComputed)) {
      GiveBack(slot);
    } else if (made.ttl <= absl::ZeroDuration()) {
      Drop(slot);
    } else {
      LeasedStore& store = stores_.emplace_back();
      store.key = slot.key;
      if (made.value->has_value()) store.value = **made.value;
      store.token = slot.token;
      store.ttl = made.ttl;
      store.flags = made.value->has_value() ? made.flags : kNothingFlag;
      stored_.push_back(i);
    }
  }
  ReleaseThen(&impl_.client(), &LookAsideCall::AskStores);
}

void LookAsideCall::AskStores() {
  if (stores_.empty()) return FinishComputing();
  need_ = Need::kStores;
}

void LookAsideCall::OnStored(const std::vector<absl::StatusOr<bool>>& outcomes) {
  for (size_t n = 0; n < stored_.size(); ++n) {
    absl::Status& cache = made_[stored_[n]].cache;
    cache = outcomes[n].status();
    if (outcomes[n].ok() && !*outcomes[n]) {
      cache = absl::AbortedError("the lease ended, or the key was deleted, before it was stored");
    }
    // Nobody will store it: the next may try at once. What was stored too late to be told of stays.
    if (!outcomes[n].ok() && !absl::IsUnavailable(cache)) Drop(*computing_[stored_[n]]);
  }
  ReleaseThen(&impl_.client(), &LookAsideCall::FinishComputing);
}

void LookAsideCall::GiveBack(const Slot& slot) { releases_.push_back({slot.key, slot.token}); }

// Gives it back, and has the older value deleted: there is a newer one, which is not to be stored.
void LookAsideCall::Drop(const Slot& slot) {
  using Kind = LeaseToken::Kind;
  LeaseToken token = slot.token;
  if (token.kind_ == Kind::kStale || token.kind_ == Kind::kEarly) token.kind_ = Kind::kMissing;
  releases_.push_back({slot.key, std::move(token)});
}

void LookAsideCall::ReleaseThen(Client* to, void (LookAsideCall::*next)()) {
  if (releases_.empty()) return (this->*next)();
  releases_to_ = to;
  after_releases_ = next;
  need_ = Need::kReleases;
}

void LookAsideCall::OnReleased() {
  releases_.clear();
  (this->*after_releases_)();
}

void LookAsideCall::FinishComputing() {
  for (size_t i = 0; i < computing_.size(); ++i) Finish(*computing_[i], std::move(made_[i]));
  Plan();
}

void LookAsideCall::Finish(Slot& slot, Made made) {
  if (slot.flight != nullptr) {
    impl_.flights().Land(slot.key, slot.flight, {made.value, made.cache});
  }
  if (made.value.ok()) {
    if (!made.cache.ok()) Impl::Count(counts_.not_stored);
    Fetched fetched;
    fetched.value = *std::move(made.value);
    fetched.source = made.source;
    fetched.fill = made.fill;
    fetched.cache = made.cache;
    return Done(slot, std::move(fetched));
  }
  Impl::Count(counts_.failed);
  slot.next = Next::kDone;
  if (slot.older.has_value()) {
    slot.result = *std::move(slot.older);
    slot.result->compute = made.value.status();
  } else {
    slot.result = made.value.status();
  }
}

// --- Waiting

// Who leads a flight asks the cache in between, and never waits for another caller's flight alone:
// two callers could then wait for each other.
Clock::time_point LookAsideCall::wait_end() const {
  const bool polls = std::any_of(slots_.begin(), slots_.end(),
                                 [](const Slot& slot) { return slot.next == Next::kPoll; });
  return polls ? poll_at_ : wait_end_;
}

Flight& LookAsideCall::awaited() {
  Slot* awaited = nullptr;
  for (Slot& slot : slots_) {
    if (slot.next == Next::kPoll) return *slot.flight;
    if (slot.next == Next::kJoin && awaited == nullptr) awaited = &slot;
  }
  return *awaited->flight;
}

bool LookAsideCall::Notify(const std::function<void()>& ended) {
  for (Slot& slot : slots_) {
    if (slot.next != Next::kPoll && slot.next != Next::kJoin) continue;
    if (slot.notified) continue;
    if (!slot.flight->Notify(ended)) return false;
    slot.notified = true;
  }
  return true;
}

void LookAsideCall::OnWaited() {
  TakeLandings();
  if (Clock::now() >= wait_end()) return AskFor(true);
  Plan();
}

// Of what landed without being waited for: also another slot of this call with the same key.
void LookAsideCall::TakeLandings() {
  for (Slot& slot : slots_) {
    if (slot.next == Next::kJoin || slot.next == Next::kPoll) TakeLanding(slot);
  }
}

void LookAsideCall::TakeLanding(Slot& slot) {
  const Flight::State state = slot.flight->Await(absl::ZeroDuration());
  if (state == Flight::State::kFlying) return;
  if (state == Flight::State::kGivenUp) {
    slot.next = Next::kAsk;
    return;
  }
  const Flight::Landing& landing = slot.flight->landing();
  if (!landing.value.ok()) {
    slot.next = Next::kDone;
    slot.result = landing.value.status();
    return;
  }
  Impl::Count(counts_.shared);
  Fetched fetched;
  fetched.value = *landing.value;
  fetched.source = Fetched::Source::kShared;
  fetched.cache = landing.cache;
  Done(slot, std::move(fetched));
}

void LookAsideCall::EndWaiting() {
  const absl::Status late =
      absl::DeadlineExceededError("wait_max passed while somebody else was computing");
  const bool compute = options_.after_waiting == LookAsideOptions::AfterWaiting::kCompute;
  waited_enough_ = true;
  for (Slot& slot : slots_) {
    if (slot.next == Next::kDone) continue;
    if (slot.next == Next::kPoll) impl_.flights().GiveUp(slot.key, slot.flight);
    Impl::Count(counts_.waits_ended);
    slot.result = late;
    slot.not_reached = late;
    slot.flight = nullptr;
    slot.next = compute ? Next::kCompute : Next::kDone;
  }
  Plan();
}

}  // namespace cairn
