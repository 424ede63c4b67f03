// The suboptions of -o, in the order of -h.
#include <array>
#include <string>

#include "absl/strings/numbers.h"
#include "fmt/format.h"
#include "server/option_rows.h"
#include "server/option_values.h"

namespace cairn::server {
namespace {

constexpr double kKilobyte = 1024;
constexpr double kMegabyte = 1024 * 1024;
constexpr double kUint32Max = std::numeric_limits<uint32_t>::max();
constexpr unsigned kSlabPageBytes = 1024 * 1024;

// Why what tunes parts of memcached that are not here has no effect.
constexpr std::string_view kOnePageQueue =
    "memory of all sizes stands in one queue by age: there are no LRU lists to be tuned";
constexpr std::string_view kNoBalancer =
    "pages of all sizes stand in one queue, so that there is nothing to be balanced";
constexpr std::string_view kOwnIndex = "the index grows as items come and has a hash of its own";
constexpr std::string_view kNoExternal = "there is no external storage yet";
constexpr std::string_view kNoProxy = "there is no proxy";

using Value = std::optional<std::string_view>;

std::optional<Exit> ApplyAutomove(OptionState& state, const OptionRow& row, Value value) {
  if (!value) {
    state.settings.slab_automove = 1;
    return std::nullopt;
  }
  return Number(&Settings::slab_automove,
                {.min = 0, .max = 2, .below = "slab_automove must be between 0 and 2"})(state, row,
                                                                                        value);
}

std::optional<Exit> ApplyHashAlgorithm(OptionState& state, const OptionRow&, Value value) {
  if (*value != "jenkins" && *value != "murmur3" && *value != "xxh3") {
    return Mistake("Unknown hash_algorithm option (jenkins, murmur3, xxh3)");
  }
  state.settings.hash_algorithm = std::string(*value);
  return std::nullopt;
}

std::optional<Exit> ApplySlabSizes(OptionState& state, const OptionRow&, Value value) {
  state.slab_sizes_text = std::string(*value);
  return std::nullopt;
}

std::optional<Exit> ApplySlabChunkMax(OptionState& state, const OptionRow& row, Value value) {
  state.slab_chunk_max_given = true;
  return Number(&Settings::slab_chunk_max_bytes,
                {.min = 1,
                 .max = 1024,
                 .below = "slab_chunk_max must be >= 0",
                 .above = "slab_chunk_max must be specified in kilobytes.",
                 .strict = "could not parse argument to slab_chunk_max",
                 .unit = kKilobyte})(state, row, value);
}

std::optional<Exit> ApplyNoChunkedItems(OptionState& state, const OptionRow&, Value) {
  state.settings.slab_chunk_max_bytes = kSlabPageBytes;
  return std::nullopt;
}

// The defaults of memcached 1.4.
std::optional<Exit> ApplyNoModern(OptionState& state, const OptionRow&, Value) {
  Settings& settings = state.settings;
  if (!state.slab_chunk_max_given) settings.slab_chunk_max_bytes = kSlabPageBytes;
  settings.slab_reassign = false;
  settings.slab_automove = 0;
  settings.maxconns_fast = false;
  settings.lru_segmented = false;
  settings.lru_maintainer = false;
  settings.lru_crawler = false;
  settings.hash_algorithm = "jenkins";
  return std::nullopt;
}

std::optional<Exit> ApplyLruMaintainer(OptionState& state, const OptionRow& row, Value) {
  const bool on = row.name == "lru_maintainer";
  state.settings.lru_maintainer = on;
  state.settings.lru_segmented = on;
  return std::nullopt;
}

std::optional<Exit> ApplyNoAutomove(OptionState& state, const OptionRow&, Value) {
  state.settings.slab_automove = 0;
  return std::nullopt;
}

std::optional<Exit> WarnOfRespObjMemLimit(OptionState& state, const OptionRow&, Value) {
  state.settings.warnings.emplace_back(
      "DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit.\n");
  return std::nullopt;
}

std::optional<Exit> ApplyVerifyMode(OptionState& state, const OptionRow& row, Value value) {
  static_assert(static_cast<int>(SslVerifyMode::kOnce) == 3);
  const CheckedNumber number =
      CheckNumber(row, *value,
                  {.max = 3,
                   .below = "Invalid ssl_verify_mode. Use help to see valid options.",
                   .strict = "could not parse argument to ssl_verify_mode"},
                  /*fraction=*/false);
  if (number.exit) return number.exit;
  state.settings.ssl_verify_mode = static_cast<SslVerifyMode>(number.value);
  return std::nullopt;
}

std::optional<Exit> ApplyMinVersion(OptionState& state, const OptionRow& row, Value value) {
  static_assert(static_cast<int>(SslMinVersion::kTls13) == 3);
  const CheckedNumber number =
      CheckNumber(row, *value,
                  {.max = 3,
                   .below = "Invalid ssl_min_version. Use help to see valid options.",
                   .strict = "could not parse argument to ssl_min_version"},
                  /*fraction=*/false);
  if (number.exit) return number.exit;
  state.settings.ssl_min_version = static_cast<SslMinVersion>(number.value);
  return std::nullopt;
}

void AddConnectionRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "maxconns_fast",
                   .group = OptionGroup::kConnections,
                   .setting = "maxconns_fast",
                   .default_text = "on",
                   .help = "tell clients beyond -c so and close, instead of not accepting them",
                   .apply = Set(&Settings::maxconns_fast)});
  rows->push_back({.name = "no_maxconns_fast",
                   .group = OptionGroup::kConnections,
                   .setting = "maxconns_fast",
                   .help = "stop accepting at -c clients",
                   .apply = Set(&Settings::maxconns_fast, false)});
  rows->push_back({.name = "idle_timeout",
                   .argument = "s",
                   .group = OptionGroup::kConnections,
                   .setting = "idle_timeout",
                   .default_text = "0",
                   .range = "a number of seconds, 0 for never",
                   .help = "close clients that have been silent for so many seconds",
                   .missing = "Missing numeric argument for idle_timeout",
                   .apply = Number(&Settings::idle_timeout_s, {})});
  rows->push_back({.name = "read_buf_mem_limit",
                   .argument = "MB",
                   .group = OptionGroup::kConnections,
                   .setting = "read_buf_mem_limit",
                   .default_text = "0",
                   .range = "a number of megabytes, 0 for no limit",
                   .help = "memory for the buffers of all connections",
                   .missing = "Missing read_buf_mem_limit argument",
                   .apply = Number(&Settings::read_buf_mem_limit_bytes,
                                   {.max = kUint32Max,
                                    .strict = "could not parse argument to read_buf_mem_limit",
                                    .unit = kMegabyte})});
  rows->push_back({.name = "sock_cookie_id",
                   .argument = "num",
                   .group = OptionGroup::kNetwork,
                   .effect = OptionEffect::kAccepted,
                   .range = "a whole number",
                   .help = "mark the listening sockets for a firewall's rules",
                   .why = "Linux has no such mark that an unprivileged server may set",
                   .apply = Nothing()});
}

void AddMemoryRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "track_sizes",
                   .group = OptionGroup::kMemory,
                   .setting = "track_sizes",
                   .help = "count items by size for `stats sizes`",
                   .apply = Set(&Settings::track_sizes)});
  rows->push_back({.name = "slab_sizes",
                   .argument = "a-b-c",
                   .group = OptionGroup::kMemory,
                   .effect = OptionEffect::kAccepted,
                   .range = "ascending numbers of bytes with - between them",
                   .help = "the size classes",
                   .why = "the store chooses its size classes",
                   .missing = "Missing slab_sizes argument",
                   .apply = ApplySlabSizes});
  rows->push_back({.name = "slab_chunk_max",
                   .argument = "KB",
                   .group = OptionGroup::kMemory,
                   .effect = OptionEffect::kAccepted,
                   .setting = "slab_chunk_max",
                   .default_text = "512",
                   .range = "a number of kilobytes from 1 to 1024 that divides -I",
                   .help = "largest piece of memory that an item takes",
                   .why = "the store chooses how large items are cut",
                   .missing = "Missing slab_chunk_max argument",
                   .apply = ApplySlabChunkMax});
  rows->push_back({.name = "no_chunked_items",
                   .group = OptionGroup::kMemory,
                   .effect = OptionEffect::kAccepted,
                   .setting = "slab_chunk_max",
                   .help = "do not cut large items",
                   .why = "the store chooses how large items are cut",
                   .apply = ApplyNoChunkedItems});
  rows->push_back(
      {.name = "hashpower",
       .argument = "num",
       .group = OptionGroup::kMemory,
       .effect = OptionEffect::kAccepted,
       .setting = "hashpower_init",
       .default_text = "0",
       .range = "a number from 12 to 32",
       .help = "logarithm of the first number of hash buckets",
       .why = kOwnIndex,
       .missing = "Missing numeric argument for hashpower",
       .apply = Number(&Settings::hashpower,
                       {.min = 12,
                        .max = 32,
                        .below = "Initial hashtable multiplier of %d is too low",
                        .above = "Initial hashtable multiplier of %d is too high\n"
                                 "Choose a value based on \"STAT hash_power_level\" from a running "
                                 "instance"})});
  rows->push_back({.name = "no_hashexpand",
                   .group = OptionGroup::kMemory,
                   .effect = OptionEffect::kAccepted,
                   .help = "never grow the hash table",
                   .why = kOwnIndex,
                   .apply = Set(&Settings::hash_expand, false)});
  rows->push_back({.name = "hash_algorithm",
                   .argument = "name",
                   .group = OptionGroup::kMemory,
                   .effect = OptionEffect::kAccepted,
                   .setting = "hash_algorithm",
                   .default_text = "murmur3",
                   .range = "jenkins, murmur3 or xxh3",
                   .help = "the hash table's hash",
                   .why = kOwnIndex,
                   .missing = "Missing hash_algorithm argument",
                   .apply = ApplyHashAlgorithm});
}

void AddCrawlerRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "lru_crawler",
                   .group = OptionGroup::kBackground,
                   .setting = "lru_crawler",
                   .default_text = "on",
                   .help = "give the memory of expired items back in the background",
                   .apply = Set(&Settings::lru_crawler)});
  rows->push_back({.name = "no_lru_crawler",
                   .group = OptionGroup::kBackground,
                   .setting = "lru_crawler",
                   .help = "leave expired items until their memory is needed",
                   .apply = Set(&Settings::lru_crawler, false)});
  rows->push_back({.name = "lru_crawler_sleep",
                   .argument = "us",
                   .group = OptionGroup::kBackground,
                   .setting = "lru_crawler_sleep",
                   .default_text = "100",
                   .range = "a number of microseconds up to 1000000",
                   .help = "pause of the passes that `lru_crawler crawl` asks for",
                   .missing = "Missing lru_crawler_sleep value",
                   .apply = Number(&Settings::lru_crawler_sleep_us,
                                   {.max = 1000000,
                                    .below = "LRU crawler sleep must be between 0 and 1 second"})});
  rows->push_back({.name = "lru_crawler_tocrawl",
                   .argument = "num",
                   .group = OptionGroup::kBackground,
                   .setting = "lru_crawler_tocrawl",
                   .default_text = "0",
                   .range = "a number of items, 0 for all",
                   .help = "items that such a pass looks at",
                   .missing = "Missing lru_crawler_tocrawl value",
                   .apply = Number(&Settings::lru_crawler_tocrawl,
                                   {.max = kUint32Max,
                                    .below = "lru_crawler_tocrawl takes a numeric 32bit value",
                                    .strict = "lru_crawler_tocrawl takes a numeric 32bit value"})});
}

void AddSlabRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "slab_reassign",
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "slab_reassign",
                   .default_text = "on",
                   .help = "move pages between size classes",
                   .why = kNoBalancer,
                   .apply = Set(&Settings::slab_reassign)});
  rows->push_back({.name = "no_slab_reassign",
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "slab_reassign",
                   .help = "do not; `slabs reassign` is refused then",
                   .why = kNoBalancer,
                   .apply = Set(&Settings::slab_reassign, false)});
  rows->push_back({.name = "slab_automove",
                   .argument = "level",
                   .argument_optional = true,
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "slab_automove",
                   .default_text = "1",
                   .range = "0, 1 or 2",
                   .help = "how eagerly pages are moved",
                   .why = kNoBalancer,
                   .apply = ApplyAutomove});
  rows->push_back({.name = "no_slab_automove",
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "slab_automove",
                   .help = "the same as slab_automove=0",
                   .why = kNoBalancer,
                   .apply = ApplyNoAutomove});
  rows->push_back(
      {.name = "slab_automove_ratio",
       .argument = "num",
       .group = OptionGroup::kBackground,
       .effect = OptionEffect::kAccepted,
       .setting = "slab_automove_ratio",
       .default_text = "0.8",
       .range = "a number above 0 and up to 1",
       .help = "ratio of ages at which a page is moved",
       .why = kNoBalancer,
       .missing = "Missing slab_automove_ratio argument",
       .apply = Number(
           &Settings::slab_automove_ratio,
           {.max = 1, .below = "slab_automove_ratio must be > 0 and < 1", .min_excluded = true})});
  rows->push_back(
      {.name = "slab_automove_window",
       .argument = "num",
       .group = OptionGroup::kBackground,
       .effect = OptionEffect::kAccepted,
       .setting = "slab_automove_window",
       .default_text = "10",
       .range = "a number from 3 to 1800",
       .help = "samples between decisions to move a page",
       .why = kNoBalancer,
       .missing = "Missing slab_automove_window argument",
       .apply = Number(
           &Settings::slab_automove_window,
           {.min = 3, .max = 1800, .below = "slab_automove_window must be > 2 and < 1800"})});
  rows->push_back(
      {.name = "slab_automove_freeratio",
       .argument = "num",
       .group = OptionGroup::kBackground,
       .effect = OptionEffect::kAccepted,
       .setting = "slab_automove_freeratio",
       .default_text = "0.01",
       .range = "a number",
       .help = "share of memory that is held free",
       .why = kNoBalancer,
       .missing = "Missing slab_automove_freeratio argument",
       .apply = Number(&Settings::slab_automove_free_ratio,
                       {.min = -1e9,
                        .max = 1e9,
                        .strict = "could not parse argument to slab_automove_freeratio"})});
}

void AddLruRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "lru_maintainer",
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "lru_maintainer_thread",
                   .default_text = "on",
                   .help = "keep hot, warm and cold LRU lists",
                   .why = kOnePageQueue,
                   .apply = ApplyLruMaintainer});
  rows->push_back({.name = "no_lru_maintainer",
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "lru_maintainer_thread",
                   .help = "keep one LRU list a size class",
                   .why = kOnePageQueue,
                   .apply = ApplyLruMaintainer});
  struct Segment {
    std::string_view pct, pct_help, pct_missing, pct_range, pct_default;
    unsigned Settings::*pct_field;
    std::string_view factor, factor_help, factor_missing, factor_range, factor_default;
    double Settings::*factor_field;
  };
  for (const Segment& segment :
       {Segment{"hot_lru_pct", "percent of memory for the hot list", "Missing hot_lru_pct argument",
                "hot_lru_pct must be > 1 and < 80", "20", &Settings::hot_lru_pct, "hot_max_factor",
                "age, relative to the cold list, to leave the hot one",
                "Missing hot_max_factor argument", "hot_max_factor must be > 0", "0.2",
                &Settings::hot_max_factor},
        Segment{"warm_lru_pct", "percent of memory for the warm list",
                "Missing warm_lru_pct argument", "warm_lru_pct must be > 1 and < 80", "40",
                &Settings::warm_lru_pct, "warm_max_factor",
                "age, relative to the cold list, to leave the warm one",
                "Missing warm_max_factor argument", "warm_max_factor must be > 0", "2",
                &Settings::warm_max_factor}}) {
    rows->push_back(
        {.name = segment.pct,
         .argument = "pct",
         .group = OptionGroup::kBackground,
         .effect = OptionEffect::kAccepted,
         .setting = segment.pct,
         .default_text = segment.pct_default,
         .range = "a number from 1 to 79; hot and warm at most 80 together",
         .help = segment.pct_help,
         .why = kOnePageQueue,
         .missing = segment.pct_missing,
         .apply = Number(segment.pct_field, {.min = 1, .max = 79, .below = segment.pct_range})});
    rows->push_back({.name = segment.factor,
                     .argument = "num",
                     .group = OptionGroup::kBackground,
                     .effect = OptionEffect::kAccepted,
                     .setting = segment.factor,
                     .default_text = segment.factor_default,
                     .range = "a number above 0",
                     .help = segment.factor_help,
                     .why = kOnePageQueue,
                     .missing = segment.factor_missing,
                     .apply = Number(segment.factor_field,
                                     {.below = segment.factor_range, .min_excluded = true})});
  }
  rows->push_back(
      {.name = "temporary_ttl",
       .argument = "s",
       .group = OptionGroup::kBackground,
       .effect = OptionEffect::kAccepted,
       .setting = "temporary_ttl",
       .default_text = "61",
       .range = "a number of seconds",
       .help = "items that live shorter are not evicted",
       .why = kOnePageQueue,
       .missing = "Missing temporary_ttl argument",
       .apply = Also(Number(&Settings::temporary_ttl_s, {}), Set(&Settings::temporary_lru))});
  rows->push_back({.name = "tail_repair_time",
                   .argument = "s",
                   .group = OptionGroup::kBackground,
                   .effect = OptionEffect::kAccepted,
                   .setting = "tail_repair_time",
                   .default_text = "0",
                   .range = "a number of seconds, at least 10",
                   .help = "age at which an item in use is taken for leaked",
                   .why = "nothing of the kind can leak",
                   .missing = "Missing numeric argument for tail_repair_time",
                   .apply = Number(&Settings::tail_repair_time_s,
                                   {.min = 10,
                                    .below = "Cannot set tail_repair_time to less than 10 "
                                             "seconds"})});
}

void AddLogRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "watcher_logbuf_size",
                   .argument = "KB",
                   .group = OptionGroup::kLogs,
                   .setting = "watcher_logbuf_size",
                   .default_text = "256",
                   .range = "a number of kilobytes",
                   .help = "lines kept for a watcher that is slow to read",
                   .missing = "Missing watcher_logbuf_size argument",
                   .apply = Number(&Settings::watcher_logbuf_bytes,
                                   {.max = kUint32Max,
                                    .below = "could not parse argument to watcher_logbuf_size",
                                    .strict = "could not parse argument to watcher_logbuf_size",
                                    .unit = kKilobyte})});
  rows->push_back({.name = "worker_logbuf_size",
                   .argument = "KB",
                   .group = OptionGroup::kLogs,
                   .effect = OptionEffect::kAccepted,
                   .setting = "worker_logbuf_size",
                   .default_text = "64",
                   .range = "a number of kilobytes",
                   .help = "lines kept by each thread on their way to the watchers",
                   .why = "lines go to the watchers' buffers at once",
                   .missing = "Missing worker_logbuf_size argument",
                   .apply = Number(&Settings::worker_logbuf_bytes,
                                   {.max = kUint32Max,
                                    .below = "could not parse argument to worker_logbuf_size",
                                    .strict = "could not parse argument to worker_logbuf_size",
                                    .unit = kKilobyte})});
}

OptionRow PathRow(std::string_view name, std::string Settings::*field, std::string_view help,
                  std::string_view missing) {
  return {.name = name,
          .argument = "file",
          .group = OptionGroup::kTls,
          .setting = name,
          .range = "a path",
          .help = help,
          .missing = missing,
          .apply = Text(field)};
}

