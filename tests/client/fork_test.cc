// Processes that fork: each with a Client of its own, and the parent's is not disturbed.
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"

namespace cairn {

TEST_CASE("a forked process makes its own client, and the parent's goes on", "[client]") {
  OneServer one;
  Client& client = *one.client;
  REQUIRE(client.Set("parent", "before").ok());
  for (int i = 0; i < 3; ++i) {
    const std::string key = "child:" + std::to_string(i);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      // Nothing of the test's may be destroyed here.
      auto own = Client::Make(PatientOptions(one.server.server()));
      if (!own.ok()) _exit(1);
      const bool good = (*own)->Set(key, "x").ok() && (*own)->Get("parent").value() == "before";
      own->reset();
      _exit(good ? 0 : 2);
    }
    CHECK(client.Get("parent").value() == "before");
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(client.Get(key).value() == "x");
  }
  // Over the connection that it had.
  CHECK(client.Stats()[0].connections_made == 1);
}

}  // namespace cairn
