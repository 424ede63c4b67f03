#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// The frame header of memcached over UDP, and how an answer is cut into datagrams:
///
///   0            2            4            6            8
///   +------------+------------+------------+------------+------
///   | request id | sequence   | datagrams  | reserved 0 | bytes of the text or binary protocol
///   +------------+------------+------------+------------+------
///
/// All numbers are big-endian. A request is one datagram. What answers it is one message, however
/// many commands the request had: its datagrams are numbered from 0.
namespace cairn::protocol {

inline constexpr size_t kUdpHeaderBytes = 8;
/// Of an answer's datagrams, header included; they pass an Ethernet with tunnels unfragmented.
inline constexpr size_t kMaxUdpDatagramBytes = 1400;
inline constexpr size_t kMaxUdpPayloadBytes = kMaxUdpDatagramBytes - kUdpHeaderBytes;
/// What a frame can number.
inline constexpr size_t kMaxUdpDatagrams = 65535;
/// A longer answer cannot be sent.
inline constexpr size_t kMaxUdpAnswerBytes = kMaxUdpDatagrams * kMaxUdpPayloadBytes;

struct UdpRequest {
  uint16_t request_id = 0;
  std::string_view payload;  ///< points into the datagram; never empty
};

/// Nothing when the datagram is to be dropped: no payload, or part of a request of several
/// datagrams, which nobody serves. The sequence and reserved fields are not looked at.
std::optional<UdpRequest> ParseUdpRequest(std::string_view datagram);

/// One datagram of an answer.
struct UdpFrame {
  uint16_t request_id = 0;
  uint16_t sequence = 0;
  uint16_t datagrams = 0;

  friend bool operator==(const UdpFrame&, const UdpFrame&) = default;
};

/// Writes kUdpHeaderBytes to `out`; returns the end.
char* WriteUdpFrame(const UdpFrame& frame, char* out);

/// Cuts an answer of `answer_bytes` into datagrams.
class UdpAnswer {
 public:
  UdpAnswer(uint16_t request_id, size_t answer_bytes)
      : request_id_(request_id), answer_bytes_(answer_bytes) {}

  /// 0 when there is nothing to send, or more than kMaxUdpAnswerBytes.
  size_t datagrams() const;
  /// The header of the datagram with this index. REQUIRES: index < datagrams()
  UdpFrame Frame(size_t index) const;
  /// Where that datagram's payload begins in the answer, and how long it is.
  size_t PayloadOffset(size_t index) const { return index * kMaxUdpPayloadBytes; }
  size_t PayloadBytes(size_t index) const;

 private:
  uint16_t request_id_;
  size_t answer_bytes_;
};

}  // namespace cairn::protocol
