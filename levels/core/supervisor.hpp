// A supervisor: starts its children in order, stops them in reverse, starts anew what ended and should not have, and
// gives up when that happens too often. Pure: it says what to start and stop, whoever runs it does so and reports.
//
// The rules are those of OTP's supervisor (stdlib's supervisor.erl), held together with it by a model in the tests:
//
//   - A start that fails while all are being started for the first time ends the supervisor at once: no second try.
//     One that fails while something is being started anew is tried again, and counts as one more restart.
//   - Restarts are counted for all children together, by the monotonic clock in whole seconds. One is allowed if,
//     itself included, at most `intensity` lie in [now - period, now], both ends included; `intensity` 0 allows none.
//   - Which end leads to a restart: permanent every one; transient a crash; temporary none, and a temporary child never
//     comes back, also when the strategy stopped it for the sake of a sibling. A transient child that has ended well
//     does come back with the siblings of a one_for_all or rest_for_one restart.
//   - What is stopped for a restart: one_for_one nothing else; rest_for_one what was started after it; one_for_all all.
//   - What happens while children are being started and stopped waits its turn; a child that is stopped meanwhile has
//     its waiting report dropped. Two things do not wait: the end of a child that is to be stopped anyway, and End.
//   - The restart that is too many: the one that ended stays down, the rest is stopped in reverse, and the supervisor
//     has failed. To its own supervisor that is Reason::shutdown, so a transient one stays down.
//
// Unlike OTP's, a start has a deadline as well as a stop; what passes it is hurried once and then waited for without
// limit (whoever runs it has a watchdog). There is no rest before a restart: that belongs to what connects (backoff).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "levels/core/clock.hpp"

namespace ratchet::supervisor {

enum class Strategy : std::uint8_t { one_for_one, rest_for_one, one_for_all };
enum class Restart : std::uint8_t { permanent, transient, temporary };
enum class Reason : std::uint8_t {
  normal,    // it had done its work
  shutdown,  // it ended in order: a supervisor that gave up, for one
  crash,
};

struct ChildPlan {
  Restart restart = Restart::permanent;
  Duration start = std::chrono::seconds(5);
  Duration stop = std::chrono::seconds(5);
};

struct Plan {
  Strategy strategy = Strategy::one_for_one;
  std::size_t intensity = 1;
  std::chrono::seconds period{5};
  std::vector<ChildPlan> children;  // in the order of their start
};

using Life = std::uint64_t;  // the number of a child's start; the first is 1

enum class Outcome : std::uint8_t {
  start_failed,  // the first start: nothing was up
  gave_up,       // the budget of restarts is spent
  ended,         // as asked
};

enum class Phase : std::uint8_t {
  down,
  starting,
  up,  // as far as is known: its end may wait among the notices
  stopping,
  gone,  // a temporary child that has ended
};

struct ChildState {
  Phase phase = Phase::down;
  bool again = false;  // its restart failed and waits among the notices to be tried again
  Life life = 0;

  bool operator==(const ChildState&) const = default;
};

// What waits its turn: a child's end, or (without a reason) a restart to be tried again.
struct Notice {
  std::size_t child;
  std::optional<Reason> ended;

  bool operator==(const Notice&) const = default;
};

struct State {
  std::vector<ChildState> children;
  std::vector<Notice> notices;                  // oldest first; at most two per child
  std::deque<std::chrono::seconds> restarts;  // newest first, those within the period
  std::size_t first = 0, last = 0;              // [first, last) is being cleared or started
  enum class Course : std::uint8_t { idle, clearing, starting } course = Course::idle;
  bool booting = true;                          // until all have been up once
  std::optional<Outcome> ending;                // all are being stopped, or have been
  bool over = false;
  TimePoint due{};                              // of the one start or stop under way
  bool hurried = false;                         // the one under way has been told so

  bool operator==(const State&) const = default;
};

// Exactly one answer to each Start and Stop. Died may come at any time after Started; late ones are ignored.
struct Started { std::size_t child; Life life; };
struct StartFailed { std::size_t child; Life life; };  // nothing of it is left
struct Stopped { std::size_t child; Life life; };      // also when it had ended by itself meanwhile
struct Died { std::size_t child; Life life; Reason reason; };
struct Wake {};  // wake_at() has come
struct End {};   // stop all; final
using Event = std::variant<Started, StartFailed, Stopped, Died, Wake, End>;

struct Start { std::size_t child; Life life; TimePoint due; bool operator==(const Start&) const = default; };
struct Stop { std::size_t child; Life life; TimePoint due; bool operator==(const Stop&) const = default; };
struct Hurry { std::size_t child; Life life; bool operator==(const Hurry&) const = default; };  // what is under way
struct Ready { bool operator==(const Ready&) const = default; };  // all are up for the first time
struct Over { Outcome outcome; bool operator==(const Over&) const = default; };  // nothing is up; nothing follows
using Action = std::variant<Start, Stop, Hurry, Ready, Over>;

struct Next {
  State state;
  std::vector<Action> actions;
};

// Starts the first child.
Next begin(const Plan& plan, TimePoint now);

// Pure. `plan` is the same at each call. At most one start or stop is under way at any time.
Next step(const Plan& plan, State state, const Event& event, TimePoint now);

// When Wake is to be sent, if nothing else comes before.
std::optional<TimePoint> wake_at(const State& state) noexcept;

}  // namespace ratchet::supervisor
