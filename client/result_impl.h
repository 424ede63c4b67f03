#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/call.h"

namespace cairn {

/// Answer::part of a key that was asked of no server.
inline constexpr uint32_t kNoPart = 0xffffffff;

/// A call's answers as they were when it returned. Parts that end later, because the call's time
/// was up first, are swallowed by their connection and never looked at here.
struct ResultImpl {
  CallRef call;
  std::vector<absl::Status> refused;  ///< Why; Answer::error is the index.

  /// Once, when the call has returned.
  void Snapshot();
  AnswerState StateOf(size_t i) const;
  /// Ok when the server answered.
  absl::Status StatusOf(size_t i) const;

 private:
  bool PartDone(uint32_t part) const;
  std::vector<bool> done_;
};

}  // namespace cairn
