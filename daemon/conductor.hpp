// What the control thread decides, without the thread: mail and the time go in, orders to the workers come out. It
// alone owns the ladder's state and the stack of held levels. It decides little itself: mail becomes events,
// ladder::step answers with actions, actions become orders.
//
//   mail -> feed(event) -> ladder::step -> state_ (the one assignment) -> snapshot -> perform(actions) -> Workers
//
// The manager turns it on a thread, with workers that are threads; the simulation (tests/simulation) turns it on a
// virtual clock, with workers that follow a script.
//
// How long a way down may take:
//   asked (stop, hold, drain)   drain.total_ms, from when the way down began
//   by a fault                  3 s in all, from the fault
//   a stop                      drain.total_ms from SIGTERM, whatever else; at +1 s it leaves by _exit
//   second SIGTERM              now
// A call of a level that overruns its patience by 2 s is an alarm, by 10 s the end of the process, with evidence.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "daemon/chronicle.hpp"
#include "daemon/mailbox.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/history.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/0_baseline/status_board.hpp"
#include "levels/core/backoff.hpp"
#include "levels/core/vital.hpp"

namespace ratchet {

// Those who carry out orders, one for each level 1..3. None of these waits for the level; what comes of an order
// comes back as mail.
class Workers {
 public:
  virtual ~Workers() = default;

  // Comes back as RaiseDone. The worker must be idle (nothing held, no job).
  virtual void raise(int level, Incarnation incarnation, TimePoint deadline) = 0;
  // Probes it by the level's plan from now on; so many misses in a row come back as one fault of `incarnation`.
  // `held` stays alive until it is given to `lower`.
  virtual void watch(int level, HeldLevel& held, Incarnation incarnation) = 0;
  // Ends the probing, drains, destroys; comes back as LowerDone.
  virtual void lower(int level, std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline) = 0;
  // What is under way should end by `deadline`. A lower that has not begun yet begins as `leave`.
  virtual void hurry(int level, Leave leave, TimePoint deadline) = 0;

  // The call the level's code is in, to see when it overruns.
  struct Call {
    std::string_view verb;  // "raise", "probe", "drain"
    TimePoint due;          // its deadline; its beginning, if that was later: who came late has overrun nothing yet
  };
  virtual std::optional<Call> call(int level) const = 0;
};

// Used by one thread.
class Conductor {
 public:
  // Ways out that skip every destructor; `evidence` is one line. Replaced by tests, where they return.
  struct LastResort {
    std::function<void(std::string_view evidence)> abort;  // default: the line to stderr, abort()
    std::function<void(std::string_view evidence)> leave;  // default: the line to stderr, _exit(1)
  };

  struct Parts {
    std::string instance;
    std::string version;
    std::array<Level*, kTopLevel> levels;  // of 1, 2, 3
    const TimeSource& time;
    std::function<double()> chance;  // uniform in [0, 1); control thread only
    Log& log;
    Metrics& metrics;
    History& history;
    AlarmBoard& alarms;
    StatusBoard& board;
    DrainSettings drain;
    BackoffSettings backoff{};
    Duration alarm_after = std::chrono::seconds(15);          // not held though wanted
    std::array<Vital, kTopLevel + 1> vital{};                 // by level; default: no level ends the process
    std::function<void(const Status&, TimePoint)> on_turn{};  // each turn of the loop, at least each second: systemd
    std::function<void()> on_hangup{};                        // SIGHUP
    std::function<std::uint64_t()> cut_requests{};            // for the summary line
    LastResort last_resort{};
  };

  Conductor(Parts parts, Workers& workers);
  ~Conductor();
  Conductor(const Conductor&) = delete;
  Conductor& operator=(const Conductor&) = delete;

  // The first order.
  void begin();
  // One turn: everything that was posted, then what the time asks for.
  void turn(Mailbox::Mail mail);
  // How long nothing has to be done if no mail comes; at most 1 s.
  Duration nap() const;
  // The stop has been carried out: no turn any more.
  bool exited() const noexcept { return state_.exited; }
  // 0, or 75 when it stopped by itself because a vital level was missed for too long.
  int exit_code() const noexcept { return exit_code_; }
  // Tells how the stop went.
  void sum_up();

  const ladder::State& state() const noexcept { return state_; }

 private:
  void take_stops(unsigned stops);
  void take_fault(const Mailbox::FaultSlot& slot);
  void begin_stop(std::string_view who);
  void take(int level, Completion& completion);
  void take_raise(int level, RaiseDone& done);
  void take_lowered(int level);
  CommandReply take_command(const Command& command);
  CommandReply hold(int level, const Command& command);

  void feed(const ladder::Event& event);
  void apply(const ladder::Next& next);  // the one place where the state changes
  void keep_budgets(TimePoint now);
  void perform(const ladder::Raise& raise);
  void perform(const ladder::Lower& lower);
  void perform(const ladder::Hurry& hurry);
  void perform(const ladder::WakeAt&) {}  // the loop looks at the state
  void perform(const ladder::Exit&) {}    // the loop looks at the state

  TimePoint deadline(Leave leave, TimePoint now) const;
  Duration rest(int level, FaultKind kind);
  bool rests() const;  // before the next raise
  void watch_overruns(TimePoint now);
  void watch_vital(TimePoint now);
  void publish(TimePoint now);

  Parts parts_;
  Workers& workers_;
  Chronicle chronicle_;
  std::array<Backoff, kTopLevel + 1> backoff_;
  ladder::State state_;
  std::vector<std::unique_ptr<HeldLevel>> held_;  // [n-1] is level n; released from the back only
  std::optional<TimePoint> down_end_;             // of the way down under way
  std::optional<TimePoint> fall_end_;             // of the fall under way
  std::optional<TimePoint> stop_end_;
  unsigned stops_ = 0;
  bool in_haste_ = false;
  bool raise_hurried_ = false;
  int exit_code_ = 0;
};

}  // namespace ratchet
