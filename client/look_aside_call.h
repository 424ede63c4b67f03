#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/look_aside.h"
#include "client/call.h"
#include "client/flights.h"
#include "client/look_aside_impl.h"

namespace cairn {

/// One call of GetOrCompute or GetMultiOrCompute, which asks, computes what is its to compute, and
/// waits for the rest. It does none of that itself: it says what it needs, and whoever drives it, a
/// thread that waits or an event loop, brings it that, until it needs nothing. Not thread-safe.
class LookAsideCall {
 public:
  using Impl = LookAside::Impl;
  using Computed = absl::StatusOr<std::vector<std::optional<std::string>>>;

  enum class Need : uint8_t {
    kLeases,       ///< OnLeases: of keys(), by leases()
    kFilling,      ///< OnFilled: what LookAsideOptions::fill_from has of keys(), without leases
    kComputation,  ///< OnComputed: the values of keys()
    kStores,       ///< OnStored: what became of stores()
    kReleases,     ///< OnReleased: releases() were asked for; what came of it is not of interest
    kWaiting,      ///< OnWaited: it is wait_end(), or one of awaited() has ended
    kNothing,      ///< TakeResults
  };

  /// Both outlive the call.
  LookAsideCall(LookAside::Impl* impl, const LookAsideOptions* options);
  /// Nobody waits any more for what it was to compute, also if it is not over.
  ~LookAsideCall();
  LookAsideCall(const LookAsideCall&) = delete;
  LookAsideCall& operator=(const LookAsideCall&) = delete;

  /// `keys` have to last.
  void Begin(std::span<const std::string_view> keys);
  /// Ends it: what is not known yet is not told but for `why`.
  void Cancel(const absl::Status& why);

  const LookAsideOptions& options() const { return options_; }
  Need need() const { return need_; }
  /// With the need at hand.
  std::span<const std::string_view> keys() const { return keys_; }
  const LeaseOptions& leases() const { return leases_; }
  std::span<const LeasedStore> stores() const { return stores_; }
  std::span<const HeldLease> releases() const { return releases_; }
  /// Whose they are: its own client, or fill_from.
  Client* releases_to() const { return releases_to_; }
  Clock::time_point wait_end() const;
  /// One that is worth waking up for; a thread cannot wait for more.
  Flight& awaited();
  /// Has `ended` called when any of them has ended. False when one has already.
  bool Notify(const std::function<void()>& ended);

  void OnLeases(std::span<absl::StatusOr<LeasedItem>> answers);
  void OnFilled(std::vector<absl::StatusOr<LeasedItem>> found);
  void OnComputed(Computed values);
  void OnStored(const std::vector<absl::StatusOr<bool>>& outcomes);
  void OnReleased();
  void OnWaited();

  std::vector<absl::StatusOr<Fetched>> TakeResults();

  /// Since OnLeases: keys that were answered with what they have, and are to be computed by another
  /// call, in the background. It has begun, and outlives neither `options` nor `keys`, where copies
  /// of its keys are put.
  bool has_later() const { return !later_.empty(); }
  std::unique_ptr<LookAsideCall> MoveLater(const LookAsideOptions* options,
                                           std::vector<std::string>* keys);

 private:
  // What a key waits for.
  enum class Next : uint8_t {
    kAsk,      // the cache's answer
    kPoll,     // another process, of which the cache knows; this call leads the flight
    kJoin,     // another caller in this process
    kCompute,  // this call's computation
    kDone,
  };
  struct Slot {
    std::string_view key;
    Next next = Next::kAsk;
    bool waited = false;
    bool notified = false;  // of the flight
    LeaseToken token;
    std::shared_ptr<Flight> flight;  // led unless kJoin; none: nobody shares it
    // The older value that is good enough if there will be no new one.
    std::optional<Fetched> older;
    absl::Status not_reached;
    absl::StatusOr<Fetched> result = absl::UnknownError("not answered");
  };
  // What was computed for a slot, and why it is not in the cache.
  struct Made {
    LookAside::Value value = absl::AbortedError("never computed");
    absl::Duration ttl;
    uint32_t flags = 0;
    Fetched::Source source = Fetched::Source::kComputed;
    absl::Status fill;
    absl::Status cache;
  };

  void Plan();
  void AskFor(bool polls);
  void OnAnswer(Slot& slot, absl::StatusOr<LeasedItem> answer);
  void OnNotReached(Slot& slot, const absl::Status& why);
  void OnValue(Slot& slot, LeasedItem item);
  void OnWon(Slot& slot, LeasedItem item);
  void OnTaken(Slot& slot, const LeasedItem& item);
  void PutOff(Slot& slot);

  void AskFilling();
  void AskComputation();
  void BeginStoring();
  void AskStores();
  void FinishComputing();
  void Finish(Slot& slot, Made made);
  void GiveBack(const Slot& slot);
  void Drop(const Slot& slot);
  void ReleaseThen(Client* to, void (LookAsideCall::*next)());

  void TakeLandings();
  void TakeLanding(Slot& slot);
  void EndWaiting();
  void Join(Slot& slot, uint64_t lease_id, Next leading);
  void Done(Slot& slot, Fetched fetched);

  LookAside::Impl& impl_;
  const LookAsideOptions& options_;
  LookAside::Impl::Counts& counts_;
  LeaseOptions leases_;
  std::vector<Slot> slots_;
  std::vector<Slot> later_;
  bool waited_enough_ = false;
  const Clock::time_point wait_end_;
  Clock::time_point poll_at_;
  absl::Duration poll_delay_;

  // What is needed, and of which slots.
  Need need_ = Need::kNothing;
  std::vector<Slot*> asked_;
  std::vector<std::string_view> keys_;
  std::vector<Slot*> computing_;
  std::vector<Made> made_;         // of each of computing_
  std::vector<size_t> asked_for_;  // which of them keys_ are
  std::vector<LeasedStore> stores_;
  std::vector<size_t> stored_;  // which of them stores_ are
  std::vector<HeldLease> releases_;
  Client* releases_to_ = nullptr;
  void (LookAsideCall::*after_releases_)() = nullptr;
};

}  // namespace cairn
