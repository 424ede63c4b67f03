// Namespaces, for threads that wait and for loops.
#include "cairn/namespace.h"

#include <optional>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "cairn/async_namespace.h"
#include "client/at_home.h"
#include "client/namespace_state.h"

namespace cairn {

// session.cc has this one.
extern CAIRN_ASYNC_RESULT(absl::StatusOr<std::string>);

namespace {

constexpr size_t kGenerationDigits = 16;
constexpr int kFetchTries = 3;

// 64 random bits: that an old generation comes again is no more likely than any other accident.
std::string NewGeneration() {
  static constexpr char kHex[] = "0123456789abcdef";
  std::random_device device;
  std::string digits;
  while (digits.size() < kGenerationDigits) {
    uint32_t bits = device();
    for (int i = 0; i < 8; ++i, bits >>= 4) digits.push_back(kHex[bits & 15]);
  }
  return digits;
}

bool IsGeneration(std::string_view text) {
  return text.size() == kGenerationDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string Namespace::State::KeyOf(std::string_view generation, std::string_view key) const {
  return name_ + ":" + std::string(generation) + ":" + std::string(key);
}

Sequence<absl::StatusOr<std::string>> Namespace::State::Key(std::string_view key) {
  const absl::Time now = absl::Now();
  uint64_t invalidations = 0;
  {
    absl::MutexLock lock(&mutex_);
    const bool believed = now - fetched_ < options_.refresh && now >= fetched_;
    if (believed && !generation_.empty()) return Generation::Over(KeyOf(generation_, key));
    invalidations = invalidations_;
  }
  return Fetch(kFetchTries)
      .Then([self = shared_from_this(), now, invalidations,
             key = std::string(key)](const absl::StatusOr<std::string>& fetched) {
        if (!fetched.ok()) return Generation::Over(fetched.status());
        self->Believe(*fetched, now, invalidations);
        return Generation::Over(self->KeyOf(*fetched, key));
      });
}

void Namespace::State::Believe(const std::string& generation, absl::Time asked,
                               uint64_t invalidations) {
  absl::MutexLock lock(&mutex_);
  if (invalidations != invalidations_) return;
  generation_ = generation;
  fetched_ = asked;
}

// The generation in the cache; a new one when there is none. Of several who find none, one's is
// added.
Namespace::State::Generation Namespace::State::Fetch(int tries_left) const {
  if (tries_left == 0) {
    return Generation::Over(
        absl::UnavailableError(generation_key_ + " is evicted as soon as it is stored"));
  }
  return Generation::Ask(
      [self = shared_from_this()](auto& client) {
        return AtHome::Get(client, self->generation_key_, self->options_.call);
      },
      [self = shared_from_this(),
       tries_left](const absl::StatusOr<std::optional<std::string>>& found) {
        if (!found.ok()) return Generation::Over(found.status());
        if (!found->has_value()) return self->Add(tries_left);
        if (IsGeneration(**found)) return Generation::Over(**found);
        return Generation::Over(
            absl::FailedPreconditionError(self->generation_key_ + " holds something else"));
      });
}

Namespace::State::Generation Namespace::State::Add(int tries_left) const {
  const std::string generation = NewGeneration();
  return Generation::Ask(
      [self = shared_from_this(), generation](auto& client) {
        return AtHome::Add(client, self->generation_key_, generation,
                           StoredFor(self->options_.call));
      },
      [self = shared_from_this(), generation, tries_left](const absl::StatusOr<bool>& added) {
        if (!added.ok()) return Generation::Over(added.status());
        return *added ? Generation::Over(generation) : self->Fetch(tries_left - 1);
      });
}

Sequence<absl::Status> Namespace::State::Invalidate() {
  using Invalidation = Sequence<absl::Status>;
  const std::string generation = NewGeneration();
  uint64_t invalidations = 0;
  {
    absl::MutexLock lock(&mutex_);
    invalidations = invalidations_;
  }
  return Invalidation::Ask(
      [self = shared_from_this(), generation](auto& client) {
        return AtHome::Set(client, self->generation_key_, generation,
                           StoredFor(self->options_.call));
      },
      [self = shared_from_this(), generation, invalidations](const absl::Status& stored) {
        self->NoteInvalidation(generation, stored.ok(), invalidations);
        return Invalidation::Over(stored);
      });
}

void Namespace::State::NoteInvalidation(const std::string& generation, bool stored,
                                        uint64_t invalidations) {
  absl::MutexLock lock(&mutex_);
  // After a failure it may have been stored or not, and of two at a time either may be the later:
  // it has to be asked for.
  const bool known = stored && invalidations == invalidations_;
  ++invalidations_;
  generation_ = known ? generation : std::string();
  fetched_ = known ? absl::Now() : absl::InfinitePast();
}

Namespace::Namespace(Client* client, std::string_view name, const Options& options)
    : client_(client), state_(std::make_shared<State>(name, options)) {}
Namespace::~Namespace() = default;

absl::StatusOr<std::string> Namespace::Key(std::string_view key) {
  return Ran(*client_, state_->Key(key));
}

absl::Status Namespace::Invalidate() { return Ran(*client_, state_->Invalidate()); }

AsyncNamespace::AsyncNamespace(Namespace* names)
    : AsyncNamespace(names, &names->client_->Async()) {}

AsyncNamespace::AsyncNamespace(Namespace* names, AsyncClient* async)
    : state_(names->state_), async_(async) {}

AsyncResult<absl::StatusOr<std::string>> AsyncNamespace::Key(std::string_view key) const {
  return Prepared(*async_, state_->Key(key));
}

AsyncResult<absl::Status> AsyncNamespace::Invalidate() const {
  return Prepared(*async_, state_->Invalidate());
}

}  // namespace cairn
