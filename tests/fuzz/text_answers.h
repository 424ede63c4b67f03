// Text answers as the fuzzers compare them.
#pragma once

#include <string>
#include <string_view>

namespace cairn::server {

/// An answer without the lines of statistics: some of what they say is about the process.
inline std::string WithoutStatistics(std::string_view answer) {
  std::string text;
  while (!answer.empty()) {
    const size_t end = answer.find('\n');
    const std::string_view line = answer.substr(0, end == answer.npos ? end : end + 1);
    answer.remove_prefix(line.size());
    if (!line.starts_with("STAT ")) text += line;
  }
  return text;
}

/// True when an answer depends on which bytes came in one read, and rightly so: watch and the dumps
/// want to be first, and an unfinished line may be given up for its length.
inline bool DependsOnReads(std::string_view bytes) {
  for (const std::string_view word : {"watch", "metadump", "mgdump"}) {
    if (bytes.find(word) != bytes.npos) return true;
  }
  size_t line = 0;
  for (const char c : bytes) {
    line = c == '\n' ? 0 : line + 1;
    if (line > 2000) return true;
  }
  return false;
}

}  // namespace cairn::server
