// A load on a memcached-compatible server, for measuring what the server spends on a request.
//
//   wire_load --port=11211 --work=get --connections=50 --pipeline=30 --seconds=5 [--rate=REQUESTS]
//             [--keys=1000000] [--value=100] [--socket=PATH] [--tls] [--fill]
//
// One thread, so that it is pinned to one CPU while the server has another. --work is one of
// get, set, get10 (ten gets a set), mget (50 keys a request), mg, ms, mg10, bin10. Keys are uniform
// random. --fill stores every key first and ends. With --rate requests leave on a fixed schedule
// whether the server keeps up or not, and latency counts from when a request was due.
//
// Prints one line of JSON. Ends with 1 and a line on stderr when an answer is not what it must be:
// every get is to hit.

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;

constexpr unsigned kKeysOfMultiGet = 50;
constexpr unsigned kGetsPerSet = 10;
constexpr size_t kReadBytes = size_t{256} << 10;

[[noreturn]] void Fail(std::string_view why) {
  fmt::print(stderr, "wire_load: {}\n", why);
  std::exit(1);
}

struct Options {
  unsigned port = 0;
  std::string socket;
  bool tls = false;
  bool fill = false;
  std::string work = "get";
  unsigned connections = 50;
  unsigned pipeline = 1;
  double seconds = 5;
  double rate = 0;
  uint64_t keys = 1'000'000;
  size_t value = 100;
};

template <typename T>
bool Take(std::string_view argument, std::string_view name, T* to) {
  if (!argument.starts_with(name)) return false;
  argument.remove_prefix(name.size());
  if constexpr (std::is_same_v<T, std::string>) {
    *to = argument;
  } else {
    const auto end = argument.data() + argument.size();
    if (std::from_chars(argument.data(), end, *to).ptr != end) {
      Fail(fmt::format("{} takes a number, not '{}'", name, argument));
    }
  }
  return true;
}

Options ParseOptions(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    const bool known = Take(a, "--port=", &o.port) || Take(a, "--socket=", &o.socket) ||
                       Take(a, "--work=", &o.work) || Take(a, "--connections=", &o.connections) ||
                       Take(a, "--pipeline=", &o.pipeline) || Take(a, "--seconds=", &o.seconds) ||
                       Take(a, "--rate=", &o.rate) || Take(a, "--keys=", &o.keys) ||
                       Take(a, "--value=", &o.value);
    if (a == "--tls") {
      o.tls = true;
    } else if (a == "--fill") {
      o.fill = true;
    } else if (!known) {
      Fail(fmt::format("unknown option '{}'", a));
    }
  }
  if (o.connections == 0 || o.pipeline == 0 || o.keys == 0) Fail("a number is 0");
  return o;
}

enum class Kind : uint8_t { kGet, kSet, kMultiGet, kMetaGet, kMetaSet, kBinaryGet, kBinarySet };

/// Composes requests and tells where answers end.
class Workload {
 public:
  explicit Workload(const Options& options) : options_(options), value_(options.value, 'x') {
    if (options.work == "get") {
      often_ = rarely_ = Kind::kGet;
    } else if (options.work == "set") {
      often_ = rarely_ = Kind::kSet;
    } else if (options.work == "get10") {
      often_ = Kind::kGet, rarely_ = Kind::kSet;
    } else if (options.work == "mget") {
      often_ = rarely_ = Kind::kMultiGet;
    } else if (options.work == "mg") {
      often_ = rarely_ = Kind::kMetaGet;
    } else if (options.work == "ms") {
      often_ = rarely_ = Kind::kMetaSet;
    } else if (options.work == "mg10") {
      often_ = Kind::kMetaGet, rarely_ = Kind::kMetaSet;
    } else if (options.work == "bin10") {
      often_ = Kind::kBinaryGet, rarely_ = Kind::kBinarySet;
    } else {
      Fail(fmt::format("no work '{}'", options.work));
    }
  }

