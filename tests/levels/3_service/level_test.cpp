#include "levels/3_service/level.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sstream>

#include "levels/1_database/pool.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/made_random.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using ratchet::tests::RawHttp;
using std::chrono::seconds;

namespace {

struct NoFaults final : FaultSink {
  void report(const Fault&) noexcept override {}
};

// The clock of the level alone: the rest lives in real time.
class ShiftedTime final : public TimeSource {
 public:
  TimePoint now() const noexcept override { return Clock::now() + Duration(shift_.load()); }
  WallTime wall() const noexcept override { return std::chrono::system_clock::now(); }
  void advance(Duration by) noexcept { shift_ += by.count(); }

 private:
  std::atomic<Duration::rep> shift_{0};
};

// Level 3 over a database that is not connected: enough to open, probe and close a port.
struct House {
  House() {
    REQUIRE(piped);
    auto status = std::make_shared<Status>();
    status->held = kTopLevel;
    status->ready = true;
    board.tick(time.now());
    board.publish(status);
  }
  ~House() {
    ::close(log_pipe[0]);
    ::close(log_pipe[1]);
  }
  std::string logged() {
    char buffer[65536];
    const ssize_t n = ::read(log_pipe[0], buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
  }
  Result<std::unique_ptr<HeldLevel>> raise(Incarnation incarnation) {
    Patience patience(time.now() + level.raise_patience());
    return level.raise(patience, incarnation);
  }
  std::optional<Fault> probe(HeldLevel& held) {
    Patience patience(time.now() + seconds(1));
    return held.probe(patience);
  }

  static Settings with_routes() {
    Settings settings;
    settings.service.listen = {"127.0.0.1", 0};
    for (const char* path : {"/a", "/b", "/c", "/off"}) {
      EventRoute route;
      route.path = path;
      route.topic = "topic";
      route.enabled = route.path != "/off";
      settings.routes.push_back(route);
    }
    return settings;
  }
  // What a handler asks while it serves, and there is no database.
  std::optional<TimePoint> next_attempt() const {
    if (handlers_fail) throw std::runtime_error("planted");
    return std::nullopt;
  }
  static std::optional<tests::RawAnswer> post(RawHttp& client, const std::string& path) {
    if (!client.send("POST " + path +
                     " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"))
      return std::nullopt;
    return client.read();
  }
  bool is_alarmed(const std::string& id) const {
    const auto all = alarms.list();
    return std::any_of(all.begin(), all.end(), [&](const AlarmStatus& alarm) { return alarm.id == id; });
  }
  double metric(const std::string& line_start) {
    std::istringstream lines(metrics.render());
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind(line_start, 0) == 0) return std::stod(line.substr(line.rfind(' ')));
    }
    return 0;
  }

  int log_pipe[2]{-1, -1};  // first: the log needs it
  const bool piped = ::pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK) == 0;
  tests::RealTime time;
  ShiftedTime level_time;
  Settings settings = with_routes();
  Log log{LogSettings{LogFormat::text, 5, false}, time, log_pipe[1]};
  Metrics metrics;
  AlarmBoard alarms{time, log};
  NoFaults faults;
  std::atomic<bool> handlers_fail{false};
  StatusBoard board;
  Health health{board, time, 503};
  db::Pool pool{PoolSettings{}, {"test", time, log, metrics, alarms, faults, [] { return 0.5; }}};
  db::GroupCommit commits{{pool, time, log, metrics, 1 << 20, 1}};
  kafka::RecordLimits limits;
  tests::MadeRandom random;
  service::Server server{{settings,
                          health,
                          {{"main", commits, [] { return false; }, [this] { return next_attempt(); }}},
                          limits,
                          time,
                          log,
                          metrics,
                          [] { return 0.5; },
                          random,
                          alarms}};
  service::ServiceLevel level{server, health, settings.service.drain, [] { return true; }, level_time, log};
};

}  // namespace

