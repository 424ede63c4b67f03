// What the store keeps and what it lets go.
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/storage/store_fixture.h"

namespace cairn::storage {
namespace {

Config PolicyConfig() {
  Config config = StoreFixture::SmallConfig();
  config.memory_limit_bytes = uint64_t{16} << 20;
  return config;
}

class Reader {
 public:
  explicit Reader(StoreFixture* f) : f_(f) {}

  /// Asks for a key and stores it when it is missing.
  void Ask(const std::string& key, size_t bytes) {
    ++asked_;
    if (f_->Get(key).has_value()) return;
    ++missed_;
    REQUIRE(f_->Set(key, Pattern(bytes)) == StoreStatus::kStored);
  }
  double TakeMissRatio() {
    const double ratio = static_cast<double>(missed_) / asked_;
    asked_ = missed_ = 0;
    return ratio;
  }

 private:
  StoreFixture* f_;
  int asked_ = 0;
  int missed_ = 0;
};

TEST_CASE("A scan that is never read again leaves alone what is read", "[one_thread]") {
  StoreFixture f(PolicyConfig());
  Reader reader(&f);
  std::mt19937_64 random(3);
  int scanned = 0;
  // Half of the memory is asked for again and again, thrice as much passes by.
  for (int i = 0; i < 150000; ++i) {
    if (i == 50000) static_cast<void>(reader.TakeMissRatio());
    reader.Ask("hot" + std::to_string(random() % 8000), 900);
    if (i % 2 == 0) {
      REQUIRE(f.Set("scan" + std::to_string(scanned++), Pattern(900)) == StoreStatus::kStored);
    }
  }
  CHECK(reader.TakeMissRatio() < 0.01);
}

TEST_CASE("Large values that are rarely read do not push out small ones that are read",
          "[one_thread]") {
  StoreFixture f(PolicyConfig());
  Reader small(&f);
  Reader large(&f);
  std::mt19937_64 random(4);
  // Between two requests of a small one, large ones of more than the memory pass by.
  for (int i = 0; i < 400000; ++i) {
    if (i == 200000) static_cast<void>(small.TakeMissRatio());
    small.Ask("small" + std::to_string(random() % 20000), 200);
    if (i % 100 == 0) large.Ask("large" + std::to_string(random() % 2000), 100000);
  }
  CHECK(small.TakeMissRatio() < 0.05);
}

TEST_CASE("Of values that are read as often the smaller ones are kept, in pages and in pieces",
          "[one_thread]") {
  StoreFixture f(PolicyConfig());
  // Each size alone would fill three quarters of the memory.
  constexpr uint64_t kSizes[] = {250, 2500, 25000};
  constexpr uint64_t kBytes = uint64_t{12} << 20;
  uint64_t keys = 0;
  for (const uint64_t size : kSizes) keys += kBytes / size;
  std::vector<Reader> readers(std::size(kSizes), Reader(&f));
  std::mt19937_64 random(7);
  for (int i = 0; i < 1000000; ++i) {
    if (i == 500000) {
      for (Reader& reader : readers) static_cast<void>(reader.TakeMissRatio());
    }
    uint64_t key = random() % keys;
    size_t n = 0;
    for (; key >= kBytes / kSizes[n]; ++n) key -= kBytes / kSizes[n];
    readers[n].Ask(std::to_string(kSizes[n]) + ":" + std::to_string(key), kSizes[n]);
  }
  const double small = readers[0].TakeMissRatio();
  const double medium = readers[1].TakeMissRatio();
  const double large = readers[2].TakeMissRatio();
  CAPTURE(small, medium, large);
  CHECK(small < 0.04);
  CHECK(medium < large);
  CHECK(large > 0.5);
  CHECK(f.store().CheckInvariants().ok());
}

TEST_CASE("Small values have time to be read again while large ones fill the memory",
          "[one_thread]") {
  StoreFixture f(PolicyConfig());
  Reader reader(&f);
  constexpr int kSmall = 2000;
  int large = 0;
  int small = 0;
  for (int round = 0; round < 4000; ++round) {
    if (round == 2000) static_cast<void>(reader.TakeMissRatio());
    // Each of the large ones fills more of the memory than what tells an idle queue.
    REQUIRE(f.Set("large" + std::to_string(large++), Pattern(400000)) == StoreStatus::kStored);
    for (int i = 0; i < 100; ++i) reader.Ask("small" + std::to_string(small++ % kSmall), 200);
  }
  CHECK(reader.TakeMissRatio() < 0.01);
}

TEST_CASE("What is no longer read makes room for what is", "[one_thread]") {
  StoreFixture f(PolicyConfig());
  Reader reader(&f);
  std::mt19937_64 random(5);
  for (int phase = 0; phase < 3; ++phase) {
    const std::string prefix = "phase" + std::to_string(phase) + ":";
    const size_t bytes = phase == 1 ? 1500 : 300;
    const uint64_t keys = (uint64_t{10} << 20) / (bytes + 60);
    for (uint64_t i = 0; i < 30 * keys; ++i) {
      if (i == 20 * keys) static_cast<void>(reader.TakeMissRatio());
      reader.Ask(prefix + std::to_string(random() % keys), bytes);
    }
    CHECK(reader.TakeMissRatio() < 0.01);
  }
}

TEST_CASE("A large item that is read is kept whole", "[one_thread]") {
  StoreFixture f(PolicyConfig());
  REQUIRE(f.Set("kept", Pattern(200000, 7)) == StoreStatus::kStored);
  for (int i = 0; i < 300000; ++i) {
    if (i % 100 == 0) REQUIRE(f.Get("kept") == Pattern(200000, 7));
    REQUIRE(f.Set("passing" + std::to_string(i), Pattern(500)) == StoreStatus::kStored);
  }
  CHECK(f.store().CheckInvariants().ok());
}

}  // namespace
}  // namespace cairn::storage
