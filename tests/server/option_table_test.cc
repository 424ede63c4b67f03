#include "server/option_table.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fmt/format.h"
#include "server/option_rows.h"
#include "server/version.h"
#include "tests/catch.h"

namespace cairn::server {
namespace {

ParseResult Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "cairnd");
  return ParseOptions(static_cast<int>(arguments.size()), arguments.data());
}

Settings Accepted(std::vector<const char*> arguments) {
  const ParseResult result = Parse(std::move(arguments));
  if (const auto* exit = std::get_if<Exit>(&result)) FAIL("refused: " << exit->err << exit->out);
  return std::get<Settings>(result);
}

// "<exit code> <stderr>"
std::string Refused(std::vector<const char*> arguments) {
  const ParseResult result = Parse(std::move(arguments));
  const auto* exit = std::get_if<Exit>(&result);
  if (exit == nullptr) return "accepted";
  return fmt::format("{} {}", exit->code, exit->err);
}

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("Without arguments the settings are the defaults") {
  const Settings settings = Accepted({});
  CHECK(settings.tcp_port == 11211);
  CHECK_FALSE(settings.tcp_port_given);
  CHECK(settings.memory_limit_bytes == 64u << 20);
  CHECK(settings.max_item_bytes == 1u << 20);
  CHECK(settings.thread_count == 4);
  CHECK_FALSE(settings.ListensOnUdp());
  CHECK(settings.warnings.empty());
  CHECK(settings.notes.empty());
}

TEST_CASE("Short options are bundled and take their arguments from either word") {
  const Settings settings = Accepted({"-vdM", "-m128", "-c", "77", "-vvl127.0.0.1", "-t", " 3"});
  CHECK(settings.verbosity == 3);
  CHECK(settings.daemonize);
  CHECK_FALSE(settings.evict);
  CHECK(settings.memory_limit_bytes == 128u << 20);
  CHECK(settings.max_connections == 77);
  CHECK(settings.thread_count == 3);
  REQUIRE(settings.listen.size() == 1);
  CHECK(settings.listen[0].host == "127.0.0.1");
}

TEST_CASE("Long options are abbreviated and take their arguments from either word") {
  const Settings settings =
      Accepted({"--memory-limit=128", "--conn", "77", "--verbose", "--verbose=2", "--daemon",
                "--disable-e", "--protocol", "ascii"});
  CHECK(settings.memory_limit_bytes == 128u << 20);
  CHECK(settings.max_connections == 77);
  CHECK(settings.verbosity == 2);
  CHECK(settings.daemonize);
  CHECK_FALSE(settings.evict);
  CHECK(settings.binding_protocol == BindingProtocol::kAscii);
}

TEST_CASE("Options stand behind other words, and end at --") {
  CHECK(Accepted({"word", "-c", "77"}).max_connections == 77);
  CHECK(Accepted({"--", "-c", "77"}).max_connections == 1024);
  CHECK(Accepted({"-", "-c", "77"}).max_connections == 77);
}

TEST_CASE("Options that there are not end the start as getopt ends it") {
  CHECK(Refused({"-Q"}) == "1 cairnd: invalid option -- 'Q'\n");
  CHECK(Refused({"-v:"}) == "1 cairnd: invalid option -- ':'\n");
  CHECK(Refused({"-p"}) == "1 cairnd: option requires an argument -- 'p'\n");
  CHECK(Refused({"--port"}) == "1 cairnd: option '--port' requires an argument\n");
  CHECK(Refused({"--foo=3"}) == "1 cairnd: unrecognized option '--foo=3'\n");
  CHECK(Refused({"--daemon=3"}) == "1 cairnd: option '--daemon' doesn't allow an argument\n");
  CHECK(Refused({"--slab"}) ==
        "1 cairnd: option '--slab' is ambiguous; possibilities: '--slab-growth-factor' "
        "'--slab-min-size'\n");
}

