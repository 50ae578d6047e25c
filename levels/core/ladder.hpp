// The ladder: the one pure function that decides what happens next.
//
// State is wish and reality, nothing else. Reality: `held` (the highest level held), `work` (the one raise or
// lower under way). Wish: `ceiling` (an operator's hold), `stopping` (SIGTERM; final), `fall_to` (a fault:
// everything above must go). "Climbing", "falling", "draining" are words derived for people (see status.hpp),
// never stored, so they cannot disagree with the truth.
//
//   event                     what it does
//   ------------------------  -------------------------------------------------------------------------
//   Raised{n, inc}            n is held, unless a fault of this incarnation was remembered: then down again
//   RaiseFailed{n, inc, rest} n stays down; the next raise of anything waits `rest`
//   Lowered{n, rest}          n is gone; at the foot of a fall the next raise waits `rest`,
//                             whatever a failed raise of a level above had left to wait
//   FaultSeen{n, inc}         of the held incarnation: fall to n-1; of the one being raised: remembered;
//                             older: ignored. Several: the lowest wins; a lower one deepens a fall
//   Wake                      `wake_at` has come
//   Ceiling{n}                an operator's hold (n < 3) or release (n = 3)
//   Stop                      SIGTERM: the same way down, to the end; no raise ever after
//
// Rules that hold in every reachable state (tests/levels/core/ladder_walk_test.cpp walks them all):
//   - level n is held only while 1..n-1 are; levels change by one at a time; one raise or lower at a time
//   - a fault takes the levels above down first and leaves its own level reset, never repaired
//   - no raise starts after Stop, or towards a level above the ceiling, or before `wake_at`
//   - Exit is said once, at level 0, and nothing follows it
//   - when faults stop, the ceiling is reached; after Stop, Exit is
// An event that cannot happen in the state it meets is a bug: assert.
#pragma once

#include <array>
#include <optional>
#include <variant>
#include <vector>

#include "levels/core/level.hpp"

namespace ratchet::ladder {

enum class Work : std::uint8_t { idle, raising, lowering };

struct State {
  int held = 0;
  int ceiling = kTopLevel;
  bool stopping = false;
  bool exited = false;
  int fall_to = kTopLevel;             // kTopLevel: no fault pending
  Work work = Work::idle;              // of held+1 when raising, of held when lowering
  bool doomed = false;                 // a fault of the incarnation being raised was remembered
  TimePoint wake_at = TimePoint::min();                // no raise before
  std::array<Incarnation, kTopLevel + 1> incarnation{};  // of each level's latest raise; [0] unused

  bool operator==(const State&) const = default;
};

struct Raised { int level; Incarnation incarnation; };
struct RaiseFailed { int level; Incarnation incarnation; Duration rest; };
struct Lowered { int level; Duration rest; };
struct FaultSeen { int level; Incarnation incarnation; };
struct Wake {};
struct Ceiling { int level; };
struct Stop {};
using Event = std::variant<Raised, RaiseFailed, Lowered, FaultSeen, Wake, Ceiling, Stop>;

struct Raise { int level; Incarnation incarnation; bool operator==(const Raise&) const = default; };
struct Lower { int level; Leave leave; bool operator==(const Lower&) const = default; };
struct Hurry { int level; Leave leave; bool operator==(const Hurry&) const = default; };  // what is under way at `level` should end soon
struct WakeAt { TimePoint at; bool operator==(const WakeAt&) const = default; };
struct Exit { bool operator==(const Exit&) const = default; };
using Action = std::variant<Raise, Lower, Hurry, WakeAt, Exit>;

struct Next {
  State state;
  std::vector<Action> actions;
};

// The first decision at boot.
Next begin(TimePoint now);

// Pure. `now` only compares with and makes `wake_at`.
Next step(const State& state, const Event& event, TimePoint now);

// Where it wants to be: the lowest of ceiling, fall_to and (stopping) 0.
int goal(const State& state) noexcept;

}  // namespace ratchet::ladder
