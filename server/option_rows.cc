// The options of the command line, in the order of -h. Those of -o are in suboption_rows.cc.
#include "server/option_rows.h"

#include <string>
#include <utility>

#include "fmt/format.h"
#include "protocol/version.h"
#include "server/license.h"
#include "server/option_values.h"
#include "server/suboption_rows.h"
#include "server/version.h"

namespace cairn::server {
namespace {

constexpr double kMegabyte = 1024 * 1024;
constexpr unsigned kMaxSensibleThreads = 64;
constexpr int kMaxThreads = 4096;
constexpr int kPortMax = 65535;
constexpr unsigned kMaxMode = 07777;

constexpr std::string_view kOthersLicenses =
    "The libraries it uses (libevent, abseil, fmt, OpenSSL, Cyrus SASL) have licences of their "
    "own.\n";

using Value = std::optional<std::string_view>;

std::optional<Exit> ApplyListen(OptionState& state, const OptionRow&, Value value) {
  if (value->find_first_not_of(",;") == std::string_view::npos) {
    return Mistake("-l: no address given", kExitOsError);
  }
  std::string& text = state.settings.listen_text;
  const std::string with_commas = fmt::format(",{},", text);
  if (with_commas.find(fmt::format(",{},", *value)) != std::string::npos) return std::nullopt;
  if (!text.empty()) text += ',';
  text += *value;
  return std::nullopt;
}

std::optional<Exit> ApplyUnixSocket(OptionState& state, const OptionRow&, Value value) {
  if (value->empty()) return Mistake("-s: no path given", kExitOsError);
  state.settings.unix_socket_path = std::string(*value);
  return std::nullopt;
}

std::optional<Exit> ApplyMode(OptionState& state, const OptionRow& row, Value value) {
  unsigned mode = 0;
  for (const char digit : *value) {
    if (digit < '0' || digit > '7') return InvalidValue(row, *value);
    mode = mode * 8 + static_cast<unsigned>(digit - '0');
    if (mode > kMaxMode) return InvalidValue(row, *value);
  }
  if (value->empty()) return InvalidValue(row, *value);
  state.settings.unix_socket_mode = mode;
  return std::nullopt;
}

std::optional<Exit> ApplyProtocol(OptionState& state, const OptionRow&, Value value) {
  state.protocol_given = true;
  BindingProtocol& protocol = state.settings.binding_protocol;
  if (*value == "auto") {
    protocol = BindingProtocol::kAuto;
  } else if (*value == "ascii") {
    protocol = BindingProtocol::kAscii;
  } else if (*value == "binary") {
    protocol = BindingProtocol::kBinary;
  } else {
    return Mistake(fmt::format("Invalid value for binding protocol: {}\n"
                               " -- should be one of auto, binary, or ascii",
                               *value),
                   kExitUsage);
  }
  return std::nullopt;
}

std::optional<Exit> ApplyMaxItemSize(OptionState& state, const OptionRow& row, Value value) {
  const NumberText number = ReadNumber(*value);
  double unit = 0;
  if (number.valid) unit = 1;
  if (number.rest == "k" || number.rest == "K") unit = 1024;
  if (number.rest == "m" || number.rest == "M") unit = kMegabyte;
  // A number that memcached reads as few bytes is refused in its words by CheckSettings.
  if (unit == 0 && number.value >= 1024) return InvalidValue(row, *value);
  if (unit == 0) unit = 1;
  const double bytes = std::trunc(number.value) * unit;
  state.settings.max_item_bytes = bytes < 0      ? 0
                                  : bytes > 1e15 ? uint64_t{1} << 50
                                                 : static_cast<uint64_t>(bytes);
  return std::nullopt;
}

std::optional<Exit> ApplyThreads(OptionState& state, const OptionRow& row, Value value) {
  const NumberRule rule = {.min = 1,
                           .max = kMaxThreads,
                           .below = "Number of threads must be greater than 0",
                           .above = "Number of threads must not be greater than 4096"};
  if (auto exit = Number(&Settings::thread_count, rule)(state, row, value)) return exit;
  if (state.settings.thread_count > kMaxSensibleThreads) {
    state.settings.warnings.emplace_back(
        "WARNING: Setting a high number of worker threads is not recommended.\n"
        " Set this value to the number of cores in your machine or less.\n");
  }
  return std::nullopt;
}

std::optional<Exit> ApplyDelimiter(OptionState& state, const OptionRow&, Value value) {
  if (value->empty()) return Mistake("No delimiter specified");
  state.settings.prefix_delimiter = value->front();
  state.settings.detail_enabled = true;
  return std::nullopt;
}

std::optional<Exit> ApplyVerbose(OptionState& state, const OptionRow&, Value) {
  ++state.settings.verbosity;
  return std::nullopt;
}

std::optional<Exit> ApplySuboptionList(OptionState& state, const OptionRow&, Value value) {
  return ApplySuboptions(state, *value);
}

std::optional<Exit> ShowHelp(OptionState&, const OptionRow&, Value) {
  return Exit{.code = 0, .out = HelpText(), .err = {}};
}

std::optional<Exit> ShowLicense(OptionState&, const OptionRow&, Value) {
  return Exit{.code = 0,
              .out = fmt::format("cairnd {}\n\n{}\n{}", kVersion, kLicense, kOthersLicenses),
              .err = {}};
}

std::optional<Exit> ShowVersion(OptionState&, const OptionRow&, Value) {
  return Exit{.code = 0,
              .out = fmt::format("cairnd {} (compatible with memcached {})\n", kVersion,
                                 protocol::kMemcachedVersion),
              .err = {}};
}

void AddPortRows(std::vector<OptionRow>* rows) {
  const NumberRule port = {.min = -1,
                           .max = kPortMax,
                           .below = "ERROR: Invalid port number %d.",
                           .exit_code = kExitUsage};
  AppendRows(
      rows, OptionGroup::kNetwork,
      {{.letter = 'p',
        .name = "port",
        .argument = "num",
        .setting = "tcpport",
        .default_text = "11211",
        .range = "a port, 0 for none, or -1 for any free one",
        .help = "TCP port to listen on",
        .apply = Also(Number(&Settings::tcp_port, port), Set(&Settings::tcp_port_given))},
       {.letter = 'U',
        .name = "udp-port",
        .argument = "num",
        .setting = "udpport",
        .default_text = "0",
        .range = "a port, 0 for none, or -1 for any free one",
        .help = "UDP port to listen on; without -p it is the TCP port too",
        .apply = Also(Number(&Settings::udp_port, port),
                      [](OptionState& state, const OptionRow&, Value) {
                        state.udp_port_given = true;
                        return std::optional<Exit>();
                      })},
       {.letter = 's',
        .name = "unix-socket",
        .argument = "file",
        .setting = "domain_socket",
        .range = "a path",
        .help = "UNIX socket to listen on; there is no TCP then, unless -p or -l names a port",
        .apply = ApplyUnixSocket},
       {.letter = 'a',
        .name = "unix-mask",
        .argument = "mode",
        .setting = "umask",
        .default_text = "700",
        .range = "an octal mode",
        .help = "access mode of the UNIX socket",
        .apply = ApplyMode}});
}

void AddListenRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kNetwork,
             {{.letter = 'l',
               .name = "listen",
               .argument = "addr",
               .setting = "inter",
               .range = "addresses with commas between them",
               .help = "interfaces to listen on, by default all; each is "
                       "[notls:|btls:|mtls:][proto[ascii|binary|negotiating]:][tag[name]:]"
                       "host[:port]",
               .apply = ApplyListen},
              {.letter = 'b',
               .name = "listen-backlog",
               .argument = "num",
               .setting = "tcp_backlog",
               .default_text = "1024",
               .range = "a number of connections",
               .help = "connections that may wait to be accepted",
               .apply = Number(&Settings::backlog, {.min = std::numeric_limits<int32_t>::min()})},
              {.letter = 'B',
               .name = "protocol",
               .argument = "name",
               .setting = "binding_protocol",
               .default_text = "auto",
               .range = "ascii, binary or auto",
               .help = "protocol that clients speak; auto sees it by their first byte",
               .apply = ApplyProtocol}});
}