TEST_CASE("Bad values end the start with memcached's line and exit code") {
  CHECK(Refused({"-p", "70000"}) == "64 ERROR: Invalid port number 70000.\n");
  CHECK(Refused({"-c", "0"}) == "1 Maximum connections must be greater than 0\n");
  CHECK(Refused({"-c", "many"}) == "1 Maximum connections must be greater than 0\n");
  CHECK(Refused({"-t", "0"}) == "1 Number of threads must be greater than 0\n");
  CHECK(Refused({"-R", "-1"}) == "1 Number of requests per event must be greater than 0\n");
  CHECK(Refused({"-f", "1"}) == "1 Factor must be greater than 1\n");
  CHECK(Refused({"-n", "0"}) == "1 Chunk size must be greater than 0\n");
  CHECK(Refused({"-D", " "}) == "1 No delimiter specified\n");
  CHECK(Refused({"-B", "http"}) ==
        "64 Invalid value for binding protocol: http\n -- should be one of auto, binary, or "
        "ascii\n");
  CHECK(Refused({"-I", "1023"}) == "64 Item max size cannot be less than 1024 bytes.\n");
  CHECK(Refused({"-I", "1mb"}) == "64 Item max size cannot be less than 1024 bytes.\n");
  CHECK(Refused({"-I", "33m"}) == "64 Cannot set item size limit higher than 1/2 of memory max.\n");
  CHECK(Refused({"-I", "1025m", "-m", "4096"}) ==
        "64 Cannot set item size limit higher than a gigabyte.\n");
  CHECK(Refused({"-m", "1"}) == "64 Cannot set item size limit higher than 1/2 of memory max.\n");
  CHECK(Refused({"-N", "5"}) ==
        "64 Number of napi_ids(5) cannot be greater than number of threads(4)\n");
}

TEST_CASE("A number must be one, where memcached would take the beginning for it") {
  CHECK(Contains(Refused({"-p", "11211x"}), "1 invalid value for -p: \"11211x\""));
  CHECK(Contains(Refused({"-p", ""}), "1 invalid value for -p"));
  CHECK(Contains(Refused({"-m", "8g"}), "1 invalid value for -m: \"8g\""));
  CHECK(Contains(Refused({"-m", "-1"}), "1 invalid value for -m"));
  CHECK(Contains(Refused({"-a", "789"}), "1 invalid value for -a: \"789\""));
  CHECK(Contains(Refused({"-I", "2048kb"}), "1 invalid value for -I"));
  CHECK(Contains(Refused({"-o", "idle_timeout=-1"}), "1 invalid value for -o idle_timeout"));
}

TEST_CASE("Ways to write a number that deployments have go on working") {
  CHECK(Accepted({"-m", "1987.5"}).memory_limit_bytes == uint64_t{1987} << 20);
  CHECK(Accepted({"-m", "64m"}).memory_limit_bytes == 64u << 20);
  CHECK(Accepted({"-m", "64MB"}).memory_limit_bytes == 64u << 20);
  CHECK(Accepted({"-m", "+64 "}).memory_limit_bytes == 64u << 20);
  CHECK(Accepted({"-m", "100000"}).memory_limit_bytes == uint64_t{100000} << 20);
  CHECK(Accepted({"-I", "2m"}).max_item_bytes == 2u << 20);
  CHECK(Accepted({"-I", "512K"}).max_item_bytes == 512u << 10);
  CHECK(Accepted({"-I", "4096"}).max_item_bytes == 4096);
  CHECK(Accepted({"-a", "0770"}).unix_socket_mode == 0770);
}

TEST_CASE("Item sizes need not be multiples of a chunk size that nobody gave") {
  CHECK(Accepted({"-I", "1500k"}).slab_chunk_max_bytes == 512u << 10);
  CHECK(Accepted({"-I", "1k"}).slab_chunk_max_bytes == 1024);
  CHECK(Refused({"-o", "slab_chunk_max=3"}) ==
        "64 -I (item_size_max: 1048576) must be evenly divisible by slab_chunk_max (bytes: "
        "3072)\n");
  CHECK(Refused({"-o", "slab_chunk_max=1024", "-I", "512k"}) ==
        "64 slab_chunk_max (bytes: 1048576) cannot be larger than -I (item_size_max 524288)\n");
}