  Kind Append(std::string* out) {
    const Kind kind = ++count_ % (kGetsPerSet + 1) == 0 ? rarely_ : often_;
    switch (kind) {
      case Kind::kGet:
        fmt::format_to(std::back_inserter(*out), "get key-{}\r\n", RandomKey());
        break;
      case Kind::kSet:
        AppendSet(RandomKey(), out);
        break;
      case Kind::kMultiGet:
        *out += "get";
        for (unsigned i = 0; i < kKeysOfMultiGet; ++i) {
          fmt::format_to(std::back_inserter(*out), " key-{}", RandomKey());
        }
        *out += "\r\n";
        break;
      case Kind::kMetaGet:
        fmt::format_to(std::back_inserter(*out), "mg key-{} v\r\n", RandomKey());
        break;
      case Kind::kMetaSet:
        fmt::format_to(std::back_inserter(*out), "ms key-{} {}\r\n{}\r\n", RandomKey(),
                       value_.size(), value_);
        break;
      case Kind::kBinaryGet:
        AppendBinary(0x00, 0, "", out);
        break;
      case Kind::kBinarySet:
        AppendBinary(0x01, 8, value_, out);
        break;
    }
    return kind;
  }

  void AppendSet(uint64_t key, std::string* out) const {
    fmt::format_to(std::back_inserter(*out), "set key-{} 0 0 {}\r\n{}\r\n", key, value_.size(),
                   value_);
  }

  /// How many bytes of `in` are the whole answer to a request; 0 when it is not complete.
  size_t AnswerBytes(Kind kind, std::string_view in) const {
    switch (kind) {
      case Kind::kSet:
        return Line(in, "STORED\r\n");
      case Kind::kMetaSet:
        return Line(in, "HD\r\n");
      case Kind::kGet:
        return Values(in, 1);
      case Kind::kMultiGet:
        return Values(in, kKeysOfMultiGet);
      case Kind::kMetaGet: {
        const size_t header = ValueHeader(in, "VA ", 1);
        return header != 0 && in.size() >= header + value_.size() + 2 ? header + value_.size() + 2
                                                                      : 0;
      }
      case Kind::kBinaryGet:
        return BinaryAnswer(in, 4 + value_.size());
      case Kind::kBinarySet:
        return BinaryAnswer(in, 0);
    }
    return 0;
  }

 private:
  uint64_t RandomKey() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>(static_cast<Wide>(state_) * options_.keys >> 64);
  }

  void AppendBinary(char opcode, size_t extras, std::string_view value, std::string* out) {
    const std::string key = fmt::format("key-{}", RandomKey());
    const size_t body = extras + key.size() + value.size();
    char header[24] = {'\x80', opcode};
    header[3] = static_cast<char>(key.size());
    header[4] = static_cast<char>(extras);
    for (int i = 0; i < 4; ++i) header[8 + i] = static_cast<char>(body >> (24 - 8 * i));
    out->append(header, sizeof header).append(extras, '\0').append(key).append(value);
  }

  static size_t Line(std::string_view in, std::string_view wanted) {
    if (in.size() < wanted.size()) return 0;
    if (!in.starts_with(wanted)) Unexpected(in);
    return wanted.size();
  }

  [[noreturn]] static void Unexpected(std::string_view in) {
    Fail(fmt::format("unexpected answer: {}", in.substr(0, std::min<size_t>(in.find('\r'), 80))));
  }

  /// The length of a line `word [<key> <flags>] <bytes> ...`, whose bytes must be ours.
  size_t ValueHeader(std::string_view in, std::string_view word, unsigned bytes_token) const {
    const size_t end = in.find('\n');
    if (end == in.npos) return 0;
    if (!in.starts_with(word)) Unexpected(in);
    size_t at = 0;
    for (unsigned i = 0; i < bytes_token; ++i) at = in.find(' ', at) + 1;
    size_t bytes = 0;
    std::from_chars(in.data() + at, in.data() + end, bytes);
    if (bytes != value_.size()) Unexpected(in);
    return end + 1;
  }

  size_t Values(std::string_view in, unsigned count) const {
    constexpr std::string_view kEnd = "END\r\n";
    size_t at = 0;
    for (unsigned i = 0; i < count; ++i) {
      const size_t header = ValueHeader(in.substr(at), "VALUE ", 3);
      if (header == 0 || in.size() < at + header + value_.size() + 2) return 0;
      at += header + value_.size() + 2;
    }
    if (in.size() < at + kEnd.size()) return 0;
    if (in.substr(at, kEnd.size()) != kEnd) Unexpected(in.substr(at));
    return at + kEnd.size();
  }

  static size_t BinaryAnswer(std::string_view in, size_t body) {
    if (in.size() < 24 + body) return 0;
    if (in[6] != 0 || in[7] != 0) Fail(fmt::format("unexpected status {}", int{in[7]}));
    return 24 + body;
  }

  const Options& options_;
  const std::string value_;
  Kind often_ = Kind::kGet;
  Kind rarely_ = Kind::kGet;
  uint64_t count_ = 0;
  uint64_t state_ = std::random_device{}();
};

