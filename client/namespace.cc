#include "cairn/namespace.h"

#include <optional>
#include <random>

#include "absl/time/clock.h"

namespace cairn {
namespace {

constexpr size_t kGenerationDigits = 16;

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

Namespace::Namespace(Client* client, std::string_view name, const Options& options)
    : client_(client), name_(name), generation_key_("ns:" + std::string(name)), options_(options) {}

absl::StatusOr<std::string> Namespace::Key(std::string_view key) {
  const absl::Time now = absl::Now();
  uint64_t invalidations = 0;
  std::string generation;
  {
    absl::MutexLock lock(&mutex_);
    if (now - fetched_ < options_.refresh && now >= fetched_) generation = generation_;
    invalidations = invalidations_;
  }
  if (generation.empty()) {
    absl::StatusOr<std::string> fetched = Fetch();
    if (!fetched.ok()) return fetched.status();
    generation = *std::move(fetched);
    absl::MutexLock lock(&mutex_);
    if (invalidations == invalidations_) {
      generation_ = generation;
      fetched_ = now;
    }
  }
  return name_ + ":" + generation + ":" + std::string(key);
}

// The generation in the cache; a new one when there is none. Of several who find none, one's is
// added.
absl::StatusOr<std::string> Namespace::Fetch() {
  constexpr int kTries = 3;
  for (int i = 0; i < kTries; ++i) {
    absl::StatusOr<std::optional<std::string>> found = client_->Get(generation_key_, options_.call);
    if (!found.ok()) return found.status();
    if (found->has_value() && IsGeneration(**found)) return **std::move(found);
    if (found->has_value()) {
      return absl::FailedPreconditionError(generation_key_ + " holds something else");
    }
    std::string generation = NewGeneration();
    WriteOptions write;
    write.timeout = options_.call.timeout;
    const absl::StatusOr<bool> added = client_->Add(generation_key_, generation, write);
    if (!added.ok()) return added.status();
    if (*added) return generation;
  }
  return absl::UnavailableError(generation_key_ + " is evicted as soon as it is stored");
}

absl::Status Namespace::Invalidate() {
  std::string generation = NewGeneration();
  WriteOptions write;
  write.timeout = options_.call.timeout;
  const absl::Status stored = client_->Set(generation_key_, generation, write);
  absl::MutexLock lock(&mutex_);
  ++invalidations_;
  // After a failure it may have been stored or not, hence has to be asked for.
  generation_ = stored.ok() ? generation : std::string();
  fetched_ = stored.ok() ? absl::Now() : absl::InfinitePast();
  return stored;
}

}  // namespace cairn
