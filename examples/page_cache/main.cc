// A web site whose pages come from SQLite and are cached: look-aside, versioning, and protection
// against stampedes. Start several of them with one database and the same cache servers.
//
//   page_cache <port, 0 for any> <database file> <release> <cache server host:port>...
//
//   GET  /article/<id>   the page; the header X-Cache says where it came from
//   PUT  /article/<id>   changes the article: its page, of all processes, is the new one from then
//   on POST /theme          changes what all pages look like: none of the old ones is found again
//   GET  /stats          how many pages this process has rendered, and what became of the others
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "cairn/look_aside.h"
#include "cairn/namespace.h"
#include "page_cache/database.h"
#include "page_cache/http.h"

namespace example {
namespace {

constexpr int kThreads = 64;
constexpr std::string_view kArticle = "/article/";
constexpr std::string_view kSources[] = {"cache", "stale", "computed", "shared", "filled"};

cairn::LookAsideOptions PageOptions() {
  cairn::LookAsideOptions options;
  options.ttl = absl::Minutes(10);
  // Visitors who ask for what is not there cost the database little, too.
  options.negative_ttl = absl::Seconds(10);
  // A page that is asked for all the time is rendered anew before it expires, and by one process.
  options.refresh_ahead = absl::Seconds(30);
  options.lease = absl::Seconds(5);
  options.wait_max = absl::Seconds(10);
  return options;
}

class Site {
 public:
  Site(cairn::Client* cache, Database* database)
      : database_(*database), pages_(cache, PageOptions()), theme_(cache, "theme", Refresh()) {}

  Response Handle(const Request& request) {
    if (request.method == "GET" && request.path == "/stats") return Stats();
    if (request.method == "POST" && request.path == "/theme") return ChangeTheme();
    if (request.path.starts_with(kArticle)) {
      const long long id = std::atoll(request.path.c_str() + kArticle.size());
      if (request.method == "GET") return Page(id);
      if (request.method == "PUT") return Change(id, request.body);
    }
    return {404, "<h1>No such page</h1>", ""};
  }

 private:
  // For so long a process may show old pages after another one has changed the theme.
  static cairn::Namespace::Options Refresh() {
    cairn::Namespace::Options options;
    options.refresh = absl::Milliseconds(100);
    return options;
  }

  // A page is expensive: this is what a cache is there to spare.
  cairn::LookAside::Value Render(long long id) {
    ++rendered_;
    const absl::StatusOr<std::optional<Article>> article = database_.Read(id);
    if (!article.ok()) return article.status();
    if (!article->has_value()) return std::optional<std::string>();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // more queries, and templates
    return "<h1>" + (*article)->title + "</h1><p>" + (*article)->text + "</p>";
  }

  static std::string KeyOf(long long id) { return "article:" + std::to_string(id); }

  Response Page(long long id) {
    // The key has the theme's generation in it. When that is not known, since its cache server is
    // down, there is no key, and no cache.
    const absl::StatusOr<std::string> key = theme_.Key(KeyOf(id));
    if (!key.ok()) {
      cairn::LookAside::Value page = Render(id);
      if (!page.ok()) return Failure(page.status());
      return Found(*std::move(page), "none");
    }
    absl::StatusOr<cairn::Fetched> page =
        pages_.GetOrCompute(*key, [this, id] { return Render(id); });
    if (!page.ok()) return Failure(page.status());
    return Found(std::move(page->value), kSources[static_cast<size_t>(page->source)]);
  }

  static Response Found(std::optional<std::string> page, std::string_view source) {
    const std::string header = "X-Cache: " + std::string(source) + "\r\n";
    if (!page.has_value()) return {404, "<h1>No such article</h1>", header};
    return {200, *std::move(page), header};
  }

  static Response Failure(const absl::Status& status) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    return {503, "<h1>Try again later</h1>", ""};
  }

  Response Change(long long id, const std::string& text) {
    const absl::StatusOr<std::string> key = theme_.Key(KeyOf(id));
    const auto write = [&] { return database_.Write(id, {"Article " + std::to_string(id), text}); };
    if (!key.ok()) {
      if (const absl::Status written = write(); !written.ok()) return Failure(written);
      return {202, "changed; the cache was not reached\n", ""};
    }
    // After the write, and whatever is being rendered just now from before it is not cached.
    const std::string_view keys[] = {*key};
    const cairn::Written written = pages_.DeleteOnWrite(keys, write);
    if (!written.write.ok()) return Failure(written.write);
    if (!written.cache.ok()) return {202, "changed; the cache was not reached\n", ""};
    return {200, "changed\n", ""};
  }

  Response ChangeTheme() {
    const absl::Status status = theme_.Invalidate();
    return status.ok() ? Response{200, "changed\n", ""} : Failure(status);
  }

  Response Stats() {
    const cairn::LookAside::Counters counters = pages_.counters();
    return {200,
            "rendered " + std::to_string(rendered_) + "\nhits " + std::to_string(counters.hits) +
                "\nshared " + std::to_string(counters.shared) + "\nnot reached " +
                std::to_string(counters.not_reached) + "\n",
            ""};
  }

  Database& database_;
  cairn::LookAside pages_;
  cairn::Namespace theme_;
  std::atomic<int> rendered_{0};
};

int Main(int argc, char** argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: %s <port> <database> <release> <host:port>...\n", argv[0]);
    return 2;
  }
  cairn::ClientOptions options;
  // Another release renders other pages: it begins with an empty cache, beside this one's.
  options.key_prefix = std::string(argv[3]) + ":";
  for (int i = 4; i < argc; ++i) {
    absl::StatusOr<cairn::Server> server = cairn::Server::Parse(argv[i]);
    if (!server.ok()) {
      fprintf(stderr, "%s\n", server.status().ToString().c_str());
      return 2;
    }
    options.servers.push_back(*std::move(server));
  }
  absl::StatusOr<std::unique_ptr<cairn::Client>> cache = cairn::Client::Make(options);
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(argv[2]);
  for (const absl::Status& status : {cache.status(), database.status()}) {
    if (!status.ok()) {
      fprintf(stderr, "%s\n", status.ToString().c_str());
      return 1;
    }
  }
  Site site(cache->get(), database->get());
  const auto handle = [&](const Request& request) { return site.Handle(request); };
  return Serve(static_cast<uint16_t>(std::atoi(argv[1])), kThreads, handle) ? 0 : 1;
}

}  // namespace
}  // namespace example

int main(int argc, char** argv) { return example::Main(argc, argv); }
