#include "server/settings_report.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "fmt/format.h"
#include "server/option_rows.h"
#include "server/option_table.h"
#include "server/runtime_settings.h"
#include "tests/catch.h"

namespace cairn::server {
namespace {

using Lines = std::vector<std::pair<std::string, std::string>>;

Lines Report(const Settings& settings, const RuntimeSettings& runtime) {
  Lines lines;
  ReportSettings(settings, runtime, [&lines](std::string_view name, std::string_view value) {
    lines.emplace_back(name, value);
  });
  return lines;
}

std::map<std::string, std::string> ReportOf(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "cairnd");
  const Settings settings =
      std::get<Settings>(ParseOptions(static_cast<int>(arguments.size()), arguments.data()));
  const Lines lines = Report(settings, RuntimeSettings(settings));
  return {lines.begin(), lines.end()};
}

// What memcached 1.6.45 reports of itself.
const char kDefaults[] =
    "maxbytes 67108864\nmaxconns 1024\ntcpport 11211\nudpport 0\ninter NULL\nverbosity 0\n"
    "oldest 0\nevictions on\ndomain_socket NULL\numask 700\nshutdown_command no\n"
    "growth_factor 1.25\nchunk_size 48\nnum_threads 4\nnum_threads_per_udp 4\n"
    "stat_key_prefix :\ndetail_enabled no\nreqs_per_event 20\ncas_enabled yes\n"
    "tcp_backlog 1024\nbinding_protocol auto-negotiate\nauth_enabled_sasl no\n"
    "auth_enabled_ascii no\nitem_size_max 1048576\nmaxconns_fast yes\nhashpower_init 0\n"
    "slab_reassign yes\nslab_automove 1\nslab_automove_ratio 0.80\nslab_automove_window 10\n"
    "slab_chunk_max 524288\nlru_crawler yes\nlru_crawler_sleep 100\nlru_crawler_tocrawl 0\n"
    "tail_repair_time 0\nflush_enabled yes\ndump_enabled yes\nhash_algorithm murmur3\n"
    "lru_maintainer_thread yes\nlru_segmented yes\nhot_lru_pct 20\nwarm_lru_pct 40\n"
    "hot_max_factor 0.20\nwarm_max_factor 2.00\ntemp_lru no\ntemporary_ttl 61\n"
    "idle_timeout 0\nwatcher_logbuf_size 262144\nworker_logbuf_size 65536\n"
    "read_buf_mem_limit 0\ntrack_sizes no\ninline_ascii_response no\next_item_size 512\n"
    "ext_item_age 4294967295\next_low_ttl 0\next_recache_rate 2000\next_wbuf_size 4194304\n"
    "ext_compact_under 0\next_drop_under 0\next_max_sleep 1000000\next_max_frag 0.80\n"
    "slab_automove_freeratio 0.010\next_drop_unread no\nssl_enabled no\n"
    "ssl_chain_cert (null)\nssl_key (null)\nssl_verify_mode 0\nssl_keyformat 1\n"
    "ssl_ciphers NULL\nssl_ca_cert NULL\nssl_wbuf_size 16384\nssl_session_cache no\n"
    "ssl_kernel_tls no\nssl_min_version tlsv1.2\nnum_napi_ids 0\nmemory_file (null)\n"
    "client_flags_size 4\n";

TEST_CASE("The defaults are reported as memcached reports them") {
  std::string text;
  const Settings settings;
  for (const auto& [name, value] : Report(settings, RuntimeSettings(settings))) {
    text += fmt::format("{} {}\n", name, value);
  }
  CHECK(text == kDefaults);
}

TEST_CASE("Options are reported") {
  auto found =
      ReportOf({"-l",  "127.0.0.1",  "-l", "[::1]:11300",
                "-M",  "-s",         "/x", "-a",
                "770", "-D",         "/",  "-C",
                "-B",  "ascii",      "-f", "1.333",
                "-Y",  "/passwords", "-o", "ssl_verify_mode=3,ssl_min_version=0,ssl_ciphers=HIGH"});
  CHECK(found["inter"] == "127.0.0.1,[::1]:11300");
  CHECK(found["num_threads_per_udp"] == "1");
  CHECK(found["evictions"] == "off");
  CHECK(found["domain_socket"] == "/x");
  CHECK(found["umask"] == "770");
  CHECK(found["stat_key_prefix"] == "/");
  CHECK(found["detail_enabled"] == "yes");
  CHECK(found["cas_enabled"] == "no");
  CHECK(found["binding_protocol"] == "ascii");
  CHECK(found["growth_factor"] == "1.33");
  CHECK(found["auth_enabled_ascii"] == "/passwords");
  CHECK(found["ssl_verify_mode"] == "7");
  CHECK(found["ssl_min_version"] == "tlsv1.0");
  CHECK(found["ssl_ciphers"] == "HIGH");
}

TEST_CASE("What was changed since the start is reported as it is now") {
  const Settings settings;
  RuntimeSettings runtime(settings);
  runtime.verbosity = 2;
  runtime.memory_limit_bytes = 128 << 20;
  runtime.lru_crawler = false;
  runtime.slab_automove_free_ratio = 0.5;
  runtime.temporary_lru = true;
  runtime.detail_enabled = true;
  const Lines lines = Report(settings, runtime);
  std::map<std::string, std::string> found(lines.begin(), lines.end());
  CHECK(found["verbosity"] == "2");
  CHECK(found["maxbytes"] == "134217728");
  CHECK(found["lru_crawler"] == "no");
  CHECK(found["slab_automove_freeratio"] == "0.500");
  CHECK(found["temp_lru"] == "yes");
  CHECK(found["detail_enabled"] == "yes");
}

TEST_CASE("Every setting that an option names is reported") {
  const Settings settings;
  const Lines lines = Report(settings, RuntimeSettings(settings));
  const std::map<std::string, std::string> found(lines.begin(), lines.end());
  for (const auto rows : {CommandLineRows(), SuboptionRows()}) {
    for (const OptionRow& row : rows) {
      CAPTURE(std::string(row.setting));
      CHECK((row.setting.empty() || found.count(std::string(row.setting)) == 1));
    }
  }
}

}  // namespace
}  // namespace cairn::server
