#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "client/chooser.h"
#include "client/key_hash.h"

namespace cairn {
namespace {

using Scheme = PlacementOptions::Scheme;

// Scores are compared in integers, so that every processor and compiler places a key alike.
constexpr int kFractionBits = 32;

// log2(1 + i / 256) with kFractionBits binary places, by squaring: each square shows one more bit.
constexpr std::array<uint64_t, 257> MakeLogTable() {
  std::array<uint64_t, 257> table = {};
  for (uint64_t i = 0; i < 256; ++i) {
    uint64_t x = (256 + i) << 22;  // 1 + i / 256, with 30 binary places
    uint64_t fraction = 0;
    for (int bit = 0; bit < kFractionBits; ++bit) {
      x = (x * x) >> 30;
      fraction <<= 1;
      if (x >= uint64_t{1} << 31) {
        x >>= 1;
        fraction |= 1;
      }
    }
    table[i] = fraction;
  }
  table[256] = uint64_t{1} << kFractionBits;
  return table;
}

// -log2(hash / 2^64), at most 64, with kFractionBits binary places; exact to 17 of them.
uint64_t MinusLog2(uint64_t hash) {
  static constexpr std::array<uint64_t, 257> kTable = MakeLogTable();
  hash |= 1;
  const int zeros = std::countl_zero(hash);
  const uint64_t mantissa = (hash << zeros) << 1;  // what follows the leading one
  const size_t slot = mantissa >> 56;
  const uint64_t within = (mantissa >> 32) & 0xffffff;
  const uint64_t fraction = kTable[slot] + (((kTable[slot + 1] - kTable[slot]) * within) >> 24);
  return (uint64_t(zeros + 1) << kFractionBits) - fraction;
}

std::string NameOf(const Server& server) {
  if (!server.alias.empty()) return server.alias;
  return server.IsUnixSocket() ? server.host : server.host + ":" + std::to_string(server.port);
}

// PlacementPreset::kCairn. Every server draws a number from the key; the least -log(number) /
// weight wins, which gives each server its weight's share and moves nothing between two that stay.
class CairnChooser final : public Chooser {
 public:
  CairnChooser(std::span<const Server> servers, const std::vector<bool>& live) {
    for (size_t i = 0; i < servers.size(); ++i) {
      if (!live[i]) continue;
      seats_.push_back(
          {HashCairn(NameOf(servers[i])), WeightOf(servers[i]), static_cast<uint16_t>(i)});
    }
    for (const Seat& seat : seats_) equal_ = equal_ && seat.weight == seats_[0].weight;
  }

  uint16_t Choose(std::string_view key) const override {
    const uint64_t hash = HashCairn(key);
    return equal_ ? ChooseEqual(hash) : ChooseWeighted(hash);
  }

 private:
  struct Seat {
    uint64_t seed;
    uint32_t weight;
    uint16_t server;
  };

  // The largest number has the least -log: no logarithm is needed.
  uint16_t ChooseEqual(uint64_t hash) const {
    const Seat* best = &seats_[0];
    uint64_t best_draw = Draw(hash, *best);
    for (const Seat& seat : seats_) {
      const uint64_t draw = Draw(hash, seat);
      if (draw > best_draw) {
        best_draw = draw;
        best = &seat;
      }
    }
    return best->server;
  }

  uint16_t ChooseWeighted(uint64_t hash) const {
    const Seat* best = &seats_[0];
    uint64_t best_cost = MinusLog2(Draw(hash, *best));
    for (const Seat& seat : seats_) {
      const uint64_t cost = MinusLog2(Draw(hash, seat));
      // cost / seat.weight < best_cost / best->weight; costs have 39 bits, weights 16
      if (cost * best->weight < best_cost * seat.weight) {
        best_cost = cost;
        best = &seat;
      }
    }
    return best->server;
  }

  static uint64_t Draw(uint64_t hash, const Seat& seat) { return Mix64(hash ^ seat.seed); }

  std::vector<Seat> seats_;
  bool equal_ = true;
};

// A str of Python as its murmur3 sees it: the low byte of each code point. What is not UTF-8 stays.
std::string LowBytesOfCodePoints(std::string_view utf8) {
  std::string low;
  for (size_t i = 0; i < utf8.size();) {
    const auto lead = static_cast<uint8_t>(utf8[i++]);
    const size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (more == 0 || i + more > utf8.size()) {
      low.push_back(static_cast<char>(lead));
      continue;
    }
    uint32_t point = 0;
    for (size_t k = 0; k < more; ++k)
      point = (point << 6) | (static_cast<uint8_t>(utf8[i++]) & 0x3f);
    low.push_back(static_cast<char>(static_cast<uint8_t>(more == 1 ? point | (lead << 6) : point)));
  }
  return low;
}

// A bytes of Python as it prints, b'...': that is what pymemcache hashes.
std::string PythonRepr(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  const bool has_single = bytes.find('\'') != std::string_view::npos;
  const char quote = has_single && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  std::string repr = {'b', quote};
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == quote || c == '\\') {
      repr.append({'\\', c});
    } else if (c == '\t' || c == '\n' || c == '\r') {
      repr.append({'\\', c == '\t' ? 't' : c == '\n' ? 'n' : 'r'});
    } else if (byte < 0x20 || byte >= 0x7f) {
      repr.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    } else {
      repr.push_back(c);
    }
  }
  repr.push_back(quote);
  return repr;
}

class PymemcacheChooser final : public Chooser {
 public:
  PymemcacheChooser(std::span<const Server> servers, const std::vector<bool>& live, bool as_bytes)
      : as_bytes_(as_bytes) {
    for (size_t i = 0; i < servers.size(); ++i) {
      if (live[i]) seats_.push_back({NameOf(servers[i]), static_cast<uint16_t>(i)});
    }
    // Of equal scores the largest name wins: the first one met, in this order.
    std::sort(seats_.begin(), seats_.end(),
              [](const Seat& a, const Seat& b) { return a.name > b.name; });
  }

  uint16_t Choose(std::string_view key) const override {
    const std::string text = as_bytes_ ? PythonRepr(key) : LowBytesOfCodePoints(key);
    const Seat* best = nullptr;
    uint32_t best_score = 0;
    std::string joined;
    for (const Seat& seat : seats_) {
      joined.assign(seat.name).append("-").append(text);
      const uint32_t score = Murmur3(joined);
      if (best == nullptr || score > best_score) {
        best_score = score;
        best = &seat;
      }
    }
    return best->server;
  }

 private:
  struct Seat {
    std::string name;
    uint16_t server;
  };

  std::vector<Seat> seats_;
  const bool as_bytes_;
};

}  // namespace

std::unique_ptr<const Chooser> MakeRendezvousChooser(std::span<const Server> servers,
                                                     const PlacementOptions& options,
                                                     const std::vector<bool>& live) {
  if (options.scheme == Scheme::kRendezvous) return std::make_unique<CairnChooser>(servers, live);
  return std::make_unique<PymemcacheChooser>(servers, live,
                                             options.scheme == Scheme::kPymemcacheBytes);
}

}  // namespace cairn
