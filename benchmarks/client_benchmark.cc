// What a client library costs, one load a run: libcairn, libmemcached (when it was found), and a
// bare loop over sockets as the floor. client_benchmark.py runs them by turns and prints the table.
//
//   client_benchmark <library> <work> <seconds> <port>...
//
// library: cairn, libmemcached, floor.  work: load, get, set, mget, mset, qset, threads, place.
// One line: library, work, operations a second, CPU nanoseconds an operation.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cairn/client.h"

#ifdef CAIRN_HAVE_LIBMEMCACHED
#include <libmemcached/memcached.h>
#endif

namespace {

constexpr size_t kKeys = 100'000;
constexpr size_t kBatch = 100;
// Of values that are stored quietly; libmemcached's and the floor's buffers take no notice of it.
constexpr size_t kBulk = 1000;
constexpr size_t kThreads = 64;

[[noreturn]] void Die(const std::string& why) {
  fprintf(stderr, "client_benchmark: %s\n", why.c_str());
  exit(1);
}

void Check(bool ok, const char* what) {
  if (!ok) Die(what);
}

class Keys {
 public:
  Keys() {
    for (size_t i = 0; i < kKeys; ++i) {
      char text[32];
      snprintf(text, sizeof(text), "bench:key:%08zu", i);
      keys_.emplace_back(text);
    }
  }
  const std::string& Next(uint64_t* state) const {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return keys_[(*state >> 32) % kKeys];
  }
  const std::vector<std::string>& all() const { return keys_; }

 private:
  std::vector<std::string> keys_;
};

const Keys& TheKeys() {
  static const Keys keys;
  return keys;
}

// One library's way of doing each load; a call does one operation, or kBatch of them.
class Library {
 public:
  virtual ~Library() = default;
  virtual void Get(const std::string& key) = 0;
  virtual void Set(const std::string& key) = 0;
  virtual void GetBatch(const std::vector<std::string_view>& keys) = 0;
  virtual void SetBatch(const std::vector<std::string_view>& keys) = 0;
  // Without an answer for each; Finish() when the server has them all.
  virtual void SetQuietly(const std::vector<std::string_view>& keys) = 0;
  virtual void Finish() {}
  virtual size_t Place(const std::string& key) = 0;
};

const std::string& TheValue() {
  static const std::string value(100, 'v');
  return value;
}

class Cairn final : public Library {
 public:
  explicit Cairn(const std::vector<uint16_t>& ports, std::shared_ptr<cairn::Client> shared = {})
      : client_(std::move(shared)) {
    if (client_ != nullptr) return;
    cairn::ClientOptions options;
    for (const uint16_t port : ports) {
      cairn::Server server;
      server.host = "127.0.0.1";
      server.port = port;
      options.servers.push_back(server);
    }
    options.placement = cairn::PlacementOptions::For(cairn::PlacementPreset::kLibmemcachedWeighted);
    auto made = cairn::Client::Make(options);
    Check(made.ok(), "no client");
    client_ = std::move(*made);
  }
  std::shared_ptr<cairn::Client> client() const { return client_; }

  void Get(const std::string& key) override {
    const auto got = client_->Get(key);
    Check(got.ok() && got->has_value(), "a get failed");
  }
  void Set(const std::string& key) override {
    Check(client_->Set(key, TheValue()).ok(), "a set failed");
  }
  void GetBatch(const std::vector<std::string_view>& keys) override {
    const auto got = client_->GetMulti(keys);
    for (size_t i = 0; i < got.size(); ++i) Check(got[i].hit(), "a key of a batch was not hit");
  }
  void SetBatch(const std::vector<std::string_view>& keys) override {
    items_.clear();
    for (const std::string_view key : keys) items_.push_back({key, TheValue()});
    Check(client_->SetMulti(items_).done_count() == keys.size(), "a set of a batch failed");
  }
  void SetQuietly(const std::vector<std::string_view>& keys) override {
    items_.clear();
    for (const std::string_view key : keys) items_.push_back({key, TheValue()});
    Check(client_->SetAll(items_).ok(), "a set of a batch failed");
  }
  size_t Place(const std::string& key) override { return client_->ServerOf(key); }