void AddTlsRows(std::vector<OptionRow>* rows) {
  rows->push_back(PathRow("ssl_chain_cert", &Settings::ssl_chain_cert,
                          "the server's certificate and its chain, PEM; -Z needs it",
                          "Missing ssl_chain_cert argument"));
  rows->push_back(PathRow("ssl_key", &Settings::ssl_key, "its private key; -Z needs it",
                          "Missing ssl_key argument"));
  rows->push_back({.name = "ssl_keyformat",
                   .argument = "num",
                   .group = OptionGroup::kTls,
                   .setting = "ssl_keyformat",
                   .default_text = "1",
                   .range = "1 for PEM or 2 for DER",
                   .help = "the key's format: 1 PEM, 2 DER",
                   .missing = "Missing ssl_keyformat argument",
                   .apply = Number(&Settings::ssl_keyformat,
                                   {.min = std::numeric_limits<int32_t>::min(),
                                    .strict = "could not parse argument to ssl_keyformat"})});
  rows->push_back({.name = "ssl_verify_mode",
                   .argument = "num",
                   .group = OptionGroup::kTls,
                   .setting = "ssl_verify_mode",
                   .default_text = "0",
                   .range = "0 to 3",
                   .help = "clients' certificates: 0 not asked for, 1 asked for, 2 required, 3 "
                           "required once",
                   .missing = "Missing ssl_verify_mode argument",
                   .apply = ApplyVerifyMode});
  rows->push_back(PathRow("ssl_ca_cert", &Settings::ssl_ca_cert,
                          "authorities of clients' certificates, PEM",
                          "Missing ssl_ca_cert argument"));
  rows->push_back({.name = "ssl_ciphers",
                   .argument = "list",
                   .group = OptionGroup::kTls,
                   .setting = "ssl_ciphers",
                   .range = "a cipher list as OpenSSL has it",
                   .help = "ciphers up to TLS 1.2",
                   .missing = "Missing ssl_ciphers argument",
                   .apply = Text(&Settings::ssl_ciphers)});
  rows->push_back({.name = "ssl_min_version",
                   .argument = "num",
                   .group = OptionGroup::kTls,
                   .setting = "ssl_min_version",
                   .default_text = "2",
                   .range = "0 to 3",
                   .help = "oldest version accepted: 0 is TLS 1.0, 1 1.1, 2 1.2, 3 1.3",
                   .missing = "Missing ssl_min_version argument",
                   .apply = ApplyMinVersion});
  rows->push_back({.name = "ssl_session_cache",
                   .group = OptionGroup::kTls,
                   .setting = "ssl_session_cache",
                   .help = "let clients resume sessions",
                   .apply = Set(&Settings::ssl_session_cache)});
  rows->push_back({.name = "ssl_kernel_tls",
                   .group = OptionGroup::kTls,
                   .setting = "ssl_kernel_tls",
                   .help = "let the kernel encrypt, where it can",
                   .apply = Set(&Settings::ssl_kernel_tls)});
  rows->push_back({.name = "ssl_wbuf_size",
                   .argument = "KB",
                   .group = OptionGroup::kTls,
                   .effect = OptionEffect::kAccepted,
                   .setting = "ssl_wbuf_size",
                   .default_text = "16",
                   .range = "a number of kilobytes",
                   .help = "buffer of each thread for what is to be encrypted",
                   .why = "answers are encrypted from where they are, one TLS record at a time",
                   .missing = "Missing ssl_wbuf_size argument",
                   .apply = Number(&Settings::ssl_wbuf_size_bytes,
                                   {.max = 1024 * 1024,
                                    .below = "could not parse argument to ssl_wbuf_size",
                                    .strict = "could not parse argument to ssl_wbuf_size",
                                    .unit = kKilobyte})});
}

struct ExternalRow {
  std::string_view name, argument, default_text, range, help, missing, unparsed;
  unsigned Settings::*field;
  double unit = 1;
};

