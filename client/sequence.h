#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "cairn/async.h"
#include "cairn/client.h"
#include "client/application_work.h"
#include "client/async_impl.h"
#include "client/async_results.h"
#include "client/event_driver.h"
#include "client/server_state.h"

namespace cairn {

/// For a call of a sequence that stores.
inline WriteOptions StoredFor(const CallOptions& call,
                              absl::Duration ttl = absl::InfiniteDuration()) {
  WriteOptions write;
  write.ttl = ttl;
  write.timeout = call.timeout;
  return write;
}

template <typename T>
struct Sequence;
template <typename T>
T Ran(Client& client, Sequence<T> sequence);
template <typename T>
void Drive(AsyncClient& client, Sequence<T> sequence, std::function<void(T)> done);

/// Another client that a sequence asks: the one where a thread waits, the other on a loop.
struct OtherClient {
  Client* client = nullptr;
  AsyncClient* async = nullptr;
};

/// Where something stands that makes several calls, one after the other: it is over, or there is a
/// call to make, whose answer says where it stands then, or some time to let pass. It is told what
/// to do once, for threads that wait (Ran) and for event loops (Prepared). Each call has a timeout
/// of its own; within a call, of requests, this is a Step.
template <typename T>
struct Sequence {
  static Sequence Over(T outcome) { return {std::move(outcome), nullptr, nullptr}; }

  /// `call` is given a Client or an AsyncClient, of which it makes the same call; `then` is given
  /// its answer. Both own what they need.
  template <typename MakeCall, typename Then>
  static Sequence Ask(MakeCall call, Then then) {
    using Told = decltype(call(std::declval<Client&>()));
    return {std::nullopt, [call, then](Client& client) -> Sequence { return then(call(client)); },
            [call, then](AsyncClient& client, std::function<void(Sequence)> next) {
              call(client).Then(
                  [then, next = std::move(next)](Told told) { next(then(std::move(told))); });
            }};
  }

  /// Not the first thing to do: a loop's pause begins on its thread, after a call.
  template <typename Then>
  static Sequence Pause(absl::Duration delay, Then then) {
    return {std::nullopt,
            [delay, then](Client&) -> Sequence {
              std::this_thread::sleep_for(ToClock(delay));
              return then();
            },
            [delay, then](AsyncClient& client, std::function<void(Sequence)> next) {
              LoopPause::Begin(AsyncBuilder::DriverOf(client), delay,
                               [then, next = std::move(next)] { next(then()); });
            }};
  }

  /// The same calls, made of another client. On a loop they are made on that client's, and this
  /// one waits: what comes next is on this one again, and so is the end when this loop ends before,
  /// as Cancelled. T is made of a Status; what the calls use they own, or share with nobody.
  Sequence AskedOf(const OtherClient& other) && {
    if (outcome.has_value()) return std::move(*this);
    return {std::nullopt,
            [there = other.client, wait = std::move(wait)](Client&) -> Sequence {
              return Over(Ran(*there, Sequence{std::nullopt, wait, nullptr}));
            },
            [there = other.async, begin = std::move(begin)](AsyncClient& client,
                                                            std::function<void(Sequence)> next) {
              EventDriver* const driver = AsyncBuilder::DriverOf(client);
              if (driver == nullptr) return next(Over(client.status()));
              // It may be the first thing to do, hence not on this loop's thread yet.
              driver->port()->Post([driver, there, begin, next = std::move(next)] {
                ApplicationWork<T>::Begin(
                    driver,
                    [there, begin](const Completion<T>& done) {
                      Drive<T>(*there, {std::nullopt, nullptr, begin}, done);
                    },
                    [next](T told) { next(Over(std::move(told))); });
              });
            }};
  }

  /// Goes on with another sequence when this one is over, which `then` makes of its outcome.
  template <typename Next>
  auto Then(Next then) && -> decltype(then(std::declval<T>())) {
    using Following = decltype(then(std::declval<T>()));
    if (outcome.has_value()) return then(*std::move(outcome));
    return Following{
        std::nullopt,
        [wait = std::move(wait), then](Client& client) { return wait(client).Then(then); },
        [begin = std::move(begin), then](AsyncClient& client, std::function<void(Following)> next) {
          begin(client,
                [then, next = std::move(next)](Sequence now) { next(std::move(now).Then(then)); });
        }};
  }

  std::optional<T> outcome;
  std::function<Sequence(Client&)> wait;  ///< Without an outcome: what to do, either way.
  std::function<void(AsyncClient&, std::function<void(Sequence)>)> begin;

 private:
  // At the loop's end it is over at once; then what comes next is told.
  class LoopPause final : public LoopWait {
   public:
    static void Begin(EventDriver* driver, absl::Duration delay, std::function<void()> then) {
      driver->Wait(new LoopPause(std::move(then)), Clock::now() + ToClock(delay));
    }
    void OnMoment() override {
      const std::unique_ptr<LoopPause> own(this);
      then_();
    }

   private:
    explicit LoopPause(std::function<void()> then) : then_(std::move(then)) {}
    const std::function<void()> then_;
  };
};

/// Makes the calls of a sequence on the thread that waits for them.
template <typename T>
T Ran(Client& client, Sequence<T> sequence) {
  while (!sequence.outcome.has_value()) {
    // The function is not to be replaced while it runs.
    const auto wait = std::move(sequence.wait);
    sequence = wait(client);
  }
  return *std::move(sequence.outcome);
}

/// Makes them on a loop, on whose thread `done` is called; at once when there is nothing to do.
template <typename T>
void Drive(AsyncClient& client, Sequence<T> sequence, std::function<void(T)> done) {
  if (sequence.outcome.has_value()) return done(*std::move(sequence.outcome));
  sequence.begin(client, [&client, done = std::move(done)](Sequence<T> next) {
    Drive(client, std::move(next), done);
  });
}

/// A sequence to be awaited; `convert` makes of its outcome what the call says.
template <typename T, typename Outcome>
AsyncResult<T> Prepared(AsyncClient& client, Sequence<Outcome> sequence,
                        std::function<T(Outcome)> convert) {
  if (sequence.outcome.has_value()) {
    return AsyncBuilder::Known(client, convert(*std::move(sequence.outcome)));
  }
  if (AsyncBuilder::DriverOf(client) == nullptr) {
    // Calls are over as soon as they are begun.
    std::optional<T> known;
    Drive<Outcome>(client, std::move(sequence),
                   [&](Outcome outcome) { known = convert(std::move(outcome)); });
    return AsyncBuilder::Known(client, *std::move(known));
  }
  return AsyncBuilder::Begun<T>(
      client, [&client, begin = std::move(sequence.begin),
               convert = std::move(convert)](std::function<void(T)> done) {
        Drive<Outcome>(client, {std::nullopt, nullptr, begin},
                       [convert, done = std::move(done)](Outcome outcome) {
                         done(convert(std::move(outcome)));
                       });
      });
}

template <typename T>
AsyncResult<T> Prepared(AsyncClient& client, Sequence<T> sequence) {
  return Prepared<T, T>(client, std::move(sequence), [](T outcome) { return outcome; });
}

}  // namespace cairn
