// The scanner refuses what two readers could read differently, and takes everything else in one pass.
#include "levels/0_baseline/http_head.hpp"

#include <rapidcheck.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet::http;
using ratchet::HttpLimits;

namespace {

struct Scanned {
  Scan verdict;
  Refusal refusal;
  std::unique_ptr<Head> head = std::make_unique<Head>();
};

Scanned scanned(std::string_view input, const HttpLimits& limits = {}) {
  // A copy of exactly this size on the heap: reading past the end is then seen by the address sanitizer.
  static std::vector<char> copy;
  copy = std::vector<char>(input.begin(), input.end());
  Scanned s;
  s.verdict = scan({copy.data(), copy.size()}, limits, *s.head, s.refusal);
  return s;
}

std::string with(std::string_view headers, std::string_view line = "POST /p HTTP/1.1") {
  return std::string(line) + "\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}

HttpLimits small() {
  HttpLimits limits;
  limits.request_line_bytes = 64;
  limits.header_bytes = 128;
  limits.headers = 8;
  limits.body_bytes = 100;
  return limits;
}

}  // namespace

TEST_CASE("http head: a plain request is read whole") {
  const std::string request =
      "POST /events/orders?a=1&b=2 HTTP/1.1\r\nHost: example.com:8080\r\nContent-Type:application/json\r\n"
      "X-Empty:\r\nContent-Length: \t 12 \t\r\nX-Utf8: caf\xc3\xa9\tau lait\r\n\r\n";
  const Scanned s = scanned(request + "{\"id\":\"abc\"}rest");
  REQUIRE(s.verdict == Scan::complete);
  CHECK(s.head->method == "POST");
  CHECK(s.head->target == "/events/orders?a=1&b=2");
  CHECK(s.head->path == "/events/orders");
  CHECK(s.head->query == "a=1&b=2");
  CHECK_FALSE(s.head->http_1_0);
  CHECK(s.head->keep_alive);
  CHECK_FALSE(s.head->expect_continue);
  CHECK(s.head->head_bytes == request.size());
  CHECK(s.head->body_bytes == 12);
  REQUIRE(s.head->header_count == 5);
  CHECK(s.head->header("host") == "example.com:8080");
  CHECK(s.head->header("content-type") == "application/json");
  CHECK(s.head->header("x-empty") == "");
  CHECK(s.head->header("content-length") == "12");
  CHECK(s.head->header("x-utf8") == "caf\xc3\xa9\tau lait");
  CHECK_FALSE(s.head->header("x-other").has_value());
}

TEST_CASE("http head: every shape that could be read in two ways is refused") {
  struct Row {
    const char* what;
    std::string request;
    int status;
  };
  using namespace std::string_literals;
  const std::vector<Row> rows{
      // What the borrowed parser gets wrong.
      {"two lengths", with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
      {"two different lengths", with("Content-Length: 5\r\ncontent-length: 6\r\n"), 400},
      {"a list of lengths", with("Content-Length: 5, 5\r\n"), 400},
      {"a negative length", with("Content-Length: -5\r\n"), 400},
      {"a signed length", with("Content-Length: +5\r\n"), 400},
      {"a length in letters", with("Content-Length: abc\r\n"), 400},
      {"a hexadecimal length", with("Content-Length: 0x5\r\n"), 400},
      {"a length with a blank", with("Content-Length: 1 2\r\n"), 400},
      {"an empty length", with("Content-Length:\r\n"), 400},
      {"a length that overflows", with("Content-Length: 18446744073709551616\r\n"), 400},
      {"a length that overflows far", with("Content-Length: 99999999999999999999999999\r\n"), 400},
      {"chunked in disguise", with("Transfer-Encoding: xchunked\r\n"), 501},
      {"chunked in quotes", with("Transfer-Encoding: \"chunked\"\r\n"), 501},
      {"chunked and another", with("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"chunked with a parameter", with("Transfer-Encoding: chunked;a=b\r\n"), 501},
      {"an empty coding", with("Transfer-Encoding:\r\n"), 501},
      {"identity", with("Transfer-Encoding: identity\r\n"), 501},
      {"chunked twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"chunked, then identity", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), 400},
      {"chunked in HTTP/1.0", with("Transfer-Encoding: chunked\r\n", "POST /p HTTP/1.0"), 400},
      {"GET, chunked", with("Transfer-Encoding: chunked\r\n", "GET / HTTP/1.1"), 400},
      {"length, then chunked", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"chunked, then length", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
      {"chunked with white space before the colon", with("Transfer-Encoding : chunked\r\n"), 400},
      {"gzip", with("Content-Encoding: gzip\r\nContent-Length: 3\r\n"), 415},
      {"identity, gzip", with("Content-Encoding: identity, gzip\r\nContent-Length: 3\r\n"), 415},
      {"identity and gzip", with("Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n"), 415},
      {"GET with a body", with("Content-Length: 5\r\n", "GET / HTTP/1.1"), 400},
      {"HEAD with a body", with("Content-Length: 5\r\n", "HEAD / HTTP/1.1"), 400},
      {"a body over the limit", with("Content-Length: 1048577\r\n"), 413},
      // Lines.
      {"LF alone after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
      {"LF alone after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"LF alone at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
      {"CR in a value", with("X: a\rb\r\n"), 400},
      {"CR CR LF", with("X: a\r\r\n"), 400},
      {"CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CR alone at the end", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400},
      {"a folded header", with("X: a\r\n b\r\n"), 400},
      {"a header folded by a tab", with("X: a\r\n\tb\r\n"), 400},
      {"a blank before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
      {"a blank before the colon", with("X : a\r\n"), 400},
      {"a tab before the colon", with("X\t: a\r\n"), 400},
      {"a header without a name", with(": a\r\n"), 400},
      {"a header without a colon", with("X\r\n"), 400},
      {"a name that is no token", with("X(y): a\r\n"), 400},
      {"a name with a high byte", with("X\xe9: a\r\n"), 400},
      {"NUL in a value", with("X: a\0b\r\n"s), 400},
      {"NUL in a name", with("X\0: b\r\n"s), 400},
      {"NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s, 400},
      {"DEL in a value", with("X: a\x7f\r\n"), 400},
      {"BEL deep in a long value", with("X: aaaaaaaaaaaaaaaaaaaaa\a\r\n"), 400},
      // The request line.
      {"a method that is no token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two blanks before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a blank after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
      {"a high byte in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"an authority", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"an asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a relative path", "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"no authority", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a user in the authority", "GET http://me@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"no version number", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
      {"two lines before the request", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"TLS", "\x16\x03\x01\x02", 400},
      {"HTTP/0.9", "GET /\r\n", 505},
      {"HTTP/0.9, said", "GET / HTTP/0.9\r\n\r\n", 505},
      {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
      {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      // Host.
      {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400},
      {"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
      {"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
      {"a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
      {"a port in letters", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 400},
      {"an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400},
      {"an invalid Host of HTTP/1.0", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400},
      // The rest.
      {"another expectation", with("Expect: 200-ok\r\nContent-Length: 3\r\n"), 417},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const Scanned s = scanned(row.request);
    CHECK(s.verdict == Scan::refused);
    CHECK(s.refusal.status == row.status);
    CHECK_FALSE(s.refusal.reason.empty());
    CHECK_FALSE(s.refusal.detail.empty());
  }
}

TEST_CASE("http head: a chunked body is known by exactly that word, in any case") {
  for (const char* value : {"chunked", "Chunked", " \tCHUNKED \t"}) {
    const Scanned s = scanned(with("Transfer-Encoding:" + std::string(value) + "\r\n"));
    REQUIRE(s.verdict == Scan::complete);
    CHECK(s.head->chunked);
    CHECK(s.head->body_bytes == 0);
  }
  CHECK_FALSE(scanned(with("Content-Length: 3\r\n")).head->chunked);
}

TEST_CASE("http head: headers that must be single are refused when repeated, in any case") {
  for (const char* name : {"Content-Type", "Idempotency-Key", "Authorization", "ce-id", "ce-source", "ce-type", "ce-specversion", "traceparent"}) {
    INFO(name);
    std::string shouted = name;
    for (char& c : shouted) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    CHECK(scanned(with(std::string(name) + ": a\r\n")).verdict == Scan::complete);
    CHECK(scanned(with(std::string(name) + ": a\r\nX: b\r\n" + shouted + ": a\r\n")).refusal.status == 400);
  }
  CHECK(scanned(with("Expect: 100-continue\r\nExpect: 100-continue\r\n")).refusal.status == 400);
  CHECK(scanned(with("Accept: a\r\nAccept: b\r\nContent-Typo: a\r\nContent-Typo: b\r\n")).verdict == Scan::complete);
}

TEST_CASE("http head: what is unusual but clear is taken") {
  CHECK(scanned(with("Content-Length: 0\r\n", "GET / HTTP/1.1")).verdict == Scan::complete);
  CHECK(scanned(with("Content-Length: 0005\r\n")).head->body_bytes == 5);
  CHECK(scanned(with("Content-Length: 1048576\r\n")).head->body_bytes == 1048576);
  CHECK(scanned(with("Content-Encoding: Identity\r\nContent-Length: 3\r\n")).verdict == Scan::complete);
  CHECK(scanned(with("", "BREW /pot HTTP/1.1")).head->method == "BREW");
  CHECK(scanned(with("", "get / HTTP/1.1")).head->method == "get");
  CHECK(scanned("GET / HTTP/1.0\r\n\r\n").verdict == Scan::complete);
  CHECK(scanned("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n").verdict == Scan::complete);
  CHECK(scanned("GET / HTTP/1.1\r\nHost: a:\r\n\r\n").verdict == Scan::complete);
  CHECK(scanned(with("X: a%0d%0aSet-Cookie: b\r\n")).head->header("x") == "a%0d%0aSet-Cookie: b");
  const Scanned after_empty_line = scanned("\r\n" + with("", "GET /a HTTP/1.1"));
  REQUIRE(after_empty_line.verdict == Scan::complete);
  CHECK(after_empty_line.head->path == "/a");
  CHECK(after_empty_line.head->head_bytes == 2 + with("", "GET /a HTTP/1.1").size());
}

TEST_CASE("http head: the target is split into path and query") {
  struct Row {
    std::string target, path, query;
  };
  for (const Row& row : std::vector<Row>{{"/", "/", ""},
                                         {"/a?", "/a", ""},
                                         {"/a?b?c", "/a", "b?c"},
                                         {"//a/b", "//a/b", ""},
                                         {"http://h/a/b?c", "/a/b", "c"},
                                         {"HTTP://h:80", "/", ""},
                                         {"https://h?c", "/", "c"},
                                         {"http://[::1]:80/a", "/a", ""},
                                         {"/%2e%2E/", "/%2e%2E/", ""}}) {
    INFO(row.target);
    const Scanned s = scanned(with("", "GET " + row.target + " HTTP/1.1"));
    REQUIRE(s.verdict == Scan::complete);
    CHECK(s.head->target == row.target);
    CHECK(s.head->path == row.path);
    CHECK(s.head->query == row.query);
  }
}

TEST_CASE("http head: connection options decide whether the connection stays") {
  struct Row {
    const char* version;
    const char* headers;
    bool keep;
  };
  for (const Row& row : {Row{"1.1", "", true}, Row{"1.1", "Connection: close\r\n", false}, Row{"1.1", "Connection: Close\r\n", false},
                         Row{"1.1", "Connection: upgrade , CLOSE\r\n", false}, Row{"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
                         Row{"1.1", "Connection: closed\r\n", true}, Row{"1.1", "Connection: ,,\r\n", true}, Row{"1.0", "", false},
                         Row{"1.0", "Connection: Keep-Alive\r\n", true}, Row{"1.0", "Connection: keep-alive, close\r\n", false}}) {
    INFO(row.version << " " << row.headers);
    const Scanned s = scanned(with(row.headers, std::string("GET / HTTP/") + row.version));
    REQUIRE(s.verdict == Scan::complete);
    CHECK(s.head->keep_alive == row.keep);
    CHECK(s.head->http_1_0 == (std::string_view(row.version) == "1.0"));
  }
}

TEST_CASE("http head: Expect: 100-continue is a flag, and HTTP/1.0 cannot mean it") {
  CHECK(scanned(with("Expect: 100-Continue\r\nContent-Length: 3\r\n")).head->expect_continue);
  const Scanned old = scanned(with("Expect: 100-continue\r\nContent-Length: 3\r\n", "POST / HTTP/1.0"));
  REQUIRE(old.verdict == Scan::complete);
  CHECK_FALSE(old.head->expect_continue);
}

TEST_CASE("http head: limits are exact, and noticed without waiting for the end of a line") {
  const HttpLimits limits = small();
  const std::string tail = " HTTP/1.1";
  const std::string target(limits.request_line_bytes - 4 - tail.size(), '/');
  CHECK(scanned("GET " + target + tail + "\r\nHost: a\r\n\r\n", limits).verdict == Scan::complete);
  CHECK(scanned("GET " + target + "/" + tail + "\r\nHost: a\r\n\r\n", limits).refusal.status == 414);
  CHECK(scanned("GET " + std::string(1000, '/'), limits).refusal.status == 414);
  CHECK(scanned(std::string(1000, 'A'), limits).refusal.status == 414);
  CHECK(scanned(std::string(limits.request_line_bytes, 'A'), limits).verdict == Scan::incomplete);

  const std::string host = "Host: a\r\n";
  const std::string value(limits.header_bytes - host.size() - 5, 'v');  // "X: " and CRLF
  CHECK(scanned("GET / HTTP/1.1\r\n" + host + "X: " + value + "\r\n\r\n", limits).verdict == Scan::complete);
  CHECK(scanned("GET / HTTP/1.1\r\n" + host + "X: " + value + "v\r\n\r\n", limits).refusal.status == 431);
  CHECK(scanned("GET / HTTP/1.1\r\nX: " + std::string(1000, 'v'), limits).refusal.status == 431);
  CHECK(scanned("GET / HTTP/1.1\r\nX:" + std::string(1000, ' '), limits).refusal.status == 431);
  CHECK(scanned("GET / HTTP/1.1\r\n" + std::string(1000, 'v'), limits).refusal.status == 431);

  std::string eight = "Host: a\r\n";
  for (int i = 0; i < 7; ++i) eight += "a:b\r\n";
  CHECK(scanned("GET / HTTP/1.1\r\n" + eight + "\r\n", limits).head->header_count == 8);
  const Scanned nine = scanned("GET / HTTP/1.1\r\n" + eight + "a:b\r\n\r\n", limits);
  CHECK(nine.refusal.status == 431);
  CHECK(nine.refusal.reason == "too-many-headers");

  CHECK(scanned(with("Content-Length: 100\r\n"), limits).verdict == Scan::complete);
  CHECK(scanned(with("Content-Length: 101\r\n"), limits).refusal.status == 413);

  HttpLimits generous;
  generous.headers = 1000;  // more than there is room for
  generous.header_bytes = 1024 * 1024;
  std::string many = "Host: a\r\n";
  for (std::size_t i = 1; i < Head::kMostHeaders; ++i) many += "a:b\r\n";
  CHECK(scanned("GET / HTTP/1.1\r\n" + many + "\r\n", generous).verdict == Scan::complete);
  CHECK(scanned("GET / HTTP/1.1\r\n" + many + "a:b\r\n\r\n", generous).refusal.status == 431);
}

namespace {

std::string text_of(const std::string& alphabet, std::size_t least, std::size_t most) {
  const auto size = *rc::gen::inRange(least, most + 1);
  return *rc::gen::container<std::string>(size, rc::gen::elementOf(alphabet));
}

// A request that is right in every part.
std::string valid_request() {
  const std::string letters = "abcXYZ019-._~";
  std::string head = *rc::gen::elementOf(std::vector<std::string>{"GET", "POST", "PUT", "DELETE", "BREW"});
  const bool has_body = head != "GET" && *rc::gen::arbitrary<bool>();
  head += *rc::gen::elementOf(std::vector<std::string>{" /", " http://h:1/", " https://[::1]/"}) + text_of(letters + "/%?&=", 0, 30);
  head += " HTTP/1.1\r\n";
  std::vector<std::string> lines{"hOsT: h:80"};
  if (has_body) lines.push_back("Content-Length: " + std::to_string(*rc::gen::inRange(0, 1000)));
  const auto others = *rc::gen::inRange(0, 10);
  for (int i = 0; i < others; ++i) {
    lines.push_back("x-" + text_of(letters, 1, 20) + ":" + text_of(" \t", 0, 3) + text_of(letters + " \t,;\"\xe9", 0, 40));
  }
  const auto first = *rc::gen::inRange(std::size_t{0}, lines.size());
  std::swap(lines[0], lines[first]);
  for (const std::string& line : lines) head += line + "\r\n";
  return head + "\r\n";
}

// A request with one byte changed, left out or put in: mostly wrong, somewhere.
std::string spoilt_request() {
  std::string request = valid_request();
  const auto at = *rc::gen::inRange(std::size_t{0}, request.size());
  const char byte = *rc::gen::oneOf(rc::gen::elementOf(std::string("\r\n :\t/,-0\x7f", 10)), rc::gen::arbitrary<char>());
  switch (*rc::gen::inRange(0, 3)) {
    case 0: request[at] = byte; break;
    case 1: request.erase(at, 1); break;
    default: request.insert(at, 1, byte); break;
  }
  return request;
}

}  // namespace

TEST_CASE("http head: no prefix of a valid request is complete or refused") {
  REQUIRE(rc::check([] {
    const std::string request = valid_request();
    for (std::size_t n = 0; n < request.size(); ++n) RC_ASSERT(scanned(request.substr(0, n)).verdict == Scan::incomplete);
    const Scanned whole = scanned(request + "more");
    RC_ASSERT(whole.verdict == Scan::complete);
    RC_ASSERT(whole.head->head_bytes == request.size());
  }));
}

TEST_CASE("http head: the verdict does not depend on how a request was cut") {
  REQUIRE(rc::check([] {
    const std::string request = *rc::gen::arbitrary<bool>() ? spoilt_request() : valid_request();
    const HttpLimits limits = *rc::gen::arbitrary<bool>() ? small() : HttpLimits{};
    const Scanned whole = scanned(request, limits);
    for (std::size_t n = 0; n < request.size(); ++n) {
      const Scanned part = scanned(request.substr(0, n), limits);
      if (part.verdict == Scan::incomplete) continue;
      RC_ASSERT(part.verdict == whole.verdict);
      RC_ASSERT(part.refusal.status == whole.refusal.status);
      RC_ASSERT(part.refusal.reason == whole.refusal.reason);
      RC_ASSERT(part.refusal.detail == whole.refusal.detail);
      RC_ASSERT(part.head->head_bytes == whole.head->head_bytes || part.verdict == Scan::refused);
    }
  }));
}

TEST_CASE("http head: any bytes are survived") {
  REQUIRE(rc::check([](const std::string& bytes) {
    const Scanned s = scanned(bytes, small());
    RC_ASSERT(s.verdict == Scan::incomplete || s.verdict == Scan::refused || s.head->head_bytes <= bytes.size());
  }));
}

TEST_CASE("http head: names are compared without regard to case, exactly") {
  CHECK(equals_ignoring_case("Content-Length", "cONTENT-lENGTH"));
  CHECK_FALSE(equals_ignoring_case("a", "ab"));
  CHECK_FALSE(equals_ignoring_case("@", "`"));
  CHECK_FALSE(equals_ignoring_case("[", "{"));
  CHECK(scanned(with("Content\rLength: 5\r\n")).refusal.status == 400);
  CHECK(scanned(with("Content_Length: 5\r\n")).head->body_bytes == 0);
}
