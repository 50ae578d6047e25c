#include "tests/levels/core/ladder_walk.hpp"

#include <algorithm>
#include <cstdlib>
#include <queue>
#include <set>
#include <string>
#include <tuple>

namespace ratchet::tests {

namespace {

using namespace ladder;

constexpr TimePoint kNow{std::chrono::hours(1)};
constexpr Duration kRest = std::chrono::seconds(1);
constexpr Incarnation kLatest = 2;
constexpr std::size_t kTooManyStates = 100'000;

template <class... F>
struct Overload : F... {
  using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;

std::size_t at(int level) { return static_cast<std::size_t>(level); }

struct Edge {
  const State& from;
  const Event& event;
  TimePoint now;
  const State& to;
  const std::vector<Action>& actions;
  const Step& step;
};

template <class A>
std::vector<A> all(const std::vector<Action>& actions) {
  std::vector<A> out;
  for (const Action& action : actions)
    if (const A* a = std::get_if<A>(&action)) out.push_back(*a);
  return out;
}

template <class E>
const E* is(const Edge& e) {
  return std::get_if<E>(&e.event);
}

bool is_completion(const Edge& e) { return is<Raised>(e) || is<RaiseFailed>(e) || is<Lowered>(e); }

bool is_falling(const State& s) { return s.fall_to < s.held; }

bool is_of_held(const State& s, const FaultSeen& f) {
  return f.level <= s.held && f.incarnation == s.incarnation[at(f.level)];
}

bool is_of_raise(const State& s, const FaultSeen& f) {
  return s.work == Work::raising && f.level == s.held + 1 && f.incarnation == s.incarnation[at(f.level)];
}

// Is what is under way in `s` unwanted, and how badly: 0 wanted, 1 asked to leave, 2 a fault.
int unwanted(const State& s) {
  if (is_falling(s)) return 2;
  return s.work == Work::raising && goal(s) <= s.held ? 1 : 0;
}

struct Rule {
  const char* name;
  bool (*kept)(const Edge&);
};

const Rule kRules[] = {
    {"state within bounds",
     [](const Edge& e) {
       const State& t = e.to;
       return t.held >= 0 && t.held <= kTopLevel && t.fall_to >= 0 && (t.fall_to == kTopLevel || t.fall_to < t.held) &&
              (t.work != Work::raising || t.held < kTopLevel) && (t.work != Work::lowering || t.held > 0) &&
              (!t.doomed || t.work == Work::raising) &&
              (!t.exited || (t.held == 0 && t.stopping && t.work == Work::idle));
     }},
    {"levels change by one, by Raised and Lowered only",
     [](const Edge& e) {
       return e.to.held - e.from.held == (is<Raised>(e) ? 1 : is<Lowered>(e) ? -1 : 0);
     }},
    {"one raise or lower at a time",
     [](const Edge& e) {
       const auto begun = all<Raise>(e.actions).size() + all<Lower>(e.actions).size();
       if (begun == 0) return e.to.work == (is_completion(e) ? Work::idle : e.from.work);
       return begun == 1 && (e.from.work == Work::idle || is_completion(e)) &&
              e.to.work == (all<Raise>(e.actions).empty() ? Work::lowering : Work::raising);
     }},
    {"no raise after Stop",
     [](const Edge& e) { return all<Raise>(e.actions).empty() || !(e.to.stopping || e.from.stopping || is<Stop>(e)); }},
    {"raises go to the next level, never above the ceiling",
     [](const Edge& e) {
       for (const Raise& r : all<Raise>(e.actions))
         if (r.level != e.to.held + 1 || r.level > e.to.ceiling) return false;
       return true;
     }},
    {"no raise before wake_at", [](const Edge& e) { return all<Raise>(e.actions).empty() || e.to.wake_at <= e.now; }},
    {"no raise while a fall is under way",
     [](const Edge& e) { return all<Raise>(e.actions).empty() || e.to.fall_to == kTopLevel; }},
    {"a raise is a new incarnation of its level, and of no other",
     [](const Edge& e) {
       auto expected = e.from.incarnation;
       for (const Raise& r : all<Raise>(e.actions))
         if (r.incarnation != ++expected[at(r.level)]) return false;
       return e.to.incarnation == expected;
     }},
    {"Lower takes the top, only when it must go, and says why",
     [](const Edge& e) {
       for (const Lower& l : all<Lower>(e.actions))
         if (l.level != e.to.held || goal(e.to) >= e.to.held ||
             l.leave != (is_falling(e.to) ? Leave::fault : Leave::asked))
           return false;
       return true;
     }},
    {"a fault of a held level takes the goal below it",
     [](const Edge& e) {
       const FaultSeen* f = is<FaultSeen>(e);
       return !f || !is_of_held(e.from, *f) || e.to.fall_to == std::min(e.from.fall_to, f->level - 1);
     }},
    {"a fault of the raise under way is remembered",
     [](const Edge& e) {
       const FaultSeen* f = is<FaultSeen>(e);
       return !f || !is_of_raise(e.from, *f) || e.to.doomed;
     }},
    {"a remembered fault takes its level down as soon as it is held",
     [](const Edge& e) {
       if (!is<Raised>(e) || !e.from.doomed) return true;
       const auto lowers = all<Lower>(e.actions);
       return e.to.fall_to == std::min(e.from.fall_to, e.from.held) && lowers.size() == 1 &&
              lowers[0].leave == Leave::fault;
     }},
    {"what is remembered of a raise ends with it", [](const Edge& e) { return !is_completion(e) || !e.to.doomed; }},
    {"a fault of anything else changes nothing",
     [](const Edge& e) {
       const FaultSeen* f = is<FaultSeen>(e);
       if (!f || is_of_held(e.from, *f) || is_of_raise(e.from, *f)) return true;
       const Next nothing = e.step(e.from, Wake{}, e.now);
       return e.to == nothing.state && e.actions == nothing.actions;
     }},
    {"a fall ends at its foot, and only there",
     [](const Edge& e) {
       if (e.from.fall_to == kTopLevel || !is<Lowered>(e)) return e.to.fall_to <= e.from.fall_to;
       return e.to.fall_to == (e.to.held == e.from.fall_to ? kTopLevel : e.from.fall_to);
     }},
    {"at the foot of a fall the next raise waits",
     [](const Edge& e) {
       const Lowered* l = is<Lowered>(e);
       return !l || e.from.fall_to != e.to.held || e.to.wake_at == e.now + l->rest;
     }},
    {"after a failed raise the next one waits",
     [](const Edge& e) {
       const RaiseFailed* f = is<RaiseFailed>(e);
       return !f || e.to.wake_at == e.now + f->rest;
     }},
    {"nothing else changes when to wake",
     [](const Edge& e) {
       return is<RaiseFailed>(e) || (is<Lowered>(e) && e.from.fall_to == e.to.held) || e.to.wake_at == e.from.wake_at;
     }},
    {"after a success the next raise starts at once",
     [](const Edge& e) { return !is<Raised>(e) || goal(e.to) <= e.to.held || all<Raise>(e.actions).size() == 1; }},
    {"what became unwanted is hurried, once, and nothing else is",
     [](const Edge& e) {
       const auto hurries = all<Hurry>(e.actions);
       const bool same_work = e.from.work != Work::idle && !is_completion(e);
       if (!same_work || unwanted(e.to) <= unwanted(e.from)) return hurries.empty();
       return hurries.size() == 1 && hurries[0].level == (e.to.work == Work::raising ? e.to.held + 1 : e.to.held) &&
              hurries[0].leave == (is_falling(e.to) ? Leave::fault : Leave::asked);
     }},
    {"an early Wake changes nothing",
     [](const Edge& e) { return !is<Wake>(e) || e.now >= e.from.wake_at || e.to == e.from; }},
    {"WakeAt is said while resting, and names the end of the rest",
     [](const Edge& e) {
       for (const WakeAt& w : all<WakeAt>(e.actions))
         if (w.at != e.to.wake_at || w.at <= e.now || e.to.work != Work::idle || e.to.held >= goal(e.to)) return false;
       return true;
     }},
    {"never idle without a reason",
     [](const Edge& e) {
       const State& t = e.to;
       if (t.work != Work::idle || t.exited) return true;
       if (t.stopping || t.held > goal(t)) return false;
       return t.held == goal(t) || all<WakeAt>(e.actions).size() == 1;
     }},
    {"Stop is final, and only Stop stops",
     [](const Edge& e) { return e.to.stopping == (e.from.stopping || is<Stop>(e)); }},
    {"the ceiling is the operator's",
     [](const Edge& e) {
       const Ceiling* c = is<Ceiling>(e);
       return e.to.ceiling == (c ? c->level : e.from.ceiling);
     }},
    {"Exit is said once, at level 0, and nothing follows it",
     [](const Edge& e) {
       if (e.from.exited) return e.to.exited && e.actions.empty();
       const auto exits = all<Exit>(e.actions).size();
       if (exits == 0) return !e.to.exited;
       return exits == 1 && e.actions.size() == 1 && e.to.exited && e.to.stopping && e.to.held == 0 &&
              e.to.work == Work::idle;
     }},
};

auto key(const State& s) {
  return std::make_tuple(s.held, s.ceiling, s.stopping, s.exited, s.fall_to, s.work, s.doomed,
                         s.wake_at > kNow ? s.wake_at : TimePoint::min());
}

State canonical(State s, TimePoint now) {
  s.wake_at = s.wake_at > now ? kNow + kRest : TimePoint::min();
  s.incarnation = {0, kLatest, kLatest, kLatest};
  return s;
}

// How what is under way may end.
std::vector<Event> completions(const State& s) {
  const int next = s.held + 1;
  if (s.work == Work::raising) {
    const Incarnation incarnation = s.incarnation[at(next)];
    return {Raised{next, incarnation}, RaiseFailed{next, incarnation, Duration::zero()},
            RaiseFailed{next, incarnation, kRest}};
  }
  if (s.work == Work::lowering) return {Lowered{s.held, Duration::zero()}, Lowered{s.held, kRest}};
  return {};
}

std::vector<Event> legal(const State& s) {
  std::vector<Event> out = completions(s);
  for (int level = 1; level <= kTopLevel; ++level)
    for (Incarnation incarnation : {Incarnation{0}, kLatest - 1, kLatest})
      out.emplace_back(FaultSeen{level, incarnation});
  for (int level = 0; level <= kTopLevel; ++level)
    out.emplace_back(Ceiling{level});
  out.emplace_back(Wake{});
  out.emplace_back(Stop{});
  return out;
}

// Whatever way the work ends, within `steps` completions `done` is true. No other event comes.
bool always_ends(const Step& step, const State& s, int steps, bool (*done)(const State&)) {
  if (done(s)) return true;
  if (steps == 0) return false;
  const auto events = completions(s);
  return !events.empty() && std::all_of(events.begin(), events.end(), [&](const Event& event) {
    return always_ends(step, step(s, event, kNow).state, steps - 1, done);
  });
}

// When nothing goes wrong any more.
bool reaches_ceiling(const Step& step, State s) {
  TimePoint now = kNow;
  for (int steps = 0; steps < 40; ++steps) {
    if (s.work == Work::idle && s.held == s.ceiling) return true;
    now = std::max(now, s.wake_at);
    const auto events = completions(s);
    s = step(s, events.empty() ? Event{Wake{}} : events.front(), now).state;
  }
  return false;
}

class Walker {
 public:
  explicit Walker(const Step& step) : step_(step) {}

