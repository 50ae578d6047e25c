#include "levels/0_baseline/health.hpp"

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using ratchet::tests::ManualTime;
using ratchet::tests::RawHttp;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

Status status_at(int held, const TimeSource& time) {
  Status status;
  status.instance = "test-1";
  status.version = "1";
  status.held = held;
  status.ready = held == kTopLevel;
  status.doing = status.ready ? Doing::serving : Doing::climbing;
  status.since = time.wall();
  const char* names[] = {"baseline", "database", "broker", "service"};
  for (std::size_t i = 0; i < status.levels.size(); ++i) {
    status.levels[i].level = static_cast<int>(i);
    status.levels[i].name = names[i];
    status.levels[i].held = static_cast<int>(i) <= held;
    status.levels[i].since = time.wall();
  }
  return status;
}

// A reactor that serves nothing but health; its sockets live in real time, health in the test's.
class HealthPort final : public http::Service {
 public:
  explicit HealthPort(int drain_code = 503) : health(board, time, drain_code) {
    board.tick(time.now());
    publish(status_at(3, time));
    REQUIRE(reactor_.listen({"127.0.0.1", 0}));
  }
  void publish(Status status) { board.publish(std::make_shared<const Status>(std::move(status))); }
  std::uint16_t port() const { return reactor_.port(); }

  // As a balancer probes: a connection of its own.
  int probe(const std::string& state = "", const std::string& path = "/ready") {
    RawHttp client(port());
    const auto answer = client.get(path, state.empty() ? "" : "x-haproxy-server-state: " + state + "\r\n");
    REQUIRE(answer);
    return answer->status;
  }
  tests::RawAnswer get(const std::string& path) {
    RawHttp client(port());
    auto answer = client.get(path);
    REQUIRE(answer);
    return *answer;
  }

  http::Served serve(http::Reactor& reactor, const http::Request& request) override {
    if (!health.serve(reactor, request)) reactor.answer(request.ticket, {404, "text/plain", "not health", "", false});
    return http::Served::answered;
  }
  void expired(http::Reactor&, http::Ticket) override {}
  std::string refusal_body(const http::Refusal&) override { return "{}"; }

  ManualTime time;
  StatusBoard board;
  Health health;

 private:
  tests::RealTime real_;
  Log log_{LogSettings{LogFormat::text, 3, false}, real_};
  Metrics metrics_;
  http::Reactor reactor_{{"health", {}}, *this, real_, log_, metrics_};
};

}  // namespace

TEST_CASE("health: HAProxy's word is read as it stands on the wire") {
  struct Row {
    const char* header;
    bool read, stopped, idle;
    const char* key;
  };
  const Row rows[] = {
      {"UP 2/3; name=be/srv; node=lb1; weight=1/2; scur=13/22; qcur=0", true, false, false, "lb1 be/srv"},
      {"UP; name=be/srv; node=lb1; weight=1/2; scur=0/22; qcur=0", true, false, true, "lb1 be/srv"},
      {"NOLB; address=127.0.0.1; port=80; name=be/srv; node=lb2; weight=1/2; scur=0/2; qcur=0", true, true, true,
       "lb2 be/srv"},
      {"NOLB 1/2; name=be/srv; node=lb2; weight=1/2; scur=3/3; qcur=0", true, true, false, "lb2 be/srv"},
      {"DOWN 1/2; name=be/srv; node=lb2; weight=1/2; scur=0/0; qcur=0", true, true, true, "lb2 be/srv"},
      {"UP; name=be/srv; node=lb1; weight=0/1; scur=0; qcur=0", true, true, true, "lb1 be/srv"},
      {"UP;name=be/srv;node=lb1;weight=10/10;scur=10/10", true, false, false, "lb1 be/srv"},
      {"NOLB; name=be/srv; node=lb1; weight=1/1", true, true, false, "lb1 be/srv"},
      {"DOWNTOWN; name=be/srv; node=lb1; scur=0", true, false, true, "lb1 be/srv"},
      {"no check; name=be/srv; node=lb1; scur=0", true, false, true, "lb1 be/srv"},
      {"NOLB; scur=0", false, false, false, ""},
      {"NOLB; name=; node=lb1; scur=0", false, false, false, ""},
      {"", false, false, false, ""},
      {";;;=;==", false, false, false, ""},
  };
  for (const Row& row : rows) {
    INFO(row.header);
    const auto state = parse_haproxy_state(row.header);
    REQUIRE(state.has_value() == row.read);
    if (!state) continue;
    CHECK(state->stopped == row.stopped);
    CHECK(state->idle == row.idle);
    CHECK(state->key == row.key);
  }
  CHECK_FALSE(parse_haproxy_state("NOLB; node=lb; name=" + std::string(300, 'x')));
}

