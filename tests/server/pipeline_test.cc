// Requests that are looked ahead at are answered as those that come alone.
#include <random>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/server/session_fixture.h"

namespace cairn::server {
namespace {

class Requests {
 public:
  std::string Next() {
    switch (random_() % 14) {
      case 0:
        return "get " + Key() + "\r\n";
      case 1:
        return "gets " + Key() + " " + Key() + "  " + Key() + "\r\n";
      case 2:
      case 3:
        return "set " + Key() + " 7 0 " + Body();
      case 4:
        return "add " + Key() + " 0 100 " + Body();
      case 5:
        return "delete " + Key() + "\r\n";
      case 6:
        return "incr " + Key() + " 5\r\n";
      case 7:
        return "touch " + Key() + " 50\r\n";
      case 8:
        return "mg " + Key() + " k v t\r\n";
      case 9:
        return "ms " + Key() + " " + Body();
      case 10:
        return "mg a2V5 b k v\r\n";  // a key that does not stand there as it is
      case 11:
        return "ms a2V5 3 b\r\nabc\r\n";
      case 12:  // no requests, though they look as if they had a key
        return random_() % 2 == 0 ? "get " + std::string(251, 'k') + "\r\n" : "incr k-1 x\r\n";
      default:
        return "gat 0 " + Key() + "\r\n";
    }
  }
  size_t Below(size_t n) { return random_() % n; }

 private:
  std::string Key() { return "k-" + std::to_string(random_() % 40); }
  std::string Body() {
    const std::string body = std::to_string(random_() % 100000);
    return std::to_string(body.size()) + "\r\n" + body + "\r\n";
  }
  std::mt19937 random_{3};  // NOLINT: the same each time
};

TEST_CASE("A pipeline is answered as its requests are one at a time") {
  ServerFixture one_server;
  ServerFixture all_server;
  Client one(&one_server);
  Client all(&all_server);
  Requests requests;
  for (int round = 0; round < 500; ++round) {
    std::string pipeline;
    std::string expected;
    for (size_t left = 1 + requests.Below(70); left != 0; --left) {
      const std::string request = requests.Next();
      expected += one.Send(request);
      pipeline += request;
    }
    if (round % 3 != 0) {
      REQUIRE(all.Send(pipeline) == expected);
      continue;
    }
    const size_t cut = requests.Below(pipeline.size());
    std::string answer = all.Send(pipeline.substr(0, cut));
    answer += all.Send(pipeline.substr(cut));
    REQUIRE(answer == expected);
  }
}

TEST_CASE("What was looked ahead at is forgotten with the input") {
  ServerFixture server;
  Client client(&server);
  CHECK(client.Send("set aa 0 0 1\r\n1\r\nset bb 0 0 1\r\n2\r\n") == "STORED\r\nSTORED\r\n");
  Output output;
  std::string input = "get aa\r\nget aa\r\n";
  const auto serve = [&] {
    const Progress progress = client.session.Process(input, &output, 100);
    CHECK(progress.consumed == input.size());
    const std::string answer(output.Whole());
    output.Clear();
    return answer;
  };
  CHECK(serve() == "VALUE aa 0 1\r\n1\r\nEND\r\nVALUE aa 0 1\r\n1\r\nEND\r\n");
  input.replace(0, input.size(), "get bb\r\nget bb\r\n");  // in the same memory
  CHECK(serve() == "VALUE bb 0 1\r\n2\r\nEND\r\nVALUE bb 0 1\r\n2\r\nEND\r\n");
}

}  // namespace
}  // namespace cairn::server
