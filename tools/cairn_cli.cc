// cairn-cli: a pool of cache servers from the command line, as libcairn sees it.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/time/time.h"
#include "cairn/client.h"
#include "tools/cli_options.h"
#include "tools/cli_top.h"

namespace {

using cairn::cli::Settings;

// Exit codes, for scripts.
constexpr int kDone = 0;
constexpr int kNo = 1;  // a miss, or a condition that did not hold
constexpr int kUsage = 2;
constexpr int kFailed = 3;

constexpr char kHelp[] =
    "usage: cairn-cli [options] <command> [argument...]\n"
    "\n"
    "  get <key>...           values, each on a line after its key\n"
    "  set <key> <value>      stores; \"-\" reads the value from the standard input\n"
    "  add <key> <value>      stores unless there is a value\n"
    "  delete <key>...        deletes\n"
    "  touch <key>            gives a value the TTL of --ttl\n"
    "  incr|decr <key> [n]    counts\n"
    "  ring [<key>...]        where keys live; without keys, how even the placement is\n"
    "  ping                   every server's version, and how long it takes to tell: the median "
    "of\n"
    "                         --count times (10), and how they spread\n"
    "  top                    what every server does, each --interval (1s), --count times\n"
    "  stats [<group>]        every server's statistics\n"
    "  flush_all              empties every server\n"
    "\n"
    "  --servers=<list>       host[:port[:weight]][ alias], or /path; separated by commas\n"
    "                         (default: $CAIRN_SERVERS, or localhost)\n"
    "  --placement=<name>     which server has which key (default: cairn)\n"
    "  --hash-tag=<two characters>  hash only what is between them, e.g. {}\n"
    "  --prefix=<text>        stands before every key\n"
    "  --ttl=<duration>       of what is stored, e.g. 90s or 24h (default: none)\n"
    "  --timeout=<duration>   of a call (default: 5s)\n"
    "  --interval=<duration>  between rounds of top and ping\n"
    "  --count=<n>            rounds of top (default: until interrupted) and of ping (10)\n"
    "  --text                 classic protocol only\n"
    "  --tls                  TLS, with the system's authorities\n"
    "  --ca=<file>            TLS, with the authorities in this file\n"
    "  --cert=<file> --key=<file>  TLS, and what to show servers that want a client's certificate\n"
    "  --tls-name=<name>      what the servers' certificates are for (default: each one's host)\n"
    "  --user=<name>          authenticates; the password is $CAIRN_PASSWORD\n"
    "  --sasl                 by SASL PLAIN, instead of in ASCII\n"
    "  --zstd                 compresses, and unpacks what libcairn compressed\n"
    "\n"
    "Exits with 0; 1 for a miss or a condition that did not hold; 2 for a mistake on the command\n"
    "line; 3 when a server was not reached, a key or value was refused, or the standard input or\n"
    "output failed.\n";

int Complain(const std::string& what) {
  fprintf(stderr, "cairn-cli: %s\n", what.c_str());
  return kUsage;
}

int Fail(const absl::Status& status) {
  fprintf(stderr, "cairn-cli: %s\n", std::string(status.message()).c_str());
  return kFailed;
}

// The exit code of a run that had this one, once it is known whether what it printed arrived.
int Printed(int result) {
  if (fflush(stdout) == 0 && ferror(stdout) == 0) return result;
  return Fail(absl::UnknownError("cannot write to the standard output"));
}

template <typename... Texts>
void Print(const Texts&... texts) {
  for (const std::string_view text : {std::string_view(texts)...}) {
    fwrite(text.data(), 1, text.size(), stdout);
  }
}

int Get(cairn::Client& client, const Settings& settings) {
  const std::vector<std::string_view> keys(settings.words.begin() + 1, settings.words.end());
  const cairn::MultiGetResult got = client.GetMulti(keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (got[i].outcome == cairn::KeyOutcome::kNotReached) Fail(got.status(i));
    if (!got[i].hit()) continue;
    if (keys.size() > 1) Print(keys[i], " ");
    Print(got[i].value, "\n");
  }
  if (got.not_reached() > 0) return kFailed;
  return got.misses() > 0 ? kNo : kDone;
}

int Store(cairn::Client& client, const Settings& settings) {
  std::string value(settings.words[2]);
  if (value == "-") {
    value.clear();
    char buffer[65536];
    while (const size_t bytes = fread(buffer, 1, sizeof(buffer), stdin)) {
      value.append(buffer, bytes);
    }
    if (ferror(stdin) != 0) {
      return Fail(absl::UnknownError("cannot read the standard input; nothing was stored"));
    }
  }
  cairn::WriteOptions options;
  options.ttl = settings.ttl;
  if (settings.words[0] == "set") {
    const absl::Status status = client.Set(settings.words[1], value, options);
    return status.ok() ? kDone : Fail(status);
  }
  const absl::StatusOr<bool> added = client.Add(settings.words[1], value, options);
  if (!added.ok()) return Fail(added.status());
  return *added ? kDone : kNo;
}

int Delete(cairn::Client& client, const Settings& settings) {
  const std::vector<std::string_view> keys(settings.words.begin() + 1, settings.words.end());
  const cairn::MultiWriteResult deleted = client.DeleteMulti(keys);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!deleted.status(i).ok()) Fail(deleted.status(i));
  }
  if (deleted.failed_count() > 0) return kFailed;
  return deleted.done_count() == keys.size() ? kDone : kNo;
}

int Touch(cairn::Client& client, const Settings& settings) {
  const absl::StatusOr<bool> touched = client.Touch(settings.words[1], settings.ttl);
  if (!touched.ok()) return Fail(touched.status());
  return *touched ? kDone : kNo;
}

