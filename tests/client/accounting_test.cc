#include "client/accounting.h"

#include <memory>
#include <vector>

#include "client/call.h"
#include "client/counters.h"
#include "tests/catch.h"

namespace cairn {
namespace {

// A part that asked for one key, which is there.
Part& AskedForOne(Call& call) {
  Part& part = call.AddPart(0, AnswerShape::kValues, true);
  part.operation = Operation::kGet;
  part.keys.emplace_back();
  call.answers.resize(1);
  call.answers[0].state = AnswerState::kHit;
  call.answers[0].flags = 1;
  return part;
}

}  // namespace

TEST_CASE("a key that is answered as its call's time runs out is counted once", "[client]") {
  const std::vector<std::unique_ptr<ServerState>> not_looked_at;
  ConnectionCounters counters;
  SECTION("the answer came first") {
    const CallRef call;
    CountAnswered(AskedForOne(*call), 1, 0, &counters);
    Abandon(*call, not_looked_at);  // though nobody has said yet that it is done
    CHECK(call->abandoned);
    CHECK(counters.hits.value() == 1);
    CHECK(counters.late.value() == 0);
  }
  SECTION("its caller had gone") {
    const CallRef call;
    Part& part = AskedForOne(*call);
    part.counted = true;
    CountAnswered(part, 1, 0, &counters);
    CHECK(counters.hits.value() == 0);
    CHECK(counters.late.value() == 1);
  }
  SECTION("its caller had gone, and the connection broke") {
    const CallRef call;
    Part& part = AskedForOne(*call);
    part.counted = true;
    CountNotReached(part, Ending::kBroken, &counters);
    CHECK(counters.hits.value() == 0);
    CHECK(counters.not_reached[static_cast<size_t>(Ending::kBroken)].value() == 0);
  }
}

}  // namespace cairn
