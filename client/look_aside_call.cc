#include <algorithm>
#include <random>
#include <utility>

#include "client/look_aside_impl.h"

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

// Nothing is wrong with the server: it, or this library, did not want that very value.
bool IsRefusal(const absl::Status& status) {
  return !absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status);
}

}  // namespace

/// Whatever happens while computing, nobody waits for what does not come.
class LookAsideCall::Guard {
 public:
  Guard(LookAsideCall* call, std::span<Slot* const> slots) : call_(*call), slots_(slots) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  ~Guard() {
    for (Slot* slot : slots_) {
      if (slot->next == Next::kDone) continue;
      call_.GiveBack(*slot);
      call_.FinishComputed(*slot, Made(), absl::OkStatus());
    }
  }

 private:
  LookAsideCall& call_;
  const std::span<Slot* const> slots_;
};

LookAsideCall::LookAsideCall(LookAside::Impl* impl, const LookAsideOptions* options,
                             const LookAside::ComputeMulti* compute)
    : impl_(*impl),
      options_(*options),
      compute_(*compute),
      counts_(impl->counts()),
      wait_end_(Clock::now() + ToClock(options->wait_max)),
      delay_(kFirstDelay) {
  lease_.lease = std::max(options->lease, absl::Seconds(1));
  // A value that is early as soon as it is stored would be computed by every other caller.
  const double shortest = 1 - std::clamp(options->ttl_jitter, 0.0, 1.0);
  lease_.refresh_ahead = std::min(options->refresh_ahead, options->ttl * shortest / 2);
  lease_.timeout = options->cache_timeout;
}

// Left by an exception: nobody waits for a leader who has gone.
LookAsideCall::~LookAsideCall() {
  for (const Slot& slot : slots_) {
    if (slot.next == Next::kPoll) impl_.flights().GiveUp(slot.key, slot.flight);
    if (slot.next == Next::kCompute) {
      impl_.flights().Land(slot.key, slot.flight, {absl::AbortedError("never computed"), {}});
    }
  }
}

absl::Duration LookAsideCall::TimeLeft() const {
  return std::max(absl::FromChrono(wait_end_ - Clock::now()), absl::ZeroDuration());
}

absl::Duration LookAsideCall::Jittered(const LookAsideOptions& options, absl::Duration ttl) {
  const double jitter = std::clamp(options.ttl_jitter, 0.0, 1.0);
  return jitter > 0 && ttl != absl::InfiniteDuration() ? ttl * (1 - jitter * Random()) : ttl;
}

std::vector<absl::StatusOr<Fetched>> LookAsideCall::Run(std::span<const std::string_view> keys) {
  slots_.resize(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) slots_[i].key = keys[i];
  for (;;) {
    Ask();
    ComputeLater();
    ComputeAll();
    TakeLandings();
    const auto is_done = [](const Slot& slot) { return slot.next == Next::kDone; };
    if (std::all_of(slots_.begin(), slots_.end(), is_done)) break;
    if (TimeLeft() == absl::ZeroDuration()) {
      EndWaiting();
      break;
    }
    Await();
  }
  std::vector<absl::StatusOr<Fetched>> results;
  results.reserve(slots_.size());
  for (Slot& slot : slots_) results.push_back(std::move(slot.result));
  return results;
}

// --- What the cache says

void LookAsideCall::Ask() {
  std::vector<Slot*> asked;
  std::vector<std::string_view> keys;
  for (Slot& slot : slots_) {
    if (slot.next != Next::kAsk && slot.next != Next::kPoll) continue;
    asked.push_back(&slot);
    keys.push_back(slot.key);
  }
  if (asked.empty()) return;
  if (asked.size() == 1) {
    OnAnswer(*asked[0], impl_.client().GetWithLease(keys[0], lease_));
    return;
  }
  std::vector<absl::StatusOr<LeasedItem>> answers = impl_.client().GetMultiWithLease(keys, lease_);
  for (size_t i = 0; i < asked.size(); ++i) OnAnswer(*asked[i], std::move(answers[i]));
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

void LookAsideCall::OnNotReached(Slot& slot, const absl::Status& why) {
  if (slot.not_reached.ok()) Impl::Count(counts_.not_reached);
  slot.not_reached = why;
  if (slot.next == Next::kPoll) {
    impl_.flights().BeginComputing(*slot.flight);
    slot.next = Next::kCompute;
    return;
  }
  bool leads = false;
  slot.flight = impl_.flights().Join(slot.key, Flights::kNoLease, &leads);
  slot.next = leads ? Next::kCompute : Next::kJoin;
  if (leads) impl_.flights().BeginComputing(*slot.flight);
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
  }
  slot.next = Next::kCompute;
  if (!item.value.has_value() || (item.stale && !options_.take_stale)) return;
  slot.older = FromCache(*std::move(item.value), item.flags, item.stale);
  if (options_.background) later_.push_back(&slot);
}

