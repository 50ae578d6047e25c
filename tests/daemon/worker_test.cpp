#include "daemon/worker.hpp"

#include "tests/daemon/fake_level.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/manual_time.hpp"

using namespace ratchet;
using namespace ratchet::tests;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Manner = FakeLevel::Manner;

namespace {

struct Bench {
  ManualTime time;
  Journal journal;
  Mailbox mailbox;
  FakeLevel level{1, "database", time, journal};
  std::unique_ptr<HeldLevel> held;
  Worker worker{1, level, time, mailbox};

  std::optional<Completion> completion() {
    std::optional<Completion> found;
    eventually([&] {
      auto mail = mailbox.wait(milliseconds(100));
      found = std::move(mail.completions[1]);
      return found.has_value();
    });
    return found;
  }

  void raise() {
    worker.raise(7, time.now() + seconds(10));
    auto done = completion();
    REQUIRE(done);
    auto& result = std::get<RaiseDone>(*done).result;
    REQUIRE(result);
    held = std::move(*result);
  }

  void advance(Duration by) {
    time.advance(by);
    worker.nudge();
  }

  // The n-th probe has begun and ended, and the next one is set.
  bool probed(std::size_t n) {
    return eventually([&] { return journal.count("probe 1") == n && !worker.call(); });
  }

  ~Bench() { level.let_go(); }
};

}  // namespace

TEST_CASE("worker: probes what it watches, by the level's plan") {
  Bench bench;
  bench.raise();
  bench.worker.watch(*bench.held, 7);
  for (std::size_t n = 1; n <= 3; ++n) {
    bench.advance(seconds(1));
    REQUIRE(bench.probed(n));
  }
  bench.advance(milliseconds(999));
  bench.worker.lower(std::move(bench.held), Leave::asked, bench.time.now() + seconds(1));
  REQUIRE(bench.completion());
  CHECK(bench.journal.lines() ==
        std::vector<std::string>{"raise 1", "probe 1", "probe 1", "probe 1", "drain asked 1", "release 1"});
}

TEST_CASE("worker: a miss is followed by another probe at once, two are one fault of the held incarnation") {
  Bench bench;
  bench.raise();
  bench.level.probes(Manner::fails);
  bench.worker.watch(*bench.held, 7);
  bench.advance(seconds(1));
  Mailbox::Mail mail;
  REQUIRE(eventually([&] {
    mail = bench.mailbox.wait(milliseconds(100));
    return mail.faults[1].has_value();
  }));
  CHECK(bench.journal.count("probe 1") == 2);
  CHECK(mail.faults[1]->first.level == 1);
  CHECK(mail.faults[1]->first.incarnation == 7);
  CHECK(mail.faults[1]->first.text == "database: no answer");
  bench.advance(seconds(10));
  bench.worker.lower(std::move(bench.held), Leave::fault, bench.time.now());
  REQUIRE(bench.completion());
  CHECK(bench.journal.count("probe 1") == 2);  // reported once, then left alone
}

TEST_CASE("worker: one miss is no fault") {
  Bench bench;
  bench.raise();
  bench.level.probes(Manner::waits);  // the first probe runs out of patience ...
  bench.worker.watch(*bench.held, 7);
  bench.advance(seconds(1));
  REQUIRE(eventually([&] { return bench.journal.count("probe 1") == 1; }));
  REQUIRE(eventually([&] { return bench.worker.call().has_value(); }));
  CHECK(bench.worker.call()->verb == "probe");
  bench.level.probes(Manner::well);  // ... the second is answered
  bench.advance(milliseconds(750));
  REQUIRE(bench.probed(2));
  bench.advance(seconds(1));
  REQUIRE(bench.probed(3));
  CHECK_FALSE(bench.mailbox.wait(Duration::zero()).faults[1]);
}

