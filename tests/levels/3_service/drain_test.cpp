#include "levels/3_service/drain.hpp"

#include <mutex>
#include <thread>

#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"
#include "tests/support/raw_http.hpp"
#include "tests/support/real_time.hpp"

using namespace ratchet;
using namespace ratchet::service;
using ratchet::tests::comes_true;
using ratchet::tests::RawHttp;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const std::string kRefusal =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 3\r\nConnection: close\r\n\r\n";

// /fast answers at once; /slow is answered when the test says so, as a commit's outcome would be.
class SlowService final : public http::Service {
 public:
  explicit SlowService(Health& health) : health_(health) {}
  http::Served serve(http::Reactor& reactor, const http::Request& request) override {
    if (health_.serve(reactor, request)) return http::Served::answered;
    if (request.head.path == "/slow") {
      waiting_.push_back(request.ticket);
      return http::Served::deferred;
    }
    reactor.answer(request.ticket, {202, "application/json", R"({"id":"1"})", "", false});
    return http::Served::answered;
  }
  void expired(http::Reactor& reactor, http::Ticket ticket) override {
    reactor.answer(ticket, {503, "text/plain", "too late", "", false});
  }
  std::string refusal_body(const http::Refusal&) override { return "{}"; }
  void was_cut(http::Reactor&, http::Ticket, std::string_view begun) override {
    const std::lock_guard lock(mutex_);
    cut_ = begun.substr(0, begun.find("\r\n"));
  }
  std::string cut() {
    const std::lock_guard lock(mutex_);
    return cut_;
  }

  void outcomes(http::Reactor& reactor) {
    reactor.post([this](http::Reactor& r) {
      for (const http::Ticket ticket : waiting_)
        r.answer(ticket, {202, "application/json", R"({"id":"2"})", "", false});
      waiting_.clear();
    });
  }

 private:
  Health& health_;
  std::vector<http::Ticket> waiting_;  // reactor thread
  std::mutex mutex_;
  std::string cut_;  // the last one's first line; under mutex_
};

// A serving level 3 on a free port, and a drain that runs beside the test.
struct House {
  // `probers_time`: of health, where a test wants its nodes to stay as they are.
  explicit House(const TimeSource* probers_time = nullptr) : health(board, probers_time ? *probers_time : time, 503) {
    auto status = std::make_shared<Status>();
    status->held = kTopLevel;
    status->ready = true;
    board.tick(time.now());
    board.publish(status);
    REQUIRE(reactor.listen({"127.0.0.1", 0}));
    port = reactor.port();
  }
  ~House() { join(); }

  void start_drain() {
    runner = std::thread(
        [this] { report = drain(reactor, health, settings, time, patience, waiters, nullptr, open_since); });
  }
  void start_fall() {
    runner = std::thread([this] { report = fall(reactor, health, kRefusal, time, patience, waiters); });
  }
  void join() {
    if (runner.joinable()) runner.join();
  }
  // A test that waits until a stage is over sees it from outside.
  bool announced() {
    return comes_true([this] {
      RawHttp client(port);
      const auto answer = client.get("/fast");
      return answer && answer->header("connection") == "close";
    });
  }
  bool port_closes() {
    return comes_true([this] { return reactor.port_closed(); });
  }
  StageReport stage(std::string_view name) const {
    for (const auto& s : report.stages) {
      if (s.stage == name) return s;
    }
    return {name, {}, "there was no such stage"};
  }
  std::vector<std::string> stages() const {
    std::vector<std::string> names;
    for (const auto& s : report.stages)
      names.emplace_back(s.stage);
    return names;
  }

  tests::RealTime time;
  StatusBoard board;
  Log log{LogSettings{LogFormat::text, 3, false}, time};
  Metrics metrics;
  Health health;
  SlowService service{health};
  http::Reactor reactor{{"service", {}}, service, time, log, metrics};
  DrainSettings settings;
  service::Waiters waiters;
  Patience patience{time.now() + seconds(60)};
  std::optional<TimePoint> open_since;  // nothing: as if it were young
  DrainReport report;
  std::uint16_t port = 0;
  std::thread runner;
};

int probe(std::uint16_t port, const std::string& state = "") {
  RawHttp client(port);
  const auto answer = client.get("/ready", state.empty() ? "" : "x-haproxy-server-state: " + state + "\r\n");
  return answer ? answer->status : 0;
}

}  // namespace