void LookAsideCall::OnTaken(Slot& slot, const LeasedItem& item) {
  if (slot.next == Next::kPoll) {
    slot.flight->set_lease_id(item.lease_id);
    return;
  }
  bool leads = false;
  slot.flight = impl_.flights().Join(slot.key, item.lease_id, &leads);
  slot.next = leads ? Next::kPoll : Next::kJoin;
}

void LookAsideCall::Done(Slot& slot, Fetched fetched) {
  slot.result = std::move(fetched);
  slot.next = Next::kDone;
}

// --- Computing

// The slots of `later_` answer with what they have, and are computed by a call of their own.
void LookAsideCall::ComputeLater() {
  if (later_.empty()) return;
  struct Job {
    explicit Job(const LookAsideCall& call)
        : options(call.options_),
          compute(call.compute_),
          run(std::make_unique<LookAsideCall>(&call.impl_, &options, &compute)) {}
    const LookAsideOptions options;
    const LookAside::ComputeMulti compute;
    std::vector<std::string> keys;
    std::unique_ptr<LookAsideCall> run;
  };
  const auto job = std::make_shared<Job>(*this);
  for (const Slot* slot : later_) job->keys.emplace_back(slot->key);
  for (size_t i = 0; i < later_.size(); ++i) {
    Slot& slot = *later_[i];
    Slot& moved = job->run->slots_.emplace_back();
    moved.key = job->keys[i];
    moved.next = Next::kCompute;
    moved.token = std::move(slot.token);
    moved.flight = std::move(slot.flight);
    moved.older = slot.older;
    Impl::Count(counts_.hits);
    if (slot.older->source == Fetched::Source::kStale) Impl::Count(counts_.stale);
    Done(slot, *std::move(slot.older));
  }
  later_.clear();
  options_.background([job] { job->run->ComputeAll(); });
}

void LookAsideCall::ComputeAll() {
  std::vector<Slot*> slots;
  for (Slot& slot : slots_) {
    if (slot.next == Next::kCompute) slots.push_back(&slot);
  }
  if (slots.empty()) return;
  const Guard guard(this, slots);
  std::vector<Made> made(slots.size());
  Fill(slots, made);
  Compute(slots, made);
  std::vector<absl::Status> cache(slots.size());
  Store(slots, made, cache);
  for (size_t i = 0; i < slots.size(); ++i) FinishComputed(*slots[i], std::move(made[i]), cache[i]);
}

// What the pool that keys move away from has.
void LookAsideCall::Fill(std::span<Slot* const> slots, std::vector<Made>& made) {
  if (options_.fill_from == nullptr) return;
  std::vector<std::string_view> keys;
  for (const Slot* slot : slots) keys.push_back(slot->key);
  LeaseOptions plain;
  plain.lease = absl::ZeroDuration();
  plain.timeout = options_.cache_timeout;
  std::vector<absl::StatusOr<LeasedItem>> found =
      options_.fill_from->GetMultiWithLease(keys, plain);
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!found[i].ok()) continue;
    LeasedItem& item = *found[i];
    // A stale value is better computed, here; and its lease there is nobody's business.
    if (item.won) (void)options_.fill_from->ReleaseLease(keys[i], item.token);
    if (item.stale || !item.value.has_value()) continue;
    made[i].value = FromCache(*std::move(item.value), item.flags, false).value;
    made[i].ttl = item.ttl_left.value_or(Jittered(options_, options_.ttl));
    made[i].flags = item.flags;
    made[i].source = Fetched::Source::kFilled;
    Impl::Count(counts_.filled);
  }
}

void LookAsideCall::Compute(std::span<Slot* const> slots, std::vector<Made>& made) {
  std::vector<std::string_view> keys;
  std::vector<size_t> of;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (made[i].source == Fetched::Source::kFilled) continue;
    keys.push_back(slots[i]->key);
    of.push_back(i);
  }
  if (keys.empty()) return;
  Impl::Count(counts_.computed, keys.size());
  absl::StatusOr<std::vector<std::optional<std::string>>> values = compute_(keys);
  if (values.ok() && values->size() != keys.size()) {
    values = absl::InternalError("the computation answered for another number of keys");
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    Made& one = made[of[i]];
    if (!values.ok()) {
      one.value = values.status();
      continue;
    }
    one.value = std::move((*values)[i]);
    one.ttl = Jittered(options_, (*one.value).has_value() ? options_.ttl : options_.negative_ttl);
  }
}

