#include "levels/3_service/problem.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "levels/3_service/json_write.hpp"
#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::service;
using nlohmann::json;

TEST_CASE("problem: every kind has its own type, an error status and a title") {
  std::set<std::string_view> types;
  for (std::size_t i = 0; i < kProblemKinds; i++) {
    const auto kind = static_cast<ProblemKind>(i);
    const auto problem = problem_of(kind, "");
    CHECK(types.insert(problem.type).second);
    CHECK(problem.type == type_of(kind));
    CHECK(problem.status >= 400);
    CHECK_FALSE(problem.title.empty());
    CHECK(problem.kind == kind);
  }
}

TEST_CASE("problem: the body has the members of RFC 9457, limit and found where there are some") {
  auto problem = problem_of(ProblemKind::record_too_large, "a \"quoted\"\ndetail");
  CHECK(json::parse(to_json(problem, "/events/orders")) == json{{"type", "urn:ratchetd:problem:record-too-large"},
                                                                {"status", 413},
                                                                {"title", "The event is too large for its topic"},
                                                                {"detail", "a \"quoted\"\ndetail"},
                                                                {"instance", "/events/orders"}});
  problem.limit = 10;
  problem.found = 18446744073709551615u;
  const auto body = json::parse(to_json(problem, ""));
  CHECK(body["limit"] == 10);
  CHECK(body["found"] == 18446744073709551615u);
  CHECK_FALSE(body.contains("instance"));
}

TEST_CASE("problem: what the reactor refuses gets the same shape") {
  const auto body = json::parse(to_json(http::Refusal{431, "header-too-large", "more than 16384 bytes"}));
  CHECK(body["type"] == "urn:ratchetd:problem:header-too-large");
  CHECK(body["status"] == 431);
  CHECK(body["title"] == "Headers too large");
  CHECK(body["detail"] == "more than 16384 bytes");
}

TEST_CASE("problem: a whole response ends its connection") {
  auto problem = problem_of(ProblemKind::unavailable, "the database is gone");
  problem.retry_after_s = 7;
  const auto text = to_response(problem, "");
  const auto body = text.substr(text.find("\r\n\r\n") + 4);
  CHECK(text.rfind("HTTP/1.1 503 Service Unavailable\r\n", 0) == 0);
  CHECK(text.find("\r\nRetry-After: 7\r\n") != std::string::npos);
  CHECK(text.find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(text.find("\r\nContent-Length: " + std::to_string(body.size()) + "\r\n") != std::string::npos);
  CHECK(json::parse(body)["detail"] == "the database is gone");
}

TEST_CASE("json_write: any bytes become a JSON string that says the same") {
  std::string all;
  for (int c = 1; c < 0x80; c++)
    all += static_cast<char>(c);
  all += "äß€😀";
  std::string out = "\"";
  append_escaped(out, all);
  CHECK(json::parse(out + "\"") == all);
  out = "\"";
  append_escaped(out, "a\xff\xc3(\xed\xa0\x80z");
  CHECK(json::parse(out + "\"") == "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
}
