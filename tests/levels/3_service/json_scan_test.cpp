#include "levels/3_service/json_scan.hpp"

#include <rapidcheck.h>

#include "tests/levels/3_service/json_reference.hpp"
#include "tests/support/catch.hpp"

namespace {

using ratchet::service::JsonScan;
using ratchet::service::JsonScanner;
using Found = JsonScan::Found;
using Path = std::vector<std::string>;

JsonScan scan_json(std::string_view text, const Path& path) { return JsonScanner({}).scan(text, path); }

JsonScan refused(std::string_view text) {
  auto scan = scan_json(text, {"a"});
  INFO(text);
  REQUIRE_FALSE(scan.valid);
  CHECK(scan.found == Found::absent);
  CHECK(scan.value.empty());
  return scan;
}

std::string repeat(std::string_view what, int times) {
  std::string out;
  while (times-- > 0)
    out += what;
  return out;
}

}  // namespace

TEST_CASE("json_scan: valid texts of every kind are accepted") {
  for (const char* text : {"{}", "[]", " \t\r\n{ } ", "0", "-0", "-1.5e+3", "1E400", "\"\"", "true", "false", "null",
                           R"({"a":{"a":{"a":[]}}})", R"(["a","a"])", R"([{"a":1},{"a":1}])",
                           R"("\u0000\ud83d\ude00\"\\\/\b\f\n\r\t")", "\"\x7f\"", "\"\xf0\x9f\x98\x80\""}) {
    INFO(text);
    CHECK(scan_json(text, {}).valid);
  }
}

TEST_CASE("json_scan: the first mistake is named with its offset") {
  struct Case {
    std::string text;
    std::string_view error;
    std::size_t at;
  };
  const std::vector<Case> cases{
      {"", "unexpected end", 0},
      {"  ", "unexpected end", 2},
      {"{\"a\":1", "unexpected end", 6},
      {"{\"a\":1,}", "unexpected character", 7},
      {"[1,]", "unexpected character", 3},
      {"{a:1}", "unexpected character", 1},
      {"{\"a\" 1}", "unexpected character", 5},
      {"01", "unexpected character after the end", 1},
      {"+1", "unexpected character", 0},
      {"-", "unexpected end", 1},
      {"1.", "unexpected end", 2},
      {".5", "unexpected character", 0},
      {"1e", "unexpected end", 2},
      {"NaN", "unexpected character", 0},
      {"tru", "unexpected end", 3},
      {"trux", "unexpected character", 3},
      {"{} {}", "unexpected character after the end", 3},
      {"\xef\xbb\xbf{}", "unexpected character", 0},
      {"\"ab\ncd\"", "control character in a string", 3},
      {"\"abc", "unexpected end", 4},
      {"\"\\x\"", "invalid escape", 2},
      {"\"\\u12g4\"", "invalid escape", 5},
      {"\"x\\ud800\"", "lone surrogate", 2},
      {"\"x\\ud800\\u0041\"", "lone surrogate", 2},
      {"\"\\udc00\"", "lone surrogate", 1},
      {"\"\xc0\x80\"", "invalid UTF-8", 1},
      {"\"\xed\xa0\x80\"", "invalid UTF-8", 1},
      {"\"\xf4\x90\x80\x80\"", "invalid UTF-8", 1},
      {"\"\xe2\x82\"", "invalid UTF-8", 1},
      {"\"12345678\xff\"", "invalid UTF-8", 9},
      {"{\"a\":1,\"b\":2,\"a\":3}", "duplicate key", 13},
      {"{\"x\":{\"a\":1,\"\\u0061\":3}}", "duplicate key", 12},
      {"[[{\"\":1,\"\":1}]]", "duplicate key", 8},
      {std::string("{}\0", 3), "unexpected character after the end", 2},
  };
  for (const auto& c : cases) {
    const auto scan = refused(c.text);
    INFO(c.text);
    CHECK(scan.error == c.error);
    CHECK(scan.error_at == c.at);
  }
}

TEST_CASE("json_scan: 64 levels are read, the 65th is refused") {
  CHECK(scan_json(repeat("[", 64) + repeat("]", 64), {}).valid);
  CHECK(scan_json(repeat("{\"a\":", 63) + "{}" + repeat("}", 63), {}).valid);
  const auto deep = scan_json(repeat("[", 65) + repeat("]", 65), {});
  CHECK(deep.error == "depth over 64");
  CHECK(deep.error_at == 64);
  CHECK(deep.over == JsonScan::Over::depth);
  CHECK(deep.limit == 64);
  CHECK(scan_json(repeat("[", 1'000'000), {}).error == "depth over 64");
}

