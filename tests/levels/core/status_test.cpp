#include "levels/core/status.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using ladder::State;
using ladder::Work;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};

State state(int held, int ceiling = kTopLevel, Work work = Work::idle) {
  State s;
  s.held = held;
  s.ceiling = ceiling;
  s.work = work;
  return s;
}

Status status(int held, Doing doing) {
  Status s;
  s.held = held;
  s.doing = doing;
  const char* names[] = {"baseline", "database", "broker", "service"};
  for (std::size_t level = 0; level < s.levels.size(); ++level) {
    s.levels[level].level = static_cast<int>(level);
    s.levels[level].name = names[level];
    s.levels[level].held = static_cast<int>(level) <= held;
  }
  return s;
}

}  // namespace

TEST_CASE("status: what it is doing is derived from wish and reality") {
  CHECK(doing(state(0, 3, Work::raising)) == Doing::climbing);
  CHECK(doing(state(2)) == Doing::climbing);  // resting
  CHECK(doing(state(3)) == Doing::serving);
  CHECK(doing(state(2, 2)) == Doing::held_back);
  CHECK(doing(state(0, 2, Work::raising)) == Doing::climbing);
  CHECK(doing(state(3, 2, Work::lowering)) == Doing::draining);
  CHECK(doing(state(3, 3, Work::lowering)) == Doing::draining);  // released in the middle of it
  CHECK(doing(state(2, 1, Work::raising)) == Doing::draining);
  State s = state(3, 2, Work::lowering);
  s.fall_to = 0;
  CHECK(doing(s) == Doing::falling);
  s.stopping = true;
  CHECK(doing(s) == Doing::stopping);
}

TEST_CASE("headline: serving, and serving with less than all") {
  Status s = status(3, Doing::serving);
  CHECK(headline(s, kNow) == "level 3: serving");
  s.levels[1].degraded = "3 of 8 connections";
  CHECK(headline(s, kNow) == "level 3: serving, database: 3 of 8 connections");
}

TEST_CASE("headline: why it does not stand higher, and when it tries next") {
  Status s = status(0, Doing::climbing);
  CHECK(headline(s, kNow) == "level 0: raising database");
  s.levels[1].last_fault = FaultNote{FaultKind::refused, "database main: connection refused", {}};
  CHECK(headline(s, kNow) == "level 0: raising database");  // an old reason, the first try since
  s.next_attempt = kNow + milliseconds(2100);
  CHECK(headline(s, kNow) == "level 0: database main: connection refused, next attempt in 3 s");
  s.next_attempt = kNow + milliseconds(20);
  CHECK(headline(s, kNow) == "level 0: database main: connection refused, next attempt in 1 s");
  s.next_attempt.reset();
  s.levels[1].attempts = 2;
  CHECK(headline(s, kNow) == "level 0: database main: connection refused, trying again");
}

TEST_CASE("headline: holds say who and why, falls say what broke") {
  Status s = status(2, Doing::held_back);
  s.hold = HoldStatus{2, "kernel update", "ann"};
  CHECK(headline(s, kNow) == "level 2: held back by ann: kernel update");
  s.doing = Doing::draining;
  s.ceiling = 2;
  s.held = 3;
  CHECK(headline(s, kNow) == "level 3: draining to level 2 by ann: kernel update");
  s = status(3, Doing::falling);
  s.levels[2].last_fault = FaultNote{FaultKind::timed_out, "broker: old", WallTime(seconds(1))};
  s.levels[1].last_fault =
      FaultNote{FaultKind::connection_lost, "database main: connection lost", WallTime(seconds(2))};
  CHECK(headline(s, kNow) == "level 3: falling, database main: connection lost");
  CHECK(headline(status(1, Doing::stopping), kNow) == "level 1: stopping");
}