TEST_CASE("health: Retry-After is the true next attempt, spread, never less than a second") {
  ManualTime time;
  StatusBoard board;
  Health health(board, time, 503);
  Status status = status_at(0, time);
  CHECK(health.retry_after() == 1);  // nothing published yet

  for (int i = 0; i < 8; ++i) {
    status.next_attempt = time.now() + milliseconds(7300);
    const int told = health.retry_after(status, time.now());
    CHECK(told >= 8);
    CHECK(told <= 9);
    status.next_attempt = time.now() - seconds(3);
    CHECK(health.retry_after(status, time.now()) >= 1);
    CHECK(health.retry_after(status, time.now()) <= 2);
    status.next_attempt.reset();
    CHECK(health.retry_after(status, time.now()) >= 1);
  }
  std::set<int> spread;
  status.next_attempt = time.now() + seconds(20);
  for (int i = 0; i < 20; ++i)
    spread.insert(health.retry_after(status, time.now()));
  CHECK(spread == std::set<int>{20, 21, 22, 23, 24});

  status.hold = HoldStatus{2, "maintenance", "ops"};
  CHECK(health.retry_after(status, time.now()) == 30);
}

TEST_CASE("health: /live follows the control loop's ticks") {
  HealthPort port;
  CHECK(port.get("/live").status == 200);
  port.time.advance(seconds(5));
  CHECK(port.get("/live").status == 200);
  port.time.advance(milliseconds(1));
  CHECK(port.get("/live").status == 503);
  CHECK(port.get("/ready").status == 200);
  port.board.tick(port.time.now());
  CHECK(port.get("/live").status == 200);
}

TEST_CASE("health: /ready is 200 only at level 3, and says when to come back") {
  HealthPort port;
  CHECK(port.get("/ready").status == 200);
  CHECK(port.get("/ready").header("retry-after").empty());

  Status status = status_at(1, port.time);
  status.next_attempt = port.time.now() + seconds(3);
  port.publish(status);
  const auto answer = port.get("/ready");
  CHECK(answer.status == 503);
  CHECK((answer.header("retry-after") == "3" || answer.header("retry-after") == "4"));
  CHECK(answer.header("x-envoy-immediate-health-check-fail").empty());
}

TEST_CASE("health: while draining /ready says the drain code, whatever the board says") {
  for (const int code : {503, 404}) {
    HealthPort port(code);
    port.health.set_draining(true);
    const auto answer = port.get("/ready");
    CHECK(answer.status == code);
    CHECK(answer.header("x-envoy-immediate-health-check-fail") == "true");
    CHECK_FALSE(answer.header("retry-after").empty());
    CHECK(port.get("/health").status == 503);
    CHECK(port.get("/live").status == 200);
    port.health.set_draining(false);
    CHECK(port.get("/ready").status == 200);
  }
}

TEST_CASE("health: /health sums up as health+json and keeps details to itself") {
  HealthPort port;
  auto answer = port.get("/health");
  CHECK(answer.status == 200);
  CHECK(answer.header("content-type") == "application/health+json");
  auto json = nlohmann::json::parse(answer.body);
  CHECK(json["status"] == "pass");
  REQUIRE(json["checks"]["level 1 database:held"].is_array());
  CHECK(json["checks"]["level 1 database:held"][0]["status"] == "pass");

  SECTION("an alarm warns, with 200") {
    Status status = status_at(3, port.time);
    status.alarms.push_back({"ops.port", port.time.wall(), "secret host is taken", "do"});
    port.publish(status);
    answer = port.get("/health");
    CHECK(answer.status == 200);
    json = nlohmann::json::parse(answer.body);
    CHECK(json["status"] == "warn");
    CHECK(json["checks"]["alarm:ops.port"][0]["status"] == "warn");
    CHECK(answer.body.find("secret") == std::string::npos);
  }
  SECTION("a degraded level warns, with 200") {
    Status status = status_at(3, port.time);
    status.levels[1].degraded = "3 of 8 connections";
    port.publish(status);
    json = nlohmann::json::parse(port.get("/health").body);
    CHECK(json["status"] == "warn");
    CHECK(json["checks"]["level 1 database:held"][0]["status"] == "warn");
  }
  SECTION("a level not held fails, with 503") {
    Status status = status_at(1, port.time);
    status.levels[2].last_fault = FaultNote{FaultKind::refused, "kafka.internal refused", port.time.wall()};
    port.publish(status);
    answer = port.get("/health");
    CHECK(answer.status == 503);
    json = nlohmann::json::parse(answer.body);
    CHECK(json["status"] == "fail");
    CHECK(json["checks"]["level 2 broker:held"][0]["status"] == "fail");
    CHECK(answer.body.find("internal") == std::string::npos);
  }
}

