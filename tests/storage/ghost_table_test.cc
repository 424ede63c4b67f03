#include "storage/ghost_table.h"

#include "tests/catch.h"

namespace cairn::storage {
namespace {

std::unique_ptr<PagePool> MakePool() {
  return *PagePool::Create({.limit_bytes = uint64_t{4} << 20,
                            .page_bytes = 8192,
                            .place_shift = 2,
                            .reserve_bytes = uint64_t{64} << 20,
                            .lock_memory = false});
}

uint64_t Hash(uint64_t n) { return (n + 1) * 0xd1342543de82ef95; }

TEST_CASE("A ghost is remembered once, with its queue") {
  const auto pool = MakePool();
  GhostTable ghosts;
  REQUIRE(ghosts.Init(pool.get(), 16384).ok());
  ghosts.Add(Hash(1), kProbation);
  ghosts.Add(Hash(2), kMain);
  CHECK(ghosts.Take(Hash(1)) == kProbation);
  CHECK(ghosts.Take(Hash(1)) == std::nullopt);
  CHECK(ghosts.Take(Hash(2)) == kMain);
  CHECK(ghosts.Take(Hash(3)) == std::nullopt);
  ghosts.Add(Hash(4), kMain);
  ghosts.Clear();
  CHECK(ghosts.Take(Hash(4)) == std::nullopt);
}

TEST_CASE("Ghosts are as many as their memory has room for, the newest") {
  const auto pool = MakePool();
  GhostTable ghosts;
  REQUIRE(ghosts.Init(pool.get(), 16384).ok());
  CHECK(pool->charged_bytes() == 16384);
  for (uint64_t n = 0; n < 20000; ++n) ghosts.Add(Hash(n), kProbation);
  int newest = 0;
  int oldest = 0;
  for (uint64_t n = 0; n < 4000; ++n) {
    newest += ghosts.Take(Hash(19999 - n)).has_value();
    oldest += ghosts.Take(Hash(n)).has_value();
  }
  CHECK(newest > 3900);
  CHECK(oldest < 40);
}

}  // namespace
}  // namespace cairn::storage
