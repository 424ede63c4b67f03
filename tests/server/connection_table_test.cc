#include "server/connection_table.h"

#include <vector>

#include "tests/catch.h"

namespace cairn::server {
namespace {

TEST_CASE("Descriptors are visited in order while they are registered") {
  ConnectionTable table;
  ConnectionRecord records[3];
  records[0].fd = 30;
  records[1].fd = 7;
  records[2].fd = 12;
  for (const ConnectionRecord& record : records) table.Add(&record);
  const auto fds = [&table] {
    std::vector<int> seen;
    table.ForEach([&seen](const ConnectionRecord& record) { seen.push_back(record.fd); });
    return seen;
  };
  CHECK(fds() == std::vector<int>{7, 12, 30});
  table.Remove(&records[2]);
  CHECK(fds() == std::vector<int>{7, 30});
}

}  // namespace
}  // namespace cairn::server
