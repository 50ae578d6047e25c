// The single sentences of the ladder's essay, one by one. The walk proves them everywhere; these say them.
#include "levels/core/ladder.hpp"

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::ladder;
using std::chrono::milliseconds;

namespace {

constexpr TimePoint kNow{std::chrono::hours(1)};
using Actions = std::vector<Action>;

// All levels held, each in its first incarnation.
State serving() {
  State s = begin(kNow).state;
  for (int level = 1; level <= kTopLevel; ++level)
    s = step(s, Raised{level, 1}, kNow).state;
  return s;
}

}  // namespace

TEST_CASE("ladder: the first raise starts at boot, as incarnation 1") {
  const Next next = begin(kNow);
  CHECK(next.actions == Actions{Raise{1, 1}});
  CHECK(next.state.held == 0);
}

TEST_CASE("ladder: after a success the next raise starts at once, up to the top") {
  State s = begin(kNow).state;
  Next next = step(s, Raised{1, 1}, kNow);
  CHECK(next.actions == Actions{Raise{2, 1}});
  next = step(next.state, Raised{2, 1}, kNow);
  CHECK(next.actions == Actions{Raise{3, 1}});
  next = step(next.state, Raised{3, 1}, kNow);
  CHECK(next.actions.empty());
  CHECK(next.state == serving());
}

TEST_CASE("ladder: a failed raise rests, and an early wake only asks to be woken again") {
  Next next = step(begin(kNow).state, RaiseFailed{1, 1, milliseconds(100)}, kNow);
  CHECK(next.actions == Actions{WakeAt{kNow + milliseconds(100)}});
  next = step(next.state, Wake{}, kNow + milliseconds(99));
  CHECK(next.actions == Actions{WakeAt{kNow + milliseconds(100)}});
  next = step(next.state, Wake{}, kNow + milliseconds(100));
  CHECK(next.actions == Actions{Raise{1, 2}});
}

TEST_CASE("ladder: a fault takes the levels above down first and resets its own") {
  Next next = step(serving(), FaultSeen{1, 1}, kNow);
  CHECK(next.actions == Actions{Lower{3, Leave::fault}});
  next = step(next.state, Lowered{3, {}}, kNow);
  CHECK(next.actions == Actions{Lower{2, Leave::fault}});
  next = step(next.state, Lowered{2, {}}, kNow);
  CHECK(next.actions == Actions{Lower{1, Leave::fault}});
  next = step(next.state, Lowered{1, milliseconds(100)}, kNow);
  CHECK(next.actions == Actions{WakeAt{kNow + milliseconds(100)}});
  CHECK(next.state.held == 0);
}

TEST_CASE("ladder: of several faults the lowest wins, a later lower one deepens the fall") {
  Next next = step(serving(), FaultSeen{3, 1}, kNow);
  CHECK(next.actions == Actions{Lower{3, Leave::fault}});
  next = step(next.state, FaultSeen{2, 1}, kNow);
  CHECK(next.actions.empty());
  CHECK(goal(next.state) == 1);
  next = step(next.state, FaultSeen{3, 1}, kNow);
  CHECK(goal(next.state) == 1);
}

TEST_CASE("ladder: a fault below hurries the raise above, then falls whatever became of it") {
  State s = begin(kNow).state;
  s = step(s, Raised{1, 1}, kNow).state;
  Next next = step(s, FaultSeen{1, 1}, kNow);
  CHECK(next.actions == Actions{Hurry{2, Leave::fault}});
  CHECK(step(next.state, RaiseFailed{2, 1, {}}, kNow).actions == Actions{Lower{1, Leave::fault}});
  CHECK(step(next.state, Raised{2, 1}, kNow).actions == Actions{Lower{2, Leave::fault}});
}

TEST_CASE("ladder: a fault seen during its own raise is applied once that is held") {
  Next next = step(begin(kNow).state, FaultSeen{1, 1}, kNow);
  CHECK(next.actions.empty());
  next = step(next.state, Raised{1, 1}, kNow);
  CHECK(next.actions == Actions{Lower{1, Leave::fault}});
}

TEST_CASE("ladder: a remembered fault does not make a deeper fall shallower") {
  State s = begin(kNow).state;
  s = step(s, Raised{1, 1}, kNow).state;
  s = step(s, FaultSeen{2, 1}, kNow).state;  // of the raise under way
  s = step(s, FaultSeen{1, 1}, kNow).state;  // of what is held
  s = step(s, Raised{2, 1}, kNow).state;
  CHECK(goal(s) == 0);
}

TEST_CASE("ladder: a fault while draining for a hold turns the drain into a fall") {
  Next next = step(serving(), Ceiling{2}, kNow);
  CHECK(next.actions == Actions{Lower{3, Leave::asked}});
  next = step(next.state, FaultSeen{1, 1}, kNow);
  CHECK(next.actions == Actions{Hurry{3, Leave::fault}});
  CHECK(step(next.state, Lowered{3, {}}, kNow).actions == Actions{Lower{2, Leave::fault}});
}

TEST_CASE("ladder: a release in the middle of a drain climbs again at once after it") {
  State s = step(serving(), Ceiling{2}, kNow).state;
  Next next = step(s, Ceiling{3}, kNow);
  CHECK(next.actions.empty());
  CHECK(step(next.state, Lowered{3, milliseconds(500)}, kNow).actions == Actions{Raise{3, 2}});
}

TEST_CASE("ladder: a late report about an earlier incarnation is ignored") {
  State s = serving();
  for (const Event& event : {Event{FaultSeen{3, 1}}, Event{Lowered{3, Duration::zero()}}, Event{Raised{3, 2}}})
    s = step(s, event, kNow).state;
  const Next next = step(s, FaultSeen{3, 1}, kNow);
  CHECK(next.state == s);
  CHECK(next.actions.empty());
}

TEST_CASE("ladder: stop goes down in order and exits once") {
  Next next = step(serving(), Stop{}, kNow);
  for (int level = kTopLevel; level >= 1; --level) {
    CHECK(next.actions == Actions{Lower{level, Leave::asked}});
    next = step(next.state, Lowered{level, {}}, kNow);
  }
  CHECK(next.actions == Actions{Exit{}});
  CHECK(step(next.state, Stop{}, kNow).actions.empty());
}

TEST_CASE("ladder: stop hurries a raise and starts none after it") {
  Next next = step(begin(kNow).state, Stop{}, kNow);
  CHECK(next.actions == Actions{Hurry{1, Leave::asked}});
  SECTION("the raise fails") { next = step(next.state, RaiseFailed{1, 1, milliseconds(100)}, kNow); }
  SECTION("the raise succeeds after all") {
    next = step(next.state, Raised{1, 1}, kNow);
    CHECK(next.actions == Actions{Lower{1, Leave::asked}});
    next = step(next.state, Lowered{1, {}}, kNow);
  }
  CHECK(next.actions == Actions{Exit{}});
}

TEST_CASE("ladder: stop does not wait for a rest to end") {
  const State s = step(begin(kNow).state, RaiseFailed{1, 1, std::chrono::seconds(10)}, kNow).state;
  CHECK(step(s, Stop{}, kNow).actions == Actions{Exit{}});
}