/// A non-blocking connection with what is on its way.
class Connection {
 public:
  Connection(const Options& options, SSL_CTX* tls) : fd_(Open(options)) {
    if (tls != nullptr) {
      ssl_.reset(SSL_new(tls));
      SSL_set_fd(ssl_.get(), fd_);
      if (SSL_connect(ssl_.get()) != 1) Fail("TLS handshake failed");
    }
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  bool idle() const { return waiting_.empty(); }

  /// Sends `requests` of the workload; their latency counts from `due`.
  void Start(Workload* workload, unsigned requests, Clock::time_point due) {
    due_ = due;
    for (unsigned i = 0; i < requests; ++i) waiting_.push_back(workload->Append(&out_));
    Flush();
  }

  void Flush() {
    while (sent_ < out_.size()) {
      const char* const from = out_.data() + sent_;
      const size_t size = out_.size() - sent_;
      const ssize_t n = ssl_ == nullptr ? send(fd_, from, size, MSG_NOSIGNAL)
                                        : SSL_write(ssl_.get(), from, static_cast<int>(size));
      if (n <= 0) return;  // epoll tells when there is room
      sent_ += static_cast<size_t>(n);
    }
    out_.clear();
    sent_ = 0;
  }

  /// Reads and takes whole answers; true when the last of what was started has come. `buffer` is
  /// lent by the caller: one for all connections stays in the cache.
  bool Receive(const Workload& workload, std::vector<char>* buffer) {
    size_t have = rest_.size();
    rest_.copy(buffer->data(), have);
    for (;;) {
      if (buffer->size() - have < kReadBytes) buffer->resize(buffer->size() + kReadBytes);
      const ssize_t n = ssl_ == nullptr
                            ? recv(fd_, buffer->data() + have, kReadBytes, 0)
                            : SSL_read(ssl_.get(), buffer->data() + have, int{kReadBytes});
      if (n == 0 || (n < 0 && ssl_ == nullptr && errno != EAGAIN && errno != EWOULDBLOCK)) {
        Fail("the server closed a connection");
      }
      if (n < 0) break;
      have += static_cast<size_t>(n);
      if (ssl_ == nullptr && static_cast<size_t>(n) < kReadBytes) break;
    }
    std::string_view left(buffer->data(), have);
    while (!waiting_.empty()) {
      const size_t bytes = workload.AnswerBytes(waiting_.front(), left);
      if (bytes == 0) break;
      left.remove_prefix(bytes);
      waiting_.pop_front();
    }
    rest_.assign(left);
    return waiting_.empty();
  }

  Clock::time_point due() const { return due_; }

 private:
  static int Open(const Options& options) {
    const bool local = !options.socket.empty();
    const int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    sockaddr_un path{.sun_family = AF_UNIX, .sun_path = {}};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    options.socket.copy(path.sun_path, sizeof path.sun_path - 1);
    const auto* to = local ? reinterpret_cast<const sockaddr*>(&path)
                           : reinterpret_cast<const sockaddr*>(&address);
    if (connect(fd, to, local ? sizeof path : sizeof address) != 0) Fail("cannot connect");
    const int on = 1;
    if (!local) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }

  struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  const int fd_;
  std::unique_ptr<SSL, SslFree> ssl_;
  std::deque<Kind> waiting_;
  std::string out_;
  size_t sent_ = 0;
  std::string rest_;  // of an answer
  Clock::time_point due_;
};

void Fill(const Options& options, SSL_CTX* tls) {
  Options sets = options;
  sets.work = "set";
  const Workload workload(sets);
  Connection connection(options, tls);
  fcntl(connection.fd(), F_SETFL, 0);
  if (tls != nullptr) Fail("fill over the plain port");
  constexpr std::string_view kStored = "STORED\r\n";
  std::string out;
  std::string in;
  for (uint64_t key = 0; key < options.keys;) {
    out.clear();
    uint64_t batch = 0;
    for (; batch < 500 && out.size() < 65536 && key < options.keys; ++batch, ++key) {
      workload.AppendSet(key, &out);
    }
    for (size_t sent = 0; sent < out.size();) {
      const ssize_t n = send(connection.fd(), out.data() + sent, out.size() - sent, 0);
      if (n <= 0) Fail("cannot fill");
      sent += static_cast<size_t>(n);
    }
    in.resize(batch * kStored.size());
    if (recv(connection.fd(), in.data(), in.size(), MSG_WAITALL) !=
        static_cast<ssize_t>(in.size())) {
      Fail("cannot fill");
    }
    for (uint64_t i = 0; i < batch; ++i) {
      if (in.substr(i * kStored.size(), kStored.size()) != kStored) Fail("a set was not stored");
    }
  }
}

class Run {
 public:
  Run(const Options& options, SSL_CTX* tls) : options_(options), workload_(options) {
    for (unsigned i = 0; i < options.connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(options, tls));
      idle_.push_back(connections_.back().get());
      epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = idle_.back()}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back()->fd(), &event);
    }
  }

  void Measure() {
    const Clock::time_point begin = Clock::now();
    const auto length =
        std::chrono::duration_cast<Clock::duration>(duration<double>(options_.seconds));
    const Clock::time_point end = begin + length;
    Clock::time_point now = begin;
    next_due_ = begin;
    while (now < end) {
      StartWhatIsDue(now);
      Wait();
      now = Clock::now();
    }
    Print(duration<double>(now - begin).count());
  }

 private:
  void StartWhatIsDue(Clock::time_point now) {
    while (!idle_.empty() && (options_.rate == 0 || next_due_ <= now)) {
      Connection* const connection = idle_.front();
      idle_.pop_front();
      connection->Start(&workload_, options_.pipeline, options_.rate == 0 ? now : next_due_);
      if (options_.rate == 0) continue;
      next_due_ += std::chrono::duration_cast<Clock::duration>(
          duration<double>(options_.pipeline / options_.rate));
    }
  }

  void Wait() {
    epoll_event events[64];
    // With a rate it looks without sleeping: a sleep is longer than what it measures.
    const int n = epoll_wait(epoll_, events, 64, options_.rate == 0 ? 100 : 0);
    for (int i = 0; i < n; ++i) {
      auto* const connection = static_cast<Connection*>(events[i].data.ptr);
      connection->Flush();
      if (connection->idle() || !connection->Receive(workload_, &buffer_)) continue;
      latencies_us_.push_back(
          duration<float, std::micro>(Clock::now() - connection->due()).count());
      requests_ += options_.pipeline;
      idle_.push_back(connection);
    }
  }

  float Percentile(double share) {
    if (latencies_us_.empty()) return 0;
    const auto at = latencies_us_.begin() +
                    static_cast<ptrdiff_t>(share * static_cast<double>(latencies_us_.size() - 1));
    std::nth_element(latencies_us_.begin(), at, latencies_us_.end());
    return *at;
  }

  void Print(double seconds) {
    fmt::print(
        "{{\"requests\": {}, \"seconds\": {:.3f}, \"p50_us\": {:.1f}, \"p99_us\": {:.1f}}}\n",
        requests_, seconds, Percentile(0.5), Percentile(0.99));
  }

  const Options& options_;
  Workload workload_;
  const int epoll_ = epoll_create1(0);
  std::vector<std::unique_ptr<Connection>> connections_;
  std::deque<Connection*> idle_;
  Clock::time_point next_due_;
  std::vector<char> buffer_ = std::vector<char>(kReadBytes * 2);
  uint64_t requests_ = 0;
  std::vector<float> latencies_us_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  SSL_CTX* const tls = options.tls ? SSL_CTX_new(TLS_client_method()) : nullptr;
  if (options.fill) {
    Fill(options, tls);
  } else {
    Run(options, tls).Measure();
  }
  SSL_CTX_free(tls);
}
