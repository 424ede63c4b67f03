// The one way tests include Catch2: version 2 (Debian 12) has one header, version 3 (Debian 13,
// Ubuntu 24.04) many. Tests use what both offer, with the names of version 3.
#pragma once

#if __has_include(<catch2/catch_test_macros.hpp>)

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators_all.hpp>
#include <catch2/matchers/catch_matchers_all.hpp>

#else

#include <catch2/catch.hpp>
#include <string>

namespace Catch::Matchers {

inline StdString::ContainsMatcher ContainsSubstring(const std::string& text) {
  return Contains(text);
}

}  // namespace Catch::Matchers

#endif