TEST_CASE("Suboptions are checked as memcached checks them") {
  CHECK(Refused({"-o", "foo=1"}) == "1 Illegal suboption \"foo=1\"\n");
  CHECK(Refused({"-o", "modern,,modern"}) == "1 Illegal suboption \"\"\n");
  CHECK(Refused({"-o", "hashpower"}) == "1 Missing numeric argument for hashpower\n");
  CHECK(Refused({"-o", "hashpower=11"}) == "1 Initial hashtable multiplier of 11 is too low\n");
  CHECK(Refused({"-o", "lru_crawler_sleep=1000001"}) ==
        "1 LRU crawler sleep must be between 0 and 1 second\n");
  CHECK(Refused({"-o", "ssl_wbuf_size=x"}) == "1 could not parse argument to ssl_wbuf_size\n");
  CHECK(Refused({"-o", "ssl_min_version"}) == "1 Missing ssl_min_version argument\n");
  CHECK(Refused({"-o", "ssl_min_version=4"}) ==
        "1 Invalid ssl_min_version. Use help to see valid options.\n");
  CHECK(Refused({"-o", "ext_item_age=-1"}) == "1 could not parse argument to ext_item_age\n");
  CHECK(Refused({"-o", "hot_lru_pct=41"}) ==
        "64 hot_lru_pct + warm_lru_pct cannot be more than 80% combined\n");
  CHECK(Refused({"-o", "temporary_ttl=9,no_lru_maintainer"}) ==
        "64 temporary_ttl requires lru_maintainer to be enabled\n");
  CHECK(Refused({"-o", "slab_sizes=100-50"}) ==
        "64 slab size 50 cannot be lower than or equal to a previous class size\n");
  CHECK(Refused({"-o", "slab_sizes=100-108"}) ==
        "64 slab size 108 must be at least 8 bytes larger than previous class\n");
}

TEST_CASE("Suboptions are put where they belong, and the last one counts") {
  const Settings settings = Accepted(
      {"-o", "no_modern,lru_maintainer,slab_reassign,idle_timeout=5,ext_item_age=4294967295", "-o",
       "slab_automove,slab_sizes=100-200-400,temporary_ttl=30,watcher_logbuf_size=9"});
  CHECK_FALSE(settings.lru_crawler);
  CHECK_FALSE(settings.maxconns_fast);
  CHECK(settings.hash_algorithm == "jenkins");
  CHECK(settings.slab_reassign);
  CHECK(settings.slab_automove == 1);
  CHECK(settings.idle_timeout_s == 5);
  CHECK(settings.ext_item_age_s == UINT32_MAX);
  CHECK(settings.slab_sizes_bytes == std::vector<uint32_t>{100, 200, 400});
  CHECK(settings.temporary_ttl_s == 30);
  CHECK(settings.watcher_logbuf_bytes == 9 * 1024);
}

TEST_CASE("Authentication decides the protocol") {
  CHECK(Accepted({"-S"}).binding_protocol == BindingProtocol::kBinary);
  CHECK(Accepted({"-Y", "/file"}).binding_protocol == BindingProtocol::kAscii);
  CHECK(Refused({"-S", "-B", "ascii"}) ==
        "64 ERROR: You cannot allow the ASCII protocol while using SASL.\n");
  CHECK(Refused({"-S", "-U", "11211"}) ==
        "64 ERROR: Cannot enable UDP while using binary SASL authentication.\n");
  CHECK(Refused({"-Y", "/file", "-B", "binary"}) ==
        "64 ERROR: You cannot allow the BINARY protocol while using ascii authentication "
        "tokens.\n");
  CHECK(Refused({"-Y", "/file", "-U", "11211"}) ==
        "64 Cannot use UDP with ascii authentication enabled (-U 0 to disable)\n");
  CHECK(Refused({"-Y", "/file", "-l", "proto[binary]:127.0.0.1"}) ==
        "71 Cannot use binary protocol when ascii authentication enabled\n");
  const Settings both = Accepted({"-Y", "/file", "-l", "proto[negotiating]:127.0.0.1"});
  CHECK(both.listen.at(0).protocol == BindingProtocol::kAscii);
  CHECK(both.warnings.size() == 1);
}

