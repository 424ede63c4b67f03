#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "cairn/placement.h"

namespace cairn {

/// One way of choosing a server by a key's text, hash tags already cut out. Immutable.
class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual uint16_t Choose(std::string_view key) const = 0;
  virtual void Choose(std::span<const std::string_view> keys, std::span<uint16_t> chosen) const {
    for (size_t i = 0; i < keys.size(); ++i) chosen[i] = Choose(keys[i]);
  }
};

/// For the schemes of rings and modula, and for the schemes of rendezvous.
/// REQUIRES: live.size() == servers.size(), and at least one is true
std::unique_ptr<const Chooser> MakeHashedChooser(std::span<const Server> servers,
                                                 const PlacementOptions& options,
                                                 const std::vector<bool>& live);
std::unique_ptr<const Chooser> MakeRendezvousChooser(std::span<const Server> servers,
                                                     const PlacementOptions& options,
                                                     const std::vector<bool>& live);

inline uint32_t WeightOf(const Server& server) { return server.weight == 0 ? 1 : server.weight; }

}  // namespace cairn
