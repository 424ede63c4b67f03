#include "server/size_histogram.h"

#include <iterator>

#include "fmt/format.h"

namespace cairn::server {
namespace {

constexpr uint64_t kBucketBytes = 32;
// Items a lock is held for, and after which others get their turn.
constexpr size_t kItemsPerStep = 128;
constexpr int kStepsPerTurn = 64;

class SizesReport : public Continuation {
 public:
  bool Continue(Session& session) override {
    for (int step = 0; step < kStepsPerTurn; ++step) {
      session.store().Walk(&cursor_, kItemsPerStep, session.now(),
                           [this](const storage::ItemView& item) { histogram_.Add(item); });
      if (cursor_.done) {
        Finish(session);
        return true;
      }
    }
    return false;
  }

 private:
  void Finish(Session& session) {
    histogram_.Report([&](std::string_view name, std::string_view value) {
      session.out().Append(fmt::format("STAT {} {}\r\n", name, value));
    });
    session.out().Append("END\r\n");
  }

  storage::WalkCursor cursor_;
  SizeHistogram histogram_;
};

}  // namespace

void SizeHistogram::Add(const storage::ItemView& item) {
  ++items_by_bytes_[(item.accounted_bytes() + kBucketBytes - 1) / kBucketBytes * kBucketBytes];
}

void SizeHistogram::Report(StatSink sink) const {
  for (const auto& [bytes, items] : items_by_bytes_) {
    sink(fmt::to_string(bytes), fmt::to_string(items));
  }
}

void ReportSizes(const ServerContext& server, storage::Time now, StatSink sink) {
  storage::WalkCursor cursor;
  SizeHistogram histogram;
  while (!cursor.done) {
    server.store->Walk(&cursor, kItemsPerStep, now,
                       [&](const storage::ItemView& item) { histogram.Add(item); });
  }
  histogram.Report(sink);
}

std::unique_ptr<Continuation> MakeSizesReport() { return std::make_unique<SizesReport>(); }

}  // namespace cairn::server
