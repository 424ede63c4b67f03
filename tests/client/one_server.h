#pragma once

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "cairn/client.h"
#include "tests/client/server_process.h"

namespace cairn {

/// For tests that are not about failing: nothing ends because a machine is slow.
inline ClientOptions PatientOptions(const Server& server) {
  ClientOptions options;
  options.servers = {server};
  options.max_fails = 0;
  options.connect_timeout = options.request_timeout = absl::Seconds(20);
  options.call_timeout = absl::Seconds(60);
  return options;
}

/// A started cairnd and a client of it.
struct OneServer {
  explicit OneServer(ClientOptions::Protocol protocol = ClientOptions::Protocol::kAuto) {
    ClientOptions options = PatientOptions(server.server());
    options.protocol = protocol;
    client = std::move(Client::Make(options).value());
  }
  ServerProcess server;
  std::unique_ptr<Client> client;
};

}  // namespace cairn