TEST_CASE("drain: with nobody there it ends at once, stage by stage") {
  House house;
  house.start_drain();
  house.join();
  CHECK(house.stages() == std::vector<std::string>{"announce", "balancer", "close port", "late", "requests"});
  CHECK(house.stage("balancer").ended_by == "nobody probes");
  CHECK(house.stage("close port").ended_by == "closed");
  CHECK(house.stage("late").ended_by == "no connection");
  CHECK(house.stage("requests").ended_by == "none left");
  CHECK(house.report.cut_requests == 0);
  CHECK(house.reactor.port_closed());
  CHECK_FALSE(RawHttp(house.port).connected());
  const std::string line = to_string(house.report);
  CHECK(line.find("announce ") == 0);
  CHECK(line.find("late=0 cut=0") != std::string::npos);
  CHECK(line.find('\n') == std::string::npos);
}

TEST_CASE("drain: a balancer that was just started sends requests before it asks, and is waited for") {
  House house;
  RawHttp client(house.port);
  REQUIRE(client.get("/fast"));
  house.open_since = house.time.now() + seconds(60);  // "just now", for as long as the test takes
  house.start_drain();
  REQUIRE(house.announced());
  CHECK_FALSE(house.reactor.port_closed());
  probe(house.port, "NOLB; name=be/s; node=lb1; weight=1/1; scur=0/0");
  house.join();
  CHECK(house.stage("balancer").ended_by == "1 node stopped and idle");
}

TEST_CASE("drain: while it waits for the balancer it accepts, serves, and says Connection: close and not ready") {
  House house;
  house.settings.lb_wait = seconds(30);
  RawHttp kept(house.port);
  REQUIRE(kept.get("/fast"));
  house.start_drain();
  REQUIRE(house.announced());
  CHECK(probe(house.port) == 503);
  CHECK_FALSE(house.reactor.port_closed());
  const auto answer = kept.get("/fast");
  REQUIRE(answer);
  CHECK(answer->status == 202);
  CHECK(answer->header("connection") == "close");
  CHECK(kept.ends());
  house.patience.shrink_to(house.time.now());
  house.join();
  CHECK(house.stage("balancer").ended_by == "out of patience");
}

TEST_CASE("drain: the balancer's wait ends when every node says it has stopped and is idle") {
  tests::ManualTime still;
  House house(&still);
  const auto both = [&](const std::string& first, const std::string& second) {
    probe(house.port, first + "; name=be/s; node=lb1; weight=1/1; scur=0/0; qcur=0");
    probe(house.port, second + "; name=be/s; node=lb2; weight=1/1; qcur=0");
  };
  both("UP", "UP; scur=1/2");
  house.start_drain();
  REQUIRE(house.announced());
  both("NOLB", "UP; scur=1/2");
  CHECK_FALSE(house.reactor.port_closed());
  both("NOLB", "NOLB; scur=1/2");
  CHECK_FALSE(house.reactor.port_closed());
  both("NOLB", "DOWN; scur=0/2");
  house.join();
  CHECK(house.stage("balancer").ended_by == "2 nodes stopped and idle");
  CHECK(house.stage("balancer").took < seconds(15));
}

TEST_CASE("drain: a node that has stopped but still has connections in use is waited for") {
  tests::ManualTime still;
  House house(&still);
  house.settings.total = milliseconds(3400);  // leaves the balancer 100 ms
  house.settings.late = milliseconds(200);
  house.settings.requests = milliseconds(1000);
  house.settings.flush = milliseconds(100);
  probe(house.port, "NOLB; name=be/s; node=lb1; weight=1/1; scur=1/1");
  house.start_drain();
  while (!house.reactor.port_closed())
    probe(house.port, "NOLB; name=be/s; node=lb1; weight=1/1; scur=1/1");
  house.join();
  CHECK(house.stage("balancer").ended_by == "cap");
}

TEST_CASE("drain: what a node said before is not believed: our answer to it may have put us back") {
  tests::ManualTime still;
  House house(&still);
  probe(house.port, "DOWN; name=be/s; node=lb1; weight=1/1; scur=0/0");  // answered 200: it is up again
  house.start_drain();
  REQUIRE(house.announced());
  CHECK_FALSE(house.reactor.port_closed());
  probe(house.port, "UP 1/1; name=be/s; node=lb1; weight=1/1; scur=0/0");
  CHECK_FALSE(house.reactor.port_closed());
  probe(house.port, "NOLB; name=be/s; node=lb1; weight=1/1; scur=0/0");
  house.join();
  CHECK(house.stage("balancer").ended_by == "1 node stopped and idle");
}

