#include "daemon/systemd.hpp"

#include <vector>

#include "tests/support/catch.hpp"

using namespace ratchet;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

struct Bench {
  std::vector<std::string> sent;
  bool alive = true;
  std::string suffix;
  TimePoint now{std::chrono::hours(1)};
  Status status;
  Systemd systemd{parts()};

  Systemd::Parts parts() {
    Systemd::Parts p;
    p.send = [this](const std::string& message) { sent.push_back(message); };
    p.watchdog = seconds(20);
    p.alive = [this] { return alive; };
    p.suffix = [this] { return suffix; };
    p.extend_by = seconds(25);
    return p;
  }

  Bench() {
    status.levels[1].name = "database";
    status.doing = Doing::climbing;
  }

  std::vector<std::string> turn(Duration later = Duration::zero()) {
    now += later;
    sent.clear();
    systemd.turn(status, now);
    return sent;
  }
};

using Sent = std::vector<std::string>;

}  // namespace

TEST_CASE("systemd: ready at level 0, said once") {
  Bench bench;
  CHECK(bench.turn() == Sent{"READY=1", "STATUS=level 0: raising database", "WATCHDOG=1"});
  CHECK(bench.turn(seconds(1)).empty());
}

TEST_CASE("systemd: the status line is said when it changes, at most once a second, the last one always") {
  Bench bench;
  bench.turn();
  bench.status.held = 3;
  bench.status.doing = Doing::serving;
  bench.suffix = "41 req/s";
  CHECK(bench.turn(milliseconds(500)).empty());
  CHECK(bench.turn(milliseconds(500)) == Sent{"STATUS=level 3: serving, 41 req/s"});
  bench.suffix.clear();
  CHECK(bench.turn(seconds(1)) == Sent{"STATUS=level 3: serving"});
  CHECK(bench.turn(seconds(1)).empty());
}

TEST_CASE("systemd: the watchdog is fed at half its time, and only while all is alive") {
  Bench bench;
  bench.turn();
  CHECK(bench.turn(milliseconds(9999)).empty());
  CHECK(bench.turn(milliseconds(1)) == Sent{"WATCHDOG=1"});
  bench.alive = false;
  CHECK(bench.turn(seconds(11)).empty());
  CHECK(bench.turn(seconds(11)).empty());
  bench.alive = true;
  CHECK(bench.turn() == Sent{"WATCHDOG=1"});
}

TEST_CASE("systemd: more time to stop is asked for while there is progress, and not without") {
  Bench bench;
  bench.status.held = 3;
  bench.turn();
  bench.status.doing = Doing::stopping;
  CHECK(bench.turn(seconds(1)) == Sent{"STOPPING=1", "EXTEND_TIMEOUT_USEC=25000000", "STATUS=level 3: stopping"});
  CHECK(bench.turn(seconds(1)).empty());
  bench.systemd.progress();
  CHECK(bench.turn(seconds(1)) == Sent{"EXTEND_TIMEOUT_USEC=25000000"});
  CHECK(bench.turn(seconds(1)).empty());
  bench.status.held = 2;
  CHECK(bench.turn(seconds(1)) == Sent{"EXTEND_TIMEOUT_USEC=25000000", "STATUS=level 2: stopping"});
}
