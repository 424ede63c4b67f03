#include "cairn/placement.h"

#include <algorithm>
#include <utility>

#include "client/chooser.h"

namespace cairn {
namespace {

using Scheme = PlacementOptions::Scheme;

constexpr size_t kServersMax = 10'000;
constexpr uint32_t kWeightMax = 65535;

bool IsRendezvous(Scheme scheme) {
  return scheme == Scheme::kRendezvous || scheme == Scheme::kPymemcacheStr ||
         scheme == Scheme::kPymemcacheBytes;
}

absl::Status Check(std::span<const Server> servers, const PlacementOptions& options,
                   const std::vector<bool>& live) {
  if (servers.empty()) return absl::InvalidArgumentError("no servers to place keys on");
  if (servers.size() > kServersMax) {
    return absl::InvalidArgumentError("more than 10,000 servers");
  }
  for (const Server& server : servers) {
    if (server.weight > kWeightMax) {
      return absl::InvalidArgumentError("the weight of " + server.Address() + " is above 65,535");
    }
  }
  if (!options.hash_tag.empty() && options.hash_tag.size() != 2) {
    return absl::InvalidArgumentError("a hash tag is two characters, as in \"{}\"");
  }
  if (!live.empty() && live.size() != servers.size()) {
    return absl::InvalidArgumentError("`live` does not speak of every server");
  }
  if (!live.empty() && std::find(live.begin(), live.end(), true) == live.end()) {
    return absl::InvalidArgumentError("no server is live");
  }
  return absl::OkStatus();
}

}  // namespace

class CAIRN_HIDDEN Placement::Impl {
 public:
  Impl(std::unique_ptr<const Chooser> chooser, std::string hash_tag)
      : chooser_(std::move(chooser)), hash_tag_(std::move(hash_tag)) {}

  size_t Choose(std::string_view key) const { return chooser_->Choose(Hashed(key)); }

  void Choose(std::span<const std::string_view> keys, std::span<uint16_t> chosen) const {
    if (hash_tag_.empty()) return chooser_->Choose(keys, chosen);
    for (size_t i = 0; i < keys.size(); ++i) chosen[i] = chooser_->Choose(Hashed(keys[i]));
  }

 private:
  // The part of the key that counts.
  std::string_view Hashed(std::string_view key) const {
    if (hash_tag_.empty()) return key;
    const size_t open = key.find(hash_tag_[0]);
    if (open == std::string_view::npos) return key;
    const size_t close = key.find(hash_tag_[1], open + 1);
    if (close == std::string_view::npos || close == open + 1) return key;
    return key.substr(open + 1, close - open - 1);
  }

  const std::unique_ptr<const Chooser> chooser_;
  const std::string hash_tag_;
};

absl::StatusOr<Placement> Placement::Make(std::span<const Server> servers,
                                          const PlacementOptions& options,
                                          const std::vector<bool>& live) {
  if (absl::Status status = Check(servers, options, live); !status.ok()) return status;
  const std::vector<bool> all = live.empty() ? std::vector<bool>(servers.size(), true) : live;
  auto chooser = IsRendezvous(options.scheme) ? MakeRendezvousChooser(servers, options, all)
                                              : MakeHashedChooser(servers, options, all);
  return Placement(std::make_unique<const Impl>(std::move(chooser), options.hash_tag));
}

Placement::Placement(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Placement::Placement(Placement&&) noexcept = default;
Placement& Placement::operator=(Placement&&) noexcept = default;
Placement::~Placement() = default;

size_t Placement::Choose(std::string_view key) const { return impl_->Choose(key); }

void Placement::Choose(std::span<const std::string_view> keys, std::span<uint16_t> chosen) const {
  impl_->Choose(keys, chosen);
}

}  // namespace cairn