int Count(cairn::Client& client, const Settings& settings) {
  uint64_t delta = 1;
  if (settings.words.size() > 2) {
    const std::string_view text = settings.words[2];
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, delta);
    if (read.ec != std::errc() || read.ptr != end) {
      return Complain("not a number from 0 to 2^64 - 1: \"" + std::string(text) + "\"");
    }
  }
  const auto number = settings.words[0] == "incr" ? client.Increment(settings.words[1], delta)
                                                  : client.Decrement(settings.words[1], delta);
  if (!number.ok()) return Fail(number.status());
  if (!number->has_value()) return kNo;
  Print(std::to_string(**number) + "\n");
  return kDone;
}

int ShowRing(cairn::Client& client, const Settings& settings) {
  if (settings.words.size() > 1) {
    for (size_t i = 1; i < settings.words.size(); ++i) {
      Print(std::string(settings.words[i]) + " " +
            client.server(client.ServerOf(settings.words[i])).Address() + "\n");
    }
    return kDone;
  }
  constexpr size_t kSamples = 100'000;
  std::vector<size_t> counts(client.server_count());
  for (size_t i = 0; i < kSamples; ++i) ++counts[client.ServerOf("sample:" + std::to_string(i))];
  double weights = 0;
  for (size_t i = 0; i < counts.size(); ++i) weights += std::max(1u, client.server(i).weight);
  Print("server, weight, share of 100,000 keys, and that as a part of the weight's share\n");
  for (size_t i = 0; i < counts.size(); ++i) {
    const cairn::Server& server = client.server(i);
    const double share = static_cast<double>(counts[i]) / kSamples;
    printf("%s %u %.2f%% %.3f\n", server.Address().c_str(), server.weight, share * 100,
           share * weights / std::max(1u, server.weight));
  }
  return kDone;
}

int Ping(cairn::Client& client, const Settings& settings) {
  cairn::cli::Rounds rounds = {absl::ZeroDuration(), 10};
  if (settings.interval.has_value()) rounds.interval = *settings.interval;
  if (settings.count.has_value()) rounds.count = *settings.count;
  return cairn::cli::ShowPing(client, rounds) ? kDone : kFailed;
}

int Top(cairn::Client& client, const Settings& settings) {
  cairn::cli::Rounds rounds;
  if (settings.interval.has_value()) rounds.interval = *settings.interval;
  if (settings.count.has_value()) rounds.count = *settings.count;
  return cairn::cli::ShowTop(client, rounds) ? kDone : kFailed;
}

int ShowStats(cairn::Client& client, const Settings& settings) {
  int result = kDone;
  for (size_t i = 0; i < client.server_count(); ++i) {
    const auto stats =
        client.Stats(i, settings.words.size() > 1 ? settings.words[1] : std::string_view());
    if (!stats.ok()) {
      result = Fail(stats.status());
      continue;
    }
    for (const auto& [name, value] : *stats) {
      Print(client.server(i).Address(), " ", name, " ", value, "\n");
    }
  }
  return result;
}

int FlushAll(cairn::Client& client) {
  const absl::Status status = client.FlushAll();
  return status.ok() ? kDone : Fail(status);
}

struct Command {
  std::string_view name;
  std::string_view usage;  // what follows the name
  size_t arguments_min;
  size_t arguments_max;
  int (*run)(cairn::Client&, const Settings&);
};

constexpr size_t kAny = 1'000'000;
const Command kCommands[] = {
    {"get", "<key>...", 1, kAny, Get},
    {"set", "<key> <value>", 2, 2, Store},
    {"add", "<key> <value>", 2, 2, Store},
    {"delete", "<key>...", 1, kAny, Delete},
    {"touch", "<key>", 1, 1, Touch},
    {"incr", "<key> [n]", 1, 2, Count},
    {"decr", "<key> [n]", 1, 2, Count},
    {"ring", "[<key>...]", 0, kAny, ShowRing},
    {"ping", "", 0, 0, Ping},
    {"top", "", 0, 0, Top},
    {"stats", "[<group>]", 0, 1, ShowStats},
    {"flush_all", "", 0, 0,
     [](cairn::Client& client, const Settings&) { return FlushAll(client); }},
};

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  absl::Status status;
  for (int i = 1; i < argc && status.ok(); ++i) {
    const std::string_view word = argv[i];
    if (settings.words.empty() && (word == "--help" || word == "-h")) {
      Print(kHelp);
      return Printed(kDone);
    }
    if (settings.words.empty() && word.starts_with("-")) {
      status = cairn::cli::ReadOption(word, &settings);
    } else {
      settings.words.push_back(word);
    }
  }
  status.Update(cairn::cli::ReadEnvironment(&settings));
  if (!status.ok()) return Complain(std::string(status.message()));
  if (settings.words.empty()) return Complain("no command; see --help");
  const auto* const command =
      std::find_if(std::begin(kCommands), std::end(kCommands),
                   [&](const Command& each) { return each.name == settings.words[0]; });
  const size_t arguments = settings.words.size() - 1;
  if (command == std::end(kCommands)) {
    return Complain("no such command: " + std::string(settings.words[0]) + "; see --help");
  }
  if (arguments < command->arguments_min || arguments > command->arguments_max) {
    return Complain("usage: cairn-cli [options] " + std::string(command->name) +
                    (command->usage.empty() ? "" : " ") + std::string(command->usage) +
                    "; options stand before the command");
  }
  const absl::StatusOr<std::unique_ptr<cairn::Client>> client =
      cairn::Client::Make(settings.client);
  if (!client.ok()) return Complain(std::string(client.status().message()));
  return Printed(command->run(**client, settings));
}
