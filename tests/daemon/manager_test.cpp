#include "daemon/manager.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>

#include "levels/core/runbook.hpp"
#include "tests/daemon/fake_level.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"

using namespace ratchet;
using namespace ratchet::tests;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Manner = FakeLevel::Manner;
using Lines = std::vector<std::string>;

namespace {

// The whole control thread over three fake levels, on a clock moved by hand.
struct Bench {
  ManualTime time;
  Journal journal;
  int log_fd = ::memfd_create("log", 0);
  Log log{LogSettings{}, time, log_fd};
  Metrics metrics;
  History history;
  AlarmBoard alarms{time, log};
  StatusBoard board;
  Mailbox mailbox;
  FakeLevel database{1, "database", time, journal};
  FakeLevel broker{2, "broker", time, journal};
  FakeLevel service{3, "service", time, journal};
  std::atomic<int> aborted{0}, left{0}, hangups{0};
  std::unique_ptr<Manager> manager;
  std::atomic<int> exit_code{-1};
  std::thread thread;

  explicit Bench(DrainSettings drain = {}, std::array<Vital, kTopLevel + 1> vital = {}) {
    Manager::LastResort last_resort;
    last_resort.abort = [this](std::string_view) { ++aborted; };
    last_resort.leave = [this](std::string_view) { ++left; };
    manager = std::make_unique<Manager>(Manager::Parts{.instance = "test-1",
                                                       .version = "0",
                                                       .levels = {&database, &broker, &service},
                                                       .time = time,
                                                       .chance = [] { return 0.0; },
                                                       .log = log,
                                                       .metrics = metrics,
                                                       .history = history,
                                                       .alarms = alarms,
                                                       .board = board,
                                                       .drain = drain,
                                                       .vital = vital,
                                                       .on_hangup = [this] { ++hangups; },
                                                       .cut_requests = [] { return std::uint64_t{2}; },
                                                       .last_resort = last_resort},
                                        mailbox);
  }

  ~Bench() {
    if (thread.joinable()) {
      for (FakeLevel* level : {&database, &broker, &service})
        level->let_go();
      mailbox.stop();
      mailbox.stop();
      eventually([&] {
        manager->nudge();
        return exit_code >= 0;
      });
      thread.join();
    }
    manager.reset();
    ::close(log_fd);
  }

  void run() {
    thread = std::thread([this] { exit_code = manager->run(); });
    eventually([&] { return board.read() != nullptr; });
  }

  void advance(Duration by) {
    time.advance(by);
    manager->nudge();
  }

  std::shared_ptr<const Status> status() const { return board.read(); }
  bool reaches(const std::function<bool(const Status&)>& condition) {
    return eventually([&] { return condition(*status()); });
  }
  bool holds(int level) {
    return reaches([&](const Status& s) { return s.held == level; });
  }
  bool serves() {
    return reaches([](const Status& s) { return s.ready; });
  }
  // Moves the clock from one attempt to the next, never further, until it serves.
  bool climbs() {
    return eventually([&] {
      const auto s = status();
      if (s->next_attempt && *s->next_attempt > time.now()) advance(*s->next_attempt - time.now());
      return s->ready;
    });
  }
  bool exits() {
    return eventually([&] { return exit_code >= 0; });
  }

  CommandReply ask(Command command) {
    auto reply = mailbox.ask(std::move(command));
    REQUIRE(reply);
    REQUIRE(reply->wait_for(seconds(30)) == std::future_status::ready);
    return reply->get();
  }

  // A turn of the control loop has begun and ended since this was called.
  void full_turn() {
    for (int turn = 0; turn < 2; ++turn)
      ask({Command::Verb::hold, 99, "", ""});
  }

