#pragma once

#include <memory>
#include <utility>

#include "cairn/client.h"
#include "tests/catch.h"

namespace cairn {

/// A client of what `options` say, which have to be right.
inline std::unique_ptr<Client> Connect(const ClientOptions& options) {
  auto made = Client::Make(options);
  REQUIRE(made.ok());
  return std::move(*made);
}

}  // namespace cairn
