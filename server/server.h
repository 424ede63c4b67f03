#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "server/process.h"
#include "server/settings.h"

namespace cairn::server {

/// The whole server: its parts, in the order in which they need each other, and the main loop.
///
/// Made, run and destroyed by one thread.
class Server {
 public:
  Server();
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Opens what may need privileges (sockets, certificates, password files). No threads yet, so
  /// that the process may still fork.
  std::optional<StartError> Open(const Settings& settings);
  /// What Open() listens on, for the port file.
  std::vector<BoundPort> Ports() const;
  /// Builds the store and the workers, calls `ready` once clients are served, and serves until a
  /// signal or `shutdown` ends it. Returns why there was nothing to serve with, or what `ready` had
  /// against it.
  std::optional<StartError> Run(absl::FunctionRef<std::optional<StartError>()> ready);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace cairn::server
