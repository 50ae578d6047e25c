#include "levels/3_service/cloudevents.hpp"

#include "tests/levels/3_service/heads.hpp"
#include "tests/support/catch.hpp"

namespace {

using namespace ratchet;
using service::Envelope;
using service::EnvelopeReader;
using service::Problem;
using tests::MadeRequest;
using Lines = std::initializer_list<std::string_view>;

struct Read {
  explicit Read(Lines lines) : request("/e", lines), problem(reader.read(request.head(), envelope)) {}
  MadeRequest request;
  EnvelopeReader reader;
  Envelope envelope;
  std::optional<Problem> problem;
};

constexpr std::string_view kJson = "Content-Type: application/json";
constexpr std::string_view kVersion = "ce-specversion: 1.0", kId = "ce-id: 1", kSource = "ce-source: /s",
                           kType = "ce-type: t";

std::string refusal(Lines lines, int status) {
  const Read read(lines);
  REQUIRE(read.problem);
  CHECK(read.problem->status == status);
  return read.problem->detail;
}

}  // namespace

TEST_CASE("cloudevents: plain JSON is taken by any JSON media type") {
  for (const std::string_view type : {"application/json", "Application/JSON", "application/json; charset=utf-8",
                                      "application/vnd.orders+json", "application/problem+JSON ;a=b"}) {
    const std::string line = "Content-Type: " + std::string(type);
    const Read read({line});
    INFO(type);
    REQUIRE_FALSE(read.problem);
    CHECK(read.envelope.json);
    CHECK_FALSE(read.envelope.cloudevent);
    CHECK(read.envelope.content_type == type);
    CHECK(read.envelope.id.empty());
  }
}

TEST_CASE("cloudevents: neither JSON nor ce- headers is 415 and says what is taken") {
  for (const Lines& lines : {Lines{}, Lines{"Content-Type: text/plain"}, Lines{"Content-Type: application/jsonp"},
                             Lines{"Content-Type: application/x-json-seq"}, Lines{"Content-Type:"}}) {
    CHECK(refusal(lines, 415).find("application/json") != std::string::npos);
  }
}

TEST_CASE("cloudevents: structured and batch mode are 415, also beside ce- headers") {
  CHECK(refusal({"Content-Type: application/cloudevents+json"}, 415).find("structured") != std::string::npos);
  refusal({"Content-Type: application/cloudevents-batch+json; charset=utf-8"}, 415);
  refusal({"Content-Type: Application/CloudEvents+JSON", kVersion, kId, kSource, kType}, 415);
}

TEST_CASE("cloudevents: binary mode gives its attributes, any content type, decoded once") {
  const Read read({"CE-SpecVersion: 1.0", "Ce-Id: a%20b%2525", "ce-source: /caf%C3%A9", "ce-type: \"com.\\\"x\\\"\"",
                   "ce-time: 2026-11-21T12:00:00.5+01:00", "Content-Type: application/octet-stream", "ce-subject: s",
                   "ce-partitionkey: k1", "ce-traceparent: 00-x"});
  REQUIRE_FALSE(read.problem);
  const auto& e = read.envelope;
  CHECK(e.cloudevent);
  CHECK_FALSE(e.json);
  CHECK(e.id == "a b%25");
  CHECK(e.source == "/café");
  CHECK(e.type == "com.\"x\"");
  CHECK(e.time == "2026-11-21T12:00:00.5+01:00");
  REQUIRE(e.extensions.size() == 3);
  CHECK(e.extensions[0].name == "partitionkey");
  CHECK(e.extensions[0].value == "k1");
  CHECK(e.extensions[1].name == "subject");
  CHECK(e.attribute("partitionkey") == "k1");
  CHECK(e.attribute("source") == "/café");
  CHECK(e.attribute("dataschema") == std::nullopt);
  const Read bare({kVersion, kId, kSource, kType});
  CHECK_FALSE(bare.problem);
  CHECK(bare.envelope.content_type.empty());
}

