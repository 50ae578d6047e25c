#include "levels/0_baseline/ops.hpp"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/catch.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using ratchet::tests::RawHttp;
using Json = nlohmann::ordered_json;

namespace {

constexpr const char* kSince = "2026-11-21T10:00:00.123Z";

WallTime since() { return WallTime(std::chrono::milliseconds(1795255200123)); }

Status status_with_everything() {
  Status status;
  status.instance = "orders-1";
  status.version = "0.1.0";
  status.held = 1;
  status.doing = Doing::climbing;
  status.since = since();
  const char* names[] = {"baseline", "database", "broker", "service"};
  for (std::size_t i = 0; i < 4; ++i) {
    status.levels[i].level = static_cast<int>(i);
    status.levels[i].name = names[i];
    status.levels[i].held = i <= 1;
    status.levels[i].since = since();
  }
  status.levels[1].degraded = "3 of 8 connections";
  status.levels[2].attempts = 7;
  status.levels[2].next_attempt = since() + std::chrono::seconds(3);
  status.levels[2].last_fault =
      FaultNote{FaultKind::refused, "kafka \"a\": sasl.password=hunter2 \xff refused", since()};
  status.alarms.push_back({"level.2", since(), "level 2 is not held", "look at Kafka"});
  return status;
}

std::vector<std::string> keys(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items())
    keys.push_back(key);
  return keys;
}

struct House {
  explicit House(std::uint16_t port = 0) {
    settings.instance = "orders-1";
    settings.ops.listen = {"127.0.0.1", port};
    settings.log.level = 3;
    board.tick(time.now());
    board.publish(std::make_shared<const Status>(status_with_everything()));
  }
  Ops::Parts parts() { return {settings, board, history, health, alarms, time, log, metrics}; }

  Settings settings;
  tests::RealTime time;
  StatusBoard board;
  History history;
  Log log{LogSettings{LogFormat::text, 3, false}, time};
  Metrics metrics;
  AlarmBoard alarms{time, log};
  Health health{board, time, 503};
};

}  // namespace

TEST_CASE("ops: /levels has exactly the published format") {
  const Json json = Json::parse(to_json(status_with_everything()));
  CHECK(keys(json) ==
        std::vector<std::string>{"instance", "version", "held", "ceiling", "doing", "since", "levels", "alarms"});
  CHECK(json["instance"] == "orders-1");
  CHECK(json["held"] == 1);
  CHECK(json["ceiling"] == 3);
  CHECK(json["doing"] == "climbing");
  CHECK(json["since"] == kSince);
  REQUIRE(json["levels"].size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    const Json& level = json["levels"][i];
    CHECK(keys(level) == std::vector<std::string>{"level", "name", "held", "since", "attempts", "next_attempt",
                                                  "degraded", "last_fault"});
    CHECK(level["level"] == i);
    CHECK(level["held"] == (i <= 1));
  }
  CHECK(json["levels"][0]["name"] == "baseline");
  CHECK(json["levels"][0]["degraded"].is_null());
  CHECK(json["levels"][0]["last_fault"].is_null());
  CHECK(json["levels"][0]["next_attempt"].is_null());
  CHECK(json["levels"][1]["degraded"] == "3 of 8 connections");
  CHECK(json["levels"][2]["attempts"] == 7);
  CHECK(json["levels"][2]["next_attempt"] == "2026-11-21T10:00:03.123Z");
  const Json& fault = json["levels"][2]["last_fault"];
  CHECK(keys(fault) == std::vector<std::string>{"kind", "text", "at"});
  CHECK(fault["kind"] == "refused");
  CHECK(fault["at"] == kSince);
  CHECK(fault["text"].get<std::string>().find("hunter2") == std::string::npos);
  REQUIRE(json["alarms"].is_array());
  REQUIRE(json["alarms"].size() == 1);
  CHECK(keys(json["alarms"][0]) == std::vector<std::string>{"id", "since", "text"});
  CHECK(json["alarms"][0]["id"] == "level.2");
}

TEST_CASE("ops: nothing to tell is an empty list, not null") {
  Status status = status_with_everything();
  status.alarms.clear();
  CHECK(Json::parse(to_json(status))["alarms"] == Json::array());
  CHECK(to_json(std::vector<AlarmStatus>()) == "[]");
  CHECK(to_json(std::vector<History::Entry>()) == "[]");
}

