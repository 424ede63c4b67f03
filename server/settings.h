#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What the operator asked for on the command line, as plain data. Made by ParseOptions() and not
/// changed afterwards; what can be changed while the server runs is in runtime_settings.h.
///
/// Sizes are in bytes whatever unit the option takes, and each field's initial value is the
/// option's default.
namespace cairn::server {

enum class BindingProtocol : uint8_t { kAuto, kAscii, kBinary };

/// How a TCP listener treats its connections when -Z is given. Without -Z none has TLS.
enum class ListenTls : uint8_t {
  kDefault,  ///< TLS; client certificates as ssl_verify_mode says
  kNone,     ///< `notls:`
  kBasic,    ///< `btls:` TLS, no client certificate is asked for
  kMutual,   ///< `mtls:` TLS, a client certificate is required
};

/// One entry of -l.
struct ListenAddress {
  std::string host;         ///< name or address without brackets; empty: every interface
  std::optional<int> port;  ///< absent: -p for TCP, -U for UDP
  std::optional<BindingProtocol> protocol;  ///< absent: Settings::binding_protocol
  ListenTls tls = ListenTls::kDefault;
  std::string tag;  ///< 1 to 8 bytes, or empty
};

enum class SslMinVersion : uint8_t { kTls10, kTls11, kTls12, kTls13 };
enum class SslVerifyMode : uint8_t { kNone, kRequest, kRequire, kOnce };

struct Settings {
  // Listeners.
  int tcp_port = 11211;  ///< 0: none, -1: the system chooses
  bool tcp_port_given = false;
  int udp_port = 0;                   ///< 0: none, -1: the system chooses
  std::vector<ListenAddress> listen;  ///< empty: every interface
  std::string listen_text;            ///< the -l arguments joined by commas; empty: none
  std::string unix_socket_path;       ///< empty: none
  unsigned unix_socket_mode = 0700;
  int backlog = 1024;
  BindingProtocol binding_protocol = BindingProtocol::kAuto;
  uint32_t socket_mark = 0;  ///< SO_MARK of accepted sockets; 0: none

  // Connections.
  int max_connections = 1024;
  bool maxconns_fast = true;    ///< refuse beyond the limit with a line, instead of not accepting
  unsigned idle_timeout_s = 0;  ///< 0: never
  int max_requests_per_event = 20;
  bool max_requests_per_event_given = false;
  uint64_t read_buf_mem_limit_bytes = 0;  ///< for all connections' buffers; 0: none
  unsigned thread_count = 4;
  unsigned napi_id_count = 0;

  // The store.
  uint64_t memory_limit_bytes = uint64_t{64} << 20;
  bool evict = true;
  bool use_cas = true;
  uint64_t max_item_bytes = uint64_t{1} << 20;
  double growth_factor = 1.25;
  bool growth_factor_given = false;
  unsigned chunk_size_bytes = 48;
  unsigned slab_chunk_max_bytes = 512 * 1024;
  std::vector<uint32_t> slab_sizes_bytes;  ///< ascending; empty: from growth_factor
  bool lock_memory = false;
  bool large_pages = false;
  unsigned hashpower = 0;  ///< log2 of the first number of buckets; 0: the store's choice
  bool hash_expand = true;
  std::string hash_algorithm = "murmur3";
  bool track_sizes = false;

  // What memcached's background threads are told. RuntimeSettings has the values of the moment.
  bool slab_reassign = true;
  int slab_automove = 1;
  double slab_automove_ratio = 0.8;
  unsigned slab_automove_window = 10;
  double slab_automove_free_ratio = 0.01;
  unsigned tail_repair_time_s = 0;
  bool lru_crawler = true;
  unsigned lru_crawler_sleep_us = 100;
  uint32_t lru_crawler_tocrawl = 0;  ///< 0: all
  bool lru_maintainer = true;
  bool lru_segmented = true;
  unsigned hot_lru_pct = 20;
  unsigned warm_lru_pct = 40;
  double hot_max_factor = 0.2;
  double warm_max_factor = 2.0;
  bool temporary_lru = false;
  unsigned temporary_ttl_s = 61;

  // External storage: reported, not built yet.
  unsigned ext_page_size_bytes = 64u << 20;
  unsigned ext_wbuf_size_bytes = 4u << 20;
  unsigned ext_threads = 1;
  unsigned ext_io_depth = 1;
  unsigned ext_item_size_bytes = 512;
  unsigned ext_item_age_s = UINT32_MAX;
  unsigned ext_low_ttl_s = 0;
  unsigned ext_recache_rate = 2000;
  unsigned ext_compact_under = 0;
  unsigned ext_drop_under = 0;
  unsigned ext_max_sleep_us = 1000000;
  double ext_max_frag = 0.8;
  bool ext_drop_unread = false;

  // What clients may do.
  bool enable_shutdown = false;
  bool flush_enabled = true;
  bool dump_enabled = true;
  bool watch_enabled = true;
  bool sasl = false;
  std::string auth_file;  ///< empty: none

  // TLS.
  bool tls_enabled = false;
  std::string ssl_chain_cert;
  std::string ssl_key;
  std::string ssl_ciphers;  ///< empty: OpenSSL's choice
  std::string ssl_ca_cert;  ///< empty: none
  SslVerifyMode ssl_verify_mode = SslVerifyMode::kNone;
  int ssl_keyformat = 1;  ///< OpenSSL's SSL_FILETYPE_*: 1 is PEM, 2 is DER
  unsigned ssl_wbuf_size_bytes = 16 * 1024;
  bool ssl_session_cache = false;
  bool ssl_kernel_tls = false;
  SslMinVersion ssl_min_version = SslMinVersion::kTls12;

  // Logs and statistics.
  unsigned verbosity = 0;
  char prefix_delimiter = ':';
  bool detail_enabled = false;
  uint64_t watcher_logbuf_bytes = 256 * 1024;
  uint64_t worker_logbuf_bytes = 64 * 1024;

  // The process.
  bool daemonize = false;
  std::string pidfile;  ///< empty: none
  std::string user;     ///< empty: not given
  bool coredumps = false;
  bool drop_privileges = false;

  /// Lines for stderr at the start, whole and with their newline: `warnings` always, `notes` with
  /// -v (options that were given and have no effect here).
  std::vector<std::string> warnings;
  std::vector<std::string> notes;

  /// -s turns TCP off, as memcached's does, unless a port was asked for too: by -p, or by the
  /// address.
  bool ListensOnTcp(const ListenAddress& address) const {
    return tcp_port != 0 &&
           (unix_socket_path.empty() || tcp_port_given || address.port.has_value());
  }
  bool ListensOnUdp() const { return udp_port != 0; }
};

}  // namespace cairn::server
