#include "levels/core/ladder.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ratchet::ladder {

namespace {

template <class... F>
struct Overload : F... {
  using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;

// How much what is under way has to hurry.
enum class Urgency : std::uint8_t { none, asked, fault };

bool falling(const State& s) noexcept { return s.fall_to < s.held; }

bool is_level(int level) noexcept { return level >= 1 && level <= kTopLevel; }

Incarnation& latest(State& s, int level) noexcept { return s.incarnation[static_cast<std::size_t>(level)]; }

Urgency urgency(const State& s) noexcept {
  if (falling(s)) return Urgency::fault;
  if (s.work == Work::raising && goal(s) <= s.held) return Urgency::asked;
  return Urgency::none;
}

Leave leave(const State& s) noexcept { return falling(s) ? Leave::fault : Leave::asked; }

// What happened. Knows nothing of what follows from it.
State absorb(State s, const Event& event, TimePoint now) {
  std::visit(Overload{
                 [&](const Raised& e) {
                   assert(s.work == Work::raising && e.level == s.held + 1 && e.incarnation == latest(s, e.level));
                   s.work = Work::idle;
                   s.held = e.level;
                   if (std::exchange(s.doomed, false)) s.fall_to = std::min(s.fall_to, e.level - 1);
                 },
                 [&](const RaiseFailed& e) {
                   assert(s.work == Work::raising && e.level == s.held + 1 && e.incarnation == latest(s, e.level));
                   s.work = Work::idle;
                   s.doomed = false;
                   s.wake_at = now + e.rest;
                 },
                 [&](const Lowered& e) {
                   assert(s.work == Work::lowering && e.level == s.held);
                   s.work = Work::idle;
                   --s.held;
                   if (s.held != s.fall_to) return;
                   s.fall_to = kTopLevel;
                   s.wake_at = now + e.rest;
                 },
                 [&](const FaultSeen& e) {
                   assert(is_level(e.level) && e.incarnation <= latest(s, e.level));
                   if (e.incarnation != latest(s, e.level)) return;
                   if (e.level <= s.held) s.fall_to = std::min(s.fall_to, e.level - 1);
                   if (e.level == s.held + 1 && s.work == Work::raising) s.doomed = true;
                 },
                 [&](const Wake&) {},
                 [&](const Ceiling& e) {
                   assert(e.level >= 0 && e.level <= kTopLevel);
                   s.ceiling = e.level;
                 },
                 [&](const Stop&) { s.stopping = true; },
             },
             event);
  return s;
}

// What to do about it. `was`: how urgent it already was before.
Next decide(State s, Urgency was, TimePoint now) {
  if (s.exited) return {s, {}};
  if (s.work != Work::idle) {
    if (urgency(s) <= was) return {s, {}};
    return {s, {Hurry{s.work == Work::raising ? s.held + 1 : s.held, leave(s)}}};
  }
  if (s.held > goal(s)) {
    s.work = Work::lowering;
    return {s, {Lower{s.held, leave(s)}}};
  }
  if (s.stopping) {
    s.exited = true;
    return {s, {Exit{}}};
  }
  if (s.held == goal(s)) return {s, {}};
  if (now < s.wake_at) return {s, {WakeAt{s.wake_at}}};
  s.work = Work::raising;
  const int level = s.held + 1;
  const Incarnation incarnation = ++latest(s, level);
  return {s, {Raise{level, incarnation}}};
}

}  // namespace

int goal(const State& state) noexcept { return std::min(state.stopping ? 0 : state.ceiling, state.fall_to); }

Next begin(TimePoint now) { return decide(State{}, Urgency::none, now); }

Next step(const State& state, const Event& event, TimePoint now) {
  return decide(absorb(state, event, now), urgency(state), now);
}

}  // namespace ratchet::ladder
