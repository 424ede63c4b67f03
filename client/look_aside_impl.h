#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/look_aside.h"
#include "client/flights.h"
#include "client/server_state.h"

namespace cairn {

/// The flag of a cached "there is nothing", which is an empty value. Part of what is stored:
/// docs/client.md.
inline constexpr uint32_t kNothingFlag = uint32_t{1} << 30;

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

/// One call of GetOrCompute or GetMultiOrCompute: asks, computes what is its to compute, and waits
/// for the rest. For a function in the background too, which only computes.
class LookAsideCall {
 public:
  using Impl = LookAside::Impl;

  /// All outlive the call.
  LookAsideCall(LookAside::Impl* impl, const LookAsideOptions* options,
                const LookAside::ComputeMulti* compute);
  ~LookAsideCall();
  LookAsideCall(const LookAsideCall&) = delete;
  LookAsideCall& operator=(const LookAsideCall&) = delete;

  std::vector<absl::StatusOr<Fetched>> Run(std::span<const std::string_view> keys);

  /// `ttl`, less a random share of up to ttl_jitter.
  static absl::Duration Jittered(const LookAsideOptions& options, absl::Duration ttl);

 private:
  // What a key waits for.
  enum class Next : uint8_t {
    kAsk,      // the cache's answer
    kPoll,     // another process, of which the cache knows; this call leads the flight
    kJoin,     // another thread of this process
    kCompute,  // this call's computation
    kDone,
  };
  struct Slot {
    std::string_view key;
    Next next = Next::kAsk;
    bool waited = false;
    LeaseToken token;
    std::shared_ptr<Flight> flight;  // led unless kJoin
    // The older value that is good enough if there will be no new one.
    std::optional<Fetched> older;
    absl::Status not_reached;
    absl::StatusOr<Fetched> result = absl::UnknownError("not answered");
  };
  // What was computed for a slot.
  struct Made {
    LookAside::Value value = absl::AbortedError("the computation was left by an exception");
    absl::Duration ttl;
    uint32_t flags = 0;
    Fetched::Source source = Fetched::Source::kComputed;
  };
  class Guard;

  void Ask();
  void OnAnswer(Slot& slot, absl::StatusOr<LeasedItem> answer);
  void OnNotReached(Slot& slot, const absl::Status& why);
  void OnValue(Slot& slot, LeasedItem item);
  void OnWon(Slot& slot, LeasedItem item);
  void OnTaken(Slot& slot, const LeasedItem& item);
  void ComputeLater();

  void ComputeAll();
  void Fill(std::span<Slot* const> slots, std::vector<Made>& made);
  void Compute(std::span<Slot* const> slots, std::vector<Made>& made);
  void Store(std::span<Slot* const> slots, const std::vector<Made>& made,
             std::vector<absl::Status>& cache);
  absl::Status StoreOne(const Slot& slot, const Made& made);
  void GiveBack(const Slot& slot);
  void FinishComputed(Slot& slot, Made made, const absl::Status& cache);

  void Await();
  void TakeLandings();
  bool TakeLanding(Slot& slot, absl::Duration timeout);
  void EndWaiting();
  absl::Duration TimeLeft() const;
  void Done(Slot& slot, Fetched fetched);

  LookAside::Impl& impl_;
  const LookAsideOptions& options_;
  const LookAside::ComputeMulti& compute_;
  LookAside::Impl::Counts& counts_;
  const Clock::time_point wait_end_;
  LeaseOptions lease_;
  absl::Duration delay_;
  std::vector<Slot> slots_;
  std::vector<Slot*> later_;  // to be computed in the background
};

}  // namespace cairn
