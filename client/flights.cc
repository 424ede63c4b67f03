#include "client/flights.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/time/clock.h"
#include "client/server_state.h"

namespace cairn {

Flight::State Flight::Await(absl::Duration timeout) {
  const Clock::time_point deadline = Clock::now() + ToClock(timeout);
  absl::MutexLock lock(&mutex_);
  for (;;) {
    if (landing_.has_value()) return State::kLanded;
    if (given_up_) return State::kGivenUp;
    const Clock::time_point now = Clock::now();
    if (now >= deadline) return State::kFlying;
    changed_.WaitWithTimeout(&mutex_, absl::FromChrono(deadline - now));
  }
}

bool Flight::Notify(std::function<void()> ended) {
  absl::MutexLock lock(&mutex_);
  if (landing_.has_value() || given_up_) return false;
  listeners_.push_back(std::move(ended));
  return true;
}

Flights::Shard& Flights::ShardOf(std::string_view key) {
  return shards_[std::hash<std::string_view>()(key) % shards_.size()];
}

std::shared_ptr<Flight> Flights::Join(std::string_view key, uint64_t lease_id, bool* leads) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  std::shared_ptr<Flight>& flight = shard.flights[std::string(key)];
  *leads = flight == nullptr || flight->lease_id() != lease_id;
  // A flight with another lease goes on without being found.
  if (*leads) flight = std::make_shared<Flight>(lease_id);
  return flight;
}

std::shared_ptr<Flight> Flights::Lead(std::string_view key, uint64_t lease_id) {
  bool leads = false;
  std::shared_ptr<Flight> flight = Join(key, lease_id, &leads);
  BeginComputing(*flight);
  return flight;
}

void Flights::BeginComputing(Flight& flight) {
  absl::MutexLock lock(&flight.mutex_);
  flight.computed_here_ = true;
}

void Flights::Forget(std::string_view key, const std::shared_ptr<Flight>& flight) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.flights.find(std::string(key));
  if (found != shard.flights.end() && found->second == flight) shard.flights.erase(found);
}

void Flights::Land(std::string_view key, const std::shared_ptr<Flight>& flight,
                   Flight::Landing landing) {
  Forget(key, flight);
  std::vector<std::function<void()>> listeners;
  {
    absl::MutexLock lock(&flight->mutex_);
    if (flight->landing_.has_value()) return;
    flight->landing_.emplace(std::move(landing));
    flight->changed_.SignalAll();
    listeners.swap(flight->listeners_);
  }
  for (const std::function<void()>& ended : listeners) ended();
}

void Flights::GiveUp(std::string_view key, const std::shared_ptr<Flight>& flight) {
  std::vector<std::function<void()>> listeners;
  {
    absl::MutexLock lock(&flight->mutex_);
    if (flight->computed_here_) return;  // by another thread, which lands it
    flight->given_up_ = true;
    flight->changed_.SignalAll();
    listeners.swap(flight->listeners_);
  }
  Forget(key, flight);
  for (const std::function<void()>& ended : listeners) ended();
}

}  // namespace cairn
