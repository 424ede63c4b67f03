#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/call.h"
#include "client/connection.h"
#include "client/mutex.h"
#include "client/result_impl.h"

struct event;
struct event_base;

namespace cairn {

/// A call that nobody waits for: Done() is called on the loop's thread when its answers are there,
/// or its time is up.
class AsyncCall {
 public:
  virtual ~AsyncCall() = default;
  /// `result` is complete. May delete this.
  virtual void Done() = 0;

  ResultImpl result;
  Clock::time_point deadline;

 private:
  friend class EventDriver;
  std::multimap<Clock::time_point, AsyncCall*>::iterator place_;  // among those under way
};

class EventDriver;

/// What all ends with that is under way on a loop when that is destroyed, or begun then.
inline absl::Status LoopEnds() { return absl::CancelledError("the event loop ends"); }

/// What waits on a loop for a moment, or for something that is posted there.
class LoopWait {
 public:
  virtual ~LoopWait() = default;
  /// On the loop's thread: the moment has come, or the loop is stopping. May wait again, or delete
  /// this.
  virtual void OnMoment() = 0;

 private:
  friend class EventDriver;
  std::multimap<Clock::time_point, LoopWait*>::iterator place_;
};

/// The way to a loop for what happens elsewhere, and may happen when the loop is no more.
/// Thread-safe.
class LoopPort {
 public:
  /// Runs `task` on the loop's thread, soon and not within this; or drops it.
  void Post(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class EventDriver;
  Mutex mutex_;
  EventDriver* driver_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

/// A connection to every server, driven by an event loop: the other way to drive Connections, for
/// calls of which there are more than threads. Everything happens on the loop's thread but for
/// Submit() and what is posted, which are thread-safe; what is submitted before the loop has its
/// turn, or by completions of the same turn, leaves in one write a server.
class EventDriver {
 public:
  /// `servers` and `options` outlive it. Without a `base` it makes one, and a thread that runs it;
  /// with one, the caller runs it, and makes and destroys this where that is no race.
  static absl::StatusOr<std::unique_ptr<EventDriver>> Make(
      const std::vector<std::unique_ptr<ServerState>>& servers, const ClientOptions* options,
      event_base* base);
  /// Calls under way end as cancelled.
  ~EventDriver();
  EventDriver(const EventDriver&) = delete;
  EventDriver& operator=(const EventDriver&) = delete;

  /// Runs what was prepared in `call`, wave by wave. It stays the caller's until Done().
  void Submit(AsyncCall* call) ABSL_LOCKS_EXCLUDED(mutex_);
  const std::shared_ptr<LoopPort>& port() const { return port_; }

  /// On the loop's thread: `wait` hears when `until` has come, unless EndWait() is called before.
  void Wait(LoopWait* wait, Clock::time_point until);
  void EndWait(LoopWait* wait) { waits_.erase(wait->place_); }
  /// What is begun now ends as cancelled.
  bool stopping() const { return stopping_; }

 private:
  friend class LoopPort;
  // A connection, and what the loop watches of it.
  struct Socket {
    EventDriver* driver = nullptr;
    std::unique_ptr<Connection> connection;
    event* watcher = nullptr;
    short watched = 0;
  };

  EventDriver() = default;
  absl::Status Init(const std::vector<std::unique_ptr<ServerState>>& servers,
                    const ClientOptions* options, event_base* base);
  void Stop();

  void OnWake();
  void OnTimer();
  void Settle() ABSL_LOCKS_EXCLUDED(mutex_);
  void Post(std::function<void()> task) ABSL_LOCKS_EXCLUDED(mutex_);
  bool TakeInbox(bool at_least_look) ABSL_LOCKS_EXCLUDED(mutex_);
  void BeginTaken();
  void Begin(AsyncCall* call, Clock::time_point now);
  void Deliver();
  void Complete(AsyncCall* call);
  void Watch(Socket& socket);
  void SetTimer();

  const std::vector<std::unique_ptr<ServerState>>* servers_ = nullptr;
  event_base* base_ = nullptr;
  bool owns_base_ = false;
  pthread_t thread_ = {};
  bool has_thread_ = false;
  std::atomic<bool> stopping_{false};
  int wake_fd_ = -1;
  event* wake_ = nullptr;
  event* timer_ = nullptr;
  Clock::time_point timer_at_ = Clock::time_point::max();

  std::vector<std::unique_ptr<Socket>> sockets_;
  std::multimap<Clock::time_point, AsyncCall*> under_way_;
  std::multimap<Clock::time_point, LoopWait*> waits_;
  std::vector<AsyncCall*> taken_;
  std::vector<std::function<void()>> taken_tasks_;
  std::vector<Call*> finished_;

  const std::shared_ptr<LoopPort> port_ = std::make_shared<LoopPort>();
  Mutex mutex_;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;  // the loop is going to look into the inbox
  std::vector<AsyncCall*> inbox_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace cairn