void AddExternalRows(std::vector<OptionRow>* rows) {
  static constexpr std::array kRows = {
      ExternalRow{"ext_page_size", "MB", "64", "a number of megabytes", "size of its pages",
                  "Missing ext_page_size argument", "could not parse argument to ext_page_size",
                  &Settings::ext_page_size_bytes, kMegabyte},
      ExternalRow{"ext_wbuf_size", "MB", "4", "a number of megabytes", "size of write buffers",
                  "Missing ext_wbuf_size argument", "could not parse argument to ext_wbuf_size",
                  &Settings::ext_wbuf_size_bytes, kMegabyte},
      ExternalRow{"ext_threads", "num", "1", "a number", "threads that read and write",
                  "Missing ext_threads argument", "could not parse argument to ext_threads",
                  &Settings::ext_threads},
      ExternalRow{"ext_io_depth", "num", "1", "a number", "requests that a thread has under way",
                  "Missing ext_io_depth argument", "could not parse argument to ext_io_depth",
                  &Settings::ext_io_depth},
      ExternalRow{"ext_item_size", "bytes", "512", "a number of bytes",
                  "smallest item stored there", "Missing ext_item_size argument",
                  "could not parse argument to ext_item_size", &Settings::ext_item_size_bytes},
      ExternalRow{"ext_item_age", "s", "4294967295", "a number of seconds",
                  "idle time after which items are stored there", "Missing ext_item_age argument",
                  "could not parse argument to ext_item_age", &Settings::ext_item_age_s},
      ExternalRow{"ext_low_ttl", "s", "0", "a number of seconds",
                  "items that live shorter are kept apart", "Missing ext_low_ttl argument",
                  "could not parse argument to ext_low_ttl", &Settings::ext_low_ttl_s},
      ExternalRow{"ext_recache_rate", "num", "2000", "a number",
                  "one in so many reads brings an item back to memory",
                  "Missing ext_recache_rate argument",
                  "could not parse argument to ext_recache_rate", &Settings::ext_recache_rate},
      ExternalRow{"ext_compact_under", "num", "0", "a number of pages",
                  "free pages below which pages are compacted",
                  "Missing ext_compact_under argument",
                  "could not parse argument to ext_compact_under", &Settings::ext_compact_under},
      ExternalRow{"ext_drop_under", "num", "0", "a number of pages",
                  "free pages below which old items are dropped", "Missing ext_drop_under argument",
                  "could not parse argument to ext_drop_under", &Settings::ext_drop_under},
      ExternalRow{"ext_max_sleep", "us", "1000000", "a number of microseconds",
                  "longest pause of the background threads", "Missing ext_max_sleep argument",
                  "could not parse argument to ext_max_sleep", &Settings::ext_max_sleep_us},
  };
  rows->push_back({.name = "ext_path",
                   .argument = "file:size",
                   .group = OptionGroup::kExternal,
                   .effect = OptionEffect::kNotBuilt,
                   .range = "a path and a size",
                   .help = "file for values that do not fit in memory",
                   .why = "the cache would hold less than was asked for",
                   .missing = "missing argument to ext_path, ie: ext_path=/d/file:5G",
                   .apply = Nothing()});
  for (const ExternalRow& row : kRows) {
    // memcached multiplies in 32 bits; what does not fit is refused here.
    rows->push_back({.name = row.name,
                     .argument = row.argument,
                     .group = OptionGroup::kExternal,
                     .effect = OptionEffect::kAccepted,
                     .setting = row.unit == 1 || row.name == "ext_wbuf_size" ? row.name : "",
                     .default_text = row.default_text,
                     .range = row.range,
                     .help = row.help,
                     .why = kNoExternal,
                     .missing = row.missing,
                     .apply = Number(row.field, {.max = std::floor(kUint32Max / row.unit),
                                                 .below = row.unparsed,
                                                 .strict = row.unparsed,
                                                 .unit = row.unit})});
  }
  rows->push_back(
      {.name = "ext_max_frag",
       .argument = "num",
       .group = OptionGroup::kExternal,
       .effect = OptionEffect::kAccepted,
       .setting = "ext_max_frag",
       .default_text = "0.8",
       .range = "a number",
       .help = "pages fuller than this are not compacted",
       .why = kNoExternal,
       .missing = "Missing ext_max_frag argument",
       .apply = Number(
           &Settings::ext_max_frag,
           {.min = -1e9, .max = 1e9, .strict = "could not parse argument to ext_max_frag"})});
  rows->push_back({.name = "ext_drop_unread",
                   .group = OptionGroup::kExternal,
                   .effect = OptionEffect::kAccepted,
                   .setting = "ext_drop_unread",
                   .help = "compaction drops values that nobody read",
                   .why = kNoExternal,
                   .apply = Set(&Settings::ext_drop_unread)});
}

