#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cairn/options.h"

namespace cairn {

struct SocketAddress {
  sockaddr_storage bytes = {};
  socklen_t size = 0;
};

/// Where a server is. A host name is looked up on a thread of its own: resolvers wait for as long
/// as they like, and nobody is to wait with them longer than he wants to. Thread-safe.
class AddressBook {
 public:
  using Addresses = std::shared_ptr<const std::vector<SocketAddress>>;
  using Time = std::chrono::steady_clock::time_point;

  /// `resolver` empty: the system's.
  AddressBook(const Server& server, const ClientOptions::Resolver& resolver);

  /// Begins to look up for the first time; what needs no resolver is known at once.
  void BeginLookUp();
  /// Waits until what was begun is over, or until then.
  void AwaitLookUp(Time until);
  /// Begins to look up, unless that is under way, was less than a second ago, or can only find what
  /// is known: what is at an address or a path stays there.
  void LookUpAgain(Time now);

  /// What was found last, in the order in which it is to be tried; an error when nothing ever was.
  absl::StatusOr<Addresses> Get() const;
  /// Whether there is something to try.
  bool known() const;
  /// This one answers: it is tried first from now on.
  void Worked(const SocketAddress& address);

 private:
  // Shared with a thread that may outlive the book.
  struct State;
  static void* Run(void* state);
  void StartThread();

  const std::shared_ptr<State> state_;
};

}  // namespace cairn
