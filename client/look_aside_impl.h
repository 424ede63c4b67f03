#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "cairn/look_aside.h"
#include "client/flights.h"

namespace cairn {

/// The flag of a cached "there is nothing", which is an empty value. Part of what is stored:
/// docs/client.md.
inline constexpr uint32_t kNothingFlag = uint32_t{1} << 30;

/// `ttl`, less a random share of up to ttl_jitter.
absl::Duration Jittered(const LookAsideOptions& options, absl::Duration ttl);

class CAIRN_HIDDEN LookAside::Impl {
 public:
  Impl(Client* client, LookAsideOptions options) : client_(*client), options_(std::move(options)) {}

  Client& client() { return client_; }
  const LookAsideOptions& options() const { return options_; }
  Flights& flights() { return flights_; }

  struct Counts {
    std::atomic<uint64_t> hits{0};
    std::atomic<uint64_t> stale{0};
    std::atomic<uint64_t> computed{0};
    std::atomic<uint64_t> failed{0};
    std::atomic<uint64_t> shared{0};
    std::atomic<uint64_t> filled{0};
    std::atomic<uint64_t> not_reached{0};
    std::atomic<uint64_t> not_stored{0};
    std::atomic<uint64_t> waits_ended{0};
  };
  Counts& counts() { return counts_; }
  static void Count(std::atomic<uint64_t>& counter, uint64_t by = 1) {
    counter.fetch_add(by, std::memory_order_relaxed);
  }

 private:
  Client& client_;
  const LookAsideOptions options_;
  Flights flights_;
  Counts counts_;
};

}  // namespace cairn