void AddProxyRows(std::vector<OptionRow>* rows) {
  for (const std::string_view name :
       {"proxy_config", "proxy_arg", "proxy_uring", "proxy_memprofile"}) {
    const bool takes_value = name == "proxy_config" || name == "proxy_arg";
    rows->push_back({.name = name,
                     .argument = takes_value ? "text" : "",
                     .group = OptionGroup::kProxy,
                     .effect = OptionEffect::kNotBuilt,
                     .help = "memcached's proxy",
                     .why = kNoProxy,
                     .apply = Nothing()});
  }
}

void AddLegacyRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "modern",
                   .group = OptionGroup::kLegacy,
                   .effect = OptionEffect::kAccepted,
                   .help = "defaults of the future",
                   .why = "there are none, in memcached neither",
                   .apply = Nothing()});
  rows->push_back({.name = "no_modern",
                   .group = OptionGroup::kLegacy,
                   .help = "defaults of memcached 1.4, as far as they act: no_maxconns_fast and "
                           "no_lru_crawler",
                   .apply = ApplyNoModern});
  for (const std::string_view name : {"inline_ascii_resp", "no_inline_ascii_resp"}) {
    rows->push_back({.name = name,
                     .group = OptionGroup::kLegacy,
                     .effect = OptionEffect::kAccepted,
                     .setting = "inline_ascii_response",
                     .help = "keep the first line of an answer with its item",
                     .why = "memcached ignores it too",
                     .apply = Nothing()});
  }
  rows->push_back({.name = "resp_obj_mem_limit",
                   .argument = "MB",
                   .argument_optional = true,
                   .group = OptionGroup::kLegacy,
                   .effect = OptionEffect::kAccepted,
                   .help = "memory for answers",
                   .why = "memcached ignores it too; see read_buf_mem_limit",
                   .apply = WarnOfRespObjMemLimit});
  rows->push_back({.name = "drop_privileges",
                   .group = OptionGroup::kLegacy,
                   .effect = OptionEffect::kAccepted,
                   .help = "give up system calls that are not needed",
                   .why = "no such filter is built in, as in most builds of memcached; systemd's "
                          "SystemCallFilter does the same",
                   .apply = Set(&Settings::drop_privileges)});
  for (const std::string_view name : {"no_drop_privileges", "relaxed_privileges"}) {
    rows->push_back({.name = name,
                     .group = OptionGroup::kLegacy,
                     .effect = OptionEffect::kAccepted,
                     .help = "keep them, or those that tests need",
                     .why = "no such filter is built in",
                     .apply = Set(&Settings::drop_privileges, false)});
  }
}

std::vector<OptionRow> MakeRows() {
  std::vector<OptionRow> rows;
  AddConnectionRows(&rows);
  AddMemoryRows(&rows);
  AddCrawlerRows(&rows);
  AddSlabRows(&rows);
  AddLruRows(&rows);
  AddLogRows(&rows);
  AddTlsRows(&rows);
  AddExternalRows(&rows);
  AddProxyRows(&rows);
  AddLegacyRows(&rows);
  return rows;
}

}  // namespace

std::span<const OptionRow> SuboptionRows() {
  static const auto* const rows = new std::vector<OptionRow>(MakeRows());
  return *rows;
}

}  // namespace cairn::server
