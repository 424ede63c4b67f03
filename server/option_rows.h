#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/option_table.h"
#include "server/settings.h"

/// The rows behind ParseOptions: each option and each suboption of -o, declared once. They drive
/// parsing, range checks, -h and docs/options.md.
namespace cairn::server {

/// What becomes of an option here.
enum class OptionEffect : uint8_t {
  kActs,
  kAccepted,  ///< parsed, checked and reported, but without effect: OptionRow::why says why
  kNotBuilt,  ///< stops the start, since going on without it would lose what was asked for
};

enum class OptionGroup : uint8_t {
  kNetwork,
  kConnections,
  kMemory,
  kClients,
  kTls,
  kBackground,
  kLogs,
  kProcess,
  kExternal,
  kProxy,
  kLegacy,
};

/// What is collected while the command line is read.
struct OptionState {
  Settings settings;
  bool protocol_given = false;
  bool udp_port_given = false;
  bool slab_chunk_max_given = false;
  std::optional<std::string> slab_sizes_text;
};

struct OptionRow;

/// Puts `value` where it belongs, or says why it cannot be. A row without an argument gets an
/// empty value; an optional argument that was not given is std::nullopt.
using ApplyOption = std::function<std::optional<Exit>(OptionState& state, const OptionRow& row,
                                                      std::optional<std::string_view> value)>;

struct OptionRow {
  char letter = 0;                 ///< short name; 0: none, or a suboption of -o
  std::string_view name = {};      ///< long name, or the suboption's; empty: none
  std::string_view argument = {};  ///< what -h calls the argument; empty: takes none
  bool argument_optional = false;  ///< --verbose[=...], slab_automove[=...]
  OptionGroup group = OptionGroup::kLegacy;
  OptionEffect effect = OptionEffect::kActs;
  std::string_view setting = {};       ///< its name in `stats settings`; empty: not shown there
  std::string_view default_text = {};  ///< empty: off, or none
  std::string_view range = {};         ///< what is accepted, with its unit; empty: anything
  std::string_view help = {};
  std::string_view why = {};  ///< unless kActs: why not
  /// For suboptions: the message when the value is missing, without its newline; empty:
  /// "Missing <name> argument".
  std::string_view missing = {};
  ApplyOption apply = {};
};

/// In the order of -h. Made once, on first use.
std::span<const OptionRow> CommandLineRows();
std::span<const OptionRow> SuboptionRows();

/// How an operator writes the option: "-m", "-o hashpower".
std::string Spelling(const OptionRow& row);

/// The row of a suboption; null when there is none.
const OptionRow* FindSuboption(std::string_view name);

/// Applies a row and remembers, for -v, that a row without effect was given.
std::optional<Exit> ApplyRow(OptionState& state, const OptionRow& row,
                             std::optional<std::string_view> value);

/// Reads the argument of -o.
std::optional<Exit> ApplySuboptions(OptionState& state, std::string_view list);

/// What can only be judged when all options are known. Completes the settings.
std::optional<Exit> CheckSettings(OptionState& state);

/// Fills settings.listen from settings.listen_text.
std::optional<Exit> ParseListenAddresses(Settings* settings);

}  // namespace cairn::server
