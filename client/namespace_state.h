#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cairn/namespace.h"
#include "client/sequence.h"

namespace cairn {

/// What is known of a namespace, by threads that wait and loops alike. Thread-safe; shared with the
/// calls that are under way.
class CAIRN_HIDDEN Namespace::State : public std::enable_shared_from_this<State> {
 public:
  State(std::string_view name, const Options& options)
      : name_(name), generation_key_("ns:" + std::string(name)), options_(options) {}

  /// Over at once while the generation is believed.
  Sequence<absl::StatusOr<std::string>> Key(std::string_view key) ABSL_LOCKS_EXCLUDED(mutex_);
  Sequence<absl::Status> Invalidate() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Generation = Sequence<absl::StatusOr<std::string>>;

  Generation Fetch(int tries_left) const;
  Generation Add(int tries_left) const;
  void Believe(const std::string& generation, absl::Time asked, uint64_t invalidations)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteInvalidation(const std::string& generation, bool stored, uint64_t invalidations)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::string KeyOf(std::string_view generation, std::string_view key) const;

  const std::string name_;
  const std::string generation_key_;
  const Options options_;

  absl::Mutex mutex_;
  // Empty: not known. Counted, so that an answer that was asked for before an Invalidate() is not
  // taken for one from after it.
  std::string generation_ ABSL_GUARDED_BY(mutex_);
  absl::Time fetched_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  uint64_t invalidations_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn
