#include "server/log_hub.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "fmt/format.h"

namespace cairn::server {

// Everything here is guarded by the hub's mutex.
class Watcher {
 public:
  Watcher(uint32_t kinds, std::function<void()> wake) : kinds_(kinds), wake_(std::move(wake)) {}

 private:
  friend class LogHub;

  const uint32_t kinds_;
  std::function<void()> wake_;
  std::string lines_;
  // Counts the lines lost since lines_ was last taken. While it is not 0 every line is lost, so
  // that the notice stands where the gap is.
  uint64_t lost_ = 0;
};

namespace {

// A line's head. The fraction has all its digits, so that it reads as a number too.
fmt::memory_buffer Head(uint64_t gid) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  fmt::memory_buffer head;
  fmt::format_to(std::back_inserter(head), "ts={}.{:06} gid={} type=", us / 1'000'000,
                 us % 1'000'000, gid);
  return head;
}

}  // namespace

LogHub::LogHub(size_t watcher_buffer_bytes) : watcher_buffer_bytes_(watcher_buffer_bytes) {}

LogHub::~LogHub() = default;

void LogHub::SetWantedObserver(std::function<void(uint32_t wanted)> observer) {
  absl::MutexLock lock(&change_mutex_);
  observer_ = std::move(observer);
}

void LogHub::Publish(LogKind kind, std::string_view line) {
  absl::MutexLock lock(&mutex_);
  if (!Wants(kind)) return;
  const fmt::memory_buffer head = Head(next_gid_++);
  ++totals_.worker_written;
  const size_t bytes = head.size() + line.size() + 1;
  for (const std::shared_ptr<Watcher>& watcher : watchers_) {
    if ((watcher->kinds_ & LogBit(kind)) == 0) continue;
    if (watcher->lost_ > 0 || watcher->lines_.size() + bytes > watcher_buffer_bytes_) {
      ++watcher->lost_;
      ++totals_.watcher_skipped;
      continue;
    }
    const bool was_empty = watcher->lines_.empty();
    watcher->lines_.append(head.data(), head.size()).append(line).push_back('\n');
    ++totals_.watcher_sent;
    if (was_empty) watcher->wake_();
  }
}

std::shared_ptr<Watcher> LogHub::Add(uint32_t kinds, std::function<void()> wake) {
  auto watcher = std::make_shared<Watcher>(kinds, std::move(wake));
  const bool added = Change([&](std::vector<std::shared_ptr<Watcher>>* watchers) {
    if (watchers->size() >= kMaxWatchers) return false;
    watchers->push_back(watcher);
    return true;
  });
  return added ? watcher : nullptr;
}

void LogHub::Remove(const std::shared_ptr<Watcher>& watcher) {
  Change([&](std::vector<std::shared_ptr<Watcher>>* watchers) {
    watchers->erase(std::remove(watchers->begin(), watchers->end(), watcher), watchers->end());
    return true;
  });
}

bool LogHub::Change(const std::function<bool(std::vector<std::shared_ptr<Watcher>>*)>& change) {
  absl::MutexLock change_lock(&change_mutex_);
  uint32_t wanted = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (!change(&watchers_)) return false;
    for (const std::shared_ptr<Watcher>& watcher : watchers_) wanted |= watcher->kinds_;
    totals_.watchers = watchers_.size();
    wanted_.store(wanted, std::memory_order_relaxed);
  }
  if (observer_) observer_(wanted);
  return true;
}

void LogHub::Take(Watcher& watcher, std::string* out) {
  absl::MutexLock lock(&mutex_);
  if (out->empty()) {
    out->swap(watcher.lines_);
  } else {
    out->append(watcher.lines_);
    watcher.lines_.clear();
  }
  if (watcher.lost_ == 0) return;
  fmt::format_to(std::back_inserter(*out), "skipped={}\n", watcher.lost_);
  watcher.lost_ = 0;
}

LogHub::Totals LogHub::totals() const {
  absl::MutexLock lock(&mutex_);
  return totals_;
}

void LogHub::ResetTotals() {
  absl::MutexLock lock(&mutex_);
  totals_ = Totals{};
  totals_.watchers = watchers_.size();
}

}  // namespace cairn::server
