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
  using Task = std::function<void()>;
  /// Null when too many watch already: the answer is kTooMany then, and the connection goes on as
  /// before. `on_lines` says that there may be some to take; it is run by `post`, which any thread
  /// may call and which runs tasks on this one, soon, and not any more when the stream is gone.
  static std::unique_ptr<WatchStream> Open(LogHub* hub, uint32_t kinds,
                                           std::function<void(Task)> post, Task on_lines);
  static constexpr std::string_view kTooMany = "WATCHER_TOO_MANY log watcher limit reached\r\n";

  ~WatchStream();
  WatchStream(const WatchStream&) = delete;
  WatchStream& operator=(const WatchStream&) = delete;

  /// Appends the waiting lines to `out` when `out` is empty. Call it when `on_lines` is and
  /// each time `out` has been sent. False when nothing was appended.
  bool Fill(Output* out);

 private:
  WatchStream(LogHub* hub, std::shared_ptr<Watcher> watcher, std::shared_ptr<bool> alive);

  LogHub* const hub_;
  const std::shared_ptr<Watcher> watcher_;
  const std::shared_ptr<bool> alive_;  // what is on its way to the loop holds on to it
  std::string lines_;                  // kept for its memory
};

}  // namespace cairn::server
