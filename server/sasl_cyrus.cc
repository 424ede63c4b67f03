#include "server/sasl_cyrus.h"

#ifdef CAIRN_HAVE_SASL

#include <sasl/sasl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <mutex>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace cairn::server {
namespace {

constexpr const char* kApplication = "memcached";  // so that memcached's set-up is found
constexpr std::string_view kNoConfiguration =
    "Error initializing sasl. There is no memcached.conf in /etc/sasl2: say where by "
    "SASL_CONF_PATH, or name a file of user:password lines by MEMCACHED_SASL_PWDB.";

// Cyrus is only thread-safe with locks that it is given.
void* NewMutex() { return new std::mutex; }
int LockMutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->lock();
  return SASL_OK;
}
int UnlockMutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->unlock();
  return SASL_OK;
}
void FreeMutex(void* mutex) { delete static_cast<std::mutex*>(mutex); }

int Log(void* context, int level, const char* message) {
  const unsigned verbosity = *static_cast<const unsigned*>(context);
  if (message == nullptr || level == SASL_LOG_NONE) return SASL_OK;
  if (level == SASL_LOG_PASS) return SASL_OK;  // has passwords in it
  const unsigned needed = level == SASL_LOG_ERR                              ? 0
                          : level == SASL_LOG_FAIL || level == SASL_LOG_WARN ? 1
                                                                             : 2;
  if (verbosity >= needed) fmt::print(stderr, "SASL (severity {}): {}\n", level, message);
  return SASL_OK;
}

// The folder of memcached.conf, or empty. memcached looks at these and no other.
std::string ConfigurationFolder() {
  const char* const given = std::getenv("SASL_CONF_PATH");
  if (given != nullptr) return given;
  for (const char* const folder : {"/etc/sasl", "/etc/sasl2"}) {
    if (access(fmt::format("{}/memcached.conf", folder).c_str(), F_OK) == 0) return folder;
  }
  return {};
}

int GiveConfigurationFolder(void*, char** path) {
  // The library looks at it while it starts, and frees nothing.
  static std::string folder;
  folder = ConfigurationFolder();
  *path = folder.data();
  return SASL_OK;
}

// The table holds functions of several types; who reads it knows them by their id.
template <typename Function>
sasl_callback_t Callback(unsigned long id, Function* function, void* context) {
  auto* const untyped = reinterpret_cast<void (*)()>(function);
  return {id, reinterpret_cast<int (*)()>(untyped), context};
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = "";
  if (gethostname(name, sizeof name - 1) != 0) return {};
  return name;
}

struct ConnectionFree {
  void operator()(sasl_conn_t* connection) const { sasl_dispose(&connection); }
};
using Connection = std::unique_ptr<sasl_conn_t, ConnectionFree>;

Connection NewConnection(const std::string& host) {
  sasl_conn_t* connection = nullptr;
  const int result = sasl_server_new(kApplication, nullptr, host.empty() ? nullptr : host.c_str(),
                                     nullptr, nullptr, nullptr, 0, &connection);
  return Connection(result == SASL_OK ? connection : nullptr);
}

class CyrusSession : public SaslSession {
 public:
  explicit CyrusSession(const std::string& host) : host_(host) {}

  SaslOutcome Start(std::string_view mechanism, std::string_view data) override {
    // A connection cannot be started twice.
    connection_ = NewConnection(host_);
    if (connection_ == nullptr) return {};
    const char* out = nullptr;
    unsigned out_bytes = 0;
    const int result = sasl_server_start(connection_.get(), std::string(mechanism).c_str(),
                                         data.empty() ? nullptr : data.data(),
                                         static_cast<unsigned>(data.size()), &out, &out_bytes);
    return Outcome(result, out, out_bytes);
  }

  SaslOutcome Step(std::string_view data) override {
    if (connection_ == nullptr) return {};
    const char* out = nullptr;
    unsigned out_bytes = 0;
    const int result = sasl_server_step(connection_.get(), data.empty() ? nullptr : data.data(),
                                        static_cast<unsigned>(data.size()), &out, &out_bytes);
    return Outcome(result, out, out_bytes);
  }

 private:
  SaslOutcome Outcome(int result, const char* out, unsigned out_bytes) {
    SaslOutcome outcome;
    if (out != nullptr) outcome.challenge.assign(out, out_bytes);
    if (result == SASL_CONTINUE) {
      outcome.result = SaslResult::kContinue;
      return outcome;
    }
    if (result == SASL_OK) outcome.result = SaslResult::kOk;
    connection_.reset();
    return outcome;
  }

  const std::string host_;
  Connection connection_;
};

class CyrusMechanisms : public SaslMechanisms {
 public:
  CyrusMechanisms(unsigned verbosity, std::string folder)
      : verbosity_(verbosity),
        folder_(std::move(folder)),
        host_(HostName()),
        callbacks_{Callback(SASL_CB_LOG, &Log, &verbosity_),
                   Callback(SASL_CB_GETCONFPATH, &GiveConfigurationFolder, &folder_),
                   sasl_callback_t{SASL_CB_LIST_END, nullptr, nullptr}} {}
  ~CyrusMechanisms() override {
    if (initialised_) sasl_server_done();
  }

  bool Init() {
    sasl_set_mutex(&NewMutex, &LockMutex, &UnlockMutex, &FreeMutex);
    initialised_ = sasl_server_init(callbacks_.data(), kApplication) == SASL_OK;
    return initialised_;
  }

  std::string List() const override {
    const Connection connection = NewConnection(host_);
    if (connection == nullptr) return {};
    const char* names = nullptr;
    unsigned bytes = 0;
    if (sasl_listmech(connection.get(), nullptr, "", " ", "", &names, &bytes, nullptr) != SASL_OK) {
      return {};
    }
    return std::string(names, bytes);
  }

  std::unique_ptr<SaslSession> NewSession() const override {
    return std::make_unique<CyrusSession>(host_);
  }

  bool Reload(std::string*) override { return true; }  // Cyrus asks its database each time

 private:
  unsigned verbosity_;
  std::string folder_;
  const std::string host_;
  // Cyrus keeps a pointer to it and writes to neither.
  std::array<sasl_callback_t, 3> callbacks_;
  bool initialised_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SaslMechanisms>> MakeCyrusMechanisms(const Settings& settings) {
  std::string folder = ConfigurationFolder();
  if (folder.empty()) {
    return absl::FailedPreconditionError(std::string(kNoConfiguration));
  }
  auto mechanisms = std::make_unique<CyrusMechanisms>(settings.verbosity, std::move(folder));
  if (!mechanisms->Init()) return absl::InternalError("Error initializing sasl.");
  return mechanisms;
}

}  // namespace cairn::server

#else

namespace cairn::server {

absl::StatusOr<std::unique_ptr<SaslMechanisms>> MakeCyrusMechanisms(const Settings&) {
  return absl::UnimplementedError(
      "This server is not built with SASL support. Name a file of user:password lines by "
      "MEMCACHED_SASL_PWDB.");
}

}  // namespace cairn::server

#endif
