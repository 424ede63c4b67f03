#include "protocol/udp_frame.h"

#include <algorithm>

namespace cairn::protocol {
namespace {

uint16_t Read16(const char* in) {
  return static_cast<uint16_t>(static_cast<uint8_t>(in[0]) << 8 | static_cast<uint8_t>(in[1]));
}

char* Write16(uint16_t number, char* out) {
  out[0] = static_cast<char>(number >> 8);
  out[1] = static_cast<char>(number & 0xff);
  return out + 2;
}

}  // namespace

std::optional<UdpRequest> ParseUdpRequest(std::string_view datagram) {
  if (datagram.size() <= kUdpHeaderBytes) return std::nullopt;
  const uint16_t datagrams = Read16(datagram.data() + 4);
  if (datagrams != 1) return std::nullopt;
  return UdpRequest{Read16(datagram.data()), datagram.substr(kUdpHeaderBytes)};
}

char* WriteUdpFrame(const UdpFrame& frame, char* out) {
  out = Write16(frame.request_id, out);
  out = Write16(frame.sequence, out);
  out = Write16(frame.datagrams, out);
  return Write16(0, out);
}

size_t UdpAnswer::datagrams() const {
  if (answer_bytes_ > kMaxUdpAnswerBytes) return 0;
  return (answer_bytes_ + kMaxUdpPayloadBytes - 1) / kMaxUdpPayloadBytes;
}

UdpFrame UdpAnswer::Frame(size_t index) const {
  return {request_id_, static_cast<uint16_t>(index), static_cast<uint16_t>(datagrams())};
}

size_t UdpAnswer::PayloadBytes(size_t index) const {
  return std::min(kMaxUdpPayloadBytes, answer_bytes_ - PayloadOffset(index));
}

}  // namespace cairn::protocol