TEST_CASE("drain: when every node is idle, late requests are waited for 300 ms only") {
  House house;
  house.settings.late = seconds(10);
  RawHttp silent(house.port);
  REQUIRE(silent.get("/fast"));
  probe(house.port, "UP; name=be/s; node=lb1; weight=1/1; scur=0/0");
  house.start_drain();
  REQUIRE(house.announced());
  probe(house.port, "NOLB; name=be/s; node=lb1; weight=1/1; scur=0/0");
  house.join();
  CHECK(house.stage("balancer").ended_by == "1 node stopped and idle");
  CHECK(house.stage("late").ended_by == "time");
  CHECK(house.stage("late").took >= milliseconds(300));
  CHECK(house.stage("late").took < seconds(10));
  CHECK(silent.ends());
}

TEST_CASE("drain: without the header it waits four of the observed intervals") {
  House house;
  const TimePoint first = house.time.now();
  probe(house.port);
  comes_true([&] { return house.time.now() - first >= milliseconds(50); });
  probe(house.port);
  const auto interval = house.health.balancers().interval;
  REQUIRE(interval);
  house.start_drain();
  house.join();
  CHECK(house.stage("balancer").ended_by == "4 probe intervals");
  CHECK(house.stage("balancer").took >= 4 * *interval);
}

TEST_CASE("drain: a person's two questions keep a settled level 3 for a moment only, a prober's six are waited for") {
  House house;
  const auto ask = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const TimePoint before = house.time.now();
      probe(house.port);
      REQUIRE(comes_true([&] { return house.time.now() - before >= milliseconds(100); }));
    }
  };
  SECTION("settled, a person") {
    house.open_since = house.time.now() - seconds(61);
    ask(2);
    house.start_drain();
    house.join();
    CHECK(house.stage("balancer").ended_by == "nobody probes");
  }
  SECTION("young, a person or a balancer") {
    house.open_since = house.time.now();
    ask(2);
    house.start_drain();
    house.join();
    CHECK(house.stage("balancer").ended_by == "4 probe intervals");
  }
  SECTION("settled, a prober") {
    house.open_since = house.time.now() - seconds(61);
    ask(6);
    house.start_drain();
    house.join();
    CHECK(house.stage("balancer").ended_by == "4 probe intervals");
    CHECK(house.stage("balancer").took >= milliseconds(400));
  }
  SECTION("settled, a balancer that was just started: it goes on asking") {
    house.open_since = house.time.now() - seconds(61);
    ask(2);
    house.start_drain();
    REQUIRE(house.announced());
    while (!house.reactor.port_closed())
      probe(house.port);
    house.join();
    CHECK(house.stage("balancer").ended_by == "4 probe intervals");
  }
}

TEST_CASE("drain: what it waits for is told once, with how long at most, and nothing when it waits for nobody") {
  House house;
  std::mutex mutex;
  std::vector<std::pair<std::string, Duration>> told;
  house.waiters.tell = [&](const std::string& what, Duration at_most) {
    const std::lock_guard lock(mutex);
    told.emplace_back(what, at_most);
  };
  const auto times_told = [&] {
    const std::lock_guard lock(mutex);
    return told.size();
  };
  SECTION("nobody") {
    house.start_drain();
    house.join();
    CHECK(told.empty());
  }
  SECTION("a node, then a client") {
    RawHttp slow(house.port);
    REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
    REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
    probe(house.port, "UP; name=be/s; node=lb1; weight=1/1; scur=1/1");
    house.start_drain();
    REQUIRE(comes_true([&] { return times_told() == 1; }));
    probe(house.port, "NOLB; name=be/s; node=lb1; weight=1/1; scur=0/1");
    REQUIRE(comes_true([&] { return times_told() == 2; }));
    house.service.outcomes(house.reactor);
    CHECK(slow.read());
    house.join();
    REQUIRE(told.size() == 2);
    CHECK(told[0].first.find("lb1 be/s") != std::string::npos);
    CHECK(told[0].second > seconds(0));
    CHECK(told[0].second <= seconds(15));
    CHECK(told[1].first.find("1 connection") != std::string::npos);
    CHECK(told[1].second <= house.settings.requests);
  }
  SECTION("a prober without a word") {
    house.open_since = house.time.now();
    probe(house.port);
    house.start_drain();
    REQUIRE(comes_true([&] { return times_told() == 1; }));
    CHECK(told[0].first.find("127.0.0.1 asks /ready") != std::string::npos);
    house.patience.shrink_to(house.time.now());
    house.join();
    CHECK(house.stage("balancer").ended_by == "out of patience");
  }
}

