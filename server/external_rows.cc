// Suboptions of what is not here: external storage and the proxy.
#include <array>
#include <limits>
#include <string>

#include "server/option_rows.h"
#include "server/option_values.h"
#include "server/suboption_rows.h"

namespace cairn::server {
namespace {

constexpr double kMegabyte = 1024 * 1024;
constexpr double kUint32Max = std::numeric_limits<uint32_t>::max();

constexpr std::string_view kNoProxy = "there is no proxy";
constexpr std::string_view kNoExternal = "there is no external storage yet";

struct ExternalRow {
  std::string_view name, argument, default_text, range, help;
  unsigned Settings::*field;
  double unit = 1;
  bool shown = true;  // by `stats settings`
};

constexpr std::array kRows = {
    ExternalRow{"ext_page_size", "MB", "64", "a number of megabytes", "size of its pages",
                &Settings::ext_page_size_bytes, kMegabyte, false},
    ExternalRow{"ext_wbuf_size", "MB", "4", "a number of megabytes", "size of write buffers",
                &Settings::ext_wbuf_size_bytes, kMegabyte},
    ExternalRow{"ext_threads", "num", "1", "a number", "threads that read and write",
                &Settings::ext_threads, 1, false},
    ExternalRow{"ext_io_depth", "num", "1", "a number", "requests that a thread has under way",
                &Settings::ext_io_depth, 1, false},
    ExternalRow{"ext_item_size", "bytes", "512", "a number of bytes", "smallest item stored there",
                &Settings::ext_item_size_bytes},
    ExternalRow{"ext_item_age", "s", "4294967295", "a number of seconds",
                "idle time after which items are stored there", &Settings::ext_item_age_s},
    ExternalRow{"ext_low_ttl", "s", "0", "a number of seconds",
                "items that live shorter are kept apart", &Settings::ext_low_ttl_s},
    ExternalRow{"ext_recache_rate", "num", "2000", "a number",
                "one in so many reads brings an item back to memory", &Settings::ext_recache_rate},
    ExternalRow{"ext_compact_under", "num", "0", "a number of pages",
                "free pages below which pages are compacted", &Settings::ext_compact_under},
    ExternalRow{"ext_drop_under", "num", "0", "a number of pages",
                "free pages below which old items are dropped", &Settings::ext_drop_under},
    ExternalRow{"ext_max_sleep", "us", "1000000", "a number of microseconds",
                "longest pause of the background threads", &Settings::ext_max_sleep_us},
};

}  // namespace

void AddExternalRows(std::vector<OptionRow>* rows) {
  rows->push_back({.name = "ext_path",
                   .argument = "file:size",
                   .group = OptionGroup::kExternal,
                   .effect = OptionEffect::kNotBuilt,
                   .range = "a path and a size",
                   .help = "file for values that do not fit in memory",
                   .why = "the cache would hold less than was asked for",
                   .apply = Nothing()});
  for (const ExternalRow& row : kRows) {
    // memcached multiplies in 32 bits; what does not fit is refused here.
    AppendRows(rows, OptionGroup::kExternal, kNoExternal,
               {{.name = row.name,
                 .argument = row.argument,
                 .setting = row.shown ? row.name : "",
                 .default_text = row.default_text,
                 .range = row.range,
                 .help = row.help,
                 .apply = Number(row.field, {.max = std::floor(kUint32Max / row.unit),
                                             .below = kUnparsed,
                                             .strict = kUnparsed,
                                             .unit = row.unit})}});
  }
  AppendRows(
      rows, OptionGroup::kExternal, kNoExternal,
      {{.name = "ext_max_frag",
        .argument = "num",
        .setting = "ext_max_frag",
        .default_text = "0.8",
        .range = "a number",
        .help = "pages fuller than this are not compacted",
        .apply = Number(&Settings::ext_max_frag, {.min = -1e9, .max = 1e9, .strict = kUnparsed})},
       {.name = "ext_drop_unread",
        .setting = "ext_drop_unread",
        .help = "compaction drops values that nobody read",
        .apply = Set(&Settings::ext_drop_unread)}});
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

}  // namespace cairn::server
