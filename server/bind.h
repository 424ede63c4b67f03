#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/listener.h"
#include "server/settings.h"

namespace cairn::server {

/// Binds and listens on everything that the settings ask for: TCP addresses, the UNIX socket, UDP
/// ports. On failure nothing stays open, and the status says what could not be bound and why, in
/// one line.
absl::StatusOr<std::vector<BoundSocket>> BindSockets(const Settings& settings);

}  // namespace cairn::server
