#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/sasl.h"
#include "server/settings.h"

namespace cairn::server {

/// The mechanisms of Cyrus SASL as it is set up on this machine. Its library has one set of
/// globals: call once in a process. Without Cyrus in the build it is an error.
absl::StatusOr<std::unique_ptr<SaslMechanisms>> MakeCyrusMechanisms(const Settings& settings);

}  // namespace cairn::server