  std::string logged() const {
    std::string out(1 << 20, '\0');
    const auto size = ::pread(log_fd, out.data(), out.size(), 0);
    out.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return out;
  }
  std::size_t logged(const std::string& what) const {
    const std::string text = logged();
    std::size_t n = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      ++n;
    return n;
  }
};

const LevelStatus& of(const Status& s, int level) { return s.levels[static_cast<std::size_t>(level)]; }

}  // namespace

TEST_CASE("manager: a boot climbs one level after the other, at once") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  CHECK(bench.journal.lines() == Lines{"raise 1", "raise 2", "raise 3"});
  const auto s = bench.status();
  CHECK(s->doing == Doing::serving);
  CHECK(s->instance == "test-1");
  for (int level = 0; level <= kTopLevel; ++level)
    CHECK(of(*s, level).held);
  CHECK(of(*s, 0).name == "baseline");
  CHECK(of(*s, 2).name == "broker");
  CHECK(of(*s, 2).attempts == 1);
  CHECK(bench.metrics.render().find("ratchet_level 3") != std::string::npos);
}

TEST_CASE("manager: a failing raise backs off, says so once, and says when it tries next") {
  Bench bench;
  bench.database.raises_fail(FaultKind::refused, "database main: connection refused");
  bench.run();
  REQUIRE(bench.reaches([](const Status& s) { return s.next_attempt.has_value(); }));
  const auto s = bench.status();
  CHECK(*s->next_attempt - bench.time.now() == BackoffSettings{}.base);
  CHECK(of(*s, 1).next_attempt == bench.time.wall() + BackoffSettings{}.base);
  CHECK(of(*s, 1).last_fault->kind == FaultKind::refused);
  CHECK(headline(*s, bench.time.now()) == "level 0: database main: connection refused, next attempt in 1 s");

  for (std::uint64_t n = 2; n <= 5; ++n) {
    bench.advance(BackoffSettings{}.base);  // luck is always 0: the base
    REQUIRE(bench.reaches([n](const Status& now) { return of(now, 1).attempts == n && now.next_attempt; }));
  }
  CHECK(bench.logged("raise failed") == 1);
  bench.database.raises_fail(FaultKind::timed_out, "database main: no answer");
  bench.advance(BackoffSettings{}.base);
  REQUIRE(eventually([&] { return bench.logged("raise failed") == 2; }));
  bench.database.raises(Manner::well);
  bench.advance(BackoffSettings{}.base);
  REQUIRE(bench.serves());
  CHECK(of(*bench.status(), 1).attempts == 7);
}

TEST_CASE("manager: what a person must mend is tried at the cap") {
  Bench bench;
  bench.database.raises_fail(FaultKind::authentication, "database main: wrong password");
  bench.run();
  REQUIRE(bench.reaches([](const Status& s) { return s.next_attempt.has_value(); }));
  CHECK(*bench.status()->next_attempt - bench.time.now() == seconds(8));  // the cap less a fifth
}

TEST_CASE("manager: a fault takes the levels down top first, fast, and climbs again after a rest") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.journal.clear();
  bench.mailbox.report(bench.database.fault(FaultKind::connection_lost, "database main: connection lost"));
  REQUIRE(bench.holds(0));
  CHECK(bench.journal.lines() ==
        Lines{"drain fault 3", "release 3", "drain fault 2", "release 2", "drain fault 1", "release 1"});
  CHECK(bench.service.drain_deadline() == bench.time.now() + seconds(3));
  const auto s = bench.status();
  CHECK(of(*s, 1).last_fault->text == "database main: connection lost");
  CHECK_FALSE(of(*s, 3).last_fault);
  CHECK(*s->next_attempt - bench.time.now() == BackoffSettings{}.base);
  CHECK(bench.metrics.render().find("reason=\"fault\"") != std::string::npos);
  bench.advance(BackoffSettings{}.base);
  REQUIRE(bench.serves());
  CHECK(bench.database.incarnation() == 2);
  CHECK(bench.logged("level lost") == 1);
}

