#include "tools/cli_top.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/clock.h"

namespace cairn::cli {
namespace {

// What one server said, at one time.
struct Sample {
  absl::Status status = absl::UnknownError("not asked yet");
  absl::Time time;
  std::map<std::string, double, std::less<>> stats;

  double operator[](std::string_view name) const {
    const auto found = stats.find(name);
    return found == stats.end() ? 0 : found->second;
  }
};

Sample Ask(Client& client, size_t server) {
  Sample sample;
  const auto stats = client.Stats(server);
  sample.time = absl::Now();
  sample.status = stats.status();
  if (!stats.ok()) return sample;
  for (const auto& [name, value] : *stats) {
    double number = 0;
    const char* const end = value.data() + value.size();
    if (std::from_chars(value.data(), end, number).ptr == end) sample.stats[name] = number;
  }
  return sample;
}

// What happened between two samples of a server, a second; what there is, at the later one.
struct Row {
  double gets = 0;
  double hits = 0;
  double misses = 0;
  double sets = 0;
  double evictions = 0;
  double bytes_in = 0;
  double bytes_out = 0;
  double cpu = 0;  // processors
  double connections = 0;
  double items = 0;
  double bytes = 0;
  double bytes_max = 0;

  void Add(const Row& other) {
    double Row::*const all[] = {&Row::gets,      &Row::hits,      &Row::misses,
                                &Row::sets,      &Row::evictions, &Row::bytes_in,
                                &Row::bytes_out, &Row::cpu,       &Row::connections,
                                &Row::items,     &Row::bytes,     &Row::bytes_max};
    for (double Row::*const each : all) this->*each += other.*each;
  }
};

Row Between(const Sample& before, const Sample& now) {
  const double seconds = std::max(absl::ToDoubleSeconds(now.time - before.time), 1e-6);
  // A server that was started in between counts from nothing.
  const bool restarted = now["uptime"] < before["uptime"] || now["pid"] != before["pid"];
  const auto rate = [&](std::string_view name) {
    const double from = restarted || now[name] < before[name] ? 0 : before[name];
    return (now[name] - from) / seconds;
  };
  Row row;
  row.gets = rate("cmd_get");
  row.hits = rate("get_hits");
  row.misses = rate("get_misses");
  row.sets = rate("cmd_set");
  row.evictions = rate("evictions");
  row.bytes_in = rate("bytes_read");
  row.bytes_out = rate("bytes_written");
  row.cpu = rate("rusage_user") + rate("rusage_system");
  row.connections = now["curr_connections"];
  row.items = now["curr_items"];
  row.bytes = now["bytes"];
  row.bytes_max = now["limit_maxbytes"];
  return row;
}

// "1234", "56.7k", "8.90M": at most five characters below 10^15.
std::string Short(double number) {
  constexpr char kUnits[] = {'k', 'M', 'G', 'T'};
  char text[32];
  if (number < 9999.5) {
    const bool whole = number >= 99.95 || number == std::floor(number);
    snprintf(text, sizeof(text), whole ? "%.0f" : "%.1f", number);
    return text;
  }
  size_t unit = 0;
  for (number /= 1000; number >= 999.5 && unit + 1 < sizeof(kUnits); ++unit) number /= 1000;
  const int digits = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
  snprintf(text, sizeof(text), "%.*f%c", digits, number, kUnits[unit]);
  return text;
}

std::string Percent(double part, double whole) {
  if (whole <= 0) return "-";
  char text[32];
  snprintf(text, sizeof(text), "%.1f", 100 * part / whole);
  return text;
}

void PrintHeader(size_t width, bool with_time) {
  if (with_time) printf("%-8s ", "time");
  printf("%-*s %7s %6s %7s %7s %7s %7s %6s %7s %7s %6s %6s\n", static_cast<int>(width), "server",
         "gets/s", "hit%", "sets/s", "evict/s", "in B/s", "out B/s", "conns", "items", "bytes",
         "full%", "cpu%");
}

void PrintRow(const Row& row) {
  printf("%7s %6s %7s %7s %7s %7s %6s %7s %7s %6s %6.1f\n", Short(row.gets).c_str(),
         Percent(row.hits, row.hits + row.misses).c_str(), Short(row.sets).c_str(),
         Short(row.evictions).c_str(), Short(row.bytes_in).c_str(), Short(row.bytes_out).c_str(),
         Short(row.connections).c_str(), Short(row.items).c_str(), Short(row.bytes).c_str(),
         Percent(row.bytes, row.bytes_max).c_str(), 100 * row.cpu);
}

}  // namespace

bool ShowTop(Client& client, const Rounds& rounds) {
  const bool in_place = isatty(STDOUT_FILENO) != 0;
  const size_t servers = client.server_count();
  size_t width = 6;
  for (size_t i = 0; i < servers; ++i) width = std::max(width, client.server(i).Address().size());
  std::vector<Sample> before;
  for (size_t i = 0; i < servers; ++i) before.push_back(Ask(client, i));
  absl::Time next = absl::Now();
  bool reached = true;
  if (!in_place) PrintHeader(width, true);
  for (uint64_t round = 0; rounds.count == 0 || round < rounds.count; ++round) {
    next += rounds.interval;
    absl::SleepFor(next - absl::Now());
    std::vector<Sample> now;
    for (size_t i = 0; i < servers; ++i) now.push_back(Ask(client, i));
    const std::string time = absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone());
    if (in_place) {
      printf("\033[H\033[2J%s, every %s\n\n", time.c_str(),
             absl::FormatDuration(rounds.interval).c_str());
      PrintHeader(width, false);
    }
    Row sum;
    reached = true;
    const auto begin_line = [&](const std::string& name) {
      if (!in_place) printf("%-8s ", time.c_str());
      printf("%-*s ", static_cast<int>(width), name.c_str());
    };
    for (size_t i = 0; i < servers; ++i) {
      begin_line(client.server(i).Address());
      if (!now[i].status.ok()) {
        reached = false;
        printf("%s\n", std::string(now[i].status.message()).c_str());
      } else if (!before[i].status.ok()) {
        printf("there again\n");  // and from the next interval on it has rates
      } else {
        const Row row = Between(before[i], now[i]);
        PrintRow(row);
        sum.Add(row);
      }
    }
    if (servers > 1) {
      begin_line("all");
      PrintRow(sum);
    }
    fflush(stdout);
    before = std::move(now);
  }
  return reached;
}

bool ShowPing(Client& client, const Rounds& rounds) {
  bool reached = true;
  for (size_t i = 0; i < client.server_count(); ++i) {
    absl::StatusOr<std::string> version = client.Version(i);
    LatencyHistogram times;
    for (uint64_t round = 0; version.ok() && round < rounds.count; ++round) {
      if (round > 0) absl::SleepFor(rounds.interval);
      const absl::Time begin = absl::Now();
      version = client.Version(i);
      times.Record(absl::Now() - begin);
    }
    if (!version.ok()) {
      fprintf(stderr, "cairn-cli: %s\n", std::string(version.status().message()).c_str());
      reached = false;
      continue;
    }
    const auto millis = [&](double percent) {
      return absl::ToDoubleMilliseconds(times.Percentile(percent));
    };
    printf("%s %s %.3f ms (least %.3f, 90%% %.3f, 99%% %.3f, most %.3f, of %llu)\n",
           client.server(i).Address().c_str(), version->c_str(), millis(50), millis(0), millis(90),
           millis(99), millis(100), static_cast<unsigned long long>(times.count()));
    fflush(stdout);
  }
  return reached;
}

}  // namespace cairn::cli
