#include <string>
#include <string_view>

#include "tests/binary_packet.h"
#include "tests/fuzz/session_fuzz.h"

namespace {

using cairn::tests::BinaryPacket;

constexpr uint8_t kStat = 0x10;

/// The packets of an answer but for what statistics say: some of it is about the process.
std::string Comparable(std::string_view answer) {
  std::string text;
  BinaryPacket packet;
  while (cairn::tests::TakePacket(&answer, &packet)) {
    if (packet.magic != 0x81) std::abort();
    if (packet.opcode != kStat || packet.status != 0) text += packet.Encode();
  }
  if (!answer.empty()) std::abort();  // an answer is whole packets
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const cairn::server::FuzzInput input(data, size);
  cairn::server::FuzzProtocol(input, cairn::server::WireProtocol::kBinary, Comparable);
  return 0;
}
