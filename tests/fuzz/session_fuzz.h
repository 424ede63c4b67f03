// What the fuzzers of the protocols share: the same bytes are sent to two servers that do not know
// each other, to one at once, to the other in pieces, and both must answer the same.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tests/server/session_fixture.h"

namespace cairn::server {

/// The bytes of a run, and where to cut them. Cuts come from the end of the fuzzer's data, so that
/// the rest is what a dictionary or a corpus says it is.
struct FuzzInput {
  std::string bytes;
  std::vector<size_t> pieces;  ///< lengths; what is left behind the last is one more
  bool stretched = false;      ///< has a large value

  FuzzInput(const uint8_t* data, size_t size) {
    FuzzedDataProvider provider(data, size);
    const auto cuts = provider.ConsumeIntegralInRange<size_t>(0, 8);
    for (size_t i = 0; i < cuts; ++i) {
      pieces.push_back(provider.ConsumeIntegralInRange<size_t>(1, 300));
    }
    const auto stretch_at = provider.ConsumeIntegral<uint16_t>();
    bytes = provider.ConsumeRemainingBytesAsString();
    // Values that are too large for the input buffer are beyond what a fuzzer grows by itself.
    stretched = stretch_at != 0 && stretch_at <= bytes.size();
    if (stretched) bytes.insert(stretch_at, kStretchBytes, 'x');
  }

  static constexpr size_t kStretchBytes = 20000;
};

inline Settings FuzzSettings(const FuzzInput& input) {
  Settings settings;
  // How many CAS uniques a large value takes depends on how it arrived.
  settings.use_cas = !input.stretched;
  settings.memory_limit_bytes = uint64_t{8} << 20;
  settings.max_item_bytes = uint64_t{256} << 10;
  return settings;
}

/// Sends pieces as a connection does: what is large goes where the session says.
class FuzzClient {
 public:
  FuzzClient(const FuzzInput& input, WireProtocol protocol)
      : fixture_(FuzzSettings(input)),
        client_(&fixture_, {.protocol = protocol, .negotiable = false}) {}

  void Send(std::string_view bytes) {
    while (!closed() && !taken_over()) {
      const std::span<char> target = client_.session.BodyTarget();
      const size_t n = std::min(target.size(), bytes.size());
      if (n == 0) break;
      std::copy_n(bytes.data(), n, target.data());
      bytes.remove_prefix(n);
      Output out;
      const SessionStatus status = client_.session.BodyReceived(n, &out);
      Collect(out);
      closed_ = status == SessionStatus::kClose;
    }
    if (closed() || taken_over()) return;
    answer_ += client_.Send(bytes);
    // What a client turns on with `verbosity` only slows the fuzzer down.
    fixture_.runtime.verbosity = 0;
  }

  const std::string& answer() const { return answer_; }
  bool closed() const { return closed_ || client_.closed(); }
  /// `watch`: the connection listens to no more commands.
  bool taken_over() const { return client_.session.watch != nullptr; }

 private:
  void Collect(Output& out) {
    while (!out.empty()) {
      iovec vector;
      if (out.Gather({&vector, 1}) == 0) std::abort();
      answer_.append(static_cast<const char*>(vector.iov_base), vector.iov_len);
      out.Consume(vector.iov_len);
    }
  }

  ServerFixture fixture_;
  Client client_;
  std::string answer_;
  bool closed_ = false;
};

/// Shows an answer from a little before it leaves the other.
inline void Explain(const char* name, bool closed, std::string_view answer,
                    std::string_view other) {
  const auto [here, there] =
      std::mismatch(answer.begin(), answer.end(), other.begin(), other.end());
  const auto differs = static_cast<size_t>(here - answer.begin());
  std::fprintf(stderr, "%s: closed %d, %zu bytes, from %zu on: ", name, closed, answer.size(),
               differs);
  const size_t begin = differs < 40 ? 0 : differs - 40;
  for (const char c : answer.substr(begin, 80)) {
    const bool plain = c >= ' ' && c <= '~';
    std::fprintf(stderr, plain ? "%c" : "\\x%02x", static_cast<unsigned char>(c));
  }
  std::fputc('\n', stderr);
}

/// Answers at once and in pieces; `comparable` takes from an answer what depends on more than the
/// bytes sent.
template <typename Comparable>
void FuzzProtocol(const FuzzInput& input, WireProtocol protocol, Comparable comparable) {
  FuzzClient whole(input, protocol);
  whole.Send(input.bytes);
  FuzzClient cut(input, protocol);
  std::string_view left = input.bytes;
  for (const size_t piece : input.pieces) {
    cut.Send(left.substr(0, piece));
    left.remove_prefix(std::min(piece, left.size()));
  }
  cut.Send(left);
  const std::string expected = comparable(whole.answer());
  const std::string got = comparable(cut.answer());
  if (whole.closed() == cut.closed() && expected == got) return;
  Explain("whole", whole.closed(), expected, got);
  Explain("cut", cut.closed(), got, expected);
  std::abort();
}

}  // namespace cairn::server
