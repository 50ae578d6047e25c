#include "levels/3_service/ids.hpp"

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/made_random.hpp"

using namespace ratchet;
using namespace ratchet::service;
using std::chrono::milliseconds;

TEST_CASE("ids: a UUIDv7 carries its time, version and variant, and none comes twice") {
  const tests::MadeRandom random;
  Ids ids(random), others(random);
  const WallTime now(milliseconds(1'645'557'742'000));  // RFC 9562, A.6
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; i++) {
    for (Ids* from : {&ids, &others}) {
      const std::string id(from->uuid7(now));
      REQUIRE(id.size() == 36);
      REQUIRE(id.substr(0, 15) == "017f22e2-79b0-7");
      REQUIRE(std::string("89ab").find(id[19]) != std::string::npos);
      REQUIRE((id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-'));
      REQUIRE(seen.insert(id).second);
    }
  }
  CHECK(std::string(ids.uuid7(now)) < std::string(ids.uuid7(now + milliseconds(1))));
}

TEST_CASE("ids: each bit that is drawn is used once, so what was seen says nothing of what follows") {
  const tests::MadeRandom random;
  Ids ids(random);
  std::string shown;  // the bits of ids and traces, as hexadecimal digits
  while (random.draws().size() < 3) {
    const std::string id(ids.uuid7(WallTime(milliseconds(0))));
    const std::string trace(ids.trace_parent());
    shown += id.substr(15, 3) + "/" + id.substr(20, 3) + id.substr(24) + "/" + trace.substr(3, 31) + "/" +
             trace.substr(36, 15) + "\n";
  }
  std::string expected;
  std::vector<std::uint64_t> words;
  for (const auto& draw : random.draws()) {
    for (std::size_t i = 0; i + 8 <= draw.size(); i += 8) {
      std::uint64_t word;
      std::memcpy(&word, draw.data() + i, sizeof word);
      words.push_back(word);
    }
  }
  const auto hex = [](std::uint64_t value, int digits) {
    std::string out;
    for (int i = digits - 1; i >= 0; i--)
      out += "0123456789abcdef"[value >> (4 * i) & 15];
    return out;
  };
  for (std::size_t i = 0; expected.size() < shown.size(); i += 5) {
    REQUIRE(i + 5 <= words.size());
    expected += hex(words[i], 3) + "/" + hex(words[i + 1] >> 2, 15) + "/" + hex(words[i + 2], 16) +
                hex(words[i + 3] >> 4, 15) + "/" + hex(words[i + 4] >> 4, 15) + "\n";
  }
  CHECK(shown == expected);
}

TEST_CASE("ids: times are RFC 3339 with milliseconds, across seconds and days") {
  TimeText text;
  const auto at = [&](std::int64_t ms) { return std::string(text.of(WallTime(milliseconds(ms)))); };
  CHECK(at(0) == "1970-01-01T00:00:00.000Z");
  CHECK(at(7) == "1970-01-01T00:00:00.007Z");
  CHECK(at(999) == "1970-01-01T00:00:00.999Z");
  CHECK(at(1000) == "1970-01-01T00:00:01.000Z");
  CHECK(at(1'582'934'400'000 - 1) == "2020-02-28T23:59:59.999Z");
  CHECK(at(1'582'934'400'000) == "2020-02-29T00:00:00.000Z");
  CHECK(at(1'795'262'400'123) == "2026-11-21T12:00:00.123Z");
  CHECK(at(999) == "1970-01-01T00:00:00.999Z");  // the wall clock may jump back
}

TEST_CASE("ids: a trace parent that is made is one that is taken") {
  const tests::MadeRandom random;
  Ids ids(random);
  std::set<std::string> seen;
  for (int i = 0; i < 1000; i++) {
    const std::string made(ids.trace_parent());
    REQUIRE(is_trace_parent(made));
    REQUIRE(seen.insert(made.substr(3, 32)).second);
  }
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  CHECK(is_trace_parent(good));
  CHECK(is_trace_parent("cc" + good.substr(2) + "-what-is-new"));
  for (const std::string& bad :
       {std::string(), good.substr(1), good + "-x", "ff" + good.substr(2), "0g" + good.substr(2),
        "cc" + good.substr(2) + "x", "00-" + std::string(32, '0') + good.substr(35),
        good.substr(0, 36) + std::string(16, '0') + "-01",
        std::string("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01")}) {
    INFO(bad);
    CHECK_FALSE(is_trace_parent(bad));
  }
}
