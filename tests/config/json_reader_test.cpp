#include "config/json_reader.hpp"

#include <chrono>
#include <string>

#include "tests/support/catch.hpp"

using ratchet::JsonRead;
using ratchet::JsonValue;
using ratchet::read_json;

namespace {

std::string refusal(std::string_view text) {
  const JsonRead read = read_json(text);
  REQUIRE_FALSE(read.value);
  REQUIRE_FALSE(read.error.text.empty());
  return read.error.text;
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("json reader: reads every kind of value, with lines") {
  const JsonRead read = read_json("{\"a\": [1, -2, 2.50, true, null],\n \"b\": {\n  \"c\": \"x\\u00e9\\n\"\n }\n}\n");
  REQUIRE(read.value);
  const JsonValue& root = *read.value;
  CHECK(root.line == 1);
  REQUIRE(root.names == std::vector<std::string>{"a", "b"});
  const JsonValue& list = root.items[0];
  REQUIRE(list.items.size() == 5);
  CHECK(list.items[0].integer == 1);
  CHECK(list.items[1].integer == -2);
  CHECK(list.items[2].type == JsonValue::Type::number);
  CHECK(list.items[2].text == "2.50");
  CHECK(list.items[3].boolean);
  CHECK(list.items[4].type == JsonValue::Type::null);
  const JsonValue* c = root.find("b")->find("c");
  REQUIRE(c != nullptr);
  CHECK(c->text == "x\xC3\xA9\n");
  CHECK(c->line == 3);
  CHECK(root.find("nowhere") == nullptr);
}

TEST_CASE("json reader: lines of list elements") {
  const JsonRead read = read_json("[\n1,\n2\n,\n{\"a\":\n3}\n]");
  REQUIRE(read.value);
  CHECK(read.value->items[0].line == 2);
  CHECK(read.value->items[1].line == 3);
  CHECK(read.value->items[2].line == 5);
  CHECK(read.value->items[2].items[0].line == 5);
}

TEST_CASE("json reader: nesting is bounded, and a million brackets are refused at once") {
  const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK(read_json(nested(64)).value);
  CHECK(says(refusal(nested(65)), "deeper than 64"));
  const auto start = std::chrono::steady_clock::now();
  CHECK(says(refusal(std::string(1'000'000, '[')), "deeper than 64"));
  std::string objects;
  for (int i = 0; i < 300'000; ++i)
    objects += "{\"a\":";
  CHECK(says(refusal(objects), "deeper than 64"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("json reader: a key twice in one object is refused, in two objects it is not") {
  CHECK(says(refusal(R"({"size": 1, "size": 2})"), "a key twice in one object: \"size\""));
  CHECK(says(refusal(R"({"a": {"x": 1, "x": 1}})"), "\"x\""));
  CHECK(says(refusal(R"({"a": 1, "\u0061": 2})"), "\"a\""));
  CHECK(read_json(R"([{"a": 1}, {"a": {"a": 2}}])").value);
}

TEST_CASE("json reader: numbers that do not fit are refused, not bent") {
  CHECK(read_json("9223372036854775807").value->integer == INT64_MAX);
  CHECK(read_json("-9223372036854775808").value->integer == INT64_MIN);
  CHECK(says(refusal("9223372036854775808"), "64 bits"));
  CHECK(says(refusal("18446744073709551616"), "64 bits"));
  CHECK(says(refusal("-9223372036854775809"), "64 bits"));
  CHECK(says(refusal("1e400"), "double"));
  CHECK(says(refusal("[-1e400]"), "double"));
  for (const char* text : {"NaN", "Infinity", "-Infinity", "nan", "0x10", "01", "1.", ".5", "+1"}) {
    CAPTURE(text);
    refusal(text);
  }
}

TEST_CASE("json reader: nothing but one value in plain UTF-8") {
  CHECK(says(refusal("\xEF\xBB\xBF{}"), "byte order mark"));
  CHECK(says(refusal(std::string_view("{}\0{}", 5)), "NUL"));
  refusal("{} {}");
  refusal("{} x");
  refusal("{\"a\": 1,}");
  refusal("[1,]");
  refusal("{'a': 1}");
  refusal("// comment\n{}");
  refusal("");
  refusal("   ");
  refusal("\"\xff\"");
  refusal("\"\xC0\xAF\"");      // overlong
  refusal("\"\xED\xA0\x80\"");  // a surrogate
  refusal("\"\\ud800\"");       // half a pair
  refusal("\"a\nb\"");          // a raw line break
  refusal("{\"a\": \"");
  CHECK(read_json(" {} \r\n\t").value);
}

TEST_CASE("json reader: a mistake has line, column and offset, and never quotes a value") {
  const JsonRead read = read_json("{\n  \"password\": \"geheim\\q\"\n}");
  REQUIRE_FALSE(read.value);
  CHECK(read.error.line == 2);
  CHECK(read.error.offset == 24);
  CHECK(read.error.column == 23);
  CHECK_FALSE(says(read.error.text, "geheim"));

  const JsonRead bare = read_json("{\"password\": \"geheim's; expected more\" geheim}");
  REQUIRE_FALSE(bare.value);
  CHECK_FALSE(says(bare.error.text, "geheim"));
  CHECK(says(bare.error.text, "syntax error"));
}