TEST_CASE("ops: every page is served, on one connection") {
  House house;
  house.history.add({since(), "raised", 1, "database"});
  house.alarms.set("level.2", "level 2 is not held", "look at Kafka");
  house.metrics.rejected("queue-full").add(3);
  Ops ops(house.parts());
  REQUIRE(ops.open());
  RawHttp client(ops.port());

  auto page = client.get("/levels");
  REQUIRE(page);
  CHECK(page->status == 200);
  CHECK(page->header("content-type") == "application/json");
  CHECK(page->header("cache-control") == "no-store");
  CHECK(page->body == to_json(status_with_everything()));

  page = client.get("/alarms");
  REQUIRE(page);
  Json json = Json::parse(page->body);
  REQUIRE(json.size() == 1);
  CHECK(keys(json[0]) == std::vector<std::string>{"id", "since", "text", "runbook"});
  CHECK(json[0]["runbook"] == "look at Kafka");

  page = client.get("/history");
  REQUIRE(page);
  json = Json::parse(page->body);
  REQUIRE(json.size() == 1);
  CHECK(json[0] == Json::parse(R"({"at":"2026-11-21T10:00:00.123Z","what":"raised","level":1,"text":"database"})"));

  page = client.get("/metrics");
  REQUIRE(page);
  CHECK(page->header("content-type") == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(page->body.find("ratchet_rejected_total{reason=\"queue-full\"} 3\n") != std::string::npos);
  CHECK(page->body.find("ratchet_log_dropped_total 0\n") != std::string::npos);
  CHECK(page->body.find("ratchet_level 1\n") != std::string::npos);
  CHECK(page->body.find("ratchet_alarms{id=\"level.2\"} 1\n") != std::string::npos);

  page = client.get("/info");
  REQUIRE(page);
  json = Json::parse(page->body);
  CHECK(json["instance"] == "orders-1");
  CHECK(json["version"] == RATCHET_VERSION);
  CHECK(json["pid"] == getpid());
  CHECK(json["uptime_s"].is_number_integer());
  CHECK(json["build"]["compiler"].is_string());
  CHECK(json["levels"] == Json::parse(R"(["baseline","database","broker","service"])"));
  CHECK(json["limits"]["service"]["body_bytes"] == 1024 * 1024);
  CHECK(json["limits"]["ops"]["connections"] == 64);

  page = client.get("/");
  REQUIRE(page);
  CHECK(page->header("content-type") == "text/html; charset=utf-8");
  for (const char* path : {"/levels", "/alarms", "/history", "/metrics", "/info", "/live", "/ready", "/health"}) {
    CHECK(page->body.find("href=\"" + std::string(path) + "\"") != std::string::npos);
    const auto listed = client.get(path);
    REQUIRE(listed);
    CHECK(listed->status != 404);
  }
}

TEST_CASE("ops: an alarm that is cleared stays visible as 0") {
  House house;
  Ops ops(house.parts());
  REQUIRE(ops.open());
  RawHttp client(ops.port());
  house.alarms.set("x", "text", "do");
  CHECK(client.get("/metrics")->body.find("ratchet_alarms{id=\"x\"} 1\n") != std::string::npos);
  house.alarms.clear("x");
  CHECK(client.get("/metrics")->body.find("ratchet_alarms{id=\"x\"} 0\n") != std::string::npos);
}

TEST_CASE("ops: health is answered below level 3") {
  House house;
  Ops ops(house.parts());
  REQUIRE(ops.open());
  RawHttp client(ops.port());
  CHECK(client.get("/live")->status == 200);
  CHECK(client.get("/ready")->status == 503);
  CHECK(client.get("/health")->status == 503);
}

TEST_CASE("ops: unknown pages are 404, other methods 405 with Allow, HEAD has no body") {
  House house;
  Ops ops(house.parts());
  REQUIRE(ops.open());
  RawHttp client(ops.port());

  for (const char* path : {"/nothing", "/levels/", "/levelsx", "/%6cevels/x", "/levels%00"}) {
    INFO(path);
    const auto page = client.get(path);
    REQUIRE(page);
    CHECK(page->status == 404);
    CHECK(page->header("content-type") == "application/problem+json");
    CHECK(Json::parse(page->body)["status"] == 404);
  }
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    INFO(method);
    REQUIRE(client.send(std::string(method) + " /levels HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    auto page = client.read();
    REQUIRE(page);
    CHECK(page->status == 405);
    CHECK(page->header("allow") == "GET, HEAD");
    CHECK(page->header("content-type") == "application/problem+json");
    REQUIRE(client.send(std::string(method) + " /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
    page = client.read();
    REQUIRE(page);
    CHECK(page->status == 404);
  }
  REQUIRE(client.send("HEAD /levels HTTP/1.1\r\nHost: x\r\n\r\n"));
  const auto head = client.read(true);
  REQUIRE(head);
  CHECK(head->status == 200);
  CHECK(std::stoul(head->header("content-length")) == to_json(status_with_everything()).size());
  CHECK(client.get("/levels")->status == 200);  // still in step
}

TEST_CASE("ops: ranges and compression are not offered") {
  House house;
  Ops ops(house.parts());
  REQUIRE(ops.open());
  RawHttp client(ops.port());
  const auto page = client.get("/levels", "Range: bytes=0-3\r\nAccept-Encoding: gzip, br\r\n");
  REQUIRE(page);
  CHECK(page->status == 200);
  CHECK(page->body == to_json(status_with_everything()));
}

TEST_CASE("ops: a taken port alarms, and works as soon as it is free") {
  House first_house;
  auto first = std::make_unique<Ops>(first_house.parts());
  REQUIRE(first->open());
  House house(first->port());
  Ops ops(house.parts());
  CHECK_FALSE(ops.open());
  CHECK_FALSE(ops.open());
  CHECK(ops.port() == 0);
  REQUIRE(house.alarms.list().size() == 1);
  CHECK(house.alarms.list()[0].id == "ops.port");
  CHECK(house.alarms.list()[0].text.find(std::to_string(first->port())) != std::string::npos);
  first.reset();
  CHECK(tests::comes_true([&] { return ops.open(); }));
  CHECK(ops.open());
  CHECK(house.alarms.list().empty());
  RawHttp client(ops.port());
  CHECK(client.get("/live")->status == 200);
}