TEST_CASE("drain: lb_wait none and a number are obeyed") {
  House house;
  probe(house.port, "UP; name=be/s; node=lb1; weight=1/1; scur=1/1");
  SECTION("none") {
    house.settings.lb_wait = milliseconds(0);
    house.start_drain();
    house.join();
    CHECK(house.stage("balancer").ended_by == "not wanted");
  }
  SECTION("a number") {
    house.settings.lb_wait = milliseconds(50);
    house.start_drain();
    house.join();
    CHECK(house.stage("balancer").ended_by == "waited as configured");
    CHECK(house.stage("balancer").took >= milliseconds(50));
  }
}

TEST_CASE("drain: no stage takes what later ones need") {
  House house;
  probe(house.port, "UP; name=be/s; node=lb1; weight=1/1; scur=1/1");  // a balancer that never says it has stopped
  house.settings.total = milliseconds(3500);
  house.settings.late = milliseconds(200);
  house.settings.requests = milliseconds(1000);
  house.settings.flush = milliseconds(100);
  house.start_drain();
  house.join();
  CHECK(house.stage("balancer").ended_by == "cap");
  CHECK(house.stage("balancer").took < seconds(15));
  // 3500 - 100 - 2000 - 1000 - 200 = 200 from the beginning: less what the announcement took.
  CHECK(house.stage("balancer").took >= milliseconds(100));
}

TEST_CASE("drain: a late request on an idle connection is answered after the port has closed") {
  House house;
  house.settings.late = seconds(30);
  RawHttp late(house.port), silent(house.port);
  REQUIRE(late.get("/fast"));
  REQUIRE(silent.get("/fast"));
  house.start_drain();
  REQUIRE(house.port_closes());
  CHECK_FALSE(RawHttp(house.port).connected());
  const auto answer = late.get("/fast");
  REQUIRE(answer);
  CHECK(answer->status == 202);
  CHECK(answer->header("connection") == "close");
  CHECK(late.ends());
  REQUIRE(silent.get("/fast"));
  house.join();
  CHECK(house.report.late_requests == 2);
  CHECK(house.report.cut_requests == 0);
}

TEST_CASE("drain: requests in flight are finished before it ends") {
  House house;
  house.settings.late = milliseconds(20);
  RawHttp slow(house.port);
  REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
  house.start_drain();
  REQUIRE(house.port_closes());
  house.service.outcomes(house.reactor);
  const auto answer = slow.read();
  REQUIRE(answer);
  CHECK(answer->status == 202);
  CHECK(answer->header("connection") == "close");
  house.join();
  CHECK(house.stage("requests").ended_by == "none left");
  CHECK(house.report.cut_requests == 0);
}

TEST_CASE("drain: what is cut is told to the service, which names it in the summary") {
  House house;
  house.settings.late = milliseconds(10);
  house.settings.requests = milliseconds(100);
  house.waiters.cut_by_route = [&] { return house.service.cut(); };
  RawHttp half(house.port);
  REQUIRE(half.send("POST /half?x HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"));
  REQUIRE(comes_true([&] { return house.reactor.counts().busy == 1; }));
  house.start_drain();
  house.join();
  CHECK(house.report.cut_requests == 1);
  CHECK(house.report.cut_by_route == "POST /half?x HTTP/1.1");
  CHECK(to_string(house.report).find("cut=1 (POST /half?x HTTP/1.1)") != std::string::npos);
}

TEST_CASE("drain: at the cap what is left is cut and counted") {
  House house;
  house.settings.late = milliseconds(10);
  house.settings.requests = milliseconds(100);
  RawHttp first(house.port), second(house.port), idle(house.port);
  for (RawHttp* slow : {&first, &second}) {
    REQUIRE(slow->send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
  }
  REQUIRE(idle.get("/fast"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 2; }));
  house.start_drain();
  house.join();
  CHECK(house.stage("requests").ended_by == "cap");
  CHECK(house.report.cut_requests == 2);
  CHECK(house.reactor.counts().open == 0);
  CHECK_FALSE(first.read());
}

TEST_CASE("drain: losing patience ends every wait at once, also one that has begun") {
  House house;
  house.settings.lb_wait = seconds(30);
  RawHttp slow(house.port);
  REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
  house.start_drain();
  REQUIRE(house.announced());
  house.patience.shrink_to(house.time.now());
  house.join();
  CHECK(house.stage("balancer").ended_by == "out of patience");
  CHECK(house.stage("requests").ended_by == "out of patience");
  CHECK(house.report.cut_requests == 1);
  CHECK(house.reactor.port_closed());
  CHECK(house.reactor.counts().open == 0);
}