TEST_CASE("cloudevents: what is wrong with the headers is named") {
  CHECK(refusal({kJson, kId, kSource, kType}, 400) == "ce-specversion is missing or empty");
  CHECK(refusal({kJson, kVersion, kSource, kType}, 400) == "ce-id is missing or empty");
  CHECK(refusal({kJson, kVersion, kId, kType}, 400) == "ce-source is missing or empty");
  CHECK(refusal({kJson, kVersion, kId, kSource}, 400) == "ce-type is missing or empty");
  CHECK(refusal({kJson, kVersion, "ce-id:", kSource, kType}, 400) == "ce-id is missing or empty");
  CHECK(refusal({kJson, "ce-foo: x"}, 400) == "ce-specversion is missing or empty");
  CHECK(refusal({kJson, "ce-specversion: 0.3", kId, kSource, kType}, 400) == "ce-specversion must be 1.0");
  CHECK(refusal({kVersion, kId, kSource, kType, "ce-subject: u", "Ce-Subject: v"}, 400) == "ce-subject was sent twice");
  CHECK(refusal({kVersion, kId, kSource, kType, "ce-a: 1", "ce-A: 1"}, 400) == "ce-a was sent twice");
  CHECK(refusal({kVersion, kId, kSource, kType, "ce-time: yesterday"}, 400) == "ce-time is not an RFC 3339 time");
  for (const std::string_view name :
       {"ce-my_key: 1", "ce-a-b: 1", "ce-abcdefghijklmnopqrstu: 1", "ce-data: 1", "ce-datacontenttype: text/plain"}) {
    refusal({kVersion, kId, kSource, kType, name}, 400);
  }
  for (const std::string_view value :
       {"ce-a: %", "ce-a: %1", "ce-a: %zz", "ce-a: %00", "ce-a: x%0ay", "ce-a: %ff", "ce-a: %c2%85", "ce-a: %ed%a0%80",
        "ce-a: \xff", "ce-a: \"a\"b\"", "ce-a: \"a\\\""}) {
    INFO(value);
    CHECK(refusal({kVersion, kId, kSource, kType, value}, 400).find("percent-encoded") != std::string::npos);
  }
  refusal({"Content-Type: application/json\xff"}, 415);
}

TEST_CASE("cloudevents: attributes stay readable however many and however long") {
  std::vector<std::string> lines{std::string(kVersion), std::string(kId), std::string(kSource), std::string(kType)};
  std::string text = "POST /e HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 60; i++)
    lines.push_back("ce-x" + std::to_string(i) + ": %41" + std::string(150, 'v'));
  for (const auto& line : lines)
    text += line + "\r\n";
  text += "\r\n";
  http::Head head;
  http::Refusal why;
  REQUIRE(http::scan(text, HttpLimits{}, head, why) == http::Scan::complete);
  EnvelopeReader reader;
  Envelope envelope;
  for (int round = 0; round < 2; round++) {
    REQUIRE_FALSE(reader.read(head, envelope));
    CHECK(envelope.id == "1");
    REQUIRE(envelope.extensions.size() == 60);
    for (std::size_t i = 0; i < 60; i++) {
      CHECK(envelope.attribute("x" + std::to_string(i)) == "A" + std::string(150, 'v'));
    }
  }
}

TEST_CASE("cloudevents: RFC 3339 times") {
  for (const char* good :
       {"2026-11-21T12:00:00Z", "2026-11-21t12:00:00z", "2026-12-31T23:59:60Z", "2026-11-21T12:00:00.123456789-11:30"})
    CHECK(service::is_rfc3339(good));
  for (const char* bad :
       {"", "2026-11-21", "2026-11-21T12:00:00", "2026-13-21T12:00:00Z", "2026-11-00T12:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T12:60:00Z", "2026-11-21T12:00:00.Z", "2026-11-21T12:00:00.5", "2026-11-21T12:00:00+0100",
        "2026-11-21T12:00:00+25:00", "2026-11-21T12:00:00Zx", "2026-11-21 12:00:00Z"})
    CHECK_FALSE(service::is_rfc3339(bad));
}
