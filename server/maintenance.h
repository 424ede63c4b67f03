#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "server/context.h"
#include "server/pace.h"

namespace cairn::server {

/// The store's background work, on a thread of its own: gives expired memory back in passes over
/// the whole memory, and drives what the store puts off (flushes, growth of the index, a lowered
/// memory limit). It is what `lru_crawler` commands act on. Thread-safe.
class Maintenance {
 public:
  /// `server` outlives it; its store, clock, log and process are used.
  Maintenance(ServerContext* server, bool crawling);
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  /// Starts the thread: not in the constructor, since threads do not survive a fork.
  void Start();
  /// Ends it, within about a millisecond. Start may follow.
  void Stop();

  /// Turns passes on or off; put-off work goes on either way. False when it was so already.
  bool SetCrawling(bool on);
  bool crawling() const { return crawling_.load(std::memory_order_relaxed); }

  /// How the operator wants a pass that he asked for.
  struct Crawl {
    std::chrono::microseconds sleep{100};  ///< after every kItemsPerSleep items
    uint64_t max_items = 0;                ///< 0: all
  };
  static constexpr uint64_t kItemsPerSleep = 1000;
  enum class [[nodiscard]] CrawlStart { kStarted, kBusy, kDisabled };
  /// Begins a pass over everything at once. kBusy while another one that was asked for goes on.
  CrawlStart StartCrawl(const Crawl& crawl);

  /// Says that the memory limit was lowered: pages are given up quickly then.
  void Hurry();

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  void Wake();
  // Each does a little and returns how long to sleep then.
  Clock::duration PutOffTurn();
  Clock::duration HurriedTurn();
  Clock::duration PassTurn();
  Clock::duration CrawlTurn(const Crawl& crawl);
  // Small steps for about a millisecond, or until a pass is completed, or for `max_items`.
  Pace::Turn Work(uint64_t max_items);
  void EndPass();

  ServerContext* const server_;
  std::atomic<bool> crawling_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_:
  bool stopping_ = false;
  bool woken_ = false;
  bool hurry_requested_ = false;
  bool crawl_requested_ = false;
  Crawl crawl_;

  // Only used by the thread:
  Pace pace_;
  bool hurried_ = false;
  uint64_t memory_before_ = 0;
  int turns_in_vain_ = 0;
  Clock::time_point next_pass_turn_;
  Clock::duration rest_{0};
  bool in_pass_ = false;           // between the beginning of the memory and its end
  bool crawl_from_start_ = false;  // the requested pass has seen the beginning
  uint64_t crawl_checked_ = 0;
  uint64_t pass_checked_ = 0;
  uint64_t pass_reclaimed_ = 0;
  Clock::time_point pass_began_;
};

}  // namespace cairn::server
