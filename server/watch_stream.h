#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "server/log_hub.h"
#include "server/output.h"

namespace cairn::server {

/// A watching connection's side of the hub: registered while it lives, and taking lines only as
/// fast as its client does, so that what a slow client costs is the hub's bound and one buffer.
///
/// One event-loop thread; the hub outlives it.
class WatchStream {
 public:
  /// Null when too many watch already: the answer is kTooMany then, and the connection goes on as
  /// before. `wake` as in LogHub::Add.
  static std::unique_ptr<WatchStream> Open(LogHub* hub, uint32_t kinds, std::function<void()> wake);
  static constexpr std::string_view kTooMany = "WATCHER_TOO_MANY log watcher limit reached\r\n";

  ~WatchStream();
  WatchStream(const WatchStream&) = delete;
  WatchStream& operator=(const WatchStream&) = delete;

  /// Appends the waiting lines to `out` when `out` is empty. Call it after `wake` was called and
  /// each time `out` has been sent. False when nothing was appended.
  bool Fill(Output* out);

 private:
  WatchStream(LogHub* hub, std::shared_ptr<Watcher> watcher);

  LogHub* const hub_;
  const std::shared_ptr<Watcher> watcher_;
  std::string lines_;  // kept for its memory
};

}  // namespace cairn::server
