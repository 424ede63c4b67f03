// What is wrong with a command line as a whole, in the order in which memcached looks.
#include <algorithm>
#include <string>
#include <string_view>

#include "fmt/format.h"
#include "server/option_rows.h"
#include "server/option_values.h"

namespace cairn::server {
namespace {

constexpr uint64_t kMinItemSizeLimit = 1024;
constexpr uint64_t kMaxItemSizeLimit = uint64_t{1} << 30;
constexpr unsigned kSlabPageBytes = 1024 * 1024;
constexpr unsigned kDefaultChunkMax = kSlabPageBytes / 2;
constexpr unsigned kChunkAlignBytes = 8;
constexpr size_t kMaxSlabClasses = 63;
constexpr unsigned kMaxHotAndWarmPct = 80;

using Check = std::optional<Exit>;

Exit Usage(std::string_view line) { return Mistake(line, kExitUsage); }

Check CheckThreads(OptionState& state) {
  const Settings& s = state.settings;
  if (s.napi_id_count <= s.thread_count) return std::nullopt;
  return Usage(fmt::format("Number of napi_ids({}) cannot be greater than number of threads({})",
                           s.napi_id_count, s.thread_count));
}

Check CheckItemSize(OptionState& state) {
  const Settings& s = state.settings;
  if (s.max_item_bytes < kMinItemSizeLimit) {
    return Usage("Item max size cannot be less than 1024 bytes.");
  }
  if (s.max_item_bytes > s.memory_limit_bytes / 2) {
    return Usage("Cannot set item size limit higher than 1/2 of memory max.");
  }
  if (s.max_item_bytes > kMaxItemSizeLimit) {
    return Usage("Cannot set item size limit higher than a gigabyte.");
  }
  return std::nullopt;
}

// memcached cuts large items in chunks of this size and therefore wants -I to be a multiple of it,
// even of its own default. Here only what the operator asked for is held against him.
Check CheckChunkMax(OptionState& state) {
  Settings& s = state.settings;
  if (s.max_item_bytes > kSlabPageBytes && !state.slab_chunk_max_given) {
    s.slab_chunk_max_bytes = kDefaultChunkMax;
  }
  if (!state.slab_chunk_max_given) {
    if (s.slab_chunk_max_bytes > s.max_item_bytes) {
      s.slab_chunk_max_bytes = static_cast<unsigned>(s.max_item_bytes);
    }
    return std::nullopt;
  }
  if (s.slab_chunk_max_bytes > s.max_item_bytes) {
    return Usage(
        fmt::format("slab_chunk_max (bytes: {}) cannot be larger than -I (item_size_max {})",
                    s.slab_chunk_max_bytes, s.max_item_bytes));
  }
  if (s.max_item_bytes % s.slab_chunk_max_bytes != 0) {
    return Usage(
        fmt::format("-I (item_size_max: {}) must be evenly divisible by slab_chunk_max (bytes: {})",
                    s.max_item_bytes, s.slab_chunk_max_bytes));
  }
  if (kSlabPageBytes % s.slab_chunk_max_bytes != 0) {
    return Usage(
        fmt::format("slab_chunk_max (bytes: {}) must divide evenly into {} (slab_page_size)",
                    s.slab_chunk_max_bytes, kSlabPageBytes));
  }
  return std::nullopt;
}

Check CheckSlabSizes(OptionState& state) {
  if (!state.slab_sizes_text) return std::nullopt;
  Settings& s = state.settings;
  std::string_view text = *state.slab_sizes_text;
  uint32_t last = 0;
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, text.find('-'));
    text.remove_prefix(std::min(text.size(), piece.size() + 1));
    if (piece.empty()) continue;
    const NumberText number = ReadNumber(piece);
    const bool fits = number.valid && number.value >= s.chunk_size_bytes &&
                      number.value <= s.slab_chunk_max_bytes;
    if (!fits) {
      const double shown =
          number.valid && number.value >= 0 && number.value < 1e9 ? number.value : 0;
      return Usage(fmt::format("slab size {} is out of valid range", static_cast<int64_t>(shown)));
    }
    const auto size = static_cast<uint32_t>(number.value);
    if (last >= size) {
      return Usage(
          fmt::format("slab size {} cannot be lower than or equal to a previous class size", size));
    }
    if (size <= last + kChunkAlignBytes) {
      return Usage(fmt::format("slab size {} must be at least {} bytes larger than previous class",
                               size, kChunkAlignBytes));
    }
    s.slab_sizes_bytes.push_back(size);
    last = size;
    if (s.slab_sizes_bytes.size() >= kMaxSlabClasses - 1) {
      return Usage("too many slab classes specified");
    }
  }
  if (s.slab_sizes_bytes.empty()) return Usage("Missing slab_sizes argument");
  return std::nullopt;
}

Check CheckLru(OptionState& state) {
  const Settings& s = state.settings;
  if (s.hot_lru_pct + s.warm_lru_pct > kMaxHotAndWarmPct) {
    return Usage("hot_lru_pct + warm_lru_pct cannot be more than 80% combined");
  }
  if (s.temporary_lru && !s.lru_maintainer) {
    return Usage("temporary_ttl requires lru_maintainer to be enabled");
  }
  return std::nullopt;
}

Check CheckAuthentication(OptionState& state) {
  Settings& s = state.settings;
  if (s.sasl) {
    if (!state.protocol_given) {
      s.binding_protocol = BindingProtocol::kBinary;
    } else if (s.binding_protocol != BindingProtocol::kBinary) {
      return Usage("ERROR: You cannot allow the ASCII protocol while using SASL.");
    }
    if (s.udp_port != 0) {
      return Usage("ERROR: Cannot enable UDP while using binary SASL authentication.");
    }
  }
  if (!s.auth_file.empty()) {
    if (!state.protocol_given) {
      s.binding_protocol = BindingProtocol::kAscii;
    } else if (s.binding_protocol != BindingProtocol::kAscii) {
      return Usage(
          "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.");
    }
    if (s.udp_port != 0) {
      return Usage("Cannot use UDP with ascii authentication enabled (-U 0 to disable)");
    }
  }
  return std::nullopt;
}

Check CheckPorts(OptionState& state) {
  Settings& s = state.settings;
  if (state.udp_port_given && s.udp_port != 0 && !s.tcp_port_given) s.tcp_port = s.udp_port;
  if (!s.tls_enabled) return std::nullopt;
  if (s.tcp_port == 0) return Usage("ERROR: You cannot enable SSL without a TCP port.");
  return std::nullopt;
}

Check CheckAddresses(OptionState& state) { return ParseListenAddresses(&state.settings); }

}  // namespace

std::optional<Exit> CheckSettings(OptionState& state) {
  for (Check (*check)(OptionState&) : {CheckThreads, CheckItemSize, CheckChunkMax, CheckSlabSizes,
                                       CheckLru, CheckAuthentication, CheckPorts, CheckAddresses}) {
    if (Check exit = check(state)) return exit;
  }
  return std::nullopt;
}

}  // namespace cairn::server