TEST_CASE("Addresses to listen on have a mode, a protocol, a tag and a port") {
  const Settings settings =
      Accepted({"-Z", "-l", "127.0.0.1:11300;notls:[::1]:11301,proto[binary]:tag[blue]:host", "-l",
                "mtls:tag_red_:*,btls:2001:db8::1"});
  REQUIRE(settings.listen.size() == 5);
  CHECK(settings.listen[0].host == "127.0.0.1");
  CHECK(settings.listen[0].port == 11300);
  CHECK_FALSE(settings.listen[0].protocol.has_value());
  CHECK(settings.listen[0].tls == ListenTls::kDefault);
  CHECK(settings.listen[1].host == "::1");
  CHECK(settings.listen[1].port == 11301);
  CHECK(settings.listen[1].tls == ListenTls::kNone);
  CHECK(settings.listen[2].host == "host");
  CHECK(settings.listen[2].protocol == BindingProtocol::kBinary);
  CHECK(settings.listen[2].tag == "blue");
  CHECK_FALSE(settings.listen[2].port.has_value());
  CHECK(settings.listen[3].host.empty());
  CHECK(settings.listen[3].tls == ListenTls::kMutual);
  CHECK(settings.listen[3].tag == "red");
  CHECK(settings.listen[4].host == "2001:db8::1");
  CHECK(settings.listen[4].tls == ListenTls::kBasic);
  CHECK(settings.listen_text ==
        "127.0.0.1:11300;notls:[::1]:11301,proto[binary]:tag[blue]:host,"
        "mtls:tag_red_:*,btls:2001:db8::1");
}

TEST_CASE("The same address twice is one, and a longer one is another") {
  const Settings settings = Accepted({"-l", "127.0.0.10", "-l", "127.0.0.1", "-l", "127.0.0.1"});
  REQUIRE(settings.listen.size() == 2);
  CHECK(settings.listen[1].host == "127.0.0.1");
  CHECK(settings.listen_text == "127.0.0.10,127.0.0.1");
}

TEST_CASE("Addresses that are none end the start") {
  CHECK(Refused({"-l", "notls:127.0.0.1"}) ==
        "71 'notls' option is valid only when SSL is enabled\n");
  CHECK(Refused({"-l", "host:abc"}) == "71 Invalid port number: \"abc\"\n");
  CHECK(Refused({"-l", "host:70000"}) == "71 Invalid port number: \"70000\"\n");
  CHECK(Refused({"-l", "[::1"}) == "71 Invalid IPV6 address: \"[::1\"\n");
  CHECK(Refused({"-l", "proto[ascii:x"}) == "71 Invalid protocol spec: \"[ascii:x\"\n");
  CHECK(Refused({"-l", "proto[http]:x"}) == "71 Invalid protocol spec: \"http\"\n");
  CHECK(Refused({"-l", "tag[toolongtag]:x"}) ==
        "71 Listener tags must be between 1 and 8 characters: \"toolongtag\"\n");
  CHECK(Refused({"-l", "tag[:x"}) == "71 Invalid tag in socket config: \"[:x\"\n");
  CHECK(Refused({"-l", ""}) == "71 -l: no address given\n");
}

TEST_CASE("A UNIX socket turns TCP off, unless a port is asked for") {
  const auto listens = [](std::vector<const char*> arguments) {
    const Settings settings = Accepted(std::move(arguments));
    return settings.ListensOnTcp(settings.listen.empty() ? ListenAddress() : settings.listen[0]);
  };
  CHECK(listens({}));
  CHECK_FALSE(listens({"-p", "0"}));
  CHECK_FALSE(listens({"-s", "/socket"}));
  CHECK_FALSE(listens({"-s", "/socket", "-l", "127.0.0.1"}));
  CHECK_FALSE(listens({"-s", "/socket", "-U", "11211"}));
  CHECK_FALSE(listens({"-s", "/socket", "-p", "0"}));
  CHECK(listens({"-s", "/socket", "-p", "11211"}));
  CHECK(listens({"-s", "/socket", "-l", "127.0.0.1:11211"}));
  CHECK(Accepted({"-s", "/socket", "-U", "11211"}).ListensOnUdp());
  CHECK(Accepted({"-U", "11300"}).tcp_port == 11300);
  CHECK(Accepted({"-U", "11300", "-p", "11301"}).tcp_port == 11301);
  CHECK(Refused({"-Z", "-p", "0"}) == "64 ERROR: You cannot enable SSL without a TCP port.\n");
}