TEST_CASE("health: HEAD is answered like GET, without a body; other methods are refused; other paths are not ours") {
  HealthPort port;
  RawHttp client(port.port());
  REQUIRE(client.send("HEAD /ready HTTP/1.1\r\nHost: x\r\n\r\n"));
  auto answer = client.read(true);
  REQUIRE(answer);
  CHECK(answer->status == 200);
  answer = client.get("/live");  // the connection is still in step: no body followed
  REQUIRE(answer);
  CHECK(answer->status == 200);
  REQUIRE(client.send("POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
  answer = client.read();
  REQUIRE(answer);
  CHECK(answer->status == 405);
  CHECK(answer->header("allow") == "GET, HEAD");
  CHECK(port.get("/readyz").body == "not health");
}

TEST_CASE("health: the balancers have stopped when every node that still speaks has said so") {
  HealthPort port;
  CHECK(port.health.balancers().nodes == 0);
  CHECK_FALSE(port.health.balancers().last_probe);

  const auto both = [&](const std::string& first, const std::string& second) {
    port.time.advance(seconds(2));
    port.probe(first + "; name=be/s; node=lb1; weight=1/1; scur=0/0");
    port.probe(second);
  };
  both("UP", "UP; name=be/s; node=lb2; weight=1/1; scur=1/1");
  both("UP", "UP; name=be/s; node=lb2; weight=1/1; scur=1/1");
  auto all = port.health.balancers();
  CHECK(all.nodes == 2);
  CHECK_FALSE(all.all_stopped);
  CHECK(all.interval == Duration(seconds(2)));
  CHECK(all.last_probe == port.time.now());

  both("NOLB", "UP; name=be/s; node=lb2; weight=1/1; scur=1/1");
  CHECK_FALSE(port.health.balancers().all_stopped);
  both("NOLB", "DOWN; name=be/s; node=lb2; weight=1/1; scur=1/1");
  CHECK(port.health.balancers().all_stopped);
  CHECK_FALSE(port.health.balancers().all_idle);
  both("NOLB", "DOWN; name=be/s; node=lb2; weight=1/1; scur=0/1");
  CHECK(port.health.balancers().all_idle);
}

TEST_CASE("health: a node that fell silent is forgotten after three of its periods") {
  HealthPort port;
  for (int i = 0; i < 4; ++i) {
    port.probe("NOLB; name=be/s; node=lb1; scur=0");
    port.probe("UP; name=be/s; node=gone; scur=1");
    port.time.advance(seconds(1));
  }
  CHECK(port.health.balancers().nodes == 2);
  for (int i = 0; i < 3; ++i) {
    port.probe("NOLB; name=be/s; node=lb1; scur=0");
    port.time.advance(seconds(1));
  }
  CHECK(port.health.balancers().nodes == 1);
  CHECK(port.health.balancers().all_idle);
  port.time.advance(seconds(10));
  CHECK(port.health.balancers().nodes == 0);
  CHECK_FALSE(port.health.balancers().all_idle);
  CHECK(port.health.balancers().interval == Duration(seconds(1)));  // how often they ask stays known for a minute
  port.time.advance(seconds(60));
  CHECK_FALSE(port.health.balancers().interval);
}

TEST_CASE("health: a prober without the header gives an interval, not a word") {
  HealthPort port;
  port.probe();
  CHECK(port.health.balancers().last_probe);
  CHECK_FALSE(port.health.balancers().interval);
  port.time.advance(milliseconds(1500));
  port.probe();
  CHECK(port.health.balancers().interval == Duration(milliseconds(1500)));
  CHECK(port.health.balancers().nodes == 0);
  CHECK_FALSE(port.health.balancers().all_stopped);
  port.probe("", "/live");
  CHECK(port.health.balancers().interval == Duration(milliseconds(1500)));
}

TEST_CASE("health: what clients ask through a balancer is neither a word nor a probe") {
  HealthPort port;
  port.probe("UP; name=be/s; node=lb1; weight=1/1; scur=1/1");
  RawHttp client(port.port());
  for (int i = 0; i < 100; ++i) {
    port.time.advance(milliseconds(10));
    REQUIRE(client.get(
        "/ready", "X-Forwarded-For: 203.0.113.5\r\nx-haproxy-server-state: NOLB; name=be/s; node=lb1; scur=0\r\n"));
    REQUIRE(client.get("/ready", "X-Forwarded-For: 203.0.113.5\r\nx-haproxy-server-state: UP; name=be/s; node=n" +
                                     std::to_string(i) + "; scur=9\r\n"));
  }
  port.probe("UP; name=be/s; node=lb1; weight=1/1; scur=1/1");
  const auto all = port.health.balancers();
  CHECK(all.nodes == 1);
  CHECK_FALSE(all.all_stopped);
  CHECK(all.interval == Duration(seconds(1)));
}

TEST_CASE("health: more nodes than can be remembered never count as all stopped") {
  HealthPort port;
  for (int i = 0; i < 64; ++i)
    port.probe("NOLB; name=be/s; node=lb" + std::to_string(i) + "; scur=0");
  CHECK(port.health.balancers().nodes == 64);
  CHECK(port.health.balancers().all_idle);
  port.probe("UP; name=be/s; node=one-more; scur=5");
  CHECK(port.health.balancers().nodes == 64);
  CHECK_FALSE(port.health.balancers().all_stopped);
  port.time.advance(seconds(120));
  port.probe("NOLB; name=be/s; node=one-more; scur=0");
  CHECK(port.health.balancers().nodes == 1);
  CHECK(port.health.balancers().all_idle);
}
