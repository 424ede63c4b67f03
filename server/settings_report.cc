#include "server/settings_report.h"

#include <array>
#include <string>
#include <string_view>

#include "fmt/format.h"

namespace cairn::server {
namespace {

struct Facts {
  const Settings& s;
  const RuntimeSettings& r;
};

struct Row {
  std::string_view name;
  std::string (*value)(const Facts& f);
};

std::string YesNo(bool value) { return value ? "yes" : "no"; }
// A missing string has several spellings in memcached; scripts may know them.
std::string OrNull(const std::string& text) { return text.empty() ? "NULL" : text; }
std::string OrNullPointer(const std::string& text) { return text.empty() ? "(null)" : text; }

std::string_view ProtocolText(BindingProtocol protocol) {
  switch (protocol) {
    case BindingProtocol::kAscii:
      return "ascii";
    case BindingProtocol::kBinary:
      return "binary";
    case BindingProtocol::kAuto:
      break;
  }
  return "auto-negotiate";
}

// As OpenSSL's SSL_VERIFY_ flags, which memcached shows.
int VerifyFlags(SslVerifyMode mode) {
  constexpr int kFlags[] = {0, 1, 3, 7};
  return kFlags[static_cast<size_t>(mode)];
}

std::string_view MinVersionText(SslMinVersion version) {
  constexpr std::string_view kNames[] = {"tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"};
  return kNames[static_cast<size_t>(version)];
}

// memcached gives a UDP socket to every thread, or to one when there are several addresses.
unsigned ThreadsPerUdp(const Settings& s) {
  return s.listen_text.find(',') != std::string::npos ? 1 : s.thread_count;
}

#define CAIRN_VALUE(spec, expression) \
  [](const Facts& f) -> std::string { return fmt::format(spec, expression); }
#define CAIRN_NUMBER(expression) CAIRN_VALUE("{}", expression)
#define CAIRN_YES_NO(expression) [](const Facts& f) { return YesNo(expression); }

constexpr auto kRows = std::to_array<Row>({
    {"maxbytes", CAIRN_NUMBER(f.r.memory_limit_bytes.load())},
    {"maxconns", CAIRN_NUMBER(f.s.max_connections)},
    {"tcpport", CAIRN_NUMBER(f.s.tcp_port)},
    {"udpport", CAIRN_NUMBER(f.s.udp_port)},
    {"inter", [](const Facts& f) { return OrNull(f.s.listen_text); }},
    {"verbosity", CAIRN_NUMBER(f.r.verbosity.load())},
    {"oldest", CAIRN_NUMBER(f.r.oldest_live_s.load())},
    {"evictions", [](const Facts& f) -> std::string { return f.s.evict ? "on" : "off"; }},
    {"domain_socket", [](const Facts& f) { return OrNull(f.s.unix_socket_path); }},
    {"umask", CAIRN_VALUE("{:o}", f.s.unix_socket_mode)},
    {"shutdown_command", CAIRN_YES_NO(f.s.enable_shutdown)},
    {"growth_factor", CAIRN_VALUE("{:.2f}", f.s.growth_factor)},
    {"chunk_size", CAIRN_NUMBER(f.s.chunk_size_bytes)},
    {"num_threads", CAIRN_NUMBER(f.s.thread_count)},
    {"num_threads_per_udp", CAIRN_NUMBER(ThreadsPerUdp(f.s))},
    {"stat_key_prefix", CAIRN_NUMBER(f.s.prefix_delimiter)},
    {"detail_enabled", CAIRN_YES_NO(f.r.detail_enabled.load())},
    {"reqs_per_event", CAIRN_NUMBER(f.s.max_requests_per_event)},
    {"cas_enabled", CAIRN_YES_NO(f.s.use_cas)},
    {"tcp_backlog", CAIRN_NUMBER(f.s.backlog)},
    {"binding_protocol", CAIRN_NUMBER(ProtocolText(f.s.binding_protocol))},
    {"auth_enabled_sasl", CAIRN_YES_NO(f.s.sasl)},
    {"auth_enabled_ascii",
     [](const Facts& f) { return f.s.auth_file.empty() ? "no" : f.s.auth_file; }},
    {"item_size_max", CAIRN_NUMBER(f.s.max_item_bytes)},
    {"maxconns_fast", CAIRN_YES_NO(f.s.maxconns_fast)},
    {"hashpower_init", CAIRN_NUMBER(f.s.hashpower)},
    {"slab_reassign", CAIRN_YES_NO(f.s.slab_reassign)},
    {"slab_automove", CAIRN_NUMBER(f.r.slab_automove.load())},
    {"slab_automove_ratio", CAIRN_VALUE("{:.2f}", f.r.slab_automove_ratio.load())},
    {"slab_automove_window", CAIRN_NUMBER(f.r.slab_automove_window.load())},
    {"slab_chunk_max", CAIRN_NUMBER(f.s.slab_chunk_max_bytes)},
    {"lru_crawler", CAIRN_YES_NO(f.r.lru_crawler.load())},
    {"lru_crawler_sleep", CAIRN_NUMBER(f.r.lru_crawler_sleep_us.load())},
    {"lru_crawler_tocrawl", CAIRN_NUMBER(f.r.lru_crawler_tocrawl.load())},
    {"tail_repair_time", CAIRN_NUMBER(f.s.tail_repair_time_s)},
    {"flush_enabled", CAIRN_YES_NO(f.s.flush_enabled)},
    {"dump_enabled", CAIRN_YES_NO(f.s.dump_enabled)},
    {"hash_algorithm", CAIRN_NUMBER(f.s.hash_algorithm)},
    {"lru_maintainer_thread", CAIRN_YES_NO(f.s.lru_maintainer)},
    {"lru_segmented", CAIRN_YES_NO(f.r.lru_segmented.load())},
    {"hot_lru_pct", CAIRN_NUMBER(f.r.hot_lru_pct.load())},
    {"warm_lru_pct", CAIRN_NUMBER(f.r.warm_lru_pct.load())},
    {"hot_max_factor", CAIRN_VALUE("{:.2f}", f.r.hot_max_factor.load())},
    {"warm_max_factor", CAIRN_VALUE("{:.2f}", f.r.warm_max_factor.load())},
    {"temp_lru", CAIRN_YES_NO(f.r.temporary_lru.load())},
    {"temporary_ttl", CAIRN_NUMBER(f.r.temporary_ttl_s.load())},
    {"idle_timeout", CAIRN_NUMBER(f.s.idle_timeout_s)},
    {"watcher_logbuf_size", CAIRN_NUMBER(f.s.watcher_logbuf_bytes)},
    {"worker_logbuf_size", CAIRN_NUMBER(f.s.worker_logbuf_bytes)},
    {"read_buf_mem_limit", CAIRN_NUMBER(f.s.read_buf_mem_limit_bytes)},
    {"track_sizes", CAIRN_YES_NO(f.s.track_sizes)},
    {"inline_ascii_response", CAIRN_YES_NO((static_cast<void>(f), false))},
    {"ext_item_size", CAIRN_NUMBER(f.s.ext_item_size_bytes)},
    {"ext_item_age", CAIRN_NUMBER(f.s.ext_item_age_s)},
    {"ext_low_ttl", CAIRN_NUMBER(f.s.ext_low_ttl_s)},
    {"ext_recache_rate", CAIRN_NUMBER(f.s.ext_recache_rate)},
    {"ext_wbuf_size", CAIRN_NUMBER(f.s.ext_wbuf_size_bytes)},
    {"ext_compact_under", CAIRN_NUMBER(f.s.ext_compact_under)},
    {"ext_drop_under", CAIRN_NUMBER(f.s.ext_drop_under)},
    {"ext_max_sleep", CAIRN_NUMBER(f.s.ext_max_sleep_us)},
    {"ext_max_frag", CAIRN_VALUE("{:.2f}", f.s.ext_max_frag)},
    {"slab_automove_freeratio", CAIRN_VALUE("{:.3f}", f.r.slab_automove_free_ratio.load())},
    {"ext_drop_unread", CAIRN_YES_NO(f.s.ext_drop_unread)},
    {"ssl_enabled", CAIRN_YES_NO(f.s.tls_enabled)},
    {"ssl_chain_cert", [](const Facts& f) { return OrNullPointer(f.s.ssl_chain_cert); }},
    {"ssl_key", [](const Facts& f) { return OrNullPointer(f.s.ssl_key); }},
    {"ssl_verify_mode", CAIRN_NUMBER(VerifyFlags(f.s.ssl_verify_mode))},
    {"ssl_keyformat", CAIRN_NUMBER(f.s.ssl_keyformat)},
    {"ssl_ciphers", [](const Facts& f) { return OrNull(f.s.ssl_ciphers); }},
    {"ssl_ca_cert", [](const Facts& f) { return OrNull(f.s.ssl_ca_cert); }},
    {"ssl_wbuf_size", CAIRN_NUMBER(f.s.ssl_wbuf_size_bytes)},
    {"ssl_session_cache", CAIRN_YES_NO(f.s.ssl_session_cache)},
    {"ssl_kernel_tls", CAIRN_YES_NO(f.s.ssl_kernel_tls)},
    {"ssl_min_version", CAIRN_NUMBER(MinVersionText(f.s.ssl_min_version))},
    {"num_napi_ids", CAIRN_NUMBER(f.s.napi_id_count)},
    {"memory_file", CAIRN_NUMBER((static_cast<void>(f), "(null)"))},
    {"client_flags_size", CAIRN_NUMBER((static_cast<void>(f), sizeof(uint32_t)))},
});

#undef CAIRN_VALUE
#undef CAIRN_NUMBER
#undef CAIRN_YES_NO

}  // namespace

void ReportSettings(const Settings& settings, const RuntimeSettings& runtime, StatSink sink) {
  const Facts facts{settings, runtime};
  for (const Row& row : kRows) sink(row.name, row.value(facts));
}

}  // namespace cairn::server
