#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/byte_buffer.h"
#include "client/call.h"

namespace cairn {

/// The most that a key may have on the wire.
inline constexpr size_t kKeyBytesMax = 250;

/// InvalidArgument unless prefix + key can be sent as one word.
absl::Status CheckKey(std::string_view prefix, std::string_view key);

/// The longest time to live that is told as such; beyond it, exptime is a date.
inline constexpr absl::Duration kRelativeTtlMax = absl::Hours(24 * 30);

/// The exptime of what has expired already, which is a date of 1970: twemproxy and the binary
/// protocol know no negative ones.
inline constexpr int64_t kExptimePassed = 60 * 60 * 24 * 30 + 1;

/// The last date, of January 2038: what lives longer is kept until then. Servers read 32 bits with
/// sign; of later ones memcached makes what has expired, and cairnd an error.
inline constexpr int64_t kExptimeMax = 0x7fffffff;

/// What protocols call exptime. Beyond kRelativeTtlMax it is a date, hence `now`.
int64_t ExptimeOf(absl::Duration ttl, absl::Time now);

enum class BinaryOpcode : uint8_t;

/// Makes of a part that only sets one value the delete of its key, in `dialect`, which is the one
/// that will be spoken: AnswerShape::kIgnored. Its operation is still that of the set, since
/// callers whose time is up look at that.
void BecomeDelete(Part* part, Dialect dialect);

/// Which command stores.
enum class StoreVerb : uint8_t { kSet, kAdd, kReplace, kAppend, kPrepend, kCas };

struct StoreRequest {
  StoreVerb verb = StoreVerb::kSet;
  std::string_view key;
  std::string_view value;
  uint32_t flags = 0;
  int64_t exptime = 0;
  uint64_t cas = 0;
  /// What it took to make `value` of what was given; zero when that was nothing or soon done.
  Clock::duration encoding = Clock::duration::zero();
};

/// Writes one part's requests. `dialect` is the server's, kUnknown until it was reached: both are
/// written then. With kBinary, packets are. Keys were checked; `answer` is the index in
/// Call::answers that a key's answer is for. No exptime is written that is later than `exptime_max`
/// seconds, unless that is 0. End() has to be called after the last request.
class RequestWriter {
 public:
  RequestWriter(Part* part, std::string_view key_prefix, Dialect dialect, int64_t exptime_max = 0)
      : part_(part), prefix_(key_prefix), dialect_(dialect), exptime_max_(exptime_max) {}

  /// REQUIRES: AnswerShape::kValues. `verb` is "get" or "gets", and the same for all of a part.
  void Read(std::string_view verb, std::string_view key, uint32_t answer);
  /// The same, for a part's only key. Classic text only reads, since proxies do not know "gats".
  void ReadAndTouch(std::string_view key, int64_t exptime, uint32_t answer);
  /// REQUIRES: AnswerShape::kWord, for these three. With kQuiet and Dialect::kMeta, Store() has no
  /// answer of its own.
  void Store(const StoreRequest& request, uint32_t answer);
  void Delete(std::string_view key, uint32_t answer);
  void Touch(std::string_view key, int64_t exptime, uint32_t answer);
  /// REQUIRES: AnswerShape::kNumber
  void Arithmetic(bool increment, std::string_view key, uint64_t delta, uint32_t answer);
  /// The same, but a number that is not there begins as `initial`, for `exptime`. In classic text
  /// it does not: the caller adds it.
  void ArithmeticOrStart(bool increment, std::string_view key, uint64_t delta, uint64_t initial,
                         int64_t exptime, uint32_t answer);

  /// REQUIRES: AnswerShape::kLease. Leases are for `lease` seconds (0: none is asked for), early
  /// ones when less than `ahead` are left of a value; text is a plain gets.
  void LeaseRead(std::string_view key, int64_t lease, int64_t ahead, uint32_t answer);
  /// REQUIRES: AnswerShape::kWord, for these three. Deletes what still has `cas`.
  void DeleteIf(std::string_view key, uint64_t cas, uint32_t answer);
  /// Makes a value that was won stale, and still has `cas`, one that can be won again. Meta only.
  void GiveBackStale(std::string_view key, uint64_t cas, uint32_t answer);
  /// Marks a value as stale and lets it live for `exptime` more; deletes it, in classic text.
  void Invalidate(std::string_view key, int64_t exptime, uint32_t answer);

  /// A line that is the same in both dialects; in the binary one a packet: "version", "flush_all"
  /// or "stats[ <group>]".
  void Line(std::string_view line, std::string_view success, uint32_t answer);

  void End();

 private:
  struct None {};
  int64_t Capped(int64_t exptime) const {
    if (exptime == kExptimePassed) return exptime;
    const bool too_late = exptime == 0 || exptime > exptime_max_;
    return exptime_max_ > 0 && too_late ? exptime_max_ : exptime;
  }
  // How a number begins that is not there.
  struct FirstNumber {
    uint64_t initial;
    int64_t exptime;
  };
  // binary_requests.cc
  void Packet(BinaryOpcode opcode, std::string_view extras, std::string_view key,
              std::string_view value = {}, uint64_t cas = 0);
  void BinaryRead(std::string_view key, uint32_t answer);
  void BinaryReadAndTouch(std::string_view key, int64_t exptime, uint32_t answer);
  void AddBinaryRead(std::string_view key, uint32_t answer);
  void BinaryStore(const StoreRequest& request, uint32_t answer);
  void BinaryDelete(std::string_view key, uint64_t cas, uint32_t answer);
  void BinaryDeleteIf(std::string_view key, uint64_t cas, uint32_t answer);
  void BinaryTouch(std::string_view key, int64_t exptime, uint32_t answer);
  void BinaryArithmetic(bool increment, std::string_view key, uint64_t delta,
                        std::optional<FirstNumber> first, uint32_t answer);
  void BinaryLine(std::string_view line, uint32_t answer);
  void BinaryEnd();
  template <typename Number>
  void Command(ByteBuffer* out, std::string_view verb, std::string_view key, std::string_view then,
               const Number& number);
  void AddKey(uint32_t answer) { part_->keys.push_back({answer, 0, 0, false}); }

  Part* const part_;
  const std::string_view prefix_;
  const Dialect dialect_;
  const int64_t exptime_max_;
  size_t line_keys_ = 0;
  size_t line_begin_ = 0;
};

}  // namespace cairn
