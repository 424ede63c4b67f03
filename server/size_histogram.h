#pragma once

#include <cstdint>
#include <map>

#include "server/session.h"
#include "server/stat_sink.h"

namespace cairn::server {

/// `stats sizes`: how many items there are of each size, by Store::AccountedBytes rounded up to
/// 32 bytes. Made by walking over the store when asked, so that it costs nothing else.
class SizeHistogram {
 public:
  void Add(const storage::ItemView& item);
  void Report(StatSink sink) const;

 private:
  std::map<uint64_t, uint64_t> items_by_bytes_;
};

/// Walks over the whole store before it returns.
void ReportSizes(const ServerContext& server, storage::Time now, StatSink sink);

/// The same for the text protocol, with turns for others in between.
std::unique_ptr<Continuation> MakeSizesReport();

}  // namespace cairn::server
