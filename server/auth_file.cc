#include "server/auth_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "fmt/format.h"

namespace cairn::server {
namespace {

// Generous: a file of this kind has a few short lines.
constexpr size_t kMaxFileBytes = size_t{16} << 20;

// Errno says why, when it fails.
bool ReadFile(const std::string& path, std::string* text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             &std::fclose);
  if (file == nullptr) return false;
  char buffer[4096];
  size_t n = 0;
  while ((n = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) {
    text->append(buffer, n);
    if (text->size() > kMaxFileBytes) {
      errno = EFBIG;
      return false;
    }
  }
  return std::ferror(file.get()) == 0;
}

}  // namespace

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    // volatile: the compiler must not stop at the first difference.
    const volatile unsigned char x = static_cast<unsigned char>(a[i]);
    const volatile unsigned char y = static_cast<unsigned char>(b[i]);
    difference = static_cast<unsigned char>(difference | (x ^ y));
  }
  return difference == 0;
}

AuthFile::AuthFile(std::string path, size_t max_entries)
    : path_(std::move(path)), max_entries_(max_entries) {}

bool AuthFile::Load(std::string* error, std::string* warning) {
  std::string text;
  errno = 0;
  if (!ReadFile(path_, &text)) {
    *error = fmt::format("Could not open authfile [{}] for reading, error {}", path_,
                         std::strerror(errno));
    return false;
  }
  std::vector<Entry> entries;
  std::string_view rest = text;
  bool cut = false;
  while (!rest.empty() && (max_entries_ == 0 || entries.size() < max_entries_)) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    line = line.substr(0, line.find('\r'));
    if (line.size() > kMaxLineBytes) {
      line = line.substr(0, kMaxLineBytes);
      cut = true;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.find('\0') != std::string_view::npos) {
      entries.clear();
      break;
    }
    entries.push_back({std::string(line.substr(0, colon)), std::string(line.substr(colon + 1))});
  }
  if (entries.empty()) {
    *error = fmt::format("Authfile [{}] has a malformed entry. Should be 'user:password'", path_);
    return false;
  }
  if (warning != nullptr && cut) {
    *warning = fmt::format("Authfile [{}]: only the first {} bytes of a line are used", path_,
                           kMaxLineBytes);
  } else if (warning != nullptr && !rest.empty()) {
    *warning = fmt::format("Authfile [{}]: only the first {} users are used", path_, max_entries_);
  }
  const absl::MutexLock lock(&mutex_);
  entries_ = std::move(entries);
  return true;
}

bool AuthFile::Check(std::string_view user, std::string_view password) const {
  bool found = false;
  const absl::MutexLock lock(&mutex_);
  for (const Entry& entry : entries_) {
    const bool same_user = EqualInConstantTime(entry.user, user);
    const bool same_password = EqualInConstantTime(entry.password, password);
    found = found || (same_user && same_password);
  }
  return found;
}

}  // namespace cairn::server