void LookAsideCall::Store(std::span<Slot* const> slots, const std::vector<Made>& made,
                          std::vector<absl::Status>& cache) {
  std::vector<LeasedStore> stores;
  std::vector<size_t> of;
  for (size_t i = 0; i < slots.size(); ++i) {
    const Slot& slot = *slots[i];
    if (!slot.token.held()) {
      cache[i] = slot.not_reached;
    } else if (!made[i].value.ok() || made[i].ttl <= absl::ZeroDuration()) {
      GiveBack(slot);
    } else {
      const std::optional<std::string>& value = *made[i].value;
      LeasedStore& store = stores.emplace_back();
      store.key = slot.key;
      if (value.has_value()) store.value = *value;
      store.token = slot.token;
      store.ttl = made[i].ttl;
      store.flags = value.has_value() ? made[i].flags : kNothingFlag;
      of.push_back(i);
    }
  }
  if (stores.empty()) return;
  CallOptions call;
  call.timeout = options_.cache_timeout;
  const std::vector<absl::StatusOr<bool>> stored = impl_.client().SetMultiWithLease(stores, call);
  for (size_t i = 0; i < stores.size(); ++i) {
    absl::Status& status = cache[of[i]];
    status = stored[i].status();
    if (stored[i].ok() && !*stored[i]) {
      status = absl::AbortedError("the lease ended, or the key was deleted, before it was stored");
    }
    // Nobody will store it: the next may try at once.
    if (!stored[i].ok() && IsRefusal(status)) GiveBack(*slots[of[i]]);
  }
}

void LookAsideCall::GiveBack(const Slot& slot) {
  if (!slot.token.held()) return;
  CallOptions call;
  call.timeout = options_.cache_timeout;
  // Not more than an attempt: the lease ends anyway.
  (void)impl_.client().ReleaseLease(slot.key, slot.token, call);
}

void LookAsideCall::FinishComputed(Slot& slot, Made made, const absl::Status& cache) {
  impl_.flights().Land(slot.key, slot.flight, {made.value, cache});
  if (!cache.ok()) Impl::Count(counts_.not_stored);
  if (made.value.ok()) {
    Fetched fetched;
    fetched.value = *std::move(made.value);
    fetched.source = made.source;
    fetched.cache = cache;
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

// Sleeps a while, or until something happens in this process. Who leads a flight asks the cache in
// between, and never waits for another thread's flight alone: two threads could then wait for each
// other.
void LookAsideCall::Await() {
  Slot* polled = nullptr;
  Slot* joined = nullptr;
  for (Slot& slot : slots_) {
    if (slot.next == Next::kPoll && polled == nullptr) polled = &slot;
    if (slot.next == Next::kJoin && joined == nullptr) joined = &slot;
    slot.waited = slot.waited || slot.next == Next::kPoll || slot.next == Next::kJoin;
  }
  if (polled == nullptr) {
    TakeLanding(*joined, TimeLeft());
  } else {
    TakeLanding(*polled, std::min(delay_ * (0.75 + 0.5 * Random()), TimeLeft()));
    delay_ = std::min(delay_ * 2, kDelayMax);
  }
}

// Of what landed without being waited for: also another slot of this call with the same key.
void LookAsideCall::TakeLandings() {
  for (Slot& slot : slots_) {
    if (slot.next == Next::kJoin || slot.next == Next::kPoll) {
      TakeLanding(slot, absl::ZeroDuration());
    }
  }
}

bool LookAsideCall::TakeLanding(Slot& slot, absl::Duration timeout) {
  switch (slot.flight->Await(timeout)) {
    case Flight::State::kFlying:
      return false;
    case Flight::State::kGivenUp:
      slot.next = Next::kAsk;
      return true;
    case Flight::State::kLanded:
      break;
  }
  const Flight::Landing& landing = slot.flight->landing();
  slot.next = Next::kDone;
  if (!landing.value.ok()) {
    slot.result = landing.value.status();
    return true;
  }
  Impl::Count(counts_.shared);
  Fetched fetched;
  fetched.value = *landing.value;
  fetched.source = Fetched::Source::kShared;
  fetched.cache = landing.cache;
  Done(slot, std::move(fetched));
  return true;
}

void LookAsideCall::EndWaiting() {
  const absl::Status late =
      absl::DeadlineExceededError("wait_max passed while somebody else was computing");
  std::vector<Slot*> left;
  for (Slot& slot : slots_) {
    if (slot.next == Next::kDone) continue;
    if (slot.next == Next::kPoll) impl_.flights().GiveUp(slot.key, slot.flight);
    Impl::Count(counts_.waits_ended);
    slot.result = late;
    slot.not_reached = late;
    slot.next = Next::kDone;
    left.push_back(&slot);
  }
  if (left.empty() || options_.after_waiting == LookAsideOptions::AfterWaiting::kFail) return;
  std::vector<Made> made(left.size());
  Compute(left, made);
  for (size_t i = 0; i < left.size(); ++i) {
    if (!made[i].value.ok()) {
      Impl::Count(counts_.failed);
      left[i]->result = made[i].value.status();
      continue;
    }
    Impl::Count(counts_.not_stored);
    Fetched fetched;
    fetched.value = *std::move(made[i].value);
    fetched.source = Fetched::Source::kComputed;
    fetched.cache = late;
    left[i]->result = std::move(fetched);
  }
}

}  // namespace cairn
