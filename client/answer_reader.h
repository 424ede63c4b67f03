#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/call.h"

namespace cairn {

struct BinaryAnswer;

/// Reads the answers to one part from a stream that arrives in pieces. No I/O. Bytes of the network
/// are never trusted: each value has to be for the next key that was asked, each line one that can
/// follow. Thread-compatible.
class AnswerReader {
 public:
  enum class Result : uint8_t {
    kNeedMore,  ///< All input was consumed or is the beginning of a line.
    kDone,      ///< The part's answers are complete; the next input is the next part's.
    kBroken,    ///< The stream makes no sense: error() says why. Never to be read from again.
  };

  /// Begins with a part's answers. `part` stays the caller's.
  void Start(Part* part, Dialect dialect);
  /// No bytes of the part's answers were read yet.
  bool untouched() const { return untouched_; }
  /// How many keys had a value or were done, and how many an error line, so far.
  size_t done() const { return done_; }
  size_t refused() const { return refused_; }

  /// Consumes from the front of `input`.
  /// REQUIRES: Start() was called, and kDone or kBroken not returned since
  Result Read(std::string_view* input);

  /// Where the next bytes of the stream belong while a value is incomplete; empty otherwise. They
  /// may be read to there directly, and are then reported.
  std::span<char> AwaitedValue() const { return {value_, value_left_}; }
  void ValueArrived(size_t bytes);

  const absl::Status& error() const { return error_; }

 private:
  // What the input continues with.
  enum class Expecting : uint8_t { kLine, kValue, kValueEnd, kNumberLine };

  Result Broken(const std::string& why);
  Result OnLine(std::string_view line);
  Result OnValuesLine(std::string_view line);
  Result OnValueHeader(std::string_view line);
  Result OnEndOfValues();
  Result OnWord(std::string_view line);
  Result OnNumber(std::string_view line);
  Result OnLease(std::string_view line);
  Result OnLeaseFlags(std::string_view flags, Answer& answer);
  Result OnTextLine(std::string_view line);
  Result OnQuietLine(std::string_view line);
  Result OnIgnoredLine(std::string_view line);
  Result OnErrorLine(std::string_view line);
  void TakeWholeValues(std::string_view* input);
  /// What has arrived of the value that is being read.
  void TakeValue(std::string_view* input);
  /// The next key has its answer. True when it was the last.
  bool SettleNext(AnswerState state);
  Result AnswerNext(AnswerState state);
  Result AfterLastKey();
  Result BeginValue(Answer& answer, uint64_t bytes);
  // binary_answers.cc
  Result ReadBinary(std::string_view* input);
  Result OnPacket(const BinaryAnswer& head, std::string_view body);
  Result OnBinaryValue(const BinaryAnswer& head, std::string_view body);
  Result OnTextPacket(const BinaryAnswer& head, std::string_view body);
  Result AnswerBinary(AnswerState state);
  // VALUE lines until END, rather than a line for each key.
  bool ByValues() const {
    return part_->shape == AnswerShape::kValues ||
           (part_->shape == AnswerShape::kLease && dialect_ == Dialect::kText);
  }
  bool HasValues() const {
    return part_->shape == AnswerShape::kValues || part_->shape == AnswerShape::kLease;
  }
  Answer& AnswerAt(size_t key);

  Part* part_ = nullptr;
  Dialect dialect_ = Dialect::kText;
  Expecting expecting_ = Expecting::kLine;
  bool untouched_ = true;
  size_t next_key_ = 0;
  size_t done_ = 0;
  size_t refused_ = 0;
  Answer* value_of_ = nullptr;  // whose value is being read
  char* value_ = nullptr;
  size_t value_left_ = 0;
  absl::Status error_;
};

}  // namespace cairn