TEST_CASE("service level: raised is an open port, released is a closed one") {
  House house;
  house.health.set_draining(true);  // left from the time before
  auto raised = house.raise(1);
  REQUIRE(raised);
  const std::uint16_t port = house.server.reactor()->port();
  {
    RawHttp client(port);
    const auto ready = client.get("/ready");
    REQUIRE(ready);
    CHECK(ready->status == 200);
  }
  CHECK_FALSE(house.probe(**raised));
  (*raised).reset();
  CHECK(house.server.reactor() == nullptr);
  CHECK_FALSE(RawHttp(port).connected());
}

TEST_CASE("service level: a taken port is a failed raise that says which, and leaves nothing behind") {
  House first, second;
  auto held = first.raise(1);
  REQUIRE(held);
  const std::uint16_t port = first.server.reactor()->port();
  second.settings.service.listen.port = port;
  const auto refused = second.raise(7);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().level == 3);
  CHECK(refused.error().incarnation == 7);
  CHECK(refused.error().kind == FaultKind::address_in_use);
  CHECK(refused.error().text.rfind("service: ", 0) == 0);
  CHECK(refused.error().text.find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
  CHECK(second.server.reactor() == nullptr);
  (*held).reset();
  CHECK(second.raise(8));
}

TEST_CASE("service level: a reactor that does not turn is made anew, and the third time in a minute it is a fault") {
  House house;
  auto raised = house.raise(4);
  REQUIRE(raised);
  house.level_time.advance(seconds(10));  // ahead of the reactor's own clock, for good
  for (int resets = 1; resets <= 2; ++resets) {
    REQUIRE(house.probe(**raised));  // asked again at once
    CHECK_FALSE(house.probe(**raised));
    CHECK(house.metric("ratchet_service_resets_total") == resets);
    RawHttp client(house.server.reactor()->port());
    CHECK(client.get("/ready"));
  }
  REQUIRE(house.probe(**raised));
  const auto fault = house.probe(**raised);
  REQUIRE(fault);
  CHECK(fault->level == 3);
  CHECK(fault->incarnation == 4);
  CHECK(fault->kind == FaultKind::timed_out);
  CHECK(house.probe(**raised));
}

TEST_CASE(
    "service level: a handler that fails costs its connection, then its route a rest, then a reset, then the level") {
  House house;
  auto raised = house.raise(4);
  REQUIRE(raised);
  house.handlers_fail = true;
  for (int resets = 0; resets < 3; ++resets) {
    REQUIRE_FALSE(house.probe(**raised));
    for (const char* path : {"/a", "/b", "/c"}) {
      CHECK_FALSE(house.server.wants_reset());
      for (int i = 0; i < 5; ++i) {
        RawHttp client(house.server.reactor()->port());
        const auto failed = house.post(client, path);
        REQUIRE(failed);
        CHECK(failed->status == 500);
        CHECK(failed->body.find("urn:ratchetd:problem:internal-error") != std::string::npos);
        CHECK(failed->header("connection") == "close");
        CHECK(client.ends());
      }
      RawHttp client(house.server.reactor()->port());
      const auto rests = house.post(client, path);
      REQUIRE(rests);
      CHECK(rests->status == 503);
      CHECK(rests->body.find("urn:ratchetd:problem:breaker-open") != std::string::npos);
      CHECK(std::stoi(rests->header("retry-after")) >= 1);
      CHECK(std::stoi(rests->header("retry-after")) <= 5);
      CHECK(house.is_alarmed(std::string("route.breaker.") + path));
      CHECK(client.get("/ready")->status == 200);  // the same connection: nothing else is hurt
    }
    CHECK(house.server.wants_reset());
    if (resets < 2) {
      CHECK_FALSE(house.probe(**raised));
      CHECK_FALSE(house.is_alarmed("route.breaker./a"));
    }
  }
  CHECK(house.metric("ratchet_service_errors_total{kind=\"handler\"}") == 45);
  CHECK(house.metric("ratchet_rejected_total{reason=\"internal-error\"}") == 45);
  CHECK(house.metric(
            "http_server_request_duration_seconds_count{http_response_status_code=\"500\",http_route=\"/a\"}") == 15);
  CHECK(house.metric("ratchet_rejected_total{reason=\"breaker-open\"}") == 9);
  CHECK(house.metric("ratchet_service_resets_total") == 2);
  const auto fault = house.probe(**raised);
  REQUIRE(fault);
  CHECK(fault->kind == FaultKind::service_errors);
  CHECK(fault->incarnation == 4);
}