TEST_CASE("json_scan: the member asked for is lifted out as what it is") {
  const auto of = [](std::string_view text, const Path& path) {
    const auto scan = scan_json(text, path);
    INFO(text << ": " << scan.error);
    REQUIRE(scan.valid);
    return std::pair(scan.found, scan.value);
  };
  using Pair = std::pair<Found, std::string>;
  CHECK(of(R"({"a":"x"})", {"a"}) == Pair(Found::string, "x"));
  CHECK(of(R"({"a":""})", {"a"}) == Pair(Found::string, ""));
  CHECK(of(R"({"\u0061":"\u00fc\ud83d\ude00\n\u20ac"})", {"a"}) == Pair(Found::string, "ü😀\n€"));
  CHECK(of(R"({"ключ":"значение"})", {"ключ"}) == Pair(Found::string, "значение"));
  CHECK(of(R"({"a":1.0})", {"a"}) == Pair(Found::number, "1.0"));
  CHECK(of(R"({"a": -0 })", {"a"}) == Pair(Found::number, "-0"));
  CHECK(of(R"({"a":12345678901234567890123})", {"a"}) == Pair(Found::number, "12345678901234567890123"));
  CHECK(of(R"({"a":1e400})", {"a"}) == Pair(Found::number, "1e400"));
  CHECK(of(R"({"a":true})", {"a"}) == Pair(Found::boolean, "true"));
  CHECK(of(R"({"a":false})", {"a"}) == Pair(Found::boolean, "false"));
  CHECK(of(R"({"a":null})", {"a"}) == Pair(Found::null, ""));
  CHECK(of(R"({"a":{"a":1}})", {"a"}) == Pair(Found::object, ""));
  CHECK(of(R"({"a":[1]})", {"a"}) == Pair(Found::array, ""));
  CHECK(of(R"({"b":1})", {"a"}) == Pair(Found::absent, ""));
  CHECK(of(R"({"b":{"a":1}})", {"a"}) == Pair(Found::absent, ""));
  CHECK(of(R"([{"a":1}])", {"a"}) == Pair(Found::absent, ""));
  CHECK(of(R"({"a":{"x":0,"b":{"c":"deep"}},"b":{"c":"no"}})", {"a", "b", "c"}) == Pair(Found::string, "deep"));
  CHECK(of(R"({"a":"b"})", {"a", "b"}) == Pair(Found::absent, ""));
  CHECK(of(R"({"a":[{"b":1}]})", {"a", "b"}) == Pair(Found::absent, ""));
  CHECK(of(R"({"":1})", {""}) == Pair(Found::number, "1"));
}

TEST_CASE("json_scan: duplicates are found in large objects, and nowhere else") {
  JsonScanner scanner({42, 43});
  for (const int members : {31, 32, 33, 100, 5000}) {
    std::string text = "{";
    for (int i = 0; i < members; i++)
      text += "\"key-" + std::to_string(i) + "\":{\"key-1\":[{\"key-1\":1}]},";
    const auto with = [&](const std::string& key) { return text + "\"" + key + "\":0}"; };
    INFO(members);
    CHECK(scanner.scan(with("other"), {"other"}).found == Found::number);
    const auto at = text.size();
    for (const char* key : {"key-0", "key-30", "\\u006bey-30"}) {
      const auto& scan = scanner.scan(with(key), {});
      CHECK(scan.error == "duplicate key");
      CHECK(scan.error_at == at);
    }
    CHECK(scanner.scan("[" + with("x") + "," + with("x") + "]", {}).valid);
  }
}

TEST_CASE("json_scan: nothing is left over from one text to the next") {
  JsonScanner scanner({7, 8});
  CHECK(scanner.scan(R"({"a":"first"})", {"a"}).value == "first");
  CHECK_FALSE(scanner.scan(R"({"a":"second","x":)", {"a"}).valid);
  CHECK(scanner.scan(R"({"b":1})", {"a"}).found == Found::absent);
  CHECK(scanner.scan(R"({"a":"third"})", {"a"}).value == "third");
}

