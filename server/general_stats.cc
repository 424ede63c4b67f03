#include "server/general_stats.h"

#include <event2/event.h>
#include <sys/resource.h>
#include <unistd.h>

#include <iterator>

#include "fmt/format.h"
#include "protocol/version.h"
#include "server/log_hub.h"
#include "server/maintenance.h"
#include "server/settings.h"
#include "server/tls.h"

namespace cairn::server {
namespace {

// What the lines are computed from, gathered once a report.
struct Facts {
  const ServerContext& server;
  const Settings& settings;
  const ProcessStats& process;
  storage::Time now;
  WorkerTotals workers;
  storage::StoreStats store;
  LogHub::Totals log;
  rusage usage;
};

std::string SecondsText(const timeval& t) { return fmt::format("{}.{:06}", t.tv_sec, t.tv_usec); }

struct Line {
  using Number = uint64_t (*)(const Facts&);
  using Text = std::string (*)(const Facts&);
  using Condition = bool (*)(const Facts&);

  constexpr Line(std::string_view line_name, std::string_view line_help, Number line_number,
                 Condition line_shown = nullptr)
      : name(line_name), help(line_help), number(line_number), shown(line_shown) {}
  constexpr Line(std::string_view line_name, std::string_view line_help, Text line_text,
                 Condition line_shown = nullptr)
      : name(line_name), help(line_help), text(line_text), shown(line_shown) {}