TEST_CASE("drain: keep-alive clients that honour Connection: close lose nothing") {
  House house;
  std::atomic<int> answered{0}, lost{0}, refused{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (;;) {
        RawHttp client(house.port);
        if (!client.connected()) {
          ++refused;  // the port is closed: nothing was sent, nothing is lost
          return;
        }
        for (bool more = true; more;) {
          const auto answer = client.get("/fast");
          if (!answer || answer->status != 202) {
            ++lost;
            return;
          }
          ++answered;
          more = answer->header("connection") != "close";
        }
      }
    });
  }
  REQUIRE(comes_true([&] { return answered > 500; }));
  house.settings.lb_wait = milliseconds(100);
  house.start_drain();
  for (auto& client : clients)
    client.join();
  house.join();
  CHECK(lost == 0);
  CHECK(refused == 8);
  CHECK(house.report.cut_requests == 0);
}

TEST_CASE("fall: whoever comes is told 503 for a moment, then the port closes, and what waits gets its outcome") {
  House house;
  RawHttp slow(house.port), kept(house.port);
  REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
  REQUIRE(kept.get("/fast"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
  house.start_fall();

  std::optional<tests::RawAnswer> refused;
  REQUIRE(comes_true([&] {
    RawHttp client(house.port);
    refused = client.connected() ? client.get("/fast") : std::nullopt;
    return !refused || refused->status == 503;
  }));
  REQUIRE(refused);
  CHECK(refused->header("retry-after") == "3");
  CHECK(refused->header("connection") == "close");

  REQUIRE(house.port_closes());
  house.service.outcomes(house.reactor);
  const auto outcome = slow.read();
  REQUIRE(outcome);
  CHECK(outcome->status == 202);
  house.join();
  CHECK(house.stages() == std::vector<std::string>{"announce", "refuse", "close port", "finish", "requests"});
  CHECK(house.stage("refuse").took >= milliseconds(300));
  CHECK(house.report.cut_requests == 0);
}

TEST_CASE("fall: who waits in vain is given up at once, and who waits for good reason is told before the cut") {
  House house;
  std::atomic<int> gave_up{0};
  house.waiters.give_up_queued = [&] { ++gave_up; };
  house.waiters.give_up_all = [&] { house.service.outcomes(house.reactor); };
  SECTION("the database is gone") {
    house.waiters.can_commit = [] { return false; };
    house.start_fall();
    house.join();
    CHECK(gave_up >= 1);
    CHECK(house.stage("finish").ended_by == "cannot commit");
  }
  SECTION("only the broker is gone") {
    RawHttp slow(house.port);
    REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
    REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
    house.start_fall();
    const auto outcome = slow.read();
    REQUIRE(outcome);
    CHECK(outcome->status == 202);
    house.join();
    CHECK(gave_up == 1);
    CHECK(house.stage("finish").ended_by == "time");
    CHECK(house.report.cut_requests == 0);
  }
}

TEST_CASE("fall: what gets no outcome is cut within three seconds") {
  House house;
  RawHttp slow(house.port);
  REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
  house.start_fall();
  house.join();
  CHECK(house.stage("requests").ended_by == "cap");
  CHECK(house.report.cut_requests == 1);
}

TEST_CASE("fall: a deeper fall, which takes the patience, ends it at once") {
  House house;
  RawHttp slow(house.port);
  REQUIRE(slow.send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
  house.patience.shrink_to(house.time.now());
  house.start_fall();
  house.join();
  CHECK(house.stage("refuse").ended_by == "out of patience");
  CHECK(house.stage("requests").ended_by == "out of patience");
  CHECK(house.report.cut_requests == 1);
}

TEST_CASE("restart: the port is left open, late requests are answered and hung up on, and nobody is told") {
  House house;
  RawHttp idle(house.port), slow(house.port);
  REQUIRE(idle.get("/fast"));
  REQUIRE(slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"));
  REQUIRE(comes_true([&] { return house.reactor.counts().deferred == 1; }));
  house.settings.late = seconds(60);  // the restart has a cap of its own
  bool left = false;
  house.runner = std::thread([&] {
    house.report = hand_over(house.reactor, house.health, house.settings, house.time, house.patience, house.waiters,
                             [&] { left = house.reactor.port_closed(); });
  });
  REQUIRE(house.port_closes());
  const auto late = idle.get("/fast");
  REQUIRE(late);
  CHECK(late->status == 202);
  CHECK(late->header("connection") == "close");
  house.service.outcomes(house.reactor);
  const auto answer = slow.read();
  REQUIRE(answer);
  CHECK(answer->status == 202);
  house.join();
  CHECK(left);
  CHECK(house.stages() == std::vector<std::string>{"leave port", "late", "requests"});
  CHECK(house.report.late_requests == 1);
  CHECK(house.report.cut_requests == 0);
}
