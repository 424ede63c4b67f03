#include "server/server.h"

#include <event2/thread.h>

#include <csignal>
#include <utility>

#include "fmt/format.h"
#include "server/auth_file.h"
#include "server/bind.h"
#include "server/clock.h"
#include "server/connection_table.h"
#include "server/event_log.h"
#include "server/listener.h"
#include "server/log_hub.h"
#include "server/maintenance.h"
#include "server/prefix_stats.h"
#include "server/runtime_settings.h"
#include "server/sasl.h"
#include "server/tls.h"
#include "server/worker.h"

namespace cairn::server {
namespace {

// memcached's exit codes: <sysexits.h>'s, spelled out.
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 64;
constexpr int kExitOsError = 71;

StartError Refusal(int code, std::string_view message) {
  return {code, fmt::format("{}\n", message)};
}

template <typename T>
StartError Refusal(int code, const absl::StatusOr<T>& result) {
  return Refusal(code, std::string(result.status().message()));
}

// Of an event loop: its epoll descriptor and what wakes it; the main one has two for signals.
constexpr unsigned kFdsPerWorker = 2;
constexpr unsigned kFdsOfMainLoop = 3;

storage::Config StoreConfig(const Settings& settings) {
  storage::Config config;
  config.memory_limit_bytes = settings.memory_limit_bytes;
  config.max_item_bytes = settings.max_item_bytes;
  config.evict = settings.evict;
  config.use_cas = settings.use_cas;
  config.thread_count = settings.thread_count;
  if (settings.growth_factor_given) config.growth_factor = settings.growth_factor;
  return config;
}

}  // namespace

/// Declared in the order in which each needs those above it, so that destruction undoes it.
struct Server::Parts {
  explicit Parts(const Settings& s)
      : settings(s),
        runtime(s),
        log(s.watcher_logbuf_bytes),
        prefix_stats(s.prefix_delimiter, s.detail_enabled) {}

  struct SignalTarget {
    Parts* parts;
    void (Parts::*action)();
  };

  std::optional<StartError> OpenFiles();
  std::optional<StartError> BuildStore();
  void BuildWorkers();
  void AddSignal(int signal_number, void (Parts::*action)());
  void OnTerminate() { End(false); }
  void OnGraceful() { End(true); }
  void OnHangUp();
  void End(bool graceful);

