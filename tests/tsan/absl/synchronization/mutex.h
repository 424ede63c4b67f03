// Stands in for abseil's header of the same name in ThreadSanitizer builds only.
//
// The system's abseil is compiled without ThreadSanitizer, which hence sees none of the ordering
// that absl::Mutex gives and reports every access it guards as a race. These classes keep the
// interface (the part of it that Cairn uses) on top of the standard library's locks, which it
// understands.
//
// They have the names of the real ones, because other headers of abseil declare those, and so also
// their size: a pointer to the lock, made at first use. Their functions are hidden, so that the
// library keeps using its own.
#pragma once

// abseil's own guard: should another header of abseil ask for the real one, it gets this one too.
#define ABSL_SYNCHRONIZATION_MUTEX_H_

#include <atomic>
#include <condition_variable>
#include <shared_mutex>

#include "absl/base/config.h"
#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#define CAIRN_TSAN_HIDDEN __attribute__((visibility("hidden")))

namespace absl {
ABSL_NAMESPACE_BEGIN

class ABSL_LOCKABLE Mutex {
 public:
  CAIRN_TSAN_HIDDEN constexpr Mutex() {}
  CAIRN_TSAN_HIDDEN explicit constexpr Mutex(ConstInitType /*unused*/) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  CAIRN_TSAN_HIDDEN ~Mutex() { delete lock_.load(std::memory_order_acquire); }

  CAIRN_TSAN_HIDDEN void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { Get().lock(); }
  CAIRN_TSAN_HIDDEN void Unlock() ABSL_UNLOCK_FUNCTION() { Get().unlock(); }
  CAIRN_TSAN_HIDDEN bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    return Get().try_lock();
  }
  CAIRN_TSAN_HIDDEN void ReaderLock() ABSL_SHARED_LOCK_FUNCTION() { Get().lock_shared(); }
  CAIRN_TSAN_HIDDEN void ReaderUnlock() ABSL_UNLOCK_FUNCTION() { Get().unlock_shared(); }
  CAIRN_TSAN_HIDDEN void WriterLock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { Get().lock(); }
  CAIRN_TSAN_HIDDEN void WriterUnlock() ABSL_UNLOCK_FUNCTION() { Get().unlock(); }
  CAIRN_TSAN_HIDDEN void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}
  CAIRN_TSAN_HIDDEN void AssertReaderHeld() const ABSL_ASSERT_SHARED_LOCK() {}

 private:
  friend class CondVar;

  CAIRN_TSAN_HIDDEN std::shared_mutex& Get() {
    std::shared_mutex* lock = lock_.load(std::memory_order_acquire);
    if (lock == nullptr) {
      auto* fresh = new std::shared_mutex;
      if (lock_.compare_exchange_strong(lock, fresh, std::memory_order_acq_rel)) {
        lock = fresh;
      } else {
        delete fresh;
      }
    }
    return *lock;
  }

  std::atomic<std::shared_mutex*> lock_{nullptr};
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  CAIRN_TSAN_HIDDEN explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_->Lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  CAIRN_TSAN_HIDDEN ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }

 private:
  Mutex* const mutex_;
};

using WriterMutexLock = MutexLock;

class ABSL_SCOPED_LOCKABLE ReaderMutexLock {
 public:
  CAIRN_TSAN_HIDDEN explicit ReaderMutexLock(Mutex* mutex) ABSL_SHARED_LOCK_FUNCTION(mutex)
      : mutex_(mutex) {
    mutex_->ReaderLock();
  }
  ReaderMutexLock(const ReaderMutexLock&) = delete;
  ReaderMutexLock& operator=(const ReaderMutexLock&) = delete;
  CAIRN_TSAN_HIDDEN ~ReaderMutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->ReaderUnlock(); }

 private:
  Mutex* const mutex_;
};

// Each wait REQUIRES that the caller holds `mutex` exclusively, and says whether the time was up.
class CondVar {
 public:
  CAIRN_TSAN_HIDDEN CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;
  CAIRN_TSAN_HIDDEN ~CondVar() { delete condition_; }

  CAIRN_TSAN_HIDDEN void Wait(Mutex* mutex) { condition_->wait(mutex->Get()); }
  CAIRN_TSAN_HIDDEN bool WaitWithTimeout(Mutex* mutex, Duration timeout) {
    // Bounded, as the standard library adds it to a time point: an hour is for ever in a test.
    const auto wait = ToChronoNanoseconds(timeout < Hours(1) ? timeout : Hours(1));
    return condition_->wait_for(mutex->Get(), wait) == std::cv_status::timeout;
  }
  CAIRN_TSAN_HIDDEN bool WaitWithDeadline(Mutex* mutex, Time deadline) {
    return WaitWithTimeout(mutex, deadline - Now());
  }
  CAIRN_TSAN_HIDDEN void Signal() { condition_->notify_one(); }
  CAIRN_TSAN_HIDDEN void SignalAll() { condition_->notify_all(); }

 private:
  std::condition_variable_any* const condition_ = new std::condition_variable_any;
};

ABSL_NAMESPACE_END
}  // namespace absl

#undef CAIRN_TSAN_HIDDEN
