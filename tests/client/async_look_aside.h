#pragma once

#include <future>
#include <string>
#include <utility>

#include "cairn/async_look_aside.h"
#include "cairn/client.h"

// What the tests of GetOrCompute without waiting have in common.
namespace cairn {

/// Nothing here is to end because a machine is slow.
inline LookAsideOptions Patient() {
  LookAsideOptions options;
  options.lease = absl::Minutes(5);
  options.wait_max = absl::Minutes(2);
  return options;
}

inline AsyncLookAside::Compute Says(const std::string& value) {
  return [value](const AsyncLookAside::Done& done) { done(LookAside::Value(value)); };
}

inline AsyncLookAside::Compute Never() {
  return
      [](const AsyncLookAside::Done& done) { done(absl::InternalError("computed without need")); };
}

inline LookAside::Compute NeverByThread() {
  return []() -> LookAside::Value { return absl::InternalError("computed without need"); };
}

/// The reads that the server has answered.
inline int CountOfGets(Client& client) {
  const auto stats = client.Stats(0).value();
  for (const auto& [name, value] : stats) {
    if (name == "cmd_get") return std::stoi(value);
  }
  return -1;
}

/// A computation that a test completes when it wants to.
struct Held {
  AsyncLookAside::Compute Compute() {
    return [this](AsyncLookAside::Done done) { begun.set_value(std::move(done)); };
  }
  AsyncLookAside::Done Await() { return begun.get_future().get(); }
  std::promise<AsyncLookAside::Done> begun;
};

/// What a call came to, when that is not waited for where it is begun.
struct Later {
  explicit Later(AsyncResult<absl::StatusOr<Fetched>> call) {
    std::move(call).Then(
        [this](absl::StatusOr<Fetched> got) { promise.set_value(std::move(got)); });
  }
  absl::StatusOr<Fetched> Await() { return promise.get_future().get(); }
  std::promise<absl::StatusOr<Fetched>> promise;
};

}  // namespace cairn