  const Settings settings;
  RuntimeSettings runtime;
  Clock clock;
  LogHub log;
  PrefixStats prefix_stats;
  ProcessStats process;
  ConnectionTable connections;
  std::unique_ptr<AuthFile> auth_file;
  std::unique_ptr<SaslMechanisms> sasl;
  std::unique_ptr<TlsContexts> tls;
  std::unique_ptr<storage::Store> store;
  ServerContext context;
  std::unique_ptr<Maintenance> maintenance;
  EvictionLog eviction_log{&log};
  EventBasePtr base;
  std::vector<std::unique_ptr<Worker>> workers;
  std::unique_ptr<Acceptor> acceptor;
  std::vector<std::unique_ptr<SignalTarget>> signal_targets;
  std::vector<EventPtr> signal_events;
  std::vector<BoundSocket> sockets;
};

Server::Server() = default;
Server::~Server() = default;

std::optional<StartError> Server::Open(const Settings& settings) {
  evthread_use_pthreads();
  parts_ = std::make_unique<Parts>(settings);
  if (std::optional<StartError> error = parts_->OpenFiles()) return error;
  absl::StatusOr<std::vector<BoundSocket>> sockets = BindSockets(parts_->settings);
  if (!sockets.ok()) return Refusal(kExitOsError, sockets);
  parts_->sockets = *std::move(sockets);
  return std::nullopt;
}

std::vector<BoundPort> Server::Ports() const {
  std::vector<BoundPort> ports;
  for (const BoundSocket& socket : parts_->sockets) {
    ports.push_back({socket.datagram, static_cast<sa_family_t>(socket.family), socket.port});
  }
  return ports;
}

std::optional<StartError> Server::Run(absl::FunctionRef<std::optional<StartError>()> ready) {
  Parts& parts = *parts_;
  if (std::optional<StartError> error = parts.BuildStore()) return error;
  parts.BuildWorkers();
  parts.AddSignal(SIGTERM, &Parts::OnTerminate);
  parts.AddSignal(SIGINT, &Parts::OnTerminate);
  parts.AddSignal(SIGUSR1, &Parts::OnGraceful);
  parts.AddSignal(SIGHUP, &Parts::OnHangUp);

  parts.maintenance->Start();
  for (BoundSocket& socket : parts.sockets) {
    if (socket.datagram) {
      parts.workers.front()->ServeDatagrams(std::move(socket));
    } else {
      parts.acceptor->Listen(std::move(socket));
    }
  }
  for (const std::unique_ptr<Worker>& worker : parts.workers) worker->Start();
  ReleaseSignals();
  std::optional<StartError> error = ready();
  if (!error) event_base_dispatch(parts.base.get());

  parts.acceptor->Close();
  for (const std::unique_ptr<Worker>& worker : parts.workers) worker->Stop();
  parts.maintenance->Stop();
  parts.store->SetLossObserver(nullptr);
  return error;
}

std::optional<StartError> Server::Parts::OpenFiles() {
  if (!settings.auth_file.empty()) {
    auth_file = std::make_unique<AuthFile>(settings.auth_file);
    std::string error;
    std::string warning;
    if (!auth_file->Load(&error, &warning)) return Refusal(kExitFailure, error);
    if (!warning.empty()) fmt::print(stderr, "{}\n", warning);
  }
  if (settings.sasl) {
    absl::StatusOr<std::unique_ptr<SaslMechanisms>> made = MakeSaslMechanisms(settings);
    if (!made.ok()) return Refusal(kExitFailure, made);
    sasl = *std::move(made);
  }
  if (settings.tls_enabled) {
    absl::StatusOr<std::unique_ptr<TlsContexts>> made = TlsContexts::Make(settings);
    if (!made.ok()) return Refusal(kExitUsage, made);
    tls = *std::move(made);
  }
  return std::nullopt;
}

std::optional<StartError> Server::Parts::BuildStore() {
  storage::Config config = StoreConfig(settings);
  config.lock_memory = LockMemory(settings);
  absl::StatusOr<std::unique_ptr<storage::Store>> made = storage::Store::Create(config);
  if (!made.ok()) return Refusal(kExitFailure, made);
  store = *std::move(made);
  context.settings = &settings;
  context.runtime = &runtime;
  context.store = store.get();
  context.clock = &clock;
  context.log = &log;
  context.prefix_stats = &prefix_stats;
  context.process = &process;
  context.connections = &connections;
  context.auth_file = auth_file.get();
  context.sasl = sasl.get();
  context.tls = tls.get();
  maintenance = std::make_unique<Maintenance>(&context, settings.lru_crawler);
  context.maintenance = maintenance.get();
  log.SetWantedObserver([this](uint32_t wanted) {
    const bool evictions = (wanted & LogBit(LogKind::kEvictions)) != 0;
    store->SetLossObserver(evictions ? &eviction_log : nullptr);
  });
  return std::nullopt;
}

void Server::Parts::BuildWorkers() {
  base.reset(event_base_new());
  std::vector<Worker*> pointers;
  for (unsigned i = 0; i < settings.thread_count; ++i) {
    workers.push_back(std::make_unique<Worker>(&context, i));
    pointers.push_back(workers.back().get());
    context.worker_stats.push_back(workers.back()->stats());
  }
  acceptor = std::make_unique<Acceptor>(&context, base.get(), std::move(pointers));
  process.reserved_fds = kFdsOfMainLoop + kFdsPerWorker * settings.thread_count;
  context.on_connection_closed = [this] { acceptor->OnClientGone(); };
  context.request_shutdown = [this](bool graceful) { End(graceful); };
}

void Server::Parts::AddSignal(int signal_number, void (Parts::*action)()) {
  const auto on_signal = [](evutil_socket_t, short, void* argument) {
    const auto* target = static_cast<SignalTarget*>(argument);
    (target->parts->*target->action)();
  };
  signal_targets.push_back(std::make_unique<SignalTarget>(SignalTarget{this, action}));
  signal_events.emplace_back(
      evsignal_new(base.get(), signal_number, on_signal, signal_targets.back().get()));
  event_add(signal_events.back().get(), nullptr);
}

void Server::Parts::OnHangUp() {
  std::string error;
  std::string warning;
  if (auth_file != nullptr && !auth_file->Load(&error, &warning)) {
    fmt::print(stderr, "{}\n", error);
  }
  if (sasl != nullptr && !sasl->Reload(&error)) fmt::print(stderr, "{}\n", error);
  if (tls != nullptr && !tls->Reload(&error)) fmt::print(stderr, "{}\n", error);
}

void Server::Parts::End(bool graceful) {
  if (graceful) {
    fmt::print(stderr, "Gracefully stopping\n");
  } else if (runtime.verbosity.load(std::memory_order_relaxed) > 0) {
    fmt::print(stderr, "Exiting normally\n");
  }
  event_base_loopbreak(base.get());
}

}  // namespace cairn::server
