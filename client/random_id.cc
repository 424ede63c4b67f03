#include "client/random_id.h"

#include <cstdint>
#include <random>

namespace cairn {

std::string RandomId() {
  static constexpr char kHex[] = "0123456789abcdef";
  std::random_device device;
  std::string digits;
  for (int word = 0; word < 4; ++word) {
    uint32_t bits = device();
    for (int i = 0; i < 8; ++i, bits >>= 4) digits.push_back(kHex[bits & 15]);
  }
  return digits;
}

}  // namespace cairn