  WalkReport run() {
    State boot;
    boot.incarnation = {0, kLatest, kLatest, kLatest};
    // The boot's own first decision is that of a Wake.
    visit(canonical(step_(boot, Wake{}, kNow).state, kNow));
    while (!open_.empty() && report_.states < kTooManyStates) {
      const State s = open_.front();
      open_.pop();
      for (const Event& event : legal(s)) {
        follow(s, event, kNow);
        if (s.wake_at > kNow) follow(s, event, s.wake_at);
      }
      check_ends(s);
    }
    return report_;
  }

 private:
  void visit(const State& s) {
    if (!seen_.insert(key(s)).second) return;
    ++report_.states;
    open_.push(s);
  }

  void follow(const State& s, const Event& event, TimePoint now) {
    const Next next = step_(s, event, now);
    ++report_.transitions;
    const Edge edge{s, event, now, next.state, next.actions, step_};
    for (const Rule& rule : kRules)
      if (!rule.kept(edge)) violation(rule.name, edge);
    if (next.state.held >= 0 && next.state.held <= kTopLevel) visit(canonical(next.state, now));
  }

  void check_ends(const State& s) {
    auto exited = [](const State& t) { return t.exited; };
    if (!always_ends(step_, step_(s, Stop{}, kNow).state, 10, exited)) violation("after Stop, Exit is reached", s);
    if (is_falling(s) && !always_ends(step_, s, 10, [](const State& t) { return t.fall_to == kTopLevel; }))
      violation("a fall ends", s);
    if (!s.stopping && !reaches_ceiling(step_, s)) violation("when faults stop, the ceiling is reached", s);
  }