TEST_CASE("What is not built stops the start with one line") {
  for (const auto& arguments :
       std::vector<std::vector<const char*>>{{"-e", "/file"},
                                             {"--memory-file=/file"},
                                             {"-o", "ext_path=/file:64m"},
                                             {"-o", "proxy_config=/file"}}) {
    const std::string refused = Refused(arguments);
    CAPTURE(refused);
    CHECK(refused.starts_with("1 "));
    CHECK(Contains(refused, "not built"));
    CHECK(std::count(refused.begin(), refused.end(), '\n') == 1);
  }
}

TEST_CASE("What has no effect is noted once") {
  const Settings settings =
      Accepted({"-n", "60", "-n", "70", "-o", "slab_automove=2,modern", "-o", "slab_automove=1"});
  REQUIRE(settings.notes.size() == 3);
  CHECK(settings.notes[0].starts_with("-n has no effect here: "));
  CHECK(settings.notes[1].starts_with("-o slab_automove has no effect here: "));
  CHECK(settings.notes[2].starts_with("-o modern has no effect here: "));
}

TEST_CASE("Warnings come before the mistake that ends the start") {
  CHECK(Refused({"-o", "resp_obj_mem_limit=1", "-c", "0"}) ==
        "1 DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit.\n"
        "Maximum connections must be greater than 0\n");
  CHECK(Accepted({"-t", "65"}).warnings.size() == 1);
}

TEST_CASE("Help, version and licence end the start well") {
  for (const char* const option : {"-h", "-V", "-i", "--help", "--version", "--license"}) {
    const ParseResult result = Parse({option, "-c", "0"});
    const auto* exit = std::get_if<Exit>(&result);
    REQUIRE(exit != nullptr);
    CHECK(exit->code == 0);
    CHECK(exit->err.empty());
    CHECK(exit->out.starts_with(fmt::format("cairnd {}", kVersion)));
  }
}

TEST_CASE("Rows are complete and named once") {
  std::set<std::string> names;
  std::set<char> letters;
  const auto check = [&](std::span<const OptionRow> rows, bool suboptions) {
    for (const OptionRow& row : rows) {
      CAPTURE(row.letter, std::string(row.name));
      CHECK((suboptions ? row.letter == 0 : row.letter != 0));
      CHECK((row.letter == 0 || letters.insert(row.letter).second));
      CHECK((row.name.empty() || names.insert(std::string(row.name)).second));
      CHECK_FALSE(row.help.empty());
      CHECK(row.why.empty() == (row.effect == OptionEffect::kActs));
      CHECK((row.range.empty() || !row.argument.empty()));
      CHECK(row.apply != nullptr);
    }
  };
  check(CommandLineRows(), false);
  check(SuboptionRows(), true);
  CHECK(letters.size() == 37);
  // Each letter of memcached's, and no other.
  for (const char letter : std::string_view("aAZpsUmMckhiVrvdluPfntDLRCbBISFXWYeoN")) {
    CHECK(letters.count(letter) == 1);
  }
}

TEST_CASE("Help and the page of the options have every row that they should") {
  const std::string help = HelpText();
  const std::string page = DescribeOptions();
  for (const auto rows : {CommandLineRows(), SuboptionRows()}) {
    for (const OptionRow& row : rows) {
      CAPTURE(std::string(row.name));
      const bool built = row.effect != OptionEffect::kNotBuilt;
      if (!row.name.empty()) {
        CHECK(Contains(help, row.name) == built);
        CHECK(Contains(page, row.name));
      }
      if (!row.why.empty()) CHECK(Contains(page, row.why));
    }
  }
}

}  // namespace
}  // namespace cairn::server
