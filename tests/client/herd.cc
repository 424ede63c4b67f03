// Many threads of one process that ask for one key at the same time; look_aside_herd_test.cc starts
// several of it, tells them on stdin what to do and reads on stdout what happens.
//
//   herd <host:port> auto|text <key> <threads> <lease seconds>
//
// stdout: "ready" when the threads are there, "begun" when all were let go, "computing" when this
// process is to compute, "computed <n> right <n>" at the end. stdin: "go", and "finish" for the
// computation.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "cairn/look_aside.h"

namespace {

void Say(const std::string& line) {
  printf("%s\n", line.c_str());
  fflush(stdout);
}

bool Hear(const std::string& expected) {
  char line[100];
  return fgets(line, sizeof(line), stdin) != nullptr && line == expected + "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const std::string key = argv[3];
  const int threads_count = atoi(argv[4]);
  cairn::ClientOptions options;
  options.servers = {cairn::Server::Parse(argv[1]).value()};
  if (std::string(argv[2]) == "text") options.protocol = cairn::ClientOptions::Protocol::kText;
  options.connect_timeout = options.request_timeout = absl::Seconds(60);
  options.call_timeout = absl::Seconds(120);
  const auto client = cairn::Client::Make(options).value();
  cairn::LookAsideOptions look;
  look.lease = absl::Seconds(atoi(argv[5]));
  look.wait_max = absl::Seconds(120);
  cairn::LookAside pages(client.get(), look);

  std::atomic<int> computed{0};
  std::atomic<int> right{0};
  const cairn::LookAside::Compute compute = [&]() -> cairn::LookAside::Value {
    ++computed;
    Say("computing");
    if (!Hear("finish")) return absl::CancelledError("told otherwise");
    return "the value";
  };
  std::latch go(1);
  std::latch begun(threads_count);
  std::vector<std::thread> threads;
  for (int i = 0; i < threads_count; ++i) {
    threads.emplace_back([&] {
      go.wait();
      begun.count_down();
      const auto fetched = pages.GetOrCompute(key, compute);
      if (fetched.ok() && fetched->value == "the value") ++right;
    });
  }
  Say("ready");
  const bool told = Hear("go");
  go.count_down();
  begun.wait();
  Say("begun");
  for (std::thread& thread : threads) thread.join();
  Say("computed " + std::to_string(computed) + " right " + std::to_string(right));
  return told ? 0 : 1;
}
