// As much HTTP as the example needs, and no more: one request a connection, bodies with a length.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace example {

struct Request {
  std::string method;
  std::string path;
  std::string body;
};

struct Response {
  int status = 200;
  std::string body;
  std::string headers;  // more of them, each with its line's end
};

// Serves on the loopback until the process ends, with so many threads. Says on stdout where, once
// it listens; false when it cannot.
bool Serve(uint16_t port, int threads, const std::function<Response(const Request&)>& handle);

}  // namespace example
