// Suboptions that are left from old versions of memcached.
#include <string>

#include "server/option_rows.h"
#include "server/option_values.h"
#include "server/suboption_rows.h"

namespace cairn::server {
namespace {

constexpr unsigned kSlabPageBytes = 1024 * 1024;

using Value = std::optional<std::string_view>;

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

std::optional<Exit> WarnOfRespObjMemLimit(OptionState& state, const OptionRow&, Value) {
  state.settings.warnings.emplace_back(
      "DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit.\n");
  return std::nullopt;
}

}  // namespace

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

}  // namespace cairn::server