 private:
  std::shared_ptr<cairn::Client> client_;
  std::vector<cairn::SetItem> items_;
};

#ifdef CAIRN_HAVE_LIBMEMCACHED
class Libmemcached final : public Library {
 public:
  explicit Libmemcached(const std::vector<uint16_t>& ports) : handle_(memcached_create(nullptr)) {
    memcached_behavior_set(handle_, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_behavior_set(handle_, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
    for (const uint16_t port : ports) memcached_server_add(handle_, "127.0.0.1", port);
    // Its cheapest way to store.
    quiet_ = memcached_clone(nullptr, handle_);
    memcached_behavior_set(quiet_, MEMCACHED_BEHAVIOR_BINARY_PROTOCOL, 1);
    memcached_behavior_set(quiet_, MEMCACHED_BEHAVIOR_NOREPLY, 1);
    memcached_behavior_set(quiet_, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1);
  }
  ~Libmemcached() override {
    memcached_free(quiet_);
    memcached_free(handle_);
  }

  void Get(const std::string& key) override {
    size_t bytes = 0;
    uint32_t flags = 0;
    memcached_return_t result = MEMCACHED_SUCCESS;
    char* value = memcached_get(handle_, key.data(), key.size(), &bytes, &flags, &result);
    Check(value != nullptr, "a get failed");
    free(value);
  }
  void Set(const std::string& key) override {
    Check(memcached_set(handle_, key.data(), key.size(), TheValue().data(), TheValue().size(), 0,
                        0) == MEMCACHED_SUCCESS,
          "a set failed");
  }
  void GetBatch(const std::vector<std::string_view>& keys) override {
    const char* texts[kBatch];
    size_t sizes[kBatch];
    for (size_t i = 0; i < keys.size(); ++i) {
      texts[i] = keys[i].data();
      sizes[i] = keys[i].size();
    }
    Check(memcached_mget(handle_, texts, sizes, keys.size()) == MEMCACHED_SUCCESS, "mget failed");
    memcached_result_st item;
    memcached_result_create(handle_, &item);
    memcached_return_t result = MEMCACHED_SUCCESS;
    size_t hits = 0;
    while (memcached_fetch_result(handle_, &item, &result) != nullptr) ++hits;
    memcached_result_free(&item);
    Check(hits == keys.size(), "a key of a batch was not hit");
  }
  void SetBatch(const std::vector<std::string_view>&) override { Die("it has no such call"); }
  void SetQuietly(const std::vector<std::string_view>& keys) override {
    for (const std::string_view key : keys) {
      const memcached_return_t result =
          memcached_set(quiet_, key.data(), key.size(), TheValue().data(), TheValue().size(), 0, 0);
      Check(result == MEMCACHED_SUCCESS || result == MEMCACHED_BUFFERED, "a set failed");
    }
  }
  void Finish() override {
    Check(memcached_flush_buffers(quiet_) == MEMCACHED_SUCCESS, "flushing failed");
    size_t bytes = 0;
    uint32_t flags = 0;
    memcached_return_t result = MEMCACHED_SUCCESS;
    const std::string& key = TheKeys().all()[0];
    free(memcached_get(quiet_, key.data(), key.size(), &bytes, &flags, &result));
  }
  size_t Place(const std::string& key) override {
    return memcached_generate_hash(handle_, key.data(), key.size());
  }

 private:
  memcached_st* const handle_;
  memcached_st* quiet_ = nullptr;
};
#endif

// No library: the least there is to do. Keys go by a cheap hash; nothing is kept, nothing checked
// but that as many answers came as were due.
class Floor final : public Library {
 public:
  explicit Floor(const std::vector<uint16_t>& ports) : peers_(ports.size()) {
    for (size_t i = 0; i < ports.size(); ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM, 0);
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_port = htons(ports[i]);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      Check(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "connect");
      peers_[i].fd = fd;
      peers_[i].input.resize(256 * 1024);
    }
  }
  ~Floor() override {
    for (const Peer& peer : peers_) close(peer.fd);
  }

  void Get(const std::string& key) override { GetBatch({key}); }
  void Set(const std::string& key) override { SetBatch({key}); }
  void GetBatch(const std::vector<std::string_view>& keys) override {
    for (const std::string_view key : keys) {
      Peer& peer = peers_[Place(key)];
      peer.output.append(peer.output.empty() ? "get " : " ").append(key);
    }
    SendAll("\r\n");
    for (Peer& peer : peers_) {
      while (peer.asked > 0) {
        const std::string_view line = peer.Line();
        if (line == "END") {
          peer.asked = 0;
        } else {
          peer.Skip(strtoul(line.data() + line.rfind(' '), nullptr, 10) + 2);
        }
      }
    }
  }
  void SetBatch(const std::vector<std::string_view>& keys) override {
    for (const std::string_view key : keys) {
      Peer& peer = peers_[Place(key)];
      peer.output.append("set ").append(key).append(" 0 0 100\r\n").append(TheValue());
      peer.output.append("\r\n");
      ++peer.answers;
    }
    SendAll("");
    for (Peer& peer : peers_) {
      for (; peer.answers > 0; --peer.answers) Check(peer.Line() == "STORED", "a set failed");
      peer.asked = 0;
    }
  }
  void SetQuietly(const std::vector<std::string_view>& keys) override {
    constexpr size_t kBufferBytes = 8192;
    for (const std::string_view key : keys) {
      Peer& peer = peers_[Place(key)];
      peer.output.append("set ").append(key).append(" 0 0 100 noreply\r\n").append(TheValue());
      peer.output.append("\r\n");
      if (peer.output.size() >= kBufferBytes) peer.Send();
    }
  }
  void Finish() override {
    for (Peer& peer : peers_) {
      peer.output.append("version\r\n");
      peer.Send();
      peer.Line();
    }
  }
  size_t Place(const std::string& key) override { return Place(std::string_view(key)); }

 private:
  struct Peer {
    int fd = -1;
    std::string output;
    std::string input;
    size_t begin = 0;
    size_t end = 0;
    size_t asked = 0;
    size_t answers = 0;

    void Send() {
      std::string_view rest = output;
      while (!rest.empty()) {
        const ssize_t bytes = write(fd, rest.data(), rest.size());
        Check(bytes > 0, "write");
        rest.remove_prefix(static_cast<size_t>(bytes));
      }
      output.clear();
    }
    void Fill() {
      if (begin == end) begin = end = 0;
      if (end == input.size()) {
        memmove(input.data(), input.data() + begin, end - begin);
        end -= begin;
        begin = 0;
      }
      const ssize_t bytes = read(fd, input.data() + end, input.size() - end);
      Check(bytes > 0, "read");
      end += static_cast<size_t>(bytes);
    }
    std::string_view Line() {
      for (;;) {
        const void* found = memchr(input.data() + begin, '\n', end - begin);
        if (found != nullptr) {
          const char* const line = input.data() + begin;
          const auto bytes = static_cast<size_t>(static_cast<const char*>(found) - line);
          begin += bytes + 1;
          return {line, bytes - 1};
        }
        Fill();
      }
    }
    void Skip(size_t bytes) {
      while (end - begin < bytes) {
        bytes -= end - begin;
        begin = end;
        Fill();
      }
      begin += bytes;
    }
  };

  size_t Place(std::string_view key) const {
    if (peers_.size() == 1) return 0;
    uint32_t hash = 2166136261u;
    for (const char c : key) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
    return (uint64_t{hash} * peers_.size()) >> 32;
  }
  void SendAll(std::string_view end) {
    for (Peer& peer : peers_) {
      if (peer.output.empty()) continue;
      peer.output.append(end);
      peer.Send();
      peer.asked = 1;
    }
  }

  std::vector<Peer> peers_;
};

std::unique_ptr<Library> MakeLibrary(const std::string& name, const std::vector<uint16_t>& ports) {
  if (name == "cairn") return std::make_unique<Cairn>(ports);
#ifdef CAIRN_HAVE_LIBMEMCACHED
  if (name == "libmemcached") return std::make_unique<Libmemcached>(ports);
#endif
  if (name == "floor") return std::make_unique<Floor>(ports);
  Die("no library " + name);
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Runs one unit of work again and again until the time is up; how many operations that were.
size_t RunFor(std::chrono::steady_clock::time_point end, Library& library, const std::string& work,
              uint64_t seed) {
  uint64_t state = seed;
  size_t operations = 0;
  size_t sum = 0;
  std::vector<std::string_view> batch(work == "qset" ? kBulk : kBatch);
  while (std::chrono::steady_clock::now() < end) {
    if (work == "get" || work == "threads") {
      for (int i = 0; i < 10; ++i) library.Get(TheKeys().Next(&state));
      operations += 10;
    } else if (work == "set") {
      for (int i = 0; i < 10; ++i) library.Set(TheKeys().Next(&state));
      operations += 10;
    } else if (work == "place") {
      // Few keys: what is measured is not how far away 100,000 of them are.
      for (size_t i = 0; i < 1000; ++i) sum += library.Place(TheKeys().all()[i % 100]);
      operations += 1000;
    } else {
      for (std::string_view& key : batch) key = TheKeys().Next(&state);
      if (work == "mget") library.GetBatch(batch);
      if (work == "mset") library.SetBatch(batch);
      if (work == "qset") library.SetQuietly(batch);
      operations += batch.size();
    }
  }
  if (work == "qset") library.Finish();
  Check(sum != 1, "");  // so that placing is not optimized away
  return operations;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) Die("usage: client_benchmark <library> <work> <seconds> <port>...");
  const std::string name = argv[1];
  const std::string work = argv[2];
  std::vector<uint16_t> ports;
  for (int i = 4; i < argc; ++i) ports.push_back(static_cast<uint16_t>(atoi(argv[i])));
  const std::unique_ptr<Library> library = MakeLibrary(name, ports);
  if (work == "load") {
    for (const std::string& key : TheKeys().all()) library->Set(key);
    return 0;
  }
  if (work != "place") library->Set(TheKeys().all()[0]);
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                               std::chrono::duration<double>(atof(argv[3])));
  const double cpu = CpuSeconds();
  std::atomic<size_t> operations{0};
  if (work == "threads") {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        // libcairn's client is shared; the others have a handle a thread.
        const auto* const shared = dynamic_cast<const Cairn*>(library.get());
        const std::unique_ptr<Library> own = shared != nullptr
                                                 ? std::make_unique<Cairn>(ports, shared->client())
                                                 : MakeLibrary(name, ports);
        operations += RunFor(end, *own, work, 88172645463325252u + t);
      });
    }
    for (std::thread& thread : threads) thread.join();
  } else {
    operations = RunFor(end, *library, work, 88172645463325252u);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto count = static_cast<double>(operations.load());
  printf("%s\t%s\t%.0f\t%.1f\n", name.c_str(), work.c_str(), count / took.count(),
         (CpuSeconds() - cpu) / count * 1e9);
  return 0;
}
