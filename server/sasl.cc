// PLAIN (RFC 4616) against a file of ours; sasl_cyrus.cc has everything else.
#include "server/sasl.h"

#include <sys/stat.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "fmt/format.h"
#include "server/sasl_cyrus.h"

namespace cairn::server {
namespace {

constexpr std::string_view kPlain = "PLAIN";

/// A password file that is read again when it has changed, since memcached's takes edits at once.
class PasswordFile {
 public:
  explicit PasswordFile(std::string path) : file_(std::move(path), /*max_entries=*/0) {}

  bool Load(std::string* error) {
    const absl::MutexLock lock(&mutex_);
    return LoadLocked(error);
  }

  bool Check(std::string_view user, std::string_view password) {
    {
      const absl::MutexLock lock(&mutex_);
      std::string error;
      if (!(Look() == seen_) && !LoadLocked(&error)) fmt::print(stderr, "{}\n", error);
    }
    return file_.Check(user, password);
  }

 private:
  struct Version {
    ino_t inode = 0;
    off_t bytes = 0;
    timespec changed{};
    friend bool operator==(const Version& a, const Version& b) {
      return a.inode == b.inode && a.bytes == b.bytes && a.changed.tv_sec == b.changed.tv_sec &&
             a.changed.tv_nsec == b.changed.tv_nsec;
    }
  };

  Version Look() const {
    struct stat status {};
    if (stat(file_.path().c_str(), &status) != 0) return {};
    return {status.st_ino, status.st_size, status.st_mtim};
  }

  // A file that is being written is seen changed again when it is complete.
  bool LoadLocked(std::string* error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    seen_ = Look();
    return file_.Load(error, nullptr);
  }

  AuthFile file_;
  absl::Mutex mutex_;
  Version seen_ ABSL_GUARDED_BY(mutex_);
};

class PlainSession : public SaslSession {
 public:
  explicit PlainSession(PasswordFile* file) : file_(file) {}

  SaslOutcome Start(std::string_view mechanism, std::string_view data) override {
    started_ = absl::EqualsIgnoreCase(absl::string_view(mechanism.data(), mechanism.size()),
                                      absl::string_view(kPlain.data(), kPlain.size()));
    if (!started_) return {};
    // Who sends nothing along is asked for it.
    if (data.empty()) return {SaslResult::kContinue, ""};
    return Step(data);
  }

  SaslOutcome Step(std::string_view data) override {
    if (!std::exchange(started_, false)) return {};
    // [authorization identity] NUL user NUL password
    const size_t first = data.find('\0');
    if (first == std::string_view::npos) return {};
    const size_t second = data.find('\0', first + 1);
    if (second == std::string_view::npos) return {};
    const std::string_view identity = data.substr(0, first);
    const std::string_view user = data.substr(first + 1, second - first - 1);
    const std::string_view password = data.substr(second + 1);
    // Nobody may act for another.
    if (user.empty() || (!identity.empty() && identity != user)) return {};
    if (!file_->Check(user, password)) return {};
    return {SaslResult::kOk, ""};
  }

 private:
  PasswordFile* const file_;
  bool started_ = false;
};

class PlainMechanisms : public SaslMechanisms {
 public:
  explicit PlainMechanisms(std::string path) : file_(std::move(path)) {}

  std::string List() const override { return std::string(kPlain); }
  std::unique_ptr<SaslSession> NewSession() const override {
    return std::make_unique<PlainSession>(&file_);
  }
  bool Reload(std::string* error) override { return file_.Load(error); }

 private:
  mutable PasswordFile file_;  // thread-safe
};

}  // namespace

absl::StatusOr<std::unique_ptr<SaslMechanisms>> MakeSaslMechanisms(const Settings& settings) {
  const char* const path = std::getenv("MEMCACHED_SASL_PWDB");
  if (path == nullptr || *path == '\0') return MakeCyrusMechanisms(settings);
  auto mechanisms = std::make_unique<PlainMechanisms>(path);
  std::string error;
  if (!mechanisms->Reload(&error)) return absl::InvalidArgumentError(error);
  return mechanisms;
}

}  // namespace cairn::server
