#include "server/maintenance.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "server/event_log.h"

namespace cairn::server {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Items that a lock of the store is held for.
constexpr uint64_t kItemsPerStep = 128;
// Less would be no step at all.
constexpr uint64_t kLeastItemsPerStep = 8;
constexpr auto kTurn = milliseconds(1);
// How often put-off work is looked for while no pass goes on.
constexpr auto kTick = milliseconds(250);
// While memory is given up after its limit was lowered.
constexpr auto kHurriedSleep = milliseconds(2);
constexpr int kMostTurnsInVain = 50;

Pace::Duration ThreadCpuTime() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

uint64_t Seconds(std::chrono::steady_clock::duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(d).count());
}

}  // namespace

Maintenance::Maintenance(ServerContext* server, bool crawling)
    : server_(server), crawling_(crawling) {}

Maintenance::~Maintenance() { Stop(); }

void Maintenance::Start() {
  stopping_ = false;
  next_pass_turn_ = Clock::now();
  thread_ = std::thread([this] { Run(); });
}

void Maintenance::Stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Maintenance::SetCrawling(bool on) {
  if (crawling_.exchange(on, std::memory_order_relaxed) == on) return false;
  if (on) Wake();
  return true;
}

Maintenance::CrawlStart Maintenance::StartCrawl(const Crawl& crawl) {
  if (!crawling()) return CrawlStart::kDisabled;
  {
    std::lock_guard lock(mutex_);
    if (crawl_requested_) return CrawlStart::kBusy;
    crawl_requested_ = true;
    crawl_ = crawl;
    woken_ = true;
    // Set here, so that who asked sees it run until it is over.
    server_->process->crawler_running = true;
    ++server_->process->crawler_starts;
  }
  changed_.notify_all();
  return CrawlStart::kStarted;
}

void Maintenance::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

void Maintenance::Hurry() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
    hurry_requested_ = true;
  }
  changed_.notify_all();
}

void Maintenance::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    woken_ = false;
    const bool crawl_requested = crawl_requested_;
    const Crawl crawl = crawl_;
    if (std::exchange(hurry_requested_, false)) {
      hurried_ = true;
      memory_before_ = UINT64_MAX;
    }
    lock.unlock();
    Clock::duration sleep;
    if (hurried_) {
      sleep = HurriedTurn();
    } else if (crawl_requested) {
      sleep = CrawlTurn(crawl);
    } else if (crawling() && Clock::now() >= next_pass_turn_) {
      sleep = PassTurn();
    } else {
      sleep = PutOffTurn();
    }
    lock.lock();
    changed_.wait_for(lock, sleep, [this] { return stopping_ || woken_; });
  }
}

Maintenance::Clock::duration Maintenance::PutOffTurn() {
  // Looking at no item leaves what the store has put off.
  server_->store->Maintain(0, server_->clock->Now());
  if (!crawling()) return kTick;
  return std::clamp<Clock::duration>(next_pass_turn_ - Clock::now(), Clock::duration(0), kTick);
}

Maintenance::Clock::duration Maintenance::HurriedTurn() {
  server_->store->Maintain(0, server_->clock->Now());
  const storage::StoreStats stats = server_->store->Stats();
  const uint64_t memory =
      stats.pages_total * stats.page_bytes + stats.index_bytes + stats.external_bytes;
  turns_in_vain_ = memory < memory_before_ ? 0 : turns_in_vain_ + 1;
  memory_before_ = memory;
  // What is pinned or reserved is given up later, at the ordinary pace.
  hurried_ = memory > server_->store->memory_limit_bytes() && turns_in_vain_ < kMostTurnsInVain;
  return hurried_ ? kHurriedSleep : Clock::duration(0);
}

Maintenance::Clock::duration Maintenance::PassTurn() {
  if (!in_pass_) ++server_->process->crawler_starts;
  const Pace::Turn turn = Work(UINT64_MAX);
  const Clock::duration sleep = pace_.After(turn);
  next_pass_turn_ = Clock::now() + sleep;
  rest_ = sleep;
  if (turn.pass_completed) EndPass();
  return std::min<Clock::duration>(sleep, kTick);
}

Maintenance::Clock::duration Maintenance::CrawlTurn(const Crawl& crawl) {
  if (!in_pass_) crawl_from_start_ = true;
  const uint64_t left = crawl.max_items == 0
                            ? UINT64_MAX
                            : crawl.max_items - std::min(crawl_checked_, crawl.max_items);
  const Pace::Turn turn = Work(std::min(left, kItemsPerSleep));
  crawl_checked_ += turn.checked;
  const bool all_seen = turn.pass_completed && crawl_from_start_;
  const bool enough = crawl.max_items != 0 && crawl_checked_ >= crawl.max_items;
  if (turn.pass_completed) EndPass();
  if (!all_seen && !enough) return crawl.sleep;

  crawl_from_start_ = false;
  crawl_checked_ = 0;
  std::lock_guard lock(mutex_);
  crawl_requested_ = false;
  server_->process->crawler_running = false;
  return Clock::duration(0);
}

Pace::Turn Maintenance::Work(uint64_t max_items) {
  const Pace::Duration cpu_before = ThreadCpuTime();
  const Clock::time_point until = Clock::now() + kTurn;
  if (!in_pass_) {
    in_pass_ = true;
    pass_began_ = Clock::now();
  }
  Pace::Turn turn;
  do {
    const auto step = static_cast<size_t>(
        std::clamp(max_items - turn.checked, kLeastItemsPerStep, kItemsPerStep));
    const storage::MaintenanceResult done = server_->store->Maintain(step, server_->clock->Now());
    turn.checked += done.items_checked;
    turn.reclaimed += done.items_reclaimed;
    turn.pass_completed = done.pass_completed;
  } while (!turn.pass_completed && turn.checked < max_items && Clock::now() < until);
  turn.cpu = ThreadCpuTime() - cpu_before;
  pass_checked_ += turn.checked;
  pass_reclaimed_ += turn.reclaimed;
  return turn;
}

void Maintenance::EndPass() {
  CrawlReport report;
  report.elapsed_seconds = Seconds(Clock::now() - pass_began_);
  report.examined = pass_checked_;
  report.reclaimed = pass_reclaimed_;
  report.next_run_seconds = Seconds(rest_);
  LogCrawl(*server_->log, report);
  in_pass_ = false;
  pass_checked_ = 0;
  pass_reclaimed_ = 0;
}

}  // namespace cairn::server