TEST_CASE("manager: a fall has 3 s in all, however many levels go") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.service.drains(Manner::waits);
  bench.broker.drains(Manner::waits);
  const TimePoint end = bench.time.now() + seconds(3);
  bench.mailbox.report(bench.database.fault(FaultKind::connection_lost, "gone"));
  REQUIRE(eventually([&] { return bench.journal.has("drain fault 3"); }));
  bench.advance(seconds(3));
  REQUIRE(bench.holds(0));
  CHECK(bench.broker.drain_deadline() == end);
  CHECK(bench.database.drain_deadline() == end);
}

TEST_CASE("manager: not ready any more before the way down begins") {
  Bench bench;
  std::atomic<bool> ready_while_draining{false};
  bench.service.on_drain([&] { ready_while_draining = bench.board.ready(); });
  bench.service.drains(Manner::hangs);
  bench.run();
  REQUIRE(bench.serves());
  bench.mailbox.report(bench.service.fault(FaultKind::out_of_files, "no descriptors"));
  REQUIRE(eventually([&] { return bench.journal.has("drain fault 3"); }));
  CHECK_FALSE(ready_while_draining);
  CHECK(bench.status()->held == 3);
  CHECK(bench.status()->doing == Doing::falling);
}

TEST_CASE("manager: a late fault of an earlier incarnation changes nothing and is not told") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  const Fault late = bench.broker.fault(FaultKind::broker_fatal, "broker: fatal");
  bench.mailbox.report(late);
  REQUIRE(bench.holds(1));
  bench.advance(BackoffSettings{}.base);
  REQUIRE(bench.serves());
  bench.journal.clear();
  bench.mailbox.report(late);
  bench.full_turn();
  CHECK(bench.status()->ready);
  CHECK(bench.journal.lines().empty());
  CHECK(bench.logged("level lost") == 1);
}

TEST_CASE("manager: a probe that misses twice is a fault") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.broker.probes(Manner::fails);
  REQUIRE(eventually([&] {
    bench.advance(seconds(1));
    return bench.status()->held < 2;
  }));
  CHECK(of(*bench.status(), 2).last_fault->text == "broker: no answer");
  bench.broker.probes(Manner::well);
  REQUIRE(bench.climbs());
}

TEST_CASE("manager: flapping rests longer and longer and alarms, five minutes without a fall forget it") {
  Bench bench;
  Manager::Parts parts{.instance = "test-1",
                       .version = "0",
                       .levels = {&bench.database, &bench.broker, &bench.service},
                       .time = bench.time,
                       .chance = [] { return 0.5; },
                       .log = bench.log,
                       .metrics = bench.metrics,
                       .history = bench.history,
                       .alarms = bench.alarms,
                       .board = bench.board,
                       .drain = DrainSettings{},
                       .backoff = {.early_for = Duration::zero()}};
  bench.manager = std::make_unique<Manager>(std::move(parts), bench.mailbox);
  bench.run();
  REQUIRE(bench.serves());
  Duration before{};
  auto fall = [&] {
    bench.mailbox.report(bench.service.fault(FaultKind::out_of_files, "no descriptors"));
    REQUIRE(bench.holds(2));
    const Duration rest = *bench.status()->next_attempt - bench.time.now();
    bench.advance(rest);
    REQUIRE(bench.serves());
    return rest;
  };
  for (int i = 0; i < 3; ++i) {
    const Duration rest = fall();
    CHECK(rest > before);
    before = rest;
  }
  const auto flapping = [&]() -> std::string {
    for (const AlarmStatus& alarm : bench.alarms.list())
      if (alarm.id == "level.3.flapping") return alarm.text;
    return {};
  };
  CHECK(eventually([&] { return flapping().find("lost 3 times within five minutes, the last time by: ") != std::string::npos; }));
  CHECK(flapping().find("no descriptors") != std::string::npos);
  bench.advance(seconds(20));  // longer than settle
  CHECK(fall() >= 4 * BackoffSettings{}.base);
  CHECK(eventually([&] { return flapping().find("lost 4 times") != std::string::npos; }));
  bench.advance(std::chrono::minutes(5));
  CHECK(eventually([&] { return flapping().empty(); }));
  CHECK(fall() == 2 * BackoffSettings{}.base);
}