TEST_CASE("worker: a probe under way is broken off when the level has to go") {
  Bench bench;
  bench.raise();
  bench.level.probes(Manner::waits);
  bench.worker.watch(*bench.held, 7);
  bench.advance(seconds(1));
  REQUIRE(eventually([&] { return bench.journal.has("probe 1"); }));
  bench.worker.lower(std::move(bench.held), Leave::fault, bench.time.now() + seconds(3));
  auto done = bench.completion();
  REQUIRE(done);
  CHECK(std::holds_alternative<LowerDone>(*done));
  CHECK_FALSE(bench.mailbox.wait(Duration::zero()).faults[1]);
}

TEST_CASE("worker: hurry shrinks the patience of what is under way, and of what has not begun") {
  Bench bench;
  bench.raise();
  SECTION("under way") {
    bench.level.drains(Manner::waits);
    bench.worker.lower(std::move(bench.held), Leave::asked, bench.time.now() + seconds(40));
    REQUIRE(eventually([&] { return bench.journal.has("drain asked 1"); }));
    CHECK(bench.worker.call()->verb == "drain");
    bench.worker.hurry(Leave::fault, bench.time.now());
    REQUIRE(bench.completion());
  }
  SECTION("not begun") {
    bench.level.probes(Manner::hangs);
    bench.worker.watch(*bench.held, 7);
    bench.advance(seconds(1));
    REQUIRE(eventually([&] { return bench.journal.has("probe 1"); }));
    bench.worker.lower(std::move(bench.held), Leave::asked, bench.time.now() + seconds(40));
    bench.worker.hurry(Leave::fault, bench.time.now() + seconds(3));
    bench.level.let_go();
    REQUIRE(bench.completion());
    CHECK(bench.journal.has("drain fault 1"));
  }
  CHECK(bench.level.drain_deadline() <= bench.time.now() + seconds(3));
}

TEST_CASE("worker: ending it cuts what waits") {
  Journal journal;
  ManualTime time;
  Mailbox mailbox;
  FakeLevel level(1, "database", time, journal);
  level.raises(Manner::waits);
  {
    Worker worker(1, level, time, mailbox);
    worker.raise(1, time.now() + seconds(10));
    REQUIRE(eventually([&] { return journal.has("raise 1"); }));
  }
  auto mail = mailbox.wait(Duration::zero());
  REQUIRE(mail.completions[1]);
  CHECK(std::get<RaiseDone>(*mail.completions[1]).result.error().kind == FaultKind::cancelled);
}

TEST_CASE("worker: a doubt is followed by a probe at once, and only by that") {
  Bench bench;
  bench.raise();
  bench.level.doubt();  // nobody watches yet
  bench.worker.watch(*bench.held, 7);
  bench.level.doubt();
  REQUIRE(bench.probed(1));
  bench.level.doubt();
  REQUIRE(bench.probed(2));
  CHECK_FALSE(bench.mailbox.wait(milliseconds(0)).faults[1]);

  // One that comes while a probe is under way means the next one: what is under way may have been answered before.
  bench.level.probes(Manner::hangs);
  bench.level.doubt();
  REQUIRE(eventually([&] { return bench.journal.count("probe 1") == 3; }));
  bench.level.doubt();
  bench.level.probes(Manner::well);
  bench.level.let_go();
  REQUIRE(bench.probed(4));

  bench.worker.lower(std::move(bench.held), Leave::asked, bench.time.now() + seconds(1));
  REQUIRE(bench.completion());
  bench.level.doubt();  // too late, and harmless
  CHECK(bench.journal.count("probe 1") == 4);
}

TEST_CASE("worker: a held level may doubt when its worker is gone") {
  ManualTime time;
  Journal journal;
  Mailbox mailbox;
  FakeLevel level{1, "database", time, journal};
  std::unique_ptr<HeldLevel> held;
  {
    Patience patience(time.now() + seconds(1));
    held = *level.raise(patience, 7);
    Worker worker{1, level, time, mailbox};
    worker.watch(*held, 7);
  }
  level.doubt();
  CHECK(journal.count("probe 1") == 0);
}
