#include "client/address_book.h"

#include <netdb.h>
#include <pthread.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/call.h"

namespace cairn {
namespace {

constexpr std::chrono::seconds kPause{1};

using Found = absl::StatusOr<std::vector<SocketAddress>>;

Found SystemLookUp(const std::string& host, uint16_t port, int flags) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    SocketAddress& address = addresses.emplace_back();
    std::memcpy(&address.bytes, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
  }
  return addresses;
}

Found PathOf(const std::string& path) {
  sockaddr_un named = {};
  named.sun_family = AF_UNIX;
  if (path.size() >= sizeof(named.sun_path)) {
    return absl::InvalidArgumentError("too long for a socket's path");
  }
  std::memcpy(named.sun_path, path.data(), path.size());
  SocketAddress address;
  std::memcpy(&address.bytes, &named, sizeof(named));
  address.size = sizeof(named);
  return std::vector<SocketAddress>{address};
}

bool Same(const SocketAddress& a, const SocketAddress& b) {
  return a.size == b.size && std::memcmp(&a.bytes, &b.bytes, a.size) == 0;
}

}  // namespace

struct AddressBook::State {
  State(const Server& named, const ClientOptions::Resolver& by)
      : server(named),
        resolver(by),
        is_fixed(named.IsUnixSocket() ||
                 SystemLookUp(named.host, named.port, AI_NUMERICHOST).ok()) {}

  Found Ask() const;
  void Take(Found found) ABSL_LOCKS_EXCLUDED(mutex);

  const Server server;
  const ClientOptions::Resolver resolver;
  const bool is_fixed;

  absl::Mutex mutex;
  absl::CondVar changed;
  bool asking ABSL_GUARDED_BY(mutex) = false;
  Time asked ABSL_GUARDED_BY(mutex);
  Addresses addresses ABSL_GUARDED_BY(mutex);  // null: none were ever found
  absl::Status failure ABSL_GUARDED_BY(mutex) =
      absl::UnavailableError(server.Address() + ": the name is still being looked up");
};

Found AddressBook::State::Ask() const {
  if (server.IsUnixSocket()) return PathOf(server.host);
  if (is_fixed || resolver == nullptr) return SystemLookUp(server.host, server.port, 0);
  const absl::StatusOr<std::vector<std::string>> texts = resolver(server.host);
  if (!texts.ok()) return texts.status();
  std::vector<SocketAddress> all;
  for (const std::string& text : *texts) {
    const Found one = SystemLookUp(text, server.port, AI_NUMERICHOST);
    if (!one.ok()) return absl::UnavailableError("the resolver said \"" + text + "\"");
    all.insert(all.end(), one->begin(), one->end());
  }
  if (all.empty()) return absl::UnavailableError("the resolver knows no address");
  return all;
}

// What was found before is better than nothing.
void AddressBook::State::Take(Found found) {
  absl::MutexLock lock(&mutex);
  asking = false;
  changed.SignalAll();
  if (found.ok()) {
    addresses = std::make_shared<const std::vector<SocketAddress>>(std::move(*found));
  } else {
    failure = absl::Status(found.status().code(),
                           server.Address() + ": " + std::string(found.status().message()));
  }
}

AddressBook::AddressBook(const Server& server, const ClientOptions::Resolver& resolver)
    : state_(std::make_shared<State>(server, resolver)) {}

void AddressBook::BeginLookUp() {
  if (state_->is_fixed) return state_->Take(state_->Ask());
  {
    absl::MutexLock lock(&state_->mutex);
    state_->asking = true;
    state_->asked = std::chrono::steady_clock::now();
  }
  StartThread();
}

void AddressBook::AwaitLookUp(Time until) {
  absl::MutexLock lock(&state_->mutex);
  while (state_->asking) {
    const Time now = std::chrono::steady_clock::now();
    if (now >= until) return;
    state_->changed.WaitWithTimeout(&state_->mutex, absl::FromChrono(until - now));
  }
}

void* AddressBook::Run(void* state) {
  const std::unique_ptr<std::shared_ptr<State>> own(static_cast<std::shared_ptr<State>*>(state));
  (*own)->Take((*own)->Ask());
  return nullptr;
}

void AddressBook::LookUpAgain(Time now) {
  if (state_->is_fixed) return;
  {
    absl::MutexLock lock(&state_->mutex);
    if (state_->asking || now - state_->asked < kPause) return;
    state_->asking = true;
    state_->asked = now;
  }
  StartThread();
}

void AddressBook::StartThread() {
  auto shared = std::make_unique<std::shared_ptr<State>>(state_);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, &Run, shared.get()) == 0) {
    (void)shared.release();  // the thread's
    pthread_detach(thread);
    return;
  }
  state_->Take(absl::UnavailableError("no thread to look up the name"));
}

absl::StatusOr<AddressBook::Addresses> AddressBook::Get() const {
  absl::MutexLock lock(&state_->mutex);
  if (state_->addresses != nullptr) return state_->addresses;
  return Detached(state_->failure);
}

bool AddressBook::known() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->addresses != nullptr;
}

void AddressBook::Worked(const SocketAddress& address) {
  absl::MutexLock lock(&state_->mutex);
  if (state_->addresses == nullptr) return;
  auto reordered = std::make_shared<std::vector<SocketAddress>>(*state_->addresses);
  const auto found = std::find_if(reordered->begin(), reordered->end(),
                                  [&](const SocketAddress& each) { return Same(each, address); });
  if (found == reordered->end()) return;
  std::rotate(reordered->begin(), found, found + 1);
  state_->addresses = std::move(reordered);
}

}  // namespace cairn
