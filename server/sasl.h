#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/auth_file.h"
#include "server/settings.h"

/// SASL for the binary protocol (-S).
namespace cairn::server {

enum class SaslResult : uint8_t {
  kOk,
  kContinue,  ///< the client must answer `challenge` by a step
  kFail,
};
struct SaslOutcome {
  SaslResult result = SaslResult::kFail;
  std::string challenge;  ///< with kContinue, and what a mechanism sends along with success
};

/// One client's authentication. Used by one thread at a time; several may run at once.
class SaslSession {
 public:
  virtual ~SaslSession() = default;
  /// Begins anew with a mechanism of the list, in whichever case, and the client's first data.
  virtual SaslOutcome Start(std::string_view mechanism, std::string_view data) = 0;
  /// Goes on with the mechanism that was started; kFail when none was.
  virtual SaslOutcome Step(std::string_view data) = 0;
};

/// Which mechanisms there are and where passwords come from. Thread-safe once made.
class SaslMechanisms {
 public:
  virtual ~SaslMechanisms() = default;
  /// Names separated by blanks, as the client is told.
  virtual std::string List() const = 0;
  virtual std::unique_ptr<SaslSession> NewSession() const = 0;
  /// SIGHUP: reads the password file anew, where there is one of ours. False as AuthFile::Load.
  virtual bool Reload(std::string* error) = 0;
};

/// With $MEMCACHED_SASL_PWDB set: PLAIN against the "user:password" lines of that file, by
/// ourselves. Otherwise whatever Cyrus SASL is set up for (application name memcached,
/// $SASL_CONF_PATH or /etc/sasl2). Errors are lines without their end. Call once in a process.
absl::StatusOr<std::unique_ptr<SaslMechanisms>> MakeSaslMechanisms(const Settings& settings);

}  // namespace cairn::server