void AddConnectionRows(std::vector<OptionRow>* rows) {
  AppendRows(
      rows, OptionGroup::kConnections,
      {{.letter = 'c',
        .name = "conn-limit",
        .argument = "num",
        .setting = "maxconns",
        .default_text = "1024",
        .range = "a number of clients, at least 1",
        .help = "clients that may be connected at once",
        .apply = Number(&Settings::max_connections,
                        {.min = 1,
                         .below = "Maximum connections must be greater than 0",
                         .above = "Maximum connections must be less than 2147483648"})},
       {.letter = 't',
        .name = "threads",
        .argument = "num",
        .setting = "num_threads",
        .default_text = "4",
        .range = "a number from 1 to 4096",
        .help = "threads that serve clients",
        .apply = ApplyThreads},
       {.letter = 'R',
        .name = "max-reqs-per-event",
        .argument = "num",
        .setting = "reqs_per_event",
        .default_text = "20",
        .range = "a number of requests, at least 1",
        .help = "requests of one client that are served before the others' turn",
        .apply =
            Also(Number(&Settings::max_requests_per_event,
                        {.min = 1, .below = "Number of requests per event must be greater than 0"}),
                 Set(&Settings::max_requests_per_event_given))},
       {.letter = 'N',
        .name = "napi-ids",
        .argument = "num",
        .effect = OptionEffect::kAccepted,
        .setting = "num_napi_ids",
        .default_text = "0",
        .range = "a number of receive queues, at most that of the threads",
        .help = "threads are chosen by the network card's receive queue",
        .why = "connections are dealt out in turn",
        .apply =
            Number(&Settings::napi_id_count,
                   {.min = 1, .below = "Maximum number of NAPI IDs must be greater than 0"})}});
}

void AddLimitRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kMemory,
             {{.letter = 'm',
               .name = "memory-limit",
               .argument = "num",
               .setting = "maxbytes",
               .default_text = "64",
               .range = "a number of megabytes",
               .help = "memory for items, in megabytes",
               .apply = Number(&Settings::memory_limit_bytes,
                               {.max = 1e9, .unit = kMegabyte, .suffixes = "m"})},
              {.letter = 'M',
               .name = "disable-evictions",
               .setting = "evictions",
               .help = "when memory is full, answer an error instead of dropping old items",
               .apply = Set(&Settings::evict, false)},
              {.letter = 'I',
               .name = "max-item-size",
               .argument = "size",
               .setting = "item_size_max",
               .default_text = "1m",
               .range = "bytes, or kilobytes with k, or megabytes with m: 1k to 1024m",
               .help = "largest item; at most half of -m",
               .apply = ApplyMaxItemSize},
              {.letter = 'C',
               .name = "disable-cas",
               .setting = "cas_enabled",
               .help = "items get no CAS number",
               .apply = Set(&Settings::use_cas, false)}});
}

void AddLayoutRows(std::vector<OptionRow>* rows) {
  AppendRows(
      rows, OptionGroup::kMemory,
      {{.letter = 'f',
        .name = "slab-growth-factor",
        .argument = "num",
        .setting = "growth_factor",
        .default_text = "1.25",
        .range = "a number greater than 1",
        .help = "how much larger each size class is than the one before; the default "
                "leaves it to the store",
        .apply =
            Also(Number(&Settings::growth_factor,
                        {.min = 1, .below = "Factor must be greater than 1", .min_excluded = true}),
                 Set(&Settings::growth_factor_given))},
       {.letter = 'n',
        .name = "slab-min-size",
        .argument = "bytes",
        .effect = OptionEffect::kAccepted,
        .setting = "chunk_size",
        .default_text = "48",
        .range = "a number of bytes, at least 1",
        .help = "smallest room for a key and its value",
        .why = "the store chooses its size classes",
        .apply = Number(&Settings::chunk_size_bytes,
                        {.min = 1, .below = "Chunk size must be greater than 0"})},
       {.letter = 'k',
        .name = "lock-memory",
        .help = "keep all memory from being swapped out",
        .apply = Set(&Settings::lock_memory)},
       {.letter = 'L',
        .name = "enable-largepages",
        .effect = OptionEffect::kAccepted,
        .help = "use large memory pages",
        .why = "the kernel's setting for transparent huge pages decides",
        .apply = Set(&Settings::large_pages)}});
}

void AddClientRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kClients,
             {{.letter = 'A',
               .name = "enable-shutdown",
               .setting = "shutdown_command",
               .help = "clients may stop the server by `shutdown`",
               .apply = Set(&Settings::enable_shutdown)},
              {.letter = 'F',
               .name = "disable-flush-all",
               .setting = "flush_enabled",
               .help = "refuse flush_all",
               .apply = Set(&Settings::flush_enabled, false)},
              {.letter = 'X',
               .name = "disable-dumping",
               .setting = "dump_enabled",
               .help = "refuse what lists keys: cachedump, metadump, mgdump, stats detail",
               .apply = Set(&Settings::dump_enabled, false)},
              {.letter = 'W',
               .name = "disable-watch",
               .help = "refuse watch",
               .apply = Set(&Settings::watch_enabled, false)},
              {.letter = 'Y',
               .name = "auth-file",
               .argument = "file",
               .setting = "auth_enabled_ascii",
               .range = "a path",
               .help = "clients must name a user of this file of user:password lines (ASCII "
                       "protocol)",
               .apply = Text(&Settings::auth_file)},
              {.letter = 'S',
               .name = "enable-sasl",
               .setting = "auth_enabled_sasl",
               .help = "clients must authenticate by SASL (binary protocol)",
               .apply = Set(&Settings::sasl)}});
  AppendRows(rows, OptionGroup::kTls,
             {{.letter = 'Z',
               .name = "enable-ssl",
               .setting = "ssl_enabled",
               .help = "TLS on the TCP listeners; see the ssl_ suboptions",
               .apply = Set(&Settings::tls_enabled)}});
}

void AddLogRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kLogs,
             {{.letter = 'v',
               .name = "verbose",
               .argument = "",
               .argument_optional = true,
               .setting = "verbosity",
               .help = "say on stderr what goes wrong; -vv also requests and answers, -vvv also "
                       "the connections' states",
               .apply = ApplyVerbose},
              {.letter = 'D',
               .argument = "char",
               .setting = "stat_key_prefix",
               .default_text = ":",
               .range = "a character",
               .help = "what ends a key's prefix for `stats detail`; turns its counters on",
               .apply = ApplyDelimiter}});
}

void AddProcessRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kProcess,
             {{.letter = 'd',
               .name = "daemon",
               .help = "run in the background",
               .apply = Set(&Settings::daemonize)},
              {.letter = 'u',
               .name = "user",
               .argument = "user",
               .range = "a user's name",
               .help = "become this user; root must say which (-u root to stay)",
               .apply = Text(&Settings::user)},
              {.letter = 'P',
               .name = "pidfile",
               .argument = "file",
               .range = "a path",
               .help = "write the process id to this file",
               .apply = Text(&Settings::pidfile)},
              {.letter = 'r',
               .name = "enable-coredumps",
               .help = "raise the limit on core files",
               .apply = Set(&Settings::coredumps)},
              {.letter = 'h', .name = "help", .help = "print this and exit", .apply = ShowHelp},
              {.letter = 'i',
               .name = "license",
               .help = "print the licence and exit",
               .apply = ShowLicense},
              {.letter = 'V',
               .name = "version",
               .help = "print the version and exit",
               .apply = ShowVersion}});
  AppendRows(rows, OptionGroup::kExternal,
             {{.letter = 'e',
               .name = "memory-file",
               .argument = "file",
               .effect = OptionEffect::kNotBuilt,
               .setting = "memory_file",
               .range = "a path",
               .help = "keep items in this file through a restart",
               .why = "items would be lost at each restart",
               .apply = Nothing()}});
  AppendRows(rows, OptionGroup::kProcess,
             {{.letter = 'o',
               .name = "extended",
               .argument = "list",
               .range = "suboptions with commas between them",
               .help = "the suboptions below, with commas between them",
               .apply = ApplySuboptionList}});
}

std::vector<OptionRow> MakeRows() {
  std::vector<OptionRow> rows;
  AddPortRows(&rows);
  AddListenRows(&rows);
  AddConnectionRows(&rows);
  AddLimitRows(&rows);
  AddLayoutRows(&rows);
  AddClientRows(&rows);
  AddLogRows(&rows);
  AddProcessRows(&rows);
  return rows;
}

}  // namespace

std::span<const OptionRow> CommandLineRows() {
  static const auto* const rows = new std::vector<OptionRow>(MakeRows());
  return *rows;
}

}  // namespace cairn::server
