#include "server/watch_stream.h"

#include <utility>

namespace cairn::server {

std::unique_ptr<WatchStream> WatchStream::Open(LogHub* hub, uint32_t kinds,
                                               std::function<void()> wake) {
  std::shared_ptr<Watcher> watcher = hub->Add(kinds, std::move(wake));
  if (watcher == nullptr) return nullptr;
  return std::unique_ptr<WatchStream>(new WatchStream(hub, std::move(watcher)));
}

WatchStream::WatchStream(LogHub* hub, std::shared_ptr<Watcher> watcher)
    : hub_(hub), watcher_(std::move(watcher)) {}

WatchStream::~WatchStream() { hub_->Remove(watcher_); }

bool WatchStream::Fill(Output* out) {
  if (!out->empty()) return false;
  lines_.clear();
  hub_->Take(*watcher_, &lines_);
  out->Append(lines_);
  return !lines_.empty();
}

}  // namespace cairn::server