TEST_CASE("manager: a stop drains 3, 2, 1 within the budget and exits 0") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.journal.clear();
  bench.mailbox.stop();
  REQUIRE(bench.exits());
  CHECK(bench.exit_code == 0);
  CHECK(bench.journal.lines() ==
        Lines{"drain asked 3", "release 3", "drain asked 2", "release 2", "drain asked 1", "release 1"});
  CHECK(bench.service.drain_deadline() == bench.time.now() + seconds(40));
  CHECK(bench.status()->doing == Doing::stopping);
  CHECK(bench.logged("stopped took_ms=") == 1);
  CHECK(bench.logged("cut=2") == 1);
}

TEST_CASE("manager: a stop hurries a raise that hangs, and raises nothing after it") {
  Bench bench;
  bench.broker.raises(Manner::waits);
  bench.run();
  REQUIRE(eventually([&] { return bench.journal.has("raise 2"); }));
  bench.mailbox.stop();
  REQUIRE(bench.exits());
  CHECK(bench.journal.lines() == Lines{"raise 1", "raise 2", "drain asked 1", "release 1"});
  CHECK_FALSE(of(*bench.status(), 2).last_fault);
  CHECK(bench.logged("raise failed") == 0);
}

TEST_CASE("manager: a stop at the foot, while resting, is over at once") {
  Bench bench;
  bench.database.raises_fail(FaultKind::refused, "refused");
  bench.run();
  REQUIRE(bench.reaches([](const Status& s) { return s.next_attempt.has_value(); }));
  bench.mailbox.stop();
  REQUIRE(bench.exits());
  CHECK(bench.exit_code == 0);
}

TEST_CASE("manager: the second stop shrinks the patience of what drains and of all that follows to now") {
  Bench bench;
  bench.service.drains(Manner::waits);
  bench.broker.drains(Manner::waits);
  bench.run();
  REQUIRE(bench.serves());
  bench.mailbox.stop();
  REQUIRE(eventually([&] { return bench.journal.has("drain asked 3"); }));
  CHECK(bench.service.drain_deadline() == bench.time.now() + seconds(40));
  bench.mailbox.stop();
  REQUIRE(bench.exits());  // without the clock having moved
  CHECK(bench.broker.drain_deadline() <= bench.time.now());
}

TEST_CASE("manager: a stop during a fall leaves it no more than the stop's own budget") {
  DrainSettings drain;
  drain.total = seconds(1);
  Bench bench(drain);
  bench.service.drains(Manner::waits);
  bench.run();
  REQUIRE(bench.serves());
  bench.mailbox.report(bench.database.fault(FaultKind::connection_lost, "gone"));
  REQUIRE(eventually([&] { return bench.journal.has("drain fault 3"); }));
  const TimePoint end = bench.time.now() + seconds(1);
  bench.mailbox.stop();
  REQUIRE(bench.reaches([](const Status& s) { return s.doing == Doing::stopping; }));
  bench.advance(seconds(1));
  REQUIRE(bench.exits());
  CHECK(bench.service.drain_deadline() == end);
  CHECK(bench.left == 0);
}

TEST_CASE("manager: two stops that arrive together are two stops") {
  Bench bench;
  bench.database.drains(Manner::waits);
  bench.mailbox.stop();
  bench.mailbox.stop();
  bench.run();
  REQUIRE(bench.exits());  // without the clock having moved
}

