#include "protocol/base64.h"

#include <string>

#include "tests/catch.h"

namespace cairn::protocol {
namespace {

std::string Encode(std::string_view raw) {
  std::string out(Base64EncodedBytes(raw.size()), '?');
  CHECK(Base64Encode(raw, out.data()) == out.data() + out.size());
  return out;
}

std::optional<std::string> Decode(std::string_view text) {
  std::string out(text.size(), '?');
  const std::optional<size_t> size = Base64Decode(text, out.data());
  if (!size) return std::nullopt;
  return out.substr(0, *size);
}

TEST_CASE("base64 has RFC 4648's test vectors") {
  const std::pair<const char*, const char*> vectors[] = {
      {"f", "Zg=="},        {"fo", "Zm8="},        {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [raw, text] : vectors) {
    CHECK(Encode(raw) == text);
    CHECK(Decode(text) == raw);
  }
}

TEST_CASE("base64 carries any byte") {
  std::string raw;
  for (int i = 0; i < 256; ++i) raw.push_back(static_cast<char>(i));
  for (size_t length = 1; length <= raw.size(); ++length) {
    const std::string part = raw.substr(raw.size() - length);
    REQUIRE(Decode(Encode(part)) == part);
  }
}

TEST_CASE("decoding skips what is not in the alphabet and stops after padding, as memcached does") {
  CHECK(Decode("Z.m-9_v") == "foo");
  CHECK(Decode("Zm8=Zm9v") == "fo");
}

TEST_CASE("what is no base64 is refused") {
  for (const char* bad : {"", "Z", "Zg", "Zg=", "Zm9vY", "Z===", "...."}) {
    INFO(bad);
    CHECK_FALSE(Decode(bad));
  }
}

}  // namespace
}  // namespace cairn::protocol
