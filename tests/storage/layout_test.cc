#include "storage/layout.h"

#include <random>
#include <string>
#include <vector>

#include "storage/decimal.h"
#include "storage/expiry_code.h"
#include "storage/item.h"
#include "storage/size_classes.h"
#include "tests/catch.h"

namespace cairn::storage {
namespace {

TEST_CASE("An expiry is kept rounded up by less than 100 ms, by less than 1 s from six years on") {
  std::mt19937_64 random(1);
  constexpr int64_t kYearMs = int64_t{1000} * 86400 * 365;
  for (int i = 0; i < 100000; ++i) {
    const int64_t ms = 200 + static_cast<int64_t>(random() % (kYearMs * 30) >> random() % 30);
    const ExpiryCode code = EncodeExpiry(Expiry::At(Time{ms}));
    const int64_t kept = DecodeExpiry(code).at().ms;
    REQUIRE(kept >= ms);
    REQUIRE(kept - ms < (ms < 6 * kYearMs ? 100 : 1000));
    REQUIRE_FALSE(ExpiryPassed(code, PassedCode(Time{kept - 1})));
    REQUIRE(ExpiryPassed(code, PassedCode(Time{kept})));
    REQUIRE(EncodeExpiry(DecodeExpiry(code)) == code);
  }
}

TEST_CASE("Never, past and far moments have codes") {
  CHECK(EncodeExpiry(Expiry::Never()) == kExpiryNever);
  CHECK(EncodeExpiry(Expiry::Past()) == kExpiryPast);
  CHECK(DecodeExpiry(kExpiryNever).never());
  CHECK(DecodeExpiry(kExpiryPast).Passed(Time{-1000}));
  CHECK_FALSE(ExpiryPassed(kExpiryNever, PassedCode(Time{INT64_MAX / 4})));
  const Expiry far = Expiry::At(Time{int64_t{0xffffffff} * 1000});
  CHECK(DecodeExpiry(EncodeExpiry(far)).at() >= far.at());
  CHECK(DecodeExpiry(EncodeExpiry(far)).at().ms - far.at().ms < 64000);
  CHECK(EncodeExpiry(Expiry::At(Time{INT64_MAX})) == 0xffffffff);
}

TEST_CASE("Whole seconds stay whole in the second range") {
  const int64_t ms = int64_t{20} * 365 * 86400 * 1000;
  CHECK(DecodeExpiry(EncodeExpiry(Expiry::At(Time{ms}))).at().ms == ms);
}

TEST_CASE("An item's fields do not touch each other") {
  char slot[512];
  std::memset(slot, 0x5a, sizeof slot);
  const ItemRef item(slot);
  const uint8_t marks = kClientFlags | kChained | kWideCas;
  item.Init("the key", marks, 7);
  item.set_inline_bytes(12345);
  item.set_hits(2);
  item.set_expiry(0xdeadbeef);
  CHECK(item.set_cas(0xfedcba9876543210));
  item.set_access(0x2aaaaa);
  item.set_client_flags(0xcafe1234);
  item.set_value_bytes(0x123456789abc);
  item.set_first_chunk(0xfedcba987);
  item.set_last_chunk(0xabcdef012);
  item.Mark(kStale | kFetched);
  CHECK(item.key() == "the key");
  CHECK(item.inline_bytes() == 12345);
  CHECK(item.hits() == 2);
  CHECK(item.expiry() == 0xdeadbeef);
  CHECK(item.cas() == 0xfedcba9876543210);
  CHECK(item.access() == 0x2aaaaa);
  CHECK(item.client_flags() == 0xcafe1234);
  CHECK(item.value_bytes() == 0x123456789abc);
  CHECK(item.first_chunk() == 0xfedcba987);
  CHECK(item.last_chunk() == 0xabcdef012);
  CHECK((item.has(kStale) && item.has(kFetched) && !item.has(kTokenSent)));
  CHECK(slot[ItemPrefixBytes(marks) + 7] == 0x5a);
}

TEST_CASE("A narrow CAS holds 42 bits and refuses more") {
  char slot[64];
  const ItemRef item(slot);
  item.Init("k", 0, 1);
  item.set_access(12345);
  CHECK(item.set_cas(kMaxNarrowCas));
  CHECK(item.cas() == kMaxNarrowCas);
  CHECK_FALSE(item.set_cas(kMaxNarrowCas + 1));
  CHECK(item.cas() == kMaxNarrowCas);
  CHECK(item.access() == 12345);
}

TEST_CASE("A chunk keeps its three places apart") {
  char slot[64];
  const ChunkRef chunk(slot);
  const Place a = 0xfedcba987;
  const Place b = 0x912345678;
  const Place c = 0xabcdef012;
  chunk.Init(kSlotChunk, a, b, c);
  CHECK((chunk.owner() == a && chunk.prev() == b && chunk.next() == c));
  chunk.set_owner(c);
  chunk.set_prev(a);
  chunk.set_next(b);
  CHECK((chunk.owner() == c && chunk.prev() == a && chunk.next() == b));
  CHECK(chunk.kind() == kSlotChunk);
}

TEST_CASE("Size classes cover all sizes, tightly, and find the slot of an offset") {
  for (const uint32_t page : {8u << 10, 16u << 10, 32u << 10, 64u << 10}) {
    for (const double growth : {0.0, 1.25, 2.0}) {
      const SizeClasses classes(page, growth, 4);
      REQUIRE(classes.count() < 400);
      CHECK(classes.max_slot_bytes() == page / 8);
      for (size_t bytes = 17; bytes <= classes.max_slot_bytes(); ++bytes) {
        const ClassId id = classes.ForBytes(bytes);
        REQUIRE(classes[id].slot_bytes >= bytes);
        REQUIRE((id == 1 || classes[static_cast<ClassId>(id - 1)].slot_bytes < bytes));
      }
      for (unsigned id = 1; id <= classes.count(); ++id) {
        const SizeClass& c = classes[static_cast<ClassId>(id)];
        REQUIRE(c.slot_bytes * c.slots_per_page <= page);
        for (uint32_t slot = 0; slot < c.slots_per_page; ++slot) {
          REQUIRE(static_cast<uint64_t>(slot * c.slot_bytes) * c.reciprocal >> 32 == slot);
        }
      }
    }
  }
}

TEST_CASE("A layout holds exactly its value") {
  for (const uint32_t page : {8u << 10, 16u << 10, 32u << 10, 64u << 10}) {
    const SizeClasses classes(page, 0, 4);
    const auto room = [&](ClassId id) { return classes[id].slot_bytes - kChunkHeaderBytes; };
    for (uint64_t size = 0; size < 400000; size += 1 + size / 200) {
      CAPTURE(page, size);
      const ItemLayout layout = LayOut(classes, 20, 7, 0, size);
      REQUIRE(layout.inline_bytes <= kMaxInlineBytes);
      REQUIRE(ItemPrefixBytes(layout.marks) + 20 + layout.inline_bytes <=
              classes[layout.head_class].slot_bytes);
      uint64_t placed = layout.inline_bytes;
      uint64_t room_before = UINT64_MAX;
      for (uint64_t slot = 1; slot < layout.slot_count(); ++slot) {
        REQUIRE(placed < size);
        const uint64_t here = room(layout.ClassOf(slot));
        REQUIRE(here <= room_before);
        room_before = here;
        placed += slot + 1 < layout.slot_count() ? here : std::min(here, size - placed);
      }
      REQUIRE(placed == size);
    }
  }
}

TEST_CASE("A value of about half a page or a page lies in few pieces") {
  const SizeClasses classes(32 << 10, 0, 4);
  CHECK(LayOut(classes, 20, 0, 0, 16 << 10).slot_count() == 2);
  CHECK(LayOut(classes, 20, 0, 0, 20 << 10).slot_count() == 3);
  CHECK(LayOut(classes, 20, 0, 0, 8 << 10).slot_count() == 2);
  CHECK(LayOut(classes, 20, 0, 0, 32 << 10).slot_count() <= 4);
}

TEST_CASE("Counters are read as strtoull reads them") {
  const std::string_view none[] = {"",
                                   " ",
                                   "-5",
                                   "0x10",
                                   "1e3",
                                   "12abc",
                                   "abc",
                                   "+",
                                   "- 5",
                                   "--5",
                                   "+-5",
                                   "5-",
                                   "18446744073709551616",
                                   "99999999999999999999999",
                                   "-18446744073709551616"};
  for (const std::string_view text : none) {
    INFO(text);
    CHECK_FALSE(ParseCounter(text).has_value());
  }
  CHECK(ParseCounter("12 abc") == 12u);
  CHECK(ParseCounter(" \t\r\n\v\f12") == 12u);
  CHECK(ParseCounter("+5") == 5u);
  CHECK(ParseCounter("007") == 7u);
  CHECK(ParseCounter("-0") == 0u);
  CHECK(ParseCounter("5\n") == 5u);
  CHECK(ParseCounter("5" + std::string(30, ' ')) == 5u);
  CHECK(ParseCounter(std::string_view("5\0x", 3)) == 5u);
  CHECK(ParseCounter("18446744073709551615") == UINT64_MAX);
}

}  // namespace
}  // namespace cairn::storage
