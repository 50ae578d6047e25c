#include "levels/2_broker/standstill.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::kafka;
using namespace std::chrono_literals;

namespace {

const TimePoint kStart{std::chrono::hours(1)};

// A relay and its outbox, looked at every second.
struct World {
  World() {
    backlog.begin(kStart);
    standstill.begin(kStart);
  }
  // `rows` wait, always the same ones, for so long.
  void pass(Duration time, std::int64_t rows) {
    for (const TimePoint end = now + time; now < end; now += 1s)
      backlog.looked({rows, 0, 100, 0, 0}, now);
  }
  void pass_unseen(Duration time) { now += time; }
  std::string alarm(const std::optional<Hindrance>& holder = {}) const {
    auto told = standstill.look(backlog, holder, now);
    return told ? told->text : "";
  }
  TimePoint now = kStart;
  Backlog backlog{OutboxSettings{}, {10s, 60s}};
  Standstill standstill{10s};
};

Hindrance denied() {
  return hindrance("reading the outbox", {db::SqlError::Kind::said, "42501", "permission denied for function f"});
}

}  // namespace

TEST_CASE_METHOD(World, "standstill: events that wait for ten seconds without one going are told, with the cause") {
  standstill.hindered(denied());
  pass(9s, 3);
  CHECK(alarm().empty());
  pass(1s, 3);
  CHECK(alarm() == "events wait and none is published: reading the outbox: permission denied for function f");
  CHECK(standstill.look(backlog, {}, now)->remedy.find("A right is missing") == 0);
  standstill.carried(now);
  backlog.carried(now);
  CHECK(alarm().empty());
}

TEST_CASE_METHOD(World, "standstill: a relay that is hindered while nothing waits is nobody's matter") {
  standstill.hindered(denied());
  pass(60s, 0);
  CHECK(alarm().empty());
}

TEST_CASE_METHOD(World, "standstill: an instance that stands by is more patient: a lease has to run out first") {
  standstill.stands_by(now);
  pass(19s, 3);
  CHECK(alarm().empty());
  pass(1s, 3);
  CHECK(alarm() == "events wait and none is published: another instance has the lease and does not move");
}

TEST_CASE_METHOD(World, "standstill: a relay that finds nothing while events wait is told, too") {
  standstill.hindered(denied());
  standstill.found_none(now);
  pass(11s, 3);
  CHECK(alarm() == "events wait and none is published: reading the outbox finds none of them");
}

TEST_CASE_METHOD(World, "standstill: hindered, and how much waits is not known: told as if something did") {
  pass(1s, 0);
  standstill.carried(now);
  standstill.hindered(hindrance("moving the cursor", {db::SqlError::Kind::said, "57014", "statement timeout"}));
  pass_unseen(9s);
  CHECK(alarm().empty());  // still known
  pass_unseen(2s);
  CHECK(alarm() == "no event is published, and how many wait is not known: moving the cursor: statement timeout");
  standstill.found_none(now);  // reads, and there is nothing
  CHECK(alarm().empty());
}

TEST_CASE_METHOD(World, "standstill: who holds the lock that the relay waits for is named") {
  const Hindrance holder{"it waits for a lock that backend 7 holds", "End it."};
  auto locked = hindrance("getting the lease", {db::SqlError::Kind::said, "57014", "statement timeout"});
  CHECK(locked.lock);
  CHECK_FALSE(denied().lock);
  standstill.hindered(locked);
  CHECK(standstill.locked());
  pass(11s, 3);
  CHECK(alarm(holder) ==
        "events wait and none is published: getting the lease: statement timeout; it waits for a lock that backend 7 "
        "holds");
  CHECK(standstill.look(backlog, holder, now)->remedy == "End it.");
  // What has an alarm of its own is told here only if there is more to say.
  locked.told = true;
  standstill.hindered(locked);
  CHECK(alarm().empty());
  CHECK_FALSE(alarm(holder).empty());
}

TEST_CASE("standstill: what a person does about it follows from the server's words") {
  const auto remedy = [](const char* state, const char* text = "x") {
    return hindrance("reading", {db::SqlError::Kind::said, state, text}).remedy;
  };
  CHECK(remedy("42501").find("A right is missing") == 0);
  CHECK(remedy("42883").find("What the text names is missing from schema ratchet") == 0);
  CHECK(remedy("55P03").find("Look for the transaction that holds the lock") == 0);
  CHECK(remedy("57014").find("Look for the transaction that holds the lock") == 0);
  CHECK(remedy("53100").find("Make room on the server's disk") == 0);
}
