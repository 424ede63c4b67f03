#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"
#include "tests/client/server_process.h"

namespace cairn {

/// A server whose keys go to another one while it is left alone, with `eject` or as its backup.
struct TwoPlaces {
  /// There is no `patient` when `program` is not installed. `key_prefix` and `name` make a key of
  /// `home`.
  TwoPlaces(const std::string& program, bool eject, std::string key_prefix)
      : home(program), other(program), prefix(std::move(key_prefix)) {
    if (!home.running()) {
      WARN("skipped: " << program << " is not installed");
      return;
    }
    options = PatientOptions(home.server());
    options.servers.push_back(other.server());
    options.servers[1].backup = !eject;
    options.eject = eject;
    patient = Client::Make(options).value();
    while (patient->ServerOf(key()) != 0) name += "x";
    at_other = Client::Make(PatientOptions(other.server())).value();
  }
  std::string key() const { return prefix + name; }
  /// A client of another process, which soon leaves alone what does not answer, for so long.
  std::unique_ptr<Client> Impatient(absl::Duration pause) const {
    ClientOptions impatient = options;
    impatient.connect_timeout = impatient.request_timeout = absl::Milliseconds(100);
    impatient.max_fails = 1;
    impatient.fail_timeout = impatient.pause_max = pause;
    return Client::Make(impatient).value();
  }
  /// Returns when keys of `home`, which is stopped, go to `other`.
  void AwaitDetour(Client& client) const {
    while (client.ServerOf(key()) == 0) (void)client.Get(key());
  }

  ServerProcess home;
  ServerProcess other;
  ClientOptions options;
  std::string prefix;
  std::string name = "n";
  std::unique_ptr<Client> patient;   // of both
  std::unique_ptr<Client> at_other;  // of that server alone
};

}  // namespace cairn