TEST_CASE("service level: short of files, answers end their connections until accepting works again") {
  House house;
  auto raised = house.raise(1);
  REQUIRE(raised);
  const std::uint16_t port = house.server.reactor()->port();
  RawHttp early(port);
  REQUIRE(early.get("/nowhere")->header("connection").empty());
  RawHttp spare(port);
  REQUIRE(spare.get("/nowhere"));
  const int late = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool connected = ::connect(late, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const bool alarmed = tests::comes_true([&] { return house.is_alarmed("service.files"); });
  const auto last = early.get("/nowhere");
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(connected);
  CHECK(alarmed);
  REQUIRE(last);
  CHECK(last->status == 404);
  CHECK(last->header("connection") == "close");
  CHECK(house.metric("ratchet_service_errors_total{kind=\"accept\"}") >= 5);
  ::close(late);
  CHECK(tests::comes_true([&] {
    RawHttp client(port);
    return client.get("/ready") && !house.is_alarmed("service.files");
  }));
  CHECK(spare.get("/nowhere")->header("connection").empty());
}

TEST_CASE(
    "service level: a route is switched off and on while it serves, alarmed, and off again after a new start only if "
    "so configured") {
  House house;
  CHECK(house.is_alarmed("route.off./off"));
  auto raised = house.raise(1);
  REQUIRE(raised);
  RawHttp client(house.server.reactor()->port());
  const auto type_of = [&](const char* path) {
    const auto answer = house.post(client, path);
    return answer ? answer->body.substr(0, answer->body.find(',')) : std::string();
  };
  CHECK(type_of("/off").find("route-off") != std::string::npos);
  CHECK(type_of("/a").find("not-connected") != std::string::npos);
  CHECK(house.server.switch_route("/a", false, "by somebody: it floods us"));
  CHECK(type_of("/a").find("route-off") != std::string::npos);
  REQUIRE(house.is_alarmed("route.off./a"));
  CHECK(house.alarms.list().at(0).text == "route /a is switched off by somebody: it floods us");
  CHECK(house.server.switch_route("/a", true, "by somebody"));
  CHECK(house.server.switch_route("/off", true, "by somebody"));
  CHECK(house.alarms.list().empty());
  CHECK(type_of("/a").find("not-connected") != std::string::npos);
  CHECK(type_of("/off").find("not-connected") != std::string::npos);
  CHECK_FALSE(house.server.switch_route("/nowhere", false, ""));
}

TEST_CASE("service level: asked it drains, at fault it falls, and both say so in one line") {
  House house;
  auto raised = house.raise(1);
  REQUIRE(raised);
  const std::uint16_t port = house.server.reactor()->port();
  Patience patience(house.time.now() + seconds(60));
  SECTION("asked") {
    (*raised)->drain(patience, Leave::asked);
    const std::string logged = house.logged();
    CHECK(logged.find("level 3 drained") != std::string::npos);
    CHECK(logged.find("balancer") != std::string::npos);
    CHECK(logged.find("cut=0") != std::string::npos);
  }
  SECTION("fault") {
    std::optional<tests::RawAnswer> refused;
    std::thread falling([&] { (*raised)->drain(patience, Leave::fault); });
    tests::comes_true([&] {
      RawHttp client(port);
      refused = client.connected() ? client.get("/nothing") : std::nullopt;
      return !refused || refused->status == 503;
    });
    falling.join();
    REQUIRE(refused);
    CHECK(refused->status == 503);
    CHECK(std::stoi(refused->header("retry-after")) >= 1);
    CHECK(refused->header("connection") == "close");
    CHECK(house.logged().find("level 3 fell") != std::string::npos);
  }
  CHECK_FALSE(RawHttp(port).connected());
}
