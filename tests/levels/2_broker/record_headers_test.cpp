#include "levels/2_broker/record_headers.hpp"

#include <rapidcheck.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using ratchet::kafka::HeaderReader;
using ratchet::kafka::RecordHeaders;

namespace {

std::map<std::string, std::string> read(const std::string& json) {
  HeaderReader reader;
  RecordHeaders headers;
  REQUIRE(reader.read(json, headers));
  std::map<std::string, std::string> found;
  for (const auto& [name, value] : headers)
    found.emplace(name, value);
  REQUIRE(found.size() == headers.size());
  return found;
}

// Some characters of every length in UTF-8; the first few are those that JSON has to escape.
std::string utf8(const std::vector<std::uint16_t>& drawn) {
  std::string text;
  for (auto unit : drawn) {
    switch (unit % 5) {
      case 0:
        text += "\"\\/\n\t\x01"[unit / 5 % 6];
        break;
      case 1:
        text += static_cast<char>(1 + unit / 5 % 127);
        break;
      case 2:
        text += "\xc3";
        text += static_cast<char>(0x80 + unit / 5 % 64);
        break;
      case 3:
        text += "\xe2\x82";
        text += static_cast<char>(0x80 + unit / 5 % 64);
        break;
      default:
        text += "\xf0\x9f\x98";
        text += static_cast<char>(0x80 + unit / 5 % 64);
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("record headers: an object of strings, as PostgreSQL prints it") {
  auto found = read(R"({"ce_id": "42", "ce_source": "/orders", "content-type": "application/json"})");
  CHECK(found == std::map<std::string, std::string>{
                     {"ce_id", "42"}, {"ce_source", "/orders"}, {"content-type", "application/json"}});
}

TEST_CASE("record headers: the empty object has none") { CHECK(read(" { } ").empty()); }

TEST_CASE("record headers: escapes are decoded, in names and in values") {
  auto found = read("{\"a\\\"b\": \"line\\nnext \\\\ \\/ \\u00e4 \\ud83d\\ude00\", \"tail\\\\\": \"\"}");
  CHECK(found["a\"b"] == "line\nnext \\ / \xc3\xa4 \xf0\x9f\x98\x80");
  CHECK(found.count("tail\\") == 1);
}

TEST_CASE("record headers: what is no string is passed on as its own text") {
  auto found = read(R"({"n": 12345678901234567890.10, "t": true, "z": null, "o": {"a": ["}", "\"]"]}, "l": [1, {}]})");
  CHECK(found["n"] == "12345678901234567890.10");
  CHECK(found["t"] == "true");
  CHECK(found["z"] == "null");
  CHECK(found["o"] == R"({"a": ["}", "\"]"]})");
  CHECK(found["l"] == "[1, {}]");
}

TEST_CASE("record headers: what is no object is refused") {
  HeaderReader reader;
  RecordHeaders headers;
  for (const char* text :
       {"", "[]", "\"x\"", "null", "{", "{\"a\"}", "{\"a\":}", "{\"a\":\"b\"", "{\"a\":\"b\"} x", "{\"a\":\"b\",}",
        "{\"a\":[}", "{\"a\":\"\\q\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\", "{\"a\":1]}"}) {
    INFO(text);
    CHECK_FALSE(reader.read(text, headers));
    CHECK(headers.empty());
  }
}

TEST_CASE("record headers: the same as a whole JSON parser, for any strings") {
  bool same = rc::check([](const std::map<std::vector<std::uint16_t>, std::vector<std::uint16_t>>& drawn) {
    std::map<std::string, std::string> wanted;
    nlohmann::json object = nlohmann::json::object();
    for (const auto& [name, value] : drawn) {
      object[utf8(name)] = utf8(value);
      wanted[utf8(name)] = utf8(value);
    }
    for (bool ascii : {false, true}) {
      std::string text = object.dump(-1, ' ', ascii);
      HeaderReader reader;
      RecordHeaders headers;
      RC_ASSERT(reader.read(text, headers));
      std::map<std::string, std::string> found;
      for (const auto& [name, value] : headers)
        found.emplace(name, value);
      RC_ASSERT(found == wanted);
    }
  });
  CHECK(same);
}

TEST_CASE("record headers: any text at all is read or refused, never overrun") {
  bool safe = rc::check([](const std::vector<int>& picks) {
    static const std::string alphabet = "{}[]\":,\\u0d8 ax";
    std::string text = "{\"";
    for (int pick : picks)
      text += alphabet[static_cast<std::size_t>(std::abs(pick % 15))];
    HeaderReader reader;
    RecordHeaders headers;
    bool taken = reader.read(text, headers);
    RC_ASSERT(taken || headers.empty());
  });
  CHECK(safe);
}
