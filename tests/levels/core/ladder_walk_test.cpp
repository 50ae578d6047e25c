#include "tests/levels/core/ladder_walk.hpp"

#include <iostream>

#include "tests/support/catch.hpp"

using namespace ratchet;
using namespace ratchet::ladder;
using ratchet::tests::walk;
using ratchet::tests::WalkReport;

namespace {

Incarnation latest(const State& s, int level) { return s.incarnation[static_cast<std::size_t>(level)]; }

void must_break(const tests::Step& broken, const std::string& rule) {
  const WalkReport report = walk(broken);
  INFO("the walk found: " << (report.violations.empty() ? "nothing" : report.violations.front()));
  CHECK(report.broke(rule));
}

}  // namespace

TEST_CASE("ladder: every rule is kept in every reachable state") {
  const WalkReport report = walk(step);
  for (const std::string& violation : report.violations)
    FAIL_CHECK(violation);
  std::cout << "ladder walk: " << report.states << " states, " << report.transitions << " transitions\n";
  CHECK(report.states > 50);
  CHECK(report.transitions > 20 * report.states);
}

TEST_CASE("ladder walk: sees a forgotten incarnation check") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        if (const auto* f = std::get_if<FaultSeen>(&event))
          return step(s, FaultSeen{f->level, latest(s, f->level)}, now);
        return step(s, event, now);
      },
      "a fault of anything else changes nothing");
}

TEST_CASE("ladder walk: sees a raise after stop") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        if (!std::holds_alternative<RaiseFailed>(event)) return step(s, event, now);
        State forgetful = s;
        forgetful.stopping = false;
        Next next = step(forgetful, event, now);
        next.state.stopping = s.stopping;
        return next;
      },
      "no raise after Stop");
}

TEST_CASE("ladder walk: sees a fall that skips the levels above") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        State jumped = s;
        const auto* f = std::get_if<FaultSeen>(&event);
        if (f && s.work == Work::idle && f->level < s.held && f->incarnation == latest(s, f->level))
          jumped.held = f->level;
        return step(jumped, event, now);
      },
      "levels change by one, by Raised and Lowered only");
}

TEST_CASE("ladder walk: sees a fault forgotten during its own raise") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        Next next = step(s, event, now);
        if (std::holds_alternative<FaultSeen>(event)) next.state.doomed = s.doomed;
        return next;
      },
      "a fault of the raise under way is remembered");
}

TEST_CASE("ladder walk: sees a fault that is repaired in place") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        const auto* f = std::get_if<FaultSeen>(&event);
        return step(s, f && f->level == 2 ? Event{Wake{}} : event, now);
      },
      "a fault of a held level takes the goal below it");
}

TEST_CASE("ladder walk: sees a deeper fault that does not deepen the fall") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        const bool falling = s.fall_to < kTopLevel;
        return step(s, falling && std::holds_alternative<FaultSeen>(event) ? Event{Wake{}} : event, now);
      },
      "a fault of a held level takes the goal below it");
}

TEST_CASE("ladder walk: sees a storm without rest") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        if (const auto* e = std::get_if<RaiseFailed>(&event))
          return step(s, RaiseFailed{e->level, e->incarnation, Duration::zero()}, now);
        return step(s, event, now);
      },
      "after a failed raise the next one waits");
}

TEST_CASE("ladder walk: sees an unwanted raise that nobody hurries") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        Next next = step(s, event, now);
        if (!next.actions.empty() && std::holds_alternative<Hurry>(next.actions[0])) next.actions.clear();
        return next;
      },
      "what became unwanted is hurried, once, and nothing else is");
}

TEST_CASE("ladder walk: sees an exit said twice") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        State forgetful = s;
        forgetful.exited = false;
        return step(forgetful, event, now);
      },
      "Exit is said once, at level 0, and nothing follows it");
}

TEST_CASE("ladder walk: sees a ladder that sleeps for ever after a fall") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        Next next = step(s, event, now);
        if (std::holds_alternative<Lowered>(event) && s.fall_to < kTopLevel && next.state.fall_to == kTopLevel)
          next.state.wake_at = TimePoint::max();
        return next;
      },
      "at the foot of a fall the next raise waits");
}

TEST_CASE("ladder walk: sees a stop that waits for the climb") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        if (s.held < kTopLevel && std::holds_alternative<Stop>(event)) return step(s, Wake{}, now);
        return step(s, event, now);
      },
      "after Stop, Exit is reached");
}

TEST_CASE("ladder walk: sees the drain order skipped when a hold is lowered") {
  must_break(
      [](const State& s, const Event& event, TimePoint now) {
        Next next = step(s, event, now);
        for (Action& action : next.actions)
          if (auto* lower = std::get_if<Lower>(&action)) lower->leave = Leave::fault;
        return next;
      },
      "Lower takes the top, only when it must go, and says why");
}
