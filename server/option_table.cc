#include "server/option_table.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "server/option_rows.h"
#include "server/option_values.h"

namespace cairn::server {
namespace {

/// Walks argv as GNU getopt_long does, without its global state.
class CommandLine {
 public:
  CommandLine(int argc, const char* const* argv) : program_(argc > 0 ? argv[0] : "cairnd") {
    for (int i = 1; i < argc; ++i) arguments_.emplace_back(argv[i]);
  }

  std::optional<Exit> Apply(OptionState* state) {
    while (next_ < arguments_.size()) {
      const std::string_view argument = arguments_[next_++];
      if (argument == "--") break;
      std::optional<Exit> exit;
      if (argument.starts_with("--")) {
        exit = ApplyLong(state, argument.substr(2));
      } else if (argument.starts_with('-') && argument.size() > 1) {
        exit = ApplyShort(state, argument.substr(1));
      }  // anything else is not an option; memcached does not look at it either
      if (exit) return exit;
    }
    return std::nullopt;
  }

 private:
  Exit Illegal(std::string_view what) const {
    return Mistake(fmt::format("{}: {}", program_, what));
  }

  // "-vd", "-m64", "-m 64".
  std::optional<Exit> ApplyShort(OptionState* state, std::string_view letters) {
    while (!letters.empty()) {
      const char letter = letters.front();
      letters.remove_prefix(1);
      const auto rows = CommandLineRows();
      const auto row = std::find_if(rows.begin(), rows.end(),
                                    [letter](const OptionRow& r) { return r.letter == letter; });
      if (letter == ':' || letter == ';' || row == rows.end()) {
        return Illegal(fmt::format("invalid option -- '{}'", letter));
      }
      if (row->argument.empty()) {
        if (auto exit = ApplyRow(*state, *row, std::nullopt)) return exit;
        continue;
      }
      if (letters.empty()) {
        if (next_ == arguments_.size()) {
          return Illegal(fmt::format("option requires an argument -- '{}'", letter));
        }
        letters = arguments_[next_++];
      }
      return ApplyWithArgument(state, *row, letters);
    }
    return std::nullopt;
  }

  // "--memory-limit=64", "--memory-limit 64", "--mem 64".
  std::optional<Exit> ApplyLong(OptionState* state, std::string_view text) {
    const size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    const OptionRow* row = nullptr;
    if (auto exit = FindLong(text, name, &row)) return exit;
    if (row->argument.empty() && !row->argument_optional) {
      if (equals != std::string_view::npos) {
        return Illegal(fmt::format("option '--{}' doesn't allow an argument", row->name));
      }
      return ApplyRow(*state, *row, std::nullopt);
    }
    if (equals != std::string_view::npos) {
      return ApplyWithArgument(state, *row, text.substr(equals + 1));
    }
    if (row->argument_optional) return ApplyRow(*state, *row, std::nullopt);
    if (next_ == arguments_.size()) {
      return Illegal(fmt::format("option '--{}' requires an argument", row->name));
    }
    return ApplyWithArgument(state, *row, arguments_[next_++]);
  }

  // The option of that name, or the only one whose name begins so.
  std::optional<Exit> FindLong(std::string_view text, std::string_view name,
                               const OptionRow** found) const {
    std::string candidates;
    size_t count = 0;
    for (const OptionRow& row : CommandLineRows()) {
      if (row.name.empty() || !row.name.starts_with(name)) continue;
      *found = &row;
      if (row.name == name) return std::nullopt;
      ++count;
      candidates += fmt::format(" '--{}'", row.name);
    }
    if (count == 1) return std::nullopt;
    if (count == 0) return Illegal(fmt::format("unrecognized option '--{}'", text));
    return Illegal(fmt::format("option '--{}' is ambiguous; possibilities:{}", text, candidates));
  }

  std::optional<Exit> ApplyWithArgument(OptionState* state, const OptionRow& row,
                                        std::string_view value) {
    // memcached passes over blanks, which come from "-m 64" read as one word.
    while (!value.empty() && std::isspace(static_cast<unsigned char>(value.front())) != 0) {
      value.remove_prefix(1);
    }
    return ApplyRow(*state, row, value);
  }

  std::string program_;
  std::vector<std::string_view> arguments_;
  size_t next_ = 0;
};

}  // namespace

std::string Spelling(const OptionRow& row) {
  if (row.letter != 0) return fmt::format("-{}", row.letter);
  return fmt::format("-o {}", row.name);
}

const OptionRow* FindSuboption(std::string_view name) {
  for (const OptionRow& row : SuboptionRows()) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::optional<Exit> ApplyRow(OptionState& state, const OptionRow& row,
                             std::optional<std::string_view> value) {
  if (row.effect == OptionEffect::kNotBuilt) {
    return Mistake(fmt::format("{}: not built yet, and {}", Spelling(row), row.why));
  }
  if (row.effect == OptionEffect::kAccepted) {
    std::string note = fmt::format("{} has no effect here: {}\n", Spelling(row), row.why);
    std::vector<std::string>& notes = state.settings.notes;
    if (std::find(notes.begin(), notes.end(), note) == notes.end()) {
      notes.push_back(std::move(note));
    }
  }
  return row.apply(state, row, value);
}

std::optional<Exit> ApplySuboptions(OptionState& state, std::string_view list) {
  while (!list.empty()) {
    const std::string_view text = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), text.size() + 1));
    const size_t equals = text.find('=');
    const OptionRow* row = FindSuboption(text.substr(0, equals));
    if (row == nullptr) return Mistake(fmt::format("Illegal suboption \"{}\"", text));
    std::optional<std::string_view> value;
    if (equals != std::string_view::npos) value = text.substr(equals + 1);
    if (!row->argument.empty() && !row->argument_optional && !value) {
      return Mistake(row->missing.empty() ? fmt::format("Missing {} argument", row->name)
                                          : std::string(row->missing));
    }
    if (auto exit = ApplyRow(state, *row, value)) return exit;
  }
  return std::nullopt;
}

ParseResult ParseOptions(int argc, const char* const* argv) {
  OptionState state;
  std::optional<Exit> exit = CommandLine(argc, argv).Apply(&state);
  if (!exit) exit = CheckSettings(state);
  if (!exit) return std::move(state.settings);
  // What was to be warned of is said first, as by memcached, which prints as it reads.
  std::string warnings;
  for (const std::string& warning : state.settings.warnings) warnings += warning;
  exit->err.insert(0, warnings);
  return *std::move(exit);
}

}  // namespace cairn::server
