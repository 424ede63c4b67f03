#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace cairn::server {

/// The "user:password" lines of -Y, or of $MEMCACHED_SASL_PWDB. Thread-safe.
class AuthFile {
 public:
  static constexpr size_t kMaxEntries = 8;
  static constexpr size_t kMaxLineBytes = 255;

  /// `max_entries` 0: no limit.
  explicit AuthFile(std::string path, size_t max_entries = kMaxEntries);

  /// Reads the file again. False when it cannot be used: then the users of before stay, and
  /// `error` is a line without its end, in memcached's words. A file must hold a user at least;
  /// entries past the limit and the rest of a line past kMaxLineBytes are not looked at, and
  /// `warning` (may be null) says so.
  bool Load(std::string* error, std::string* warning);

  /// The time it takes tells nothing of how much of the password was right.
  bool Check(std::string_view user, std::string_view password) const;

  const std::string& path() const { return path_; }

 private:
  struct Entry {
    std::string user;
    std::string password;
  };

  const std::string path_;
  const size_t max_entries_;
  mutable absl::Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

/// Compares in a time that depends on the lengths only.
bool EqualInConstantTime(std::string_view a, std::string_view b);

}  // namespace cairn::server