TEST_CASE("manager: a stop that overruns its budget leaves with evidence, by 1 s") {
  Bench bench;
  bench.service.drains(Manner::hangs);
  bench.run();
  REQUIRE(bench.serves());
  bench.mailbox.stop();
  REQUIRE(eventually([&] { return bench.journal.has("drain asked 3"); }));
  bench.advance(seconds(41) - milliseconds(1));
  bench.full_turn();
  CHECK(bench.left == 0);
  bench.advance(milliseconds(1));
  REQUIRE(eventually([&] { return bench.left > 0; }));
  CHECK(bench.aborted == 0);
}

TEST_CASE("manager: a raise that overruns its patience is an alarm at 2 s, the end at 10 s") {
  Bench bench;
  bench.database.raises(Manner::hangs);
  bench.run();
  REQUIRE(eventually([&] { return bench.journal.has("raise 1"); }));
  bench.advance(seconds(12) - milliseconds(1));
  bench.full_turn();
  auto overruns = [&] {
    for (const auto& alarm : bench.alarms.list())
      if (alarm.id == "level.1.overrun") return true;
    return false;
  };
  CHECK_FALSE(overruns());
  bench.advance(milliseconds(1));
  REQUIRE(eventually(overruns));
  CHECK(bench.aborted == 0);
  bench.advance(seconds(8));
  REQUIRE(eventually([&] { return bench.aborted > 0; }));
  CHECK(bench.left == 0);
  bench.database.let_go();
  REQUIRE(eventually([&] { return !overruns(); }));
}

TEST_CASE("manager: a hold drains to its level and stays, a release climbs") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.journal.clear();
  CHECK(bench.ask({Command::Verb::hold, 1, "kernel update", "ann"}).done);
  REQUIRE(bench.reaches([](const Status& s) { return s.doing == Doing::held_back; }));
  CHECK(bench.journal.lines() == Lines{"drain asked 3", "release 3", "drain asked 2", "release 2"});
  auto s = bench.status();
  CHECK(s->held == 1);
  CHECK(s->ceiling == 1);
  CHECK(s->hold->who == "ann");
  CHECK_FALSE(s->next_attempt);
  CHECK(s->alarms.front().id == "hold");
  bench.advance(seconds(100));
  bench.full_turn();
  CHECK(bench.status()->held == 1);
  CHECK(bench.ask({Command::Verb::release, 0, "", "ann"}).done);
  REQUIRE(bench.serves());
  CHECK_FALSE(bench.status()->hold);
  CHECK(bench.alarms.list().empty());
}

TEST_CASE("manager: drain is a hold at level 2, and its levels share one budget") {
  Bench bench;
  bench.service.drains(Manner::waits);
  bench.run();
  REQUIRE(bench.serves());
  CHECK(bench.ask({Command::Verb::drain, 0, "deploy", "ann"}).done);
  REQUIRE(eventually([&] { return bench.journal.has("drain asked 3"); }));
  CHECK(bench.service.drain_deadline() == bench.time.now() + seconds(40));
  CHECK_FALSE(bench.board.ready());
  bench.advance(seconds(40));
  REQUIRE(bench.holds(2));
  CHECK(bench.status()->doing == Doing::held_back);
}

TEST_CASE("manager: commands that make no sense are refused in words") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  CHECK_FALSE(bench.ask({Command::Verb::hold, 3, "", ""}).done);
  CHECK_FALSE(bench.ask({Command::Verb::hold, -1, "", ""}).done);
  CHECK(bench.ask({Command::Verb::release, 0, "", ""}).done);
  bench.service.drains(Manner::hangs);
  CHECK(bench.ask({Command::Verb::stop, 0, "", "ann"}).done);
  CHECK_FALSE(bench.ask({Command::Verb::hold, 1, "", "bob"}).done);
  bench.service.let_go();
  REQUIRE(bench.exits());
}

