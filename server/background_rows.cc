// Suboptions of what memcached does in the background: crawling, moving pages, keeping LRU lists.
#include <limits>
#include <string>

#include "server/option_rows.h"
#include "server/option_values.h"
#include "server/suboption_rows.h"

namespace cairn::server {
namespace {

constexpr double kUint32Max = std::numeric_limits<uint32_t>::max();

// Why what tunes parts of memcached that are not here has no effect.
constexpr std::string_view kOnePageQueue =
    "memory of all sizes stands in one queue by age: there are no LRU lists to be tuned";
constexpr std::string_view kNoBalancer =
    "pages of all sizes stand in one queue, so that there is nothing to be balanced";
constexpr std::string_view kNoLeaks = "nothing of the kind can leak";

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

void AddCrawlerRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kBackground,
             {{.name = "lru_crawler",
               .setting = "lru_crawler",
               .default_text = "on",
               .help = "give the memory of expired items back in the background",
               .apply = Set(&Settings::lru_crawler)},
              {.name = "no_lru_crawler",
               .setting = "lru_crawler",
               .help = "leave expired items until their memory is needed",
               .apply = Set(&Settings::lru_crawler, false)},
              {.name = "lru_crawler_sleep",
               .argument = "us",
               .setting = "lru_crawler_sleep",
               .default_text = "100",
               .range = "a number of microseconds up to 1000000",
               .help = "pause of the passes that `lru_crawler crawl` asks for",
               .missing = "Missing lru_crawler_sleep value",
               .apply = Number(
                   &Settings::lru_crawler_sleep_us,
                   {.max = 1000000, .below = "LRU crawler sleep must be between 0 and 1 second"})},
              {.name = "lru_crawler_tocrawl",
               .argument = "num",
               .setting = "lru_crawler_tocrawl",
               .default_text = "0",
               .range = "a number of items, 0 for all",
               .help = "items that such a pass looks at",
               .missing = "Missing lru_crawler_tocrawl value",
               .apply = Number(&Settings::lru_crawler_tocrawl,
                               {.max = kUint32Max,
                                .below = "lru_crawler_tocrawl takes a numeric 32bit value",
                                .strict = "lru_crawler_tocrawl takes a numeric 32bit value"})}});
}

void AddSlabRows(std::vector<OptionRow>* rows) {
  AppendRows(rows, OptionGroup::kBackground, kNoBalancer,
             {{.name = "slab_reassign",
               .setting = "slab_reassign",
               .default_text = "on",
               .help = "move pages between size classes",
               .apply = Set(&Settings::slab_reassign)},
              {.name = "no_slab_reassign",
               .setting = "slab_reassign",
               .help = "do not; `slabs reassign` is refused then",
               .apply = Set(&Settings::slab_reassign, false)},
              {.name = "slab_automove",
               .argument = "level",
               .argument_optional = true,
               .setting = "slab_automove",
               .default_text = "1",
               .range = "0, 1 or 2",
               .help = "how eagerly pages are moved",
               .apply = ApplyAutomove},
              {.name = "no_slab_automove",
               .setting = "slab_automove",
               .help = "the same as slab_automove=0",
               .apply = ApplyNoAutomove}});
}

void AddAutomoveRows(std::vector<OptionRow>* rows) {
  AppendRows(
      rows, OptionGroup::kBackground, kNoBalancer,
      {{.name = "slab_automove_ratio",
        .argument = "num",
        .setting = "slab_automove_ratio",
        .default_text = "0.8",
        .range = "a number above 0 and up to 1",
        .help = "ratio of ages at which a page is moved",
        .apply = Number(
            &Settings::slab_automove_ratio,
            {.max = 1, .below = "slab_automove_ratio must be > 0 and < 1", .min_excluded = true})},
       {.name = "slab_automove_window",
        .argument = "num",
        .setting = "slab_automove_window",
        .default_text = "10",
        .range = "a number from 3 to 1800",
        .help = "samples between decisions to move a page",
        .apply = Number(
            &Settings::slab_automove_window,
            {.min = 3, .max = 1800, .below = "slab_automove_window must be > 2 and < 1800"})},
       {.name = "slab_automove_freeratio",
        .argument = "num",
        .setting = "slab_automove_freeratio",
        .default_text = "0.01",
        .range = "a number",
        .help = "share of memory that is held free",
        .apply = Number(&Settings::slab_automove_free_ratio,
                        {.min = -1e9, .max = 1e9, .strict = kUnparsed})}});
}

void AddLruRows(std::vector<OptionRow>* rows) {
  AppendRows(
      rows, OptionGroup::kBackground, kOnePageQueue,
      {{.name = "lru_maintainer",
        .setting = "lru_maintainer_thread",
        .default_text = "on",
        .help = "keep hot, warm and cold LRU lists",
        .apply = ApplyLruMaintainer},
       {.name = "no_lru_maintainer",
        .setting = "lru_maintainer_thread",
        .help = "keep one LRU list a size class",
        .apply = ApplyLruMaintainer},
       {.name = "temporary_ttl",
        .argument = "s",
        .setting = "temporary_ttl",
        .default_text = "61",
        .range = "a number of seconds",
        .help = "items that live shorter are not evicted",
        .apply = Also(Number(&Settings::temporary_ttl_s, {}), Set(&Settings::temporary_lru))}});
  AppendRows(rows, OptionGroup::kBackground, kNoLeaks,
             {{.name = "tail_repair_time",
               .argument = "s",
               .setting = "tail_repair_time",
               .default_text = "0",
               .range = "a number of seconds, at least 10",
               .help = "age at which an item in use is taken for leaked",
               .missing = "Missing numeric argument for tail_repair_time",
               .apply = Number(&Settings::tail_repair_time_s,
                               {.min = 10,
                                .below = "Cannot set tail_repair_time to less than 10 "
                                         "seconds"})}});
}

void AddSegmentRows(std::vector<OptionRow>* rows) {
  struct Segment {
    std::string_view pct, pct_help, pct_range, pct_default;
    unsigned Settings::*pct_field;
    std::string_view factor, factor_help, factor_range, factor_default;
    double Settings::*factor_field;
  };
  for (const Segment& segment :
       {Segment{"hot_lru_pct", "percent of memory for the hot list",
                "hot_lru_pct must be > 1 and < 80", "20", &Settings::hot_lru_pct, "hot_max_factor",
                "age, relative to the cold list, to leave the hot one",
                "hot_max_factor must be > 0", "0.2", &Settings::hot_max_factor},
        Segment{"warm_lru_pct", "percent of memory for the warm list",
                "warm_lru_pct must be > 1 and < 80", "40", &Settings::warm_lru_pct,
                "warm_max_factor", "age, relative to the cold list, to leave the warm one",
                "warm_max_factor must be > 0", "2", &Settings::warm_max_factor}}) {
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
                     .apply = Number(segment.factor_field,
                                     {.below = segment.factor_range, .min_excluded = true})});
  }
}

}  // namespace

void AddBackgroundRows(std::vector<OptionRow>* rows) {
  AddCrawlerRows(rows);
  AddSlabRows(rows);
  AddAutomoveRows(rows);
  AddSegmentRows(rows);
  AddLruRows(rows);
}

}  // namespace cairn::server
