// slabs, lru and extstore: what tunes parts of memcached that our store does not have. They are
// checked as memcached checks them, kept, and shown by `stats settings`.
#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "protocol/numbers.h"
#include "server/admin.h"
#include "server/runtime_settings.h"

namespace cairn::server {
namespace {

constexpr uint32_t kMaxSegmentPercent = 80;
constexpr uint32_t kMinAutomoveWindow = 3;
constexpr uint32_t kMaxAutomoveWindow = 1800;
constexpr size_t kMaxNumberBytes = 31;
// Pages a class must have for one of them to be spared.
constexpr uint64_t kMinSparePages = 2;

std::optional<double> ParseDouble(std::string_view text) {
  double value = 0;
  if (text.size() > kMaxNumberBytes ||
      !absl::SimpleAtod(absl::string_view(text.data(), text.size()), &value)) {
    return std::nullopt;
  }
  return value;
}

std::string_view TokenAt(Tokens tokens, size_t index) {
  return index < tokens.size() ? tokens[index] : std::string_view();
}

AdminResult ServeReassign(Session& session, Tokens tokens) {
  if (!session.server().settings->slab_reassign) {
    return "CLIENT_ERROR slab reassignment disabled";
  }
  const auto source = protocol::ParseStrictInt32(tokens[2]);
  const auto destination = protocol::ParseStrictInt32(tokens[3]);
  if (!source || !destination) return kBadCommandFormat;
  if (*source == *destination) return "SAME src and dst class are identical";

  const std::vector<storage::ClassStats> classes = session.store().StatsByClass(session.now());
  const auto pages = [&classes](int32_t id) -> uint64_t {
    return id == 0 ? 0 : classes[static_cast<size_t>(id) - 1].total_pages;
  };
  const auto limit = static_cast<int32_t>(SlabClassLimit(session));
  const auto exists = [&](int32_t id) {
    return id >= 0 && (id < limit || static_cast<size_t>(id) <= classes.size());
  };
  bool spare = false;
  if (*source == -1) {
    for (const storage::ClassStats& c : classes) spare = spare || c.total_pages >= kMinSparePages;
    if (!spare) return "BADCLASS invalid src or dst class id";
  } else {
    if (!exists(*source) || !exists(*destination)) return "BADCLASS invalid src or dst class id";
    spare = static_cast<size_t>(*source) <= classes.size() && pages(*source) >= kMinSparePages;
  }
  if (!exists(*destination)) return "BADCLASS invalid src or dst class id";
  // Nothing is moved by hand: a class that needs a page takes the oldest of any class.
  return spare ? "OK" : "NOSPARE source class has no spare pages";
}

AdminResult ServeAutomove(Session& session, Tokens tokens) {
  RuntimeSettings& runtime = *session.server().runtime;
  const std::string_view word = tokens[2];
  if (word == "ratio" || word == "freeratio") {
    const std::optional<double> ratio = ParseDouble(TokenAt(tokens, 3));
    if (!ratio) return "ERROR";
    (word == "ratio" ? runtime.slab_automove_ratio : runtime.slab_automove_free_ratio) = *ratio;
    return "OK";
  }
  if (word == "window") {
    const auto window = protocol::ParseStrictUint32(TokenAt(tokens, 3));
    if (!window) return kBadCommandFormat;
    if (*window < kMinAutomoveWindow || *window > kMaxAutomoveWindow) {
      return "CLIENT_ERROR automove window too low or too high";
    }
    runtime.slab_automove_window = *window;
    return "OK";
  }
  const auto level = protocol::ParseStrictUint32(word);
  if (!level) return kBadCommandFormat;
  if (*level > 2) return "ERROR";
  runtime.slab_automove = static_cast<int>(*level);
  return "OK";
}

AdminResult ServeLruTune(Session& session, Tokens tokens) {
  const auto hot = protocol::ParseStrictUint32(tokens[2]);
  const auto warm = protocol::ParseStrictUint32(tokens[3]);
  const std::optional<double> hot_factor = ParseDouble(tokens[4]);
  const std::optional<double> warm_factor = ParseDouble(tokens[5]);
  if (!hot || !warm || !hot_factor || !warm_factor) return "ERROR";
  if (uint64_t{*hot} + *warm > kMaxSegmentPercent) {
    return "ERROR hot and warm pcts must not exceed 80";
  }
  if (*hot_factor <= 0 || *warm_factor <= 0) {
    return "ERROR hot/warm age factors must be greater than 0";
  }
  RuntimeSettings& runtime = *session.server().runtime;
  runtime.hot_lru_pct = *hot;
  runtime.warm_lru_pct = *warm;
  runtime.hot_max_factor = *hot_factor;
  runtime.warm_max_factor = *warm_factor;
  return "OK";
}

AdminResult ServeLruMode(Session& session, std::string_view mode) {
  if (mode != "flat" && mode != "segmented") return "ERROR";
  session.server().runtime->lru_segmented = mode == "segmented";
  return "OK";
}

AdminResult ServeTempTtl(Session& session, std::string_view text) {
  const auto ttl = protocol::ParseStrictInt32(text);
  if (!ttl) return "ERROR";
  RuntimeSettings& runtime = *session.server().runtime;
  runtime.temporary_lru = *ttl >= 0;
  if (*ttl >= 0) runtime.temporary_ttl_s = static_cast<unsigned>(*ttl);
  return "OK";
}

}  // namespace

AdminResult ServeSlabs(Session& session, Tokens tokens) {
  const std::string_view word = TokenAt(tokens, 1);
  if (word == "reassign" && tokens.size() == 4) return ServeReassign(session, tokens);
  if (word == "automove" && tokens.size() >= 3) return ServeAutomove(session, tokens);
  return "ERROR";
}

AdminResult ServeLru(Session& session, Tokens tokens) {
  const std::string_view word = TokenAt(tokens, 1);
  if (word == "tune" && tokens.size() >= 6) return ServeLruTune(session, tokens);
  if (tokens.size() < 3 || !session.server().settings->lru_maintainer) return "ERROR";
  if (word == "mode") return ServeLruMode(session, tokens[2]);
  if (word == "temp_ttl") return ServeTempTtl(session, tokens[2]);
  return "ERROR";
}

AdminResult ServeExtstore(Session& session, Tokens tokens) {
  constexpr std::string_view kNumbers[] = {"item_size",    "item_age",   "low_ttl",
                                           "recache_rate", "drop_under", "compact_under",
                                           "drop_unread",  "max_sleep"};
  const std::string_view word = TokenAt(tokens, 1);
  if (tokens.size() < 3) return "ERROR";
  bool ok = false;
  if (word == "max_frag") {
    ok = ParseDouble(tokens[2]).has_value();
  } else if (word == "free_memchunks") {
    const auto class_id = protocol::ParseStrictUint32(tokens[2]);
    ok = class_id && *class_id < SlabClassLimit(session) &&
         protocol::ParseStrictUint32(TokenAt(tokens, 3)).has_value();
  } else if (std::find(std::begin(kNumbers), std::end(kNumbers), word) != std::end(kNumbers)) {
    ok = protocol::ParseStrictUint32(tokens[2]).has_value();
  }
  return ok ? "OK" : "ERROR";
}

}  // namespace cairn::server
