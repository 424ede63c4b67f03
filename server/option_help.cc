// -h and docs/options.md, made of the rows that drive parsing.
#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "fmt/format.h"
#include "protocol/version.h"
#include "server/option_rows.h"
#include "server/option_table.h"
#include "server/version.h"

namespace cairn::server {
namespace {

constexpr size_t kNameColumns = 34;
constexpr size_t kTextColumns = 62;

struct GroupTitle {
  OptionGroup group;
  std::string_view title;
};
constexpr GroupTitle kGroups[] = {
    {OptionGroup::kNetwork, "Network"},
    {OptionGroup::kConnections, "Connections and threads"},
    {OptionGroup::kMemory, "Memory"},
    {OptionGroup::kClients, "What clients may do"},
    {OptionGroup::kTls, "TLS"},
    {OptionGroup::kBackground, "Background work"},
    {OptionGroup::kLogs, "Logs and statistics"},
    {OptionGroup::kProcess, "Process"},
    {OptionGroup::kExternal, "External storage and restarts"},
    {OptionGroup::kProxy, "Proxy"},
    {OptionGroup::kLegacy, "Left from old versions"},
};

std::string NamesInHelp(const OptionRow& row, bool suboption) {
  std::string text;
  if (suboption) {
    text = fmt::format("   {}", row.name);
    if (row.argument.empty()) return text;
    return text + (row.argument_optional ? fmt::format("[=<{}>]", row.argument)
                                         : fmt::format("=<{}>", row.argument));
  }
  text = row.letter != 0 ? fmt::format("-{}", row.letter) : std::string("  ");
  if (row.name.empty()) return fmt::format("{} <{}>", text, row.argument);
  text += fmt::format(", --{}", row.name);
  if (!row.argument.empty()) text += fmt::format("=<{}>", row.argument);
  return text;
}

// Breaks at blanks so that no line passes `columns`, unless a word does.
std::vector<std::string> Wrap(std::string_view text, size_t columns) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > columns) {
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

void AppendHelp(const OptionRow& row, bool suboption, std::string* out) {
  std::string text(row.help);
  if (row.effect == OptionEffect::kAccepted) text += " (accepted, without effect)";
  if (!row.default_text.empty()) text += fmt::format(" (default: {})", row.default_text);
  std::string left = NamesInHelp(row, suboption);
  if (left.size() >= kNameColumns) {
    *out += left + '\n';
    left.clear();
  }
  for (const std::string& line : Wrap(text, kTextColumns)) {
    *out += fmt::format("{:<{}}{}\n", left, kNameColumns, line);
    left.clear();
  }
}

// What is not built is left out: who reads -h to see what there is must not find it.
void AppendHelpOfRows(std::span<const OptionRow> rows, bool suboptions, std::string* out) {
  for (const auto& [group, title] : kGroups) {
    bool first = true;
    for (const OptionRow& row : rows) {
      if (row.group != group || row.effect == OptionEffect::kNotBuilt) continue;
      if (std::exchange(first, false)) *out += fmt::format("\n{}:\n", title);
      AppendHelp(row, suboptions, out);
    }
  }
}

std::string EscapeCell(std::string_view text) {
  return absl::StrReplaceAll(std::string(text), {{"|", "\\|"}, {"<", "&lt;"}});
}

std::string NamesInTable(const OptionRow& row, bool suboption) {
  std::string argument;
  if (!row.argument.empty()) argument = fmt::format("={}", row.argument);
  if (suboption) return fmt::format("`{}{}`", row.name, argument);
  if (row.name.empty()) return fmt::format("`-{} {}`", row.letter, row.argument);
  return fmt::format("`-{}` `--{}{}`", row.letter, row.name, argument);
}

std::string EffectInTable(const OptionRow& row) {
  switch (row.effect) {
    case OptionEffect::kActs:
      return "acts";
    case OptionEffect::kAccepted:
      return fmt::format("accepted, without effect: {}", row.why);
    case OptionEffect::kNotBuilt:
      break;
  }
  return fmt::format("stops the start, for it is not built yet: {}", row.why);
}

void AppendTables(std::span<const OptionRow> rows, bool suboptions, std::string* out) {
  for (const auto& [group, title] : kGroups) {
    bool first = true;
    for (const OptionRow& row : rows) {
      if (row.group != group) continue;
      if (std::exchange(first, false)) {
        *out += fmt::format(
            "\n### {}\n\n| option | default | takes | what it does in memcached | here | `stats "
            "settings` |\n|---|---|---|---|---|---|\n",
            title);
      }
      const std::string setting =
          row.setting.empty() ? std::string() : fmt::format("`{}`", row.setting);
      *out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", NamesInTable(row, suboptions),
                          EscapeCell(row.default_text), EscapeCell(row.range), EscapeCell(row.help),
                          EscapeCell(EffectInTable(row)), setting);
    }
  }
}

}  // namespace

std::string HelpText() {
  std::string out = fmt::format(
      "cairnd {}\nA cache that speaks memcached's protocols and takes the options of memcached "
      "{}.\n",
      kVersion, protocol::kMemcachedVersion);
  AppendHelpOfRows(CommandLineRows(), /*suboptions=*/false, &out);
  out += "\nSuboptions of -o:\n";
  AppendHelpOfRows(SuboptionRows(), /*suboptions=*/true, &out);
  return out;
}

std::string DescribeOptions() {
  std::string out = fmt::format(
      "# Options\n\n"
      "Every option and suboption of memcached {} and what became of it in cairnd. This page is\n"
      "made by `cairnd --describe=options` from the table that also drives parsing and `-h`; a\n"
      "test compares them.\n\n"
      "- **acts**: as in memcached.\n"
      "- **accepted, without effect**: parsed and checked as in memcached and shown by `stats\n"
      "  settings`, so that a command line that has it goes on working. With `-v` the server\n"
      "  names those it was given when it starts.\n"
      "- **stops the start**: the server says so in one line and exits with 1, because running\n"
      "  without it would lose what was asked for.\n\n"
      "Mistakes end the start with memcached's line and exit code. What is stricter or laxer "
      "here:\n\n"
      "- A number must be a number: where memcached reads `-p 11211x` as 11211 and `-m 8g` as 8\n"
      "  megabytes, cairnd says what it takes. Fractions are cut off, as by memcached, and `-m "
      "64m`\n"
      "  is `-m 64`.\n"
      "- `-I` need not be a multiple of a chunk size that nobody asked for.\n"
      "- `-s` together with `-p`, `-U` or `-l host:port` listens on all of them.\n"
      "- `-l` with an address twice listens on it once; an unknown `proto[...]` is a mistake.\n\n"
      "## On the command line\n",
      protocol::kMemcachedVersion);
  AppendTables(CommandLineRows(), /*suboptions=*/false, &out);
  out += "\n## Suboptions of `-o`\n";
  AppendTables(SuboptionRows(), /*suboptions=*/true, &out);
  return out;
}

}  // namespace cairn::server
