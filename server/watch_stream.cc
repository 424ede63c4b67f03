#include "server/watch_stream.h"

#include <utility>

namespace cairn::server {

std::unique_ptr<WatchStream> WatchStream::Open(LogHub* hub, uint32_t kinds,
                                               std::function<void(Task)> post, Task on_lines) {
  auto alive = std::make_shared<bool>(true);
  auto wake = [post = std::move(post), on_lines = std::move(on_lines), alive] {
    post([alive, on_lines] {
      if (*alive) on_lines();
    });
  };
  std::shared_ptr<Watcher> watcher = hub->Add(kinds, std::move(wake));
  if (watcher == nullptr) return nullptr;
  return std::unique_ptr<WatchStream>(new WatchStream(hub, std::move(watcher), std::move(alive)));
}

WatchStream::WatchStream(LogHub* hub, std::shared_ptr<Watcher> watcher, std::shared_ptr<bool> alive)
    : hub_(hub), watcher_(std::move(watcher)), alive_(std::move(alive)) {}

WatchStream::~WatchStream() {
  *alive_ = false;
  hub_->Remove(watcher_);
}

bool WatchStream::Fill(Output* out) {
  if (!out->empty()) return false;
  lines_.clear();
  hub_->Take(*watcher_, &lines_);
  out->Append(lines_);
  return !lines_.empty();
}

}  // namespace cairn::server
