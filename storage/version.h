#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define CAIRN_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_THREAD_SANITIZER 1
#endif
#endif

/// Reading without a lock what others change under one: the reader looks, copies, and then asks
/// whether anything was changed meanwhile. If so, it throws away what it has (a sequence lock).
///
/// A reader must expect anything of what it reads before it has asked, and loads it by functions of
/// atomic loads only. What changes without a new version, because readers may see it before or
/// after, is stored atomically as well. The other stores of a writer are plain: by the letter of
/// the language they race with loads whose result is thrown away, so LoadRacy and LoadWords are
/// hidden from ThreadSanitizer.
namespace cairn::storage {

/// Counts changes: odd while one is being made.
class Version {
 public:
  /// What to compare with when done reading.
  uint64_t Begin() const { return value_.load(std::memory_order_acquire); }
  static bool IsChanging(uint64_t seen) { return (seen & 1) != 0; }
  /// True when all that was loaded since Begin returned `seen` was there at once.
  bool StillIs(uint64_t seen) const {
#ifdef CAIRN_THREAD_SANITIZER  // which does not know fences
    return value_.fetch_add(0, std::memory_order_acq_rel) == seen;
#else
    std::atomic_thread_fence(std::memory_order_acquire);
    return value_.load(std::memory_order_relaxed) == seen;
#endif
  }

 private:
  friend class Change;
#ifdef CAIRN_THREAD_SANITIZER
  mutable
#endif
      std::atomic<uint64_t>
          value_{0};
};

/// A change in the making, which ends with its scope. Within another it is a part of that. Only
/// under the lock that all changes are made under.
class Change {
 public:
  explicit Change(Version* version)
      : version_(version), before_(version->value_.load(std::memory_order_relaxed)) {
    if (Version::IsChanging(before_)) return;
#ifdef CAIRN_THREAD_SANITIZER
    version_->value_.fetch_add(1, std::memory_order_acq_rel);
#else
    version_->value_.store(before_ + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
#endif
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;
  ~Change() {
    if (!Version::IsChanging(before_)) {
      version_->value_.store(before_ + 2, std::memory_order_release);
    }
  }

 private:
  Version* const version_;
  const uint64_t before_;
};

template <typename T>
__attribute__((no_sanitize("thread"))) T LoadRacy(const T& from) {
  T value;
  __atomic_load(&from, &value, __ATOMIC_RELAXED);
  return value;
}

/// Copies `bytes`, of less than 32 up to 32, by loads of which only each word is whole, and but for
/// the first 16 bytes those need not lie where words do. Vectors may be torn between their words,
/// as the copy may be between the loads: only who finds the version unchanged has copied what was
/// there. Reading beyond the end would be simpler, and wait for a line that nobody has asked for.
__attribute__((no_sanitize("thread"))) inline void LoadWords(const char* from, char* to,
                                                             size_t bytes) {
  const auto copy = [ from, to ](size_t at) __attribute__((no_sanitize("thread"), always_inline)) {
    // Through a vector that need not be aligned: one load and one store.
    uint64_t block __attribute__((vector_size(16)));
    __builtin_memcpy(&block, from + at, sizeof block);
    __builtin_memcpy(to + at, &block, sizeof block);
  };
  copy(0);
  size_t at = 16;
  for (; at + 32 < bytes; at += 32) {
    copy(at);
    copy(at + 16);
  }
  if (at + 16 < bytes) copy(at);
  // Over some that are there already, but not over the first, which may have changed meanwhile.
  copy(bytes < 32 ? 16 : bytes - 16);
}

}  // namespace cairn::storage
