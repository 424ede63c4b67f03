// What a client library costs, one load a run: libcairn, libmemcached (when it was found), and a
// bare loop over sockets as the floor. client_benchmark.py runs them by turns and prints the table.
//
//   client_benchmark <library> <work> <seconds> <port>...
//
// library: cairn, libmemcached, floor.  work: load, get, set, mget, mset, qset, threads, place;
// late, which has three servers of its own that answer after 200 ms; load-huge, huge: 200,000 keys
// with values of 1,000 bytes in one call; herd, of libcairn alone, which is one process of several
// (benchmarks/herd.h) and has a line of its own.
// One line: library, work, operations a second, CPU nanoseconds an operation, the median of how
// many microseconds a call takes, megabytes of memory at the peak; - for what says nothing.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "benchmarks/bare_peer.h"
#include "benchmarks/herd.h"
#include "benchmarks/late_peer.h"
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
constexpr size_t kHuge = 200'000;
constexpr size_t kHugeValueBytes = 1000;
constexpr std::chrono::milliseconds kLate{200};
constexpr size_t kHerd = 250;
constexpr std::chrono::milliseconds kComputation{50};

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

// In no other load's keys.
const std::vector<std::string>& HugeKeys() {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> made;
    for (size_t i = 0; i < kHuge; ++i) made.push_back("bench:huge:" + std::to_string(100'000 + i));
    return made;
  }();
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
  void LoadHuge() {
    const std::string value(kHugeValueBytes, 'v');
    std::vector<cairn::SetItem> items;
    for (const std::string& key : HugeKeys()) items.push_back({key, value});
    Check(client_->SetAll(items).ok(), "loading failed");
  }

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
    texts_.resize(keys.size());
    sizes_.resize(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      texts_[i] = keys[i].data();
      sizes_[i] = keys[i].size();
    }
    Check(memcached_mget(handle_, texts_.data(), sizes_.data(), keys.size()) == MEMCACHED_SUCCESS,
          "mget failed");
    memcached_result_st item;
    memcached_result_create(handle_, &item);
    memcached_return_t result = MEMCACHED_SUCCESS;
    size_t hits = 0;
    // It hands out one value after the other; who asks for so many at once wants to have them all.
    std::vector<std::string> values;
    while (memcached_fetch_result(handle_, &item, &result) != nullptr) {
      ++hits;
      if (keys.size() < kHuge) continue;
      values.emplace_back(memcached_result_value(&item), memcached_result_length(&item));
    }
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
  std::vector<const char*> texts_;
  std::vector<size_t> sizes_;
};
#endif

// No library: the least there is to do. Keys go by a cheap hash; nothing is kept, nothing checked
// but that as many answers came as were due.
class Floor final : public Library {
 public:
  explicit Floor(const std::vector<uint16_t>& ports) : peers_(ports.size()) {
    for (size_t i = 0; i < ports.size(); ++i) {
      peers_[i].Connect(ports[i]);
    }
  }

  void Get(const std::string& key) override { GetBatch({key}); }
  void Set(const std::string& key) override { SetBatch({key}); }
  void GetBatch(const std::vector<std::string_view>& keys) override {
    for (const std::string_view key : keys) {
      BarePeer& peer = peers_[Place(key)];
      peer.output.append(peer.output.empty() ? "get " : " ").append(key);
    }
    SendAll("\r\n");
    for (BarePeer& peer : peers_) {
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
      BarePeer& peer = peers_[Place(key)];
      peer.output.append("set ").append(key).append(" 0 0 100\r\n").append(TheValue());
      peer.output.append("\r\n");
      ++peer.answers;
    }
    SendAll("");
    for (BarePeer& peer : peers_) {
      for (; peer.answers > 0; --peer.answers) Check(peer.Line() == "STORED", "a set failed");
      peer.asked = 0;
    }
  }
  void SetQuietly(const std::vector<std::string_view>& keys) override {
    constexpr size_t kBufferBytes = 8192;
    for (const std::string_view key : keys) {
      BarePeer& peer = peers_[Place(key)];
      peer.output.append("set ").append(key).append(" 0 0 100 noreply\r\n").append(TheValue());
      peer.output.append("\r\n");
      if (peer.output.size() >= kBufferBytes) peer.Send();
    }
  }
  void Finish() override {
    for (BarePeer& peer : peers_) {
      peer.output.append("version\r\n");
      peer.Send();
      peer.Line();
    }
  }
  size_t Place(const std::string& key) override { return Place(std::string_view(key)); }

 private:
  size_t Place(std::string_view key) const {
    if (peers_.size() == 1) return 0;
    uint32_t hash = 2166136261u;
    for (const char c : key) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
    return (uint64_t{hash} * peers_.size()) >> 32;
  }
  void SendAll(std::string_view end) {
    for (BarePeer& peer : peers_) {
      if (peer.output.empty()) continue;
      peer.output.append(end);
      peer.Send();
      peer.asked = 1;
    }
  }

  std::vector<BarePeer> peers_;
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

double PeakMegabytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024e-6;
}

struct Done {
  size_t operations = 0;
  std::vector<double> call_us;
};

double MedianOf(std::vector<double> numbers) {
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

// Does one piece of work again and again until the time is up.
Done RunFor(std::chrono::steady_clock::time_point end, Library& library, const std::string& work,
            uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  uint64_t state = seed;
  Done done;
  size_t sum = 0;
  std::vector<std::string_view> batch(work == "qset" ? kBulk : kBatch);
  if (work == "huge") batch.assign(HugeKeys().begin(), HugeKeys().end());
  for (Clock::time_point now = Clock::now(); now < end;) {
    size_t operations = 1;
    if (work == "get" || work == "threads") {
      library.Get(TheKeys().Next(&state));
    } else if (work == "set") {
      library.Set(TheKeys().Next(&state));
    } else if (work == "place") {
      // Few keys: what is measured is not how far away 100,000 of them are.
      for (size_t i = 0; i < 1000; ++i) sum += library.Place(TheKeys().all()[i % 100]);
      operations = 1000;
    } else {
      if (work != "huge") {
        for (std::string_view& key : batch) key = TheKeys().Next(&state);
      }
      if (work == "mget" || work == "late" || work == "huge") library.GetBatch(batch);
      if (work == "mset") library.SetBatch(batch);
      if (work == "qset") library.SetQuietly(batch);
      operations = batch.size();
    }
    const Clock::time_point before = std::exchange(now, Clock::now());
    done.operations += operations;
    done.call_us.push_back(std::chrono::duration<double, std::micro>(now - before).count());
  }
  if (work == "qset") library.Finish();
  Check(sum != 1, "");  // so that placing is not optimized away
  return done;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) Die("usage: client_benchmark <library> <work> <seconds> <port>...");
  const std::string name = argv[1];
  const std::string work = argv[2];
  std::vector<uint16_t> ports;
  for (int i = 4; i < argc; ++i) ports.push_back(static_cast<uint16_t>(atoi(argv[i])));
  if (work == "late") {
    for (uint16_t& port : ports) port = LatePeer(kLate, TheValue()).port();
  }
  TheKeys();
  const std::unique_ptr<Library> library = MakeLibrary(name, ports);
  if (work == "load") {
    for (const std::string& key : TheKeys().all()) library->Set(key);
    return 0;
  }
  if (work == "load-huge") {
    auto* const loader = dynamic_cast<Cairn*>(library.get());
    Check(loader != nullptr, "only cairn loads these");
    loader->LoadHuge();
    return 0;
  }
  // Connections are made before the clock starts.
  if (work == "late") {
    library->GetBatch({TheKeys().all().begin(), TheKeys().all().begin() + kBatch});
  } else if (work != "place") {
    library->Set(TheKeys().all()[0]);
  }
  if (work == "herd") {
    const auto* const cairn = dynamic_cast<const Cairn*>(library.get());
    Check(cairn != nullptr, "only cairn has GetOrCompute");
    RunHerd(cairn->client().get(), kHerd, kComputation);
    return 0;
  }
  if (work == "huge") HugeKeys();
  const double memory = PeakMegabytes();
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                               std::chrono::duration<double>(atof(argv[3])));
  const double cpu = CpuSeconds();
  Done done;
  if (work == "threads") {
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        // libcairn's client is shared; the others have a handle a thread.
        const auto* const shared = dynamic_cast<const Cairn*>(library.get());
        const std::unique_ptr<Library> own = shared != nullptr
                                                 ? std::make_unique<Cairn>(ports, shared->client())
                                                 : MakeLibrary(name, ports);
        const Done mine = RunFor(end, *own, work, 88172645463325252u + t);
        const std::lock_guard lock(mutex);
        done.operations += mine.operations;
        done.call_us.insert(done.call_us.end(), mine.call_us.begin(), mine.call_us.end());
      });
    }
    for (std::thread& thread : threads) thread.join();
  } else {
    done = RunFor(end, *library, work, 88172645463325252u);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const auto count = static_cast<double>(done.operations);
  printf("%s\t%s\t%.0f\t", name.c_str(), work.c_str(), count / took.count());
  // The late servers' own time would be in it, which is as long as the client's.
  if (work == "late") {
    printf("-\t");
  } else {
    printf("%.1f\t", (CpuSeconds() - cpu) / count * 1e9);
  }
  // Many places are one piece of work, and what is stored quietly is not waited for.
  if (work == "place" || work == "qset") {
    printf("-\t");
  } else {
    printf("%.1f\t", MedianOf(std::move(done.call_us)));
  }
  if (work == "huge") {
    printf("%.0f\n", PeakMegabytes() - memory);
  } else {
    printf("-\n");
  }
  return 0;
}