TEST_CASE("manager: a fault during an operator's drain makes it a fall") {
  Bench bench;
  bench.service.drains(Manner::waits);
  bench.run();
  REQUIRE(bench.serves());
  bench.ask({Command::Verb::drain, 0, "deploy", "ann"});
  REQUIRE(eventually([&] { return bench.journal.has("drain asked 3"); }));
  bench.mailbox.report(bench.database.fault(FaultKind::connection_lost, "gone"));
  REQUIRE(bench.reaches([](const Status& s) { return s.doing == Doing::falling; }));
  bench.advance(seconds(3));  // not 40
  REQUIRE(bench.holds(0));
  CHECK(bench.journal.has("drain fault 2"));
}

TEST_CASE("manager: a fault below breaks off the raise above it without calling that a failure") {
  Bench bench;
  bench.service.raises(Manner::waits);
  bench.run();
  REQUIRE(eventually([&] { return bench.journal.has("raise 3"); }));
  bench.mailbox.report(bench.database.fault(FaultKind::connection_lost, "gone"));
  REQUIRE(bench.holds(0));
  CHECK_FALSE(of(*bench.status(), 3).last_fault);
  CHECK(bench.journal.lines() ==
        Lines{"raise 1", "raise 2", "raise 3", "drain fault 2", "release 2", "drain fault 1", "release 1"});
}

TEST_CASE("manager: a level missing for 15 s is alarmed, alone, and cleared after it was held for settle") {
  Bench bench;
  bench.broker.raises_fail(FaultKind::refused, "broker: refused");
  bench.run();
  REQUIRE(bench.reaches([](const Status& s) { return s.held == 1 && s.next_attempt.has_value(); }));  // one has failed
  auto ids = [&] {
    Lines out;
    for (const auto& alarm : bench.alarms.list())
      out.push_back(alarm.id);
    return out;
  };
  bench.full_turn();
  bench.advance(seconds(15));
  REQUIRE(eventually([&] { return ids() == Lines{"level.2"}; }));
  REQUIRE(bench.reaches([](const Status& s) { return s.alarms.size() == 1; }));
  CHECK(bench.alarms.list()[0].text == "broker: refused");  // the cause, and what to do about it
  CHECK(bench.alarms.list()[0].runbook == runbook(FaultKind::refused));
  REQUIRE(
      eventually([&] { return bench.metrics.render().find("ratchet_alarms{id=\"level.2\"} 1") != std::string::npos; }));
  bench.broker.raises(Manner::well);
  REQUIRE(bench.climbs());
  CHECK(ids() == Lines{"level.2"});
  bench.full_turn();
  bench.advance(seconds(10));
  REQUIRE(eventually([&] { return ids().empty(); }));
  REQUIRE(
      eventually([&] { return bench.metrics.render().find("ratchet_alarms{id=\"level.2\"} 0") != std::string::npos; }));
}

TEST_CASE("manager: a level's alarm follows the cause") {
  Bench bench;
  bench.broker.raises_fail(FaultKind::refused, "broker: refused");
  bench.run();
  REQUIRE(bench.reaches([](const Status& s) { return s.held == 1 && s.next_attempt.has_value(); }));  // one has failed
  bench.full_turn();
  bench.advance(seconds(15));
  REQUIRE(eventually([&] { return bench.alarms.list().size() == 1; }));
  bench.broker.raises_fail(FaultKind::topic_missing, "broker: no such topic");
  bench.full_turn();
  REQUIRE(bench.reaches([](const Status& s) { return s.next_attempt.has_value(); }));  // no raise is under way
  bench.advance(seconds(10));
  REQUIRE(eventually([&] { return bench.alarms.list()[0].text == "broker: no such topic"; }));
  CHECK(bench.alarms.list()[0].runbook == runbook(FaultKind::topic_missing));
}

TEST_CASE("manager: held but not whole is shown") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.database.degraded("3 of 8 connections");
  bench.manager->nudge();
  REQUIRE(bench.reaches([](const Status& s) { return of(s, 1).degraded == "3 of 8 connections"; }));
  CHECK(bench.status()->ready);
}

