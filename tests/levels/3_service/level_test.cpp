#include "levels/3_service/level.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "levels/1_database/pool.hpp"
#include "tests/support/catch.hpp"
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
    settings.service.listen = {"127.0.0.1", 0};
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

  int log_pipe[2]{-1, -1};  // first: the log needs it
  const bool piped = ::pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK) == 0;
  tests::RealTime time;
  ShiftedTime level_time;
  Settings settings;
  Log log{LogSettings{LogFormat::text, 5, false}, time, log_pipe[1]};
  Metrics metrics;
  AlarmBoard alarms{time, log};
  NoFaults faults;
  StatusBoard board;
  Health health{board, time, 503};
  db::Pool pool{PoolSettings{}, {"test", time, log, metrics, alarms, faults, [] { return 0.5; }}};
  db::GroupCommit commits{{pool, time, log, metrics, 1 << 20, 1}};
  kafka::RecordLimits limits;
  service::Server server{
      {settings, health, {{"main", commits, [] { return false; }}}, limits, time, log, metrics, [] { return 0.5; }}};
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

TEST_CASE("service level: a reactor that does not turn is a fault of this incarnation") {
  House house;
  auto raised = house.raise(4);
  REQUIRE(raised);
  house.level_time.advance(seconds(10));
  const auto fault = house.probe(**raised);
  REQUIRE(fault);
  CHECK(fault->level == 3);
  CHECK(fault->incarnation == 4);
  CHECK(fault->kind == FaultKind::timed_out);
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
