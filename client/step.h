#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "client/result_impl.h"

namespace cairn {

/// Where a call stands that needs several requests, one after the other: it is over, or there is a
/// request to be run, whose answer says where it stands then. What drives it, a thread that waits
/// or an event loop, is not its business. The first request's failure is the call's.
template <typename T>
struct Step {
  using Then = std::function<Step(ResultImpl)>;

  static Step Over(T outcome) { return {std::move(outcome), std::nullopt, nullptr}; }
  static Step Ask(ResultImpl request, Then then) {
    return {std::nullopt, std::move(request), std::move(then)};
  }

  /// Goes on with other steps when it is over, which `next` makes of its outcome.
  template <typename Next>
  auto Followed(Next next) && -> decltype(next(std::declval<T>())) {
    using Following = decltype(next(std::declval<T>()));
    if (outcome.has_value()) return next(*std::move(outcome));
    return Following::Ask(*std::move(request), [then = std::move(then),
                                                next = std::move(next)](ResultImpl result) mutable {
      return then(std::move(result)).Followed(std::move(next));
    });
  }

  std::optional<T> outcome;
  std::optional<ResultImpl> request;  ///< Without an outcome.
  Then then;
};

}  // namespace cairn
