// Suboptions of -Z.
#include <limits>
#include <string>

#include "server/option_rows.h"
#include "server/option_values.h"
#include "server/suboption_rows.h"

namespace cairn::server {
namespace {

constexpr double kKilobyte = 1024;

constexpr std::string_view kNoCopy =
    "answers are encrypted from where they are, one TLS record at a time";

using Value = std::optional<std::string_view>;

std::optional<Exit> ApplyVerifyMode(OptionState& state, const OptionRow& row, Value value) {
  static_assert(static_cast<int>(SslVerifyMode::kOnce) == 3);
  const CheckedNumber number =
      CheckNumber(row, *value,
                  {.max = 3,
                   .below = "Invalid ssl_verify_mode. Use help to see valid options.",
                   .strict = kUnparsed},
                  /*fraction=*/false);
  if (number.exit) return number.exit;
  state.settings.ssl_verify_mode = static_cast<SslVerifyMode>(number.value);
  return std::nullopt;
}

std::optional<Exit> ApplyMinVersion(OptionState& state, const OptionRow& row, Value value) {
  static_assert(static_cast<int>(SslMinVersion::kTls13) == 3);
  const CheckedNumber number =
      CheckNumber(row, *value,
                  {.max = 3,
                   .below = "Invalid ssl_min_version. Use help to see valid options.",
                   .strict = kUnparsed},
                  /*fraction=*/false);
  if (number.exit) return number.exit;
  state.settings.ssl_min_version = static_cast<SslMinVersion>(number.value);
  return std::nullopt;
}

OptionRow PathRow(std::string_view name, std::string Settings::*field, std::string_view help) {
  return {.name = name,
          .argument = "file",
          .setting = name,
          .range = "a path",
          .help = help,
          .apply = Text(field)};
}

}  // namespace

void AddTlsRows(std::vector<OptionRow>* rows) {
  AppendRows(
      rows, OptionGroup::kTls,
      {PathRow("ssl_chain_cert", &Settings::ssl_chain_cert,
               "the server's certificate and its chain, PEM; -Z needs it"),
       PathRow("ssl_key", &Settings::ssl_key, "its private key; -Z needs it"),
       {.name = "ssl_keyformat",
        .argument = "num",
        .setting = "ssl_keyformat",
        .default_text = "1",
        .range = "1 for PEM or 2 for DER",
        .help = "the key's format: 1 PEM, 2 DER",
        .apply = Number(&Settings::ssl_keyformat,
                        {.min = std::numeric_limits<int32_t>::min(), .strict = kUnparsed})},
       {.name = "ssl_verify_mode",
        .argument = "num",
        .setting = "ssl_verify_mode",
        .default_text = "0",
        .range = "0 to 3",
        .help = "clients' certificates: 0 not asked for, 1 asked for, 2 required, 3 "
                "required once",
        .apply = ApplyVerifyMode},
       PathRow("ssl_ca_cert", &Settings::ssl_ca_cert, "authorities of clients' certificates, PEM"),
       {.name = "ssl_ciphers",
        .argument = "list",
        .setting = "ssl_ciphers",
        .range = "a cipher list as OpenSSL has it",
        .help = "ciphers up to TLS 1.2",
        .apply = Text(&Settings::ssl_ciphers)},
       {.name = "ssl_min_version",
        .argument = "num",
        .setting = "ssl_min_version",
        .default_text = "2",
        .range = "0 to 3",
        .help = "oldest version accepted: 0 is TLS 1.0, 1 1.1, 2 1.2, 3 1.3",
        .apply = ApplyMinVersion},
       {.name = "ssl_session_cache",
        .setting = "ssl_session_cache",
        .help = "let clients resume sessions",
        .apply = Set(&Settings::ssl_session_cache)},
       {.name = "ssl_kernel_tls",
        .setting = "ssl_kernel_tls",
        .help = "let the kernel encrypt, where it can",
        .apply = Set(&Settings::ssl_kernel_tls)}});
  AppendRows(
      rows, OptionGroup::kTls, kNoCopy,
      {{.name = "ssl_wbuf_size",
        .argument = "KB",
        .setting = "ssl_wbuf_size",
        .default_text = "16",
        .range = "a number of kilobytes",
        .help = "buffer of each thread for what is to be encrypted",
        .apply = Number(
            &Settings::ssl_wbuf_size_bytes,
            {.max = 1024 * 1024, .below = kUnparsed, .strict = kUnparsed, .unit = kKilobyte})}});
}

}  // namespace cairn::server
