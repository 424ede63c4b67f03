#pragma once

#include <future>
#include <utility>

#include "cairn/async.h"

namespace cairn {

/// Waits for a call on another thread's loop.
template <typename T>
T Wait(AsyncResult<T> call) {
  std::promise<T> promise;
  std::move(call).Then([&promise](T value) { promise.set_value(std::move(value)); });
  return promise.get_future().get();
}

}  // namespace cairn