TEST_CASE("manager: the history tells what happened, in order") {
  Bench bench;
  bench.run();
  REQUIRE(bench.serves());
  bench.mailbox.report(bench.service.fault(FaultKind::out_of_files, "no descriptors"));
  REQUIRE(bench.holds(2));
  bench.ask({Command::Verb::hold, 1, "", "ann"});
  REQUIRE(bench.holds(1));
  bench.ask({Command::Verb::release, 0, "", "ann"});
  bench.mailbox.hangup();
  REQUIRE(eventually([&] { return bench.hangups == 1; }));
  Lines what;
  for (const auto& entry : bench.history.list())
    what.push_back(entry.what + " " + std::to_string(entry.level));
  what.resize(std::min<std::size_t>(what.size(), 8));
  CHECK(what == Lines{"raised 1", "raised 2", "raised 3", "fault 3", "lowered 3", "hold 1", "lowered 2", "release 3"});
}

TEST_CASE("manager: torn down in the middle of a raise it leaves nothing behind") {
  Bench bench;
  bench.service.raises(Manner::waits);
  bench.run();
  REQUIRE(eventually([&] { return bench.journal.has("raise 3"); }));
  bench.mailbox.stop();
  REQUIRE(bench.exits());
  CHECK(bench.journal.count("release 1") == 1);
  CHECK(bench.journal.count("release 2") == 1);
  CHECK(bench.journal.count("release 3") == 0);
}

TEST_CASE("manager: without `vital` no outage ends the process, however long") {
  Bench bench;
  bench.database.raises_fail(FaultKind::refused, "database main: connection refused");
  bench.run();
  REQUIRE(bench.reaches([](const Status& s) { return of(s, 1).attempts >= 1; }));
  bench.advance(std::chrono::hours(100));
  bench.full_turn();
  CHECK(bench.exit_code == -1);
  CHECK(bench.status()->doing == Doing::climbing);
}

TEST_CASE("manager: a vital level that is missed for its time ends the process in order, with code 75 and a line") {
  Bench bench({}, {Vital(), Vital(), Vital(seconds(60)), Vital()});
  bench.broker.raises_fail(FaultKind::refused, "broker: refused");
  bench.run();
  REQUIRE(bench.holds(1));
  bench.full_turn();
  bench.advance(milliseconds(59'999));
  bench.full_turn();
  CHECK(bench.exit_code == -1);
  bench.advance(milliseconds(1));
  REQUIRE(bench.exits());
  bench.thread.join();
  CHECK(bench.exit_code == 75);
  CHECK(bench.journal.has("drain asked 1"));
  CHECK(bench.logged("exit code 75") == 1);
}

TEST_CASE("manager: a vital level is not blamed for one below it, for a hold, or for an outage that ended in time") {
  Bench bench({}, {Vital(), Vital(), Vital(seconds(60)), Vital()});
  bench.run();
  REQUIRE(bench.serves());
  bench.database.raises_fail(FaultKind::refused, "database main: connection refused");
  bench.mailbox.report(bench.database.fault(FaultKind::connection_lost, "gone"));
  REQUIRE(bench.holds(0));
  bench.advance(seconds(61));
  bench.full_turn();
  bench.advance(seconds(61));
  bench.full_turn();
  bench.database.raises(Manner::well);
  REQUIRE(bench.climbs());
  bench.ask({Command::Verb::hold, 1, "", ""});
  REQUIRE(bench.holds(1));
  bench.advance(seconds(61));
  bench.full_turn();
  bench.advance(seconds(61));
  bench.full_turn();
  bench.broker.raises_fail(FaultKind::refused, "broker: refused");
  bench.ask({Command::Verb::release, 0, "", ""});
  bench.full_turn();
  bench.advance(seconds(50));
  bench.full_turn();
  bench.broker.raises(Manner::well);
  REQUIRE(bench.climbs());
  bench.advance(seconds(61));
  bench.full_turn();
  CHECK(bench.exit_code == -1);
  CHECK(bench.status()->ready);
}
