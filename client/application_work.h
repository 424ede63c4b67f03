#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "cairn/async_look_aside.h"
#include "client/event_driver.h"

namespace cairn {

/// Something that an application does for a loop without waiting, and that the loop waits for. T is
/// made of a Status.
template <typename T>
class ApplicationWork final : public LoopWait,
                              public std::enable_shared_from_this<ApplicationWork<T>> {
 public:
  /// On the loop's thread: has `work` begin it. `then` is called there, with what it came to; with
  /// Aborted when `work` throws or drops its Completion, and Cancelled at the loop's end.
  static void Begin(EventDriver* driver, const std::function<void(Completion<T>)>& work,
                    std::function<void(T)> then) {
    if (driver->stopping()) return then(LoopEnds());
    const std::shared_ptr<ApplicationWork> self(new ApplicationWork(driver, std::move(then)));
    self->self_ = self;
    driver->Wait(self.get(), Clock::time_point::max());
    Completion<T> done([weak = std::weak_ptr(self), port = driver->port()](T told) {
      port->Post([weak, told = std::move(told)]() mutable {
        if (const std::shared_ptr<ApplicationWork> here = weak.lock()) {
          here->driver_->EndWait(here.get());
          here->End(std::move(told));
        }
      });
    });
    try {
      work(std::move(done));
    } catch (...) {  // NOLINT(bugprone-empty-catch): what it leaves is dropped, and that is told
    }
  }

  void OnMoment() override { End(LoopEnds()); }

 private:
  ApplicationWork(EventDriver* driver, std::function<void(T)> then)
      : driver_(driver), then_(std::move(then)) {}

  void End(T outcome) {
    const std::shared_ptr<ApplicationWork> self = std::move(self_);
    then_(std::move(outcome));
  }

  EventDriver* const driver_;
  const std::function<void(T)> then_;
  std::shared_ptr<ApplicationWork> self_;  // until it is over
};

}  // namespace cairn