TEST_CASE("json_scan: members of one object and of one text are bounded") {
  using Over = JsonScan::Over;
  JsonScanner scanner({1, 2}, {3, 5});
  CHECK(scanner.scan(R"({"a":1,"b":2,"c":3})", {}).valid);
  CHECK(scanner.scan(R"([{"a":1,"b":2,"c":{"a":1}},{"b":2}])", {}).valid);
  auto scan = scanner.scan(R"({"a":1,"b":2,"c":3,"d":4})", {"a"});
  CHECK_FALSE(scan.valid);
  CHECK(scan.over == Over::object_members);
  CHECK(scan.limit == 3);
  CHECK(scan.error == "an object with more members than the limit");
  CHECK(scan.error_at == 19);
  CHECK(scan.found == Found::absent);
  scan = scanner.scan(R"([{"a":1,"b":2},{"a":1,"b":2},{"a":1,"b":2}])", {});
  CHECK_FALSE(scan.valid);
  CHECK(scan.over == Over::members);
  CHECK(scan.limit == 5);
  CHECK(scan.error == "more members than the limit");
  CHECK(scan.error_at == 36);
  CHECK(scanner.scan(R"({"a":1,"a":2})", {}).over == Over::nothing);

  // Refused where the limit is passed, however much follows.
  JsonScanner usual({1, 2});
  std::string many = "{";
  for (int i = 0; i < 98'000; i++)
    many += "\"" + std::to_string(i) + "\":0,";
  scan = usual.scan(many + "\"x\":0}", {});
  CHECK(scan.over == Over::object_members);
  CHECK(scan.limit == 10'000);
  CHECK(scan.error_at == many.find("\"10000\""));
}

TEST_CASE("json_scan: a megabyte of hostile shapes is answered in bounded memory and time") {
  JsonScanner scanner({7, 8}, {1'000'000, 1'000'000});
  std::string keys = "{";
  for (int i = 0; keys.size() < 1'000'000; i++)
    keys += "\"" + std::to_string(i) + "\":0,";
  keys += "\"x\":0}";
  CHECK(scanner.scan(keys, {"x"}).found == Found::number);
  std::string small = "[";
  while (small.size() < 1'000'000)
    small += R"({"a":1,"\u0062":2},)";
  CHECK(scanner.scan(small + "0]", {}).valid);
}

namespace {

using ratchet::tests::disagreement;

// A JSON text made of few names, so that paths match and keys repeat now and then.
rc::Gen<std::string> json_text(int depth);

rc::Gen<std::string> string_text() {
  return rc::gen::map(
      rc::gen::container<std::vector<std::string>>(rc::gen::weightedElement<std::string>({{6, "a"},
                                                                                          {4, "b"},
                                                                                          {2, "\\u0061"},
                                                                                          {1, "\\n"},
                                                                                          {1, "ü"},
                                                                                          {1, "€"},
                                                                                          {1, "😀"},
                                                                                          {1, "\\ud83d\\ude00"},
                                                                                          {1, "long plain text"},
                                                                                          {1, "\\\""},
                                                                                          {1, "\\\\"},
                                                                                          {1, "/"},
                                                                                          {1, "\x7f"}})),
      [](const std::vector<std::string>& parts) {
        std::string out = "\"";
        for (const auto& part : parts)
          out += part;
        return out + "\"";
      });
}

rc::Gen<std::string> key_text() {
  return rc::gen::weightedOneOf<std::string>(
      {{6, rc::gen::element<std::string>("\"a\"", "\"b\"", "\"c\"", "\"d\"", "\"\\u0061\"", "\"\"")},
       {4, string_text()}});
}

rc::Gen<std::string> list(rc::Gen<std::string> item, char open, char close) {
  return rc::gen::map(rc::gen::container<std::vector<std::string>>(std::move(item)),
                      [open, close](const std::vector<std::string>& items) {
                        std::string out(1, open);
                        for (std::size_t i = 0; i < items.size(); i++)
                          out += (i > 0 ? "," : "") + items[i];
                        return out + close;
                      });
}

rc::Gen<std::string> json_text(int depth) {
  const auto leaf = rc::gen::weightedOneOf<std::string>(
      {{3, string_text()},
       {2, rc::gen::element<std::string>("0", "-0", "1.0", "1e5", "-12.50E-3", "18446744073709551615",
                                         "-9223372036854775808", "123456789012345678901234567890")},
       {1, rc::gen::element<std::string>("true", "false", "null", " null ", "{}", "[]")}});
  if (depth == 0) return leaf;
  const auto inner = json_text(depth - 1);
  const auto member = rc::gen::map(rc::gen::pair(key_text(), inner), [](const std::pair<std::string, std::string>& m) {
    return m.first + ":" + m.second;
  });
  return rc::gen::weightedOneOf<std::string>({{1, leaf}, {3, list(member, '{', '}')}, {1, list(inner, '[', ']')}});
}

std::string mutated(std::string text) {
  static constexpr char kText[] = "\"\\{}[]:,0a-.eEu \t\n\x01\x7f\x80\xc3\xed\xf4\xff";  // and its final NUL
  static constexpr std::string_view kBytes(kText, sizeof kText);
  for (int changes = *rc::gen::inRange(1, 4); changes > 0 && !text.empty(); changes--) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const char byte = kBytes[*rc::gen::inRange<std::size_t>(0, kBytes.size())];
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        text[at] = byte;
        break;
      case 1:
        text.insert(at, 1, byte);
        break;
      case 2:
        text.erase(at, 1);
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("json_scan: agrees with nlohmann on generated and on damaged texts") {
  JsonScanner scanner({99, 100});
  const auto agree = [&](const std::string& text) {
    for (const Path& path : {Path{}, Path{"a"}, Path{"a", "b"}, Path{""}}) {
      const auto how = disagreement(scanner.scan(text, path), text, path);
      if (!how.empty()) RC_FAIL(how + " in " + text);
    }
  };
  const auto text = rc::gen::resize(8, json_text(3));
  const auto ten_times = [](const auto& test) {
    return [&test] {
      for (int i = 0; i < 10; i++)
        test();
    };
  };
  const auto generated = [&] { agree(*text); };
  const auto damaged = [&] { agree(mutated(*text)); };
  const auto any_bytes = [&] { agree(*rc::gen::arbitrary<std::string>()); };
  CHECK(rc::check("generated", ten_times(generated)));
  CHECK(rc::check("damaged", ten_times(damaged)));
  CHECK(rc::check("any bytes", ten_times(any_bytes)));
}