  void violation(const std::string& rule, const State& s) {
    if (report_.violations.size() < 100) report_.violations.push_back(rule + ": " + to_text(s, kNow));
  }

  void violation(const std::string& rule, const Edge& edge) {
    if (report_.violations.size() >= 100) return;
    std::string text =
        rule + ": " + to_text(edge.from, kNow) + " -- " + to_text(edge.event) + " -> " + to_text(edge.to, edge.now);
    for (const Action& action : edge.actions)
      text += "; " + to_text(action, edge.now);
    report_.violations.push_back(text);
  }

  const Step& step_;
  WalkReport report_;
  std::set<decltype(key(State{}))> seen_;
  std::queue<State> open_;
};

std::string ms(Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) + "ms";
}

std::string word(Leave leave) { return leave == Leave::fault ? "fault" : "asked"; }

}  // namespace

bool WalkReport::broke(const std::string& rule) const {
  return std::any_of(violations.begin(), violations.end(),
                     [&](const std::string& v) { return v.rfind(rule + ":", 0) == 0; });
}

WalkReport walk(const Step& step) { return Walker(step).run(); }

std::string to_text(const State& s, TimePoint now) {
  std::string out = "held " + std::to_string(s.held) + ", goal " + std::to_string(goal(s));
  if (s.work == Work::raising)
    out += ", raising " + std::to_string(s.held + 1) + " #" +
           std::to_string(s.incarnation[at(std::min(s.held + 1, kTopLevel))]);
  if (s.work == Work::lowering) out += ", lowering " + std::to_string(s.held);
  if (s.ceiling < kTopLevel) out += ", ceiling " + std::to_string(s.ceiling);
  if (s.fall_to < kTopLevel) out += ", falling to " + std::to_string(s.fall_to);
  if (s.doomed) out += ", doomed";
  if (s.stopping) out += ", stopping";
  if (s.exited) out += ", exited";
  if (s.wake_at > now) out += ", resting " + ms(s.wake_at - now);
  return out;
}

std::string to_text(const Event& event) {
  auto n = [](int level) { return std::to_string(level); };
  return std::visit(
      Overload{
          [&](const Raised& e) { return "raised " + n(e.level) + " #" + std::to_string(e.incarnation); },
          [&](const RaiseFailed& e) { return "failed " + n(e.level) + " rest " + ms(e.rest); },
          [&](const Lowered& e) { return "lowered " + n(e.level) + " rest " + ms(e.rest); },
          [&](const FaultSeen& e) { return "fault " + n(e.level) + " #" + std::to_string(e.incarnation); },
          [&](const Wake&) { return std::string("wake"); },
          [&](const Ceiling& e) { return "ceiling " + n(e.level); },
          [&](const Stop&) { return std::string("stop"); },
      },
      event);
}

std::string to_text(const Action& action, TimePoint now) {
  auto n = [](int level) { return std::to_string(level); };
  return std::visit(Overload{
                        [&](const Raise& a) { return "raise " + n(a.level) + " #" + std::to_string(a.incarnation); },
                        [&](const Lower& a) { return "lower " + n(a.level) + " (" + word(a.leave) + ")"; },
                        [&](const Hurry& a) { return "hurry " + n(a.level) + " (" + word(a.leave) + ")"; },
                        [&](const WakeAt& a) { return "wake in " + ms(a.at - now); },
                        [&](const Exit&) { return std::string("exit"); },
                    },
                    action);
}

}  // namespace ratchet::tests
