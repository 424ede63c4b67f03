#include "tests/fuzz/session_fuzz.h"
#include "tests/fuzz/text_answers.h"

namespace {

constexpr std::string_view kVerbs[] = {"mg ", "ms ", "md ", "ma ", "me ", "mn", "mg ", "ms "};

/// The fuzzer's bytes as meta commands: what would begin a line without a verb gets one, chosen by
/// its first byte, so that nearly every line is one of theirs.
std::string AsMetaCommands(std::string_view bytes) {
  std::string lines;
  bool at_begin = true;
  for (const char c : bytes) {
    if (at_begin && c != 'm') lines += kVerbs[static_cast<unsigned char>(c) % std::size(kVerbs)];
    lines += c;
    at_begin = c == '\n';
  }
  return lines;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::server::FuzzInput input(data, size);
  input.bytes = AsMetaCommands(input.bytes);
  if (cairn::server::DependsOnReads(input.bytes)) input.pieces.clear();
  cairn::server::FuzzProtocol(input, cairn::server::WireProtocol::kText,
                              cairn::server::WithoutStatistics);
  return 0;
}