  std::string_view name;
  std::string_view help;
  Number number = nullptr;
  Text text = nullptr;
  Condition shown = nullptr;  // null: always
};

bool MaxconnsFast(const Facts& f) { return f.settings.maxconns_fast; }
bool IdleTimeout(const Facts& f) { return f.settings.idle_timeout_s != 0; }
bool SlabReassign(const Facts& f) { return f.settings.slab_reassign; }
bool Crawler(const Facts& f) { return f.server.maintenance->crawling(); }
bool Maintainer(const Facts& f) { return f.settings.lru_maintainer; }
bool Tls(const Facts& f) { return f.server.tls != nullptr; }
bool TlsSessionCache(const Facts& f) { return Tls(f) && f.settings.ssl_session_cache; }

constexpr auto kZero = [](const Facts&) -> uint64_t { return 0; };

constexpr std::string_view kNoMover = "always 0: no page mover; pages change class when evicted";
constexpr std::string_view kNoSegments = "always 0: the store has no LRU segments";

#define CAIRN_WORKER_LINE(name, help) \
  Line(                               \
      #name, help, +[](const Facts& f) -> uint64_t { return f.workers.name; })
#define CAIRN_STORE_LINE(name, help) \
  Line(                              \
      #name, help, +[](const Facts& f) -> uint64_t { return f.store.name; })
#define CAIRN_NUMBER(expression) \
  +[](const Facts& f) -> uint64_t { return static_cast<uint64_t>(expression); }
#define CAIRN_TEXT(expression) +[](const Facts& f) -> std::string { return expression; }

constexpr Line kLines[] = {
    Line(
        "pid", "process id",
        +[](const Facts&) -> uint64_t { return static_cast<uint64_t>(getpid()); }),
    Line("uptime", "seconds since the start", CAIRN_NUMBER(f.server.clock->UptimeSeconds(f.now))),
    Line("time", "Unix time", CAIRN_NUMBER(f.server.clock->UnixSeconds(f.now))),
    Line(
        "version", "the memcached release whose behaviour this is",
        +[](const Facts&) { return std::string(protocol::kMemcachedVersion); }),
    Line(
        "libevent", "version of libevent",
        +[](const Facts&) { return std::string(event_get_version()); }),
    Line(
        "pointer_size", "bits of a pointer",
        +[](const Facts&) -> uint64_t { return 8 * sizeof(void*); }),
    Line("rusage_user", "seconds of CPU time in user mode",
         CAIRN_TEXT(SecondsText(f.usage.ru_utime))),
    Line("rusage_system", "seconds of CPU time in the kernel",
         CAIRN_TEXT(SecondsText(f.usage.ru_stime))),
    Line("max_connections", "limit on client connections (-c)",
         CAIRN_NUMBER(f.settings.max_connections)),
    Line("curr_connections", "client connections", CAIRN_NUMBER(f.process.curr_connections)),
    Line("total_connections", "client connections accepted",
         CAIRN_NUMBER(f.process.total_connections)),
    Line("rejected_connections", "clients turned away at the limit",
         CAIRN_NUMBER(f.process.rejected_connections), MaxconnsFast),
    Line("connection_structures", "connection objects in memory",
         CAIRN_NUMBER(f.process.connection_structures)),
    CAIRN_WORKER_LINE(response_obj_oom, "connections closed for lack of answer memory"),
    Line("response_obj_count", "connections that hold unsent answers",
         CAIRN_NUMBER(f.process.output_buffer_count)),
    Line("response_obj_bytes", "bytes of these", CAIRN_NUMBER(f.process.output_buffer_bytes)),
    Line("read_buf_count", "connections that hold an unfinished request",
         CAIRN_NUMBER(f.process.input_buffer_count)),
    Line("read_buf_bytes", "bytes of these buffers", CAIRN_NUMBER(f.process.input_buffer_bytes)),
    Line("read_buf_bytes_free", "always 0: no buffer is kept unused", kZero),
    CAIRN_WORKER_LINE(read_buf_oom, "connections closed for lack of read memory"),
    Line("reserved_fds", "descriptors of the server's own", CAIRN_NUMBER(f.process.reserved_fds)),
    CAIRN_WORKER_LINE(cmd_get, "keys asked for by get, gets, mg and their binary kin"),
    Line("cmd_set", "store commands, failed ones included", CAIRN_NUMBER(f.workers.set_cmds)),
    CAIRN_WORKER_LINE(cmd_flush, "flush_all commands, refused ones included"),
    CAIRN_WORKER_LINE(cmd_touch, "touch and gat keys"),
    CAIRN_WORKER_LINE(cmd_meta, "me commands"),
    CAIRN_WORKER_LINE(get_hits, "keys found by get"),
    CAIRN_WORKER_LINE(get_misses, "keys asked for and not found"),
    CAIRN_WORKER_LINE(get_expired, "of these, found expired"),
    CAIRN_WORKER_LINE(get_flushed, "of these, found flushed"),
    CAIRN_WORKER_LINE(delete_misses, "deletes of a missing key"),
    CAIRN_WORKER_LINE(delete_hits, "items deleted"),
    CAIRN_WORKER_LINE(incr_misses, "increments of a missing key"),
    CAIRN_WORKER_LINE(incr_hits, "numbers incremented"),
    CAIRN_WORKER_LINE(decr_misses, "decrements of a missing key"),
    CAIRN_WORKER_LINE(decr_hits, "numbers decremented"),
    CAIRN_WORKER_LINE(cas_misses, "cas of a missing key"),
    CAIRN_WORKER_LINE(cas_hits, "cas that stored"),
    CAIRN_WORKER_LINE(cas_badval, "cas that found another unique"),
    CAIRN_WORKER_LINE(touch_hits, "touch and gat keys found"),
    CAIRN_WORKER_LINE(touch_misses, "touch and gat keys not found"),
    CAIRN_WORKER_LINE(store_too_large, "stores refused for their size"),
    CAIRN_WORKER_LINE(store_no_memory, "stores refused for lack of memory"),
    CAIRN_WORKER_LINE(auth_cmds, "authentication attempts"),
    CAIRN_WORKER_LINE(auth_errors, "of these, failed"),
    Line("idle_kicks", "connections closed for idleness", CAIRN_NUMBER(f.workers.idle_kicks),
         IdleTimeout),
    CAIRN_WORKER_LINE(bytes_read, "bytes received from clients"),
    CAIRN_WORKER_LINE(bytes_written, "bytes sent to clients"),
    Line("limit_maxbytes", "memory limit (-m, cache_memlimit); index and metadata included",
         CAIRN_NUMBER(f.server.store->memory_limit_bytes())),
    Line("accepting_conns", "1 while connections are accepted",
         CAIRN_NUMBER(f.process.accepting ? 1 : 0)),
    Line("listen_disabled_num", "times accepting was stopped at the limit",
         CAIRN_NUMBER(f.process.listen_disabled_count)),
    Line("time_in_listen_disabled_us", "microseconds that accepting was stopped",
         CAIRN_NUMBER(f.process.time_in_listen_disabled_us)),
    Line("threads", "worker threads (-t)", CAIRN_NUMBER(f.settings.thread_count)),
    CAIRN_WORKER_LINE(conn_yields, "times a connection gave way to others after -R requests"),
    Line("hash_power_level", "log2 of the number of index entries",
         CAIRN_NUMBER(f.store.index_power)),
    Line("hash_bytes", "bytes of the index", CAIRN_NUMBER(f.store.index_bytes)),
    Line("hash_is_expanding", "1 while a part of the index grows",
         CAIRN_NUMBER(f.store.index_growing != 0 ? 1 : 0)),
    Line("slab_reassign_rescues", "fetched items moved to a new page instead of evicted",
         CAIRN_NUMBER(f.store.items_rescued), SlabReassign),
    Line("slab_reassign_chunk_rescues", kNoMover, kZero, SlabReassign),
    Line("slab_reassign_inline_reclaim", kNoMover, kZero, SlabReassign),
    Line("slab_reassign_busy_items", kNoMover, kZero, SlabReassign),
    Line("slab_reassign_busy_deletes", kNoMover, kZero, SlabReassign),
    Line("slab_reassign_busy_nomem", kNoMover, kZero, SlabReassign),
    Line(
        "slab_reassign_last_busy_status", "always none",
        +[](const Facts&) { return std::string("none"); }, SlabReassign),
    Line("slab_reassign_running", kNoMover, kZero, SlabReassign),
    Line("slabs_moved", "pages that went from one class to another",
         CAIRN_NUMBER(f.store.pages_moved), SlabReassign),
    Line("lru_crawler_running", "1 while a pass that lru_crawler crawl asked for goes on",
         CAIRN_NUMBER(f.process.crawler_running ? 1 : 0), Crawler),
    Line("lru_crawler_starts", "background passes begun", CAIRN_NUMBER(f.process.crawler_starts),
         Crawler),
    Line("lru_maintainer_juggles", kNoSegments, kZero, Maintainer),
    Line("malloc_fails", "always 0: see store_no_memory, response_obj_oom and read_buf_oom", kZero),
    Line("log_worker_dropped", "always 0: lines are lost by slow watchers only",
         CAIRN_NUMBER(f.log.worker_dropped)),
    Line("log_worker_written", "log lines that somebody watched",
         CAIRN_NUMBER(f.log.worker_written)),
    Line("log_watcher_skipped", "lines that a slow watcher lost",
         CAIRN_NUMBER(f.log.watcher_skipped)),
    Line("log_watcher_sent", "lines handed to watchers", CAIRN_NUMBER(f.log.watcher_sent)),
    Line("log_watchers", "watchers", CAIRN_NUMBER(f.log.watchers)),
    Line("ssl_new_sessions", "TLS sessions established anew",
         CAIRN_NUMBER(f.server.tls->new_sessions()), TlsSessionCache),
    Line("ssl_handshake_errors", "TLS handshakes that failed",
         CAIRN_NUMBER(f.workers.ssl_handshake_errors), Tls),
    Line("ssl_proto_errors", "TLS errors after the handshake",
         CAIRN_NUMBER(f.workers.ssl_proto_errors), Tls),
    Line("time_since_server_cert_refresh", "seconds since the certificates were read",
         CAIRN_NUMBER(f.server.tls->SecondsSinceRefresh()), Tls),
    Line("unexpected_napi_ids", "always 0: threads are not picked by NAPI id", kZero),
    Line("round_robin_fallback", "always 0, likewise", kZero),
    CAIRN_STORE_LINE(bytes, "bytes of items: headers, keys and values"),
    CAIRN_STORE_LINE(curr_items, "items, expired ones that were not yet met included"),
    CAIRN_STORE_LINE(total_items, "items stored"),
    Line("slab_global_page_pool", "pages that belong to no class",
         CAIRN_NUMBER(f.store.pages_free)),
    CAIRN_STORE_LINE(expired_unfetched, "expired items given back that were never fetched"),
    CAIRN_STORE_LINE(evicted_unfetched, "evicted items that were never fetched"),
    Line("evicted_active", "evicted items fetched since they were written or last spared",
         CAIRN_NUMBER(f.store.evicted_active), Maintainer),
    CAIRN_STORE_LINE(evictions, "live items removed to make room"),
    CAIRN_STORE_LINE(reclaimed, "expired items whose memory a write reused"),
    CAIRN_STORE_LINE(crawler_reclaimed, "expired items given back in the background"),
    CAIRN_STORE_LINE(crawler_items_checked, "items the background pass looked at"),
    Line("lrutail_reflocked", "always 0: an item in use does not stop an eviction", kZero),
    Line("moves_to_cold", kNoSegments, kZero, Maintainer),
    Line("moves_to_warm", kNoSegments, kZero, Maintainer),
    Line("moves_within_lru", "as slab_reassign_rescues", CAIRN_NUMBER(f.store.items_rescued),
         Maintainer),
    Line("direct_reclaims", "pages that a writer had to clear itself",
         CAIRN_NUMBER(f.store.direct_reclaims), Maintainer),
    Line("lru_bumps_dropped", "always 0: a hit is always recorded", kZero, Maintainer),
};

#undef CAIRN_WORKER_LINE
#undef CAIRN_STORE_LINE
#undef CAIRN_NUMBER
#undef CAIRN_TEXT

}  // namespace

void ReportGeneralStats(const ServerContext& server, storage::Time now, StatSink sink) {
  Facts facts{server, *server.settings,      *server.process,      now,
              {},     server.store->Stats(), server.log->totals(), {}};
  for (const WorkerStats* worker : server.worker_stats) facts.workers.Add(*worker);
  getrusage(RUSAGE_SELF, &facts.usage);
  for (const Line& line : kLines) {
    if (line.shown != nullptr && !line.shown(facts)) continue;
    sink(line.name, line.text != nullptr ? line.text(facts) : fmt::to_string(line.number(facts)));
  }
}

void DescribeGeneralStats(std::string* markdown) {
  for (const Line& line : kLines) {
    fmt::format_to(std::back_inserter(*markdown), "| `{}` | {} |\n", line.name, line.help);
  }
}

}  // namespace cairn::server
