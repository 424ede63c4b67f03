// libcairn as it is without OpenSSL and zstd, from the objects of the other one: it links without
// them, works, and says what it has not.
#include <memory>

#include "cairn/client.h"
#include "tests/catch.h"
#include "tests/client/one_server.h"

namespace cairn {

TEST_CASE("without TLS and compression the library says so and works", "[client]") {
  const ServerProcess process;
  ClientOptions options = PatientOptions(process.server());
  options.tls = TlsOptions();
  CHECK(absl::IsUnimplemented(Client::Make(options).status()));
  options.tls.reset();
  options.compression = CompressionOptions();
  CHECK(absl::IsUnimplemented(Client::Make(options).status()));
  options.compression.reset();
  const auto client = Client::Make(options).value();
  CHECK(client->Set("key", "value").ok());
  CHECK(client->Get("key").value() == "value");
}

}  // namespace cairn
