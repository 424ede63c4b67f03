#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "cairn/async.h"
#include "client/event_driver.h"
#include "client/step.h"

// How an AsyncResult comes about, for the files that make such: each instantiates its own.
namespace cairn {

struct CAIRN_HIDDEN AsyncClient::Loop {
  absl::StatusOr<std::unique_ptr<EventDriver>> driver;
};

template <typename T>
struct CAIRN_HIDDEN AsyncResult<T>::State final : AsyncCall {
  void Done() override {
    if (step != nullptr && !TakeStep()) return;
    if (then == nullptr) return resume(address);  // which may destroy this
    const std::unique_ptr<State> own(this);
    then(Outcome());
  }

  // Of a call of several requests: false when there is another one, which is under way then.
  bool TakeStep() {
    const typename Step<T>::Then take = std::exchange(step, nullptr);
    Step<T> next = take(std::move(result));
    if (next.outcome.has_value()) {
      outcome = std::move(next.outcome);
      return true;
    }
    const uint64_t context = trace_context;
    result = *std::move(next.request);
    result.call->begun = Clock::now();
    result.call->trace_context = context;
    step = std::move(next.then);
    driver->Submit(this);
    return false;
  }

  T Outcome() { return outcome.has_value() ? *std::move(outcome) : convert(std::move(result)); }

  EventDriver* driver = nullptr;
  T (*convert)(ResultImpl&&) = nullptr;
  typename Step<T>::Then step;  // what to make of the answer of this request
  std::optional<T> outcome;     // known without, or since the last request's answer
  uint64_t trace_context = 0;
  std::function<void(T)> then;
  // In place of all of that, what is made of several calls: begins it, and has the outcome told on
  // the loop's thread.
  std::function<void(std::function<void(T)>)> begin;
  void (*resume)(void*) = nullptr;
  void* address = nullptr;
};

template <typename T>
AsyncResult<T>::AsyncResult(std::unique_ptr<State> state) : state_(std::move(state)) {}
template <typename T>
AsyncResult<T>::AsyncResult(AsyncResult&&) noexcept = default;
template <typename T>
AsyncResult<T>& AsyncResult<T>::operator=(AsyncResult&&) noexcept = default;
template <typename T>
AsyncResult<T>::~AsyncResult() = default;

template <typename T>
void AsyncResult<T>::Then(std::function<void(T)> done) && {
  if (state_->begin != nullptr) {
    const auto begin = std::move(state_->begin);
    state_.reset();
    return begin(std::move(done));
  }
  state_->then = std::move(done);
  State* const state = state_.release();  // its own from here on
  if (state->driver == nullptr) return state->Done();
  state->driver->Submit(state);
}

// What can be said without asking a server is said at once.
template <typename T>
bool AsyncResult<T>::await_ready() const {
  if (state_->driver == nullptr) return true;
  return state_->begin == nullptr && state_->result.call->parts.empty();
}

template <typename T>
void AsyncResult<T>::Start(void (*resume)(void*), void* address) {
  state_->resume = resume;
  state_->address = address;
  State* const state = state_.get();
  if (state->begin == nullptr) return state->driver->Submit(state);
  // All of it may be over before this is.
  const auto begin = std::move(state->begin);
  begin([state](T outcome) {
    state->outcome = std::move(outcome);
    state->resume(state->address);
  });
}

template <typename T>
T AsyncResult<T>::await_resume() {
  return state_->Outcome();
}

/// What the library's other classes make AsyncResults with, on the loop of an AsyncClient.
class CAIRN_HIDDEN AsyncBuilder {
 public:
  /// Null: there is no loop, and every call of `client` fails at once with its status().
  static EventDriver* DriverOf(const AsyncClient& client) {
    return client.loop_->driver.ok() ? client.loop_->driver->get() : nullptr;
  }

  /// What is known without asking anybody.
  template <typename T>
  static AsyncResult<T> Known(const AsyncClient& client, T outcome) {
    auto state = std::make_unique<typename AsyncResult<T>::State>();
    state->driver = DriverOf(client);
    state->deadline = Clock::time_point::max();
    state->outcome = std::move(outcome);
    return AsyncResult<T>(std::move(state));
  }

  /// What is made of several calls: `begin` begins it, and has the outcome told on the loop's
  /// thread. REQUIRES: there is a loop.
  template <typename T>
  static AsyncResult<T> Begun(const AsyncClient& client,
                              std::function<void(std::function<void(T)>)> begin) {
    auto state = std::make_unique<typename AsyncResult<T>::State>();
    state->driver = DriverOf(client);
    state->begin = std::move(begin);
    return AsyncResult<T>(std::move(state));
  }
};

}  // namespace cairn

// Instantiates AsyncResult<...>, before anything else does. Clang takes no other kind of attribute
// here, and the arguments' visibility without.
#define CAIRN_ASYNC_RESULT(...) \
  template class __attribute__((visibility("default"))) AsyncResult<__VA_ARGS__>
