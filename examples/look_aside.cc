// The usual way of using a cache: look there, else compute and leave the result there. What was not
// reached is treated as a miss, so that a dead cache server costs time and nothing else.
//
//   look_aside <host:port>...
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/client.h"

namespace {

// What is slow, and worth caching.
std::string RenderPage(std::string_view path) {
  return "<h1>This is " + std::string(path) + "</h1>";
}

std::string Page(cairn::Client& cache, const std::string& path) {
  const std::string key = "page:" + path;
  const absl::StatusOr<std::optional<std::string>> cached = cache.Get(key);
  if (cached.ok() && cached->has_value()) {
    printf("hit  %s\n", path.c_str());
    return **cached;
  }
  printf("%s %s\n", cached.ok() ? "miss" : "down", path.c_str());
  std::string page = RenderPage(path);
  cairn::WriteOptions options;
  options.ttl = absl::Minutes(5);
  if (const absl::Status stored = cache.Set(key, page, options); !stored.ok()) {
    fprintf(stderr, "not cached: %s\n", stored.ToString().c_str());
  }
  return page;
}

}  // namespace

int main(int argc, char** argv) {
  cairn::ClientOptions options;
  for (int i = 1; i < argc; ++i) {
    absl::StatusOr<cairn::Server> server = cairn::Server::Parse(argv[i]);
    if (!server.ok()) {
      fprintf(stderr, "%s\n", server.status().ToString().c_str());
      return 2;
    }
    options.servers.push_back(*std::move(server));
  }
  options.key_prefix = "v1:";  // another release that renders differently says v2
  absl::StatusOr<std::unique_ptr<cairn::Client>> cache = cairn::Client::Make(options);
  if (!cache.ok()) {
    fprintf(stderr, "%s\n", cache.status().ToString().c_str());
    return 2;
  }
  for (const char* path : {"/", "/about", "/"}) Page(**cache, path);

  const std::vector<std::string_view> keys = {"page:/", "page:/about", "page:/never"};
  const cairn::MultiGetResult pages = (*cache)->GetMulti(keys);
  printf("%zu hits, %zu misses, %zu not reached\n", pages.hits(), pages.misses(),
         pages.not_reached());
  return 0;
}
