#include "client/limit_question.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>

#include "client/binary_wire.h"

namespace cairn {
namespace {

using State = LimitAnswer::State;

// Four times what memcached has to say.
constexpr size_t kAnswerBytesMax = size_t{16} * 1024;

constexpr std::string_view kGroup = "settings";

std::string BinaryQuestion() {
  BinaryRequestHead head;
  head.opcode = BinaryOpcode::kStat;
  head.key_bytes = kGroup.size();
  return head.Bytes().append(kGroup);
}

class Settings {
 public:
  void Take(std::string_view name, std::string_view value) {
    if (name == "item_size_max") {
      size_t number = 0;
      const char* const end = value.data() + value.size();
      const auto [read_to, error] = std::from_chars(value.data(), end, number);
      if (error == std::errc() && read_to == end) item_size_max_ = number;
    }
    if (name == "proxy_enabled" && value == "yes") is_proxy_ = true;
  }
  LimitAnswer Complete(size_t bytes) const {
    return {State::kComplete, bytes, is_proxy_ ? std::nullopt : item_size_max_};
  }

 private:
  std::optional<size_t> item_size_max_;
  bool is_proxy_ = false;
};

LimitAnswer ReadLines(std::string_view input) {
  constexpr std::string_view kStat = "STAT ";
  Settings settings;
  for (size_t at = 0;;) {
    const size_t end = input.find("\r\n", at);
    if (end == std::string_view::npos) return {};
    std::string_view line = input.substr(at, end - at);
    at = end + 2;
    if (line == "END") return settings.Complete(at);
    if (!line.starts_with(kStat)) return {.state = State::kNone};
    line.remove_prefix(kStat.size());
    const size_t blank = std::min(line.find(' '), line.size());
    settings.Take(line.substr(0, blank), line.substr(std::min(blank + 1, line.size())));
  }
}

// A packet for each of them, then one without a name.
LimitAnswer ReadPackets(std::string_view input) {
  Settings settings;
  for (size_t at = 0; input.size() - at >= protocol::kBinaryHeaderBytes;) {
    const BinaryAnswer head = BinaryAnswer::Read(input.substr(at));
    if (!head.is_answer || head.opcode != BinaryOpcode::kStat || !head.fits() ||
        head.status != protocol::BinaryStatus::kOk || head.body_bytes > kAnswerBytesMax) {
      return {.state = State::kNone};
    }
    at += protocol::kBinaryHeaderBytes;
    if (input.size() - at < head.body_bytes) break;
    std::string_view body = input.substr(at, head.body_bytes);
    at += head.body_bytes;
    if (head.key_bytes == 0) return settings.Complete(at);
    body.remove_prefix(head.extras_bytes);
    settings.Take(body.substr(0, head.key_bytes), body.substr(head.key_bytes));
  }
  return {};
}

}  // namespace

std::string_view LimitQuestion(Dialect dialect) {
  static const std::string binary = BinaryQuestion();
  return dialect == Dialect::kBinary ? std::string_view(binary) : "stats settings\r\n";
}

LimitAnswer ReadLimitAnswer(std::string_view input, Dialect dialect) {
  const LimitAnswer answer = dialect == Dialect::kBinary ? ReadPackets(input) : ReadLines(input);
  const size_t bytes = answer.state == State::kPartial ? input.size() : answer.bytes;
  return bytes > kAnswerBytesMax ? LimitAnswer{.state = State::kNone} : answer;
}

}  // namespace cairn
