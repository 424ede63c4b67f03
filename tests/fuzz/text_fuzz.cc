#include "tests/fuzz/session_fuzz.h"
#include "tests/fuzz/text_answers.h"

/// The text protocol with all of its commands, the operator's too.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::server::FuzzInput input(data, size);
  if (cairn::server::DependsOnReads(input.bytes)) input.pieces.clear();
  cairn::server::FuzzProtocol(input, cairn::server::WireProtocol::kText,
                              cairn::server::WithoutStatistics);
  return 0;
}
