// The suboptions of -o, in the order of -h.
#include "server/suboption_rows.h"

#include <limits>
#include <string>

#include "server/option_rows.h"
#include "server/option_values.h"

namespace cairn::server {
namespace {

constexpr double kKilobyte = 1024;
constexpr double kMegabyte = 1024 * 1024;
constexpr double kUint32Max = std::numeric_limits<uint32_t>::max();
constexpr unsigned kSlabPageBytes = 1024 * 1024;

// Why what has no effect has none.
constexpr std::string_view kOwnIndex = "the index grows as items come and has a hash of its own";
constexpr std::string_view kOwnClasses = "the store chooses its size classes and cuts large items";
constexpr std::string_view kNoMark = "Linux has no such mark that an unprivileged server may set";
constexpr std::string_view kBoundedBuffers =
    "each client's buffers are bounded, and who does not read its answers is served no more";
constexpr std::string_view kNoWorkerBuffer = "lines go to the watchers' buffers at once";

using Value = std::optional<std::string_view>;

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
                 .strict = kUnparsed,
                 .unit = kKilobyte})(state, row, value);
}

std::optional<Exit> ApplyNoChunkedItems(OptionState& state, const OptionRow&, Value) {
  state.settings.slab_chunk_max_bytes = kSlabPageBytes;
  return std::nullopt;
}

void AddConnectionRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kConnections,
             {{.name = "maxconns_fast",
               .setting = "maxconns_fast",
               .default_text = "on",
               .help = "tell clients beyond -c so and close, instead of not accepting them",
               .apply = Set(&Settings::maxconns_fast)},
              {.name = "no_maxconns_fast",
               .setting = "maxconns_fast",
               .help = "stop accepting at -c clients",
               .apply = Set(&Settings::maxconns_fast, false)},
              {.name = "idle_timeout",
               .argument = "s",
               .setting = "idle_timeout",
               .default_text = "0",
               .range = "a number of seconds, 0 for never",
               .help = "close clients that have sent no command for so many seconds",
               .missing = "Missing numeric argument for idle_timeout",
               .apply = Number(&Settings::idle_timeout_s, {})}});
  AppendRows(rows, OptionGroup::kConnections, kBoundedBuffers,
             {{.name = "read_buf_mem_limit",
               .argument = "MB",
               .setting = "read_buf_mem_limit",
               .default_text = "0",
               .range = "a number of megabytes, 0 for no limit",
               .help = "memory for the buffers of all connections",
               .apply = Number(&Settings::read_buf_mem_limit_bytes,
                               {.max = kUint32Max, .strict = kUnparsed, .unit = kMegabyte})}});
  AppendRows(rows, OptionGroup::kNetwork, kNoMark,
             {{.name = "sock_cookie_id",
               .argument = "num",
               .range = "a whole number",
               .help = "mark the listening sockets for a firewall's rules",
               .apply = Nothing()}});
}

void AddMemoryRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kMemory,
             {{.name = "track_sizes",
               .setting = "track_sizes",
               .help = "count items by size for `stats sizes`",
               .apply = Set(&Settings::track_sizes)}});
  AppendRows(rows, OptionGroup::kMemory, kOwnClasses,
             {{.name = "slab_sizes",
               .argument = "a-b-c",
               .range = "ascending numbers of bytes with - between them",
               .help = "the size classes",
               .apply = ApplySlabSizes},
              {.name = "slab_chunk_max",
               .argument = "KB",
               .setting = "slab_chunk_max",
               .default_text = "512",
               .range = "a number of kilobytes from 1 to 1024 that divides -I",
               .help = "largest piece of memory that an item takes",
               .apply = ApplySlabChunkMax},
              {.name = "no_chunked_items",
               .setting = "slab_chunk_max",
               .help = "do not cut large items",
               .apply = ApplyNoChunkedItems}});
  AppendRows(
      rows, OptionGroup::kMemory, kOwnIndex,
      {{.name = "hashpower",
        .argument = "num",
        .setting = "hashpower_init",
        .default_text = "0",
        .range = "a number from 12 to 32",
        .help = "logarithm of the first number of hash buckets",
        .missing = "Missing numeric argument for hashpower",
        .apply = Number(
            &Settings::hashpower,
            {.min = 12,
             .max = 32,
             .below = "Initial hashtable multiplier of %d is too low",
             .above =
                 "Initial hashtable multiplier of %d is too high\n"
                 "Choose a value based on \"STAT hash_power_level\" from a running instance"})},
       {.name = "no_hashexpand",
        .help = "never grow the hash table",
        .apply = Set(&Settings::hash_expand, false)},
       {.name = "hash_algorithm",
        .argument = "name",
        .setting = "hash_algorithm",
        .default_text = "murmur3",
        .range = "jenkins, murmur3 or xxh3",
        .help = "the hash table's hash",
        .apply = ApplyHashAlgorithm}});
}

void AddLogRows(std::vector<OptionRow>* rows) {
  AppendRows(
      rows, OptionGroup::kLogs,
      {{.name = "watcher_logbuf_size",
        .argument = "KB",
        .setting = "watcher_logbuf_size",
        .default_text = "256",
        .range = "a number of kilobytes",
        .help = "lines kept for a watcher that is slow to read",
        .apply = Number(
            &Settings::watcher_logbuf_bytes,
            {.max = kUint32Max, .below = kUnparsed, .strict = kUnparsed, .unit = kKilobyte})}});
  AppendRows(
      rows, OptionGroup::kLogs, kNoWorkerBuffer,
      {{.name = "worker_logbuf_size",
        .argument = "KB",
        .setting = "worker_logbuf_size",
        .default_text = "64",
        .range = "a number of kilobytes",
        .help = "lines kept by each thread on their way to the watchers",
        .apply = Number(
            &Settings::worker_logbuf_bytes,
            {.max = kUint32Max, .below = kUnparsed, .strict = kUnparsed, .unit = kKilobyte})}});
}

std::vector<OptionRow> MakeRows() {
  std::vector<OptionRow> rows;
  AddConnectionRows(&rows);
  AddMemoryRows(&rows);
  AddBackgroundRows(&rows);
  AddLogRows(&rows);
  AddTlsRows(&rows);
  AddExternalRows(&rows);
  AddProxyRows(&rows);
  AddLegacyRows(&rows);
  return rows;
}

}  // namespace

void AppendRows(std::vector<OptionRow>* rows, OptionGroup group,
                std::initializer_list<OptionRow> added) {
  for (OptionRow row : added) {
    row.group = group;
    rows->push_back(std::move(row));
  }
}

void AppendRows(std::vector<OptionRow>* rows, OptionGroup group, std::string_view why,
                std::initializer_list<OptionRow> added) {
  for (OptionRow row : added) {
    row.group = group;
    row.effect = OptionEffect::kAccepted;
    row.why = why;
    rows->push_back(std::move(row));
  }
}

std::span<const OptionRow> SuboptionRows() {
  static const auto* const rows = new std::vector<OptionRow>(MakeRows());
  return *rows;
}

}  // namespace cairn::server
