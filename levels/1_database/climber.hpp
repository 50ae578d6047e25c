// Keeps something raised that nothing above depends on: raises it, probes it by its own plan, lets it go at a fault,
// rests, tries again; for ever, on a thread of its own. The ladder in small, for optional databases: a cluster that
// does not exist yet is found within seconds of its birth. What is wrong is logged once per change, counted, written
// into the history, and alarmed by the rule of the levels: not held for 15 s sets it, held for `settle` clears it; and
// that it is lost again and again is one of its own (flapping.hpp).
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/history.hpp"
#include "levels/0_baseline/log.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/core/alarms.hpp"
#include "levels/core/backoff.hpp"
#include "levels/core/flapping.hpp"
#include "levels/core/level.hpp"

namespace ratchet::db {

// The cap is low because someone waits for the birth: with 2 s to connect to an address that does not answer, it is
// seen within 5 s. The base is that of the ladder: a fleet may wait together.
constexpr BackoffSettings kClimberBackoff{std::chrono::milliseconds(1000), std::chrono::milliseconds(2500),
                                          std::chrono::seconds(10)};

class Climber final : public FaultSink {
 public:
  struct Parts {
    std::string pool;  // its name, for people
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    History& history;
    std::function<double()> chance;  // uniform in [0, 1)
    BackoffSettings backoff = kClimberBackoff;
    Duration alarm_after = std::chrono::seconds(15);
  };
  explicit Climber(Parts parts);
  ~Climber() override;  // stop()
  Climber(const Climber&) = delete;
  Climber& operator=(const Climber&) = delete;

  // Once. `level` must outlive this; its faults are to be reported here.
  void start(Level& level);
  // Lets go, politely but soon (250 ms), and climbs no more. Idempotent.
  void stop();

  // Of the held level; an older incarnation's is ignored. Any thread.
  void report(const Fault& fault) noexcept override;

  // The next attempt, while it rests. Any thread.
  std::optional<TimePoint> next_attempt() const;
  // What is wrong, one line; empty while it is held. Any thread.
  std::optional<std::string> missing() const;

 private:
  using Lock = std::unique_lock<std::mutex>;
  void run();
  void raise(Lock& lock);
  void probe(Lock& lock);
  void let_go(Lock& lock, Leave leave);
  void lost(Lock& lock, const Fault& fault);
  void failed(const Fault& fault, bool was_held);
  void look_at_alarm(TimePoint now);
  TimePoint next_look(TimePoint now) const;
  std::string alarm_id() const { return "pool." + parts_.pool; }
  std::string flapping_id() const { return alarm_id() + ".flapping"; }
  void set_alarm();
  void set_flapping_alarm();

  Parts parts_;
  Level* level_ = nullptr;
  Backoff backoff_;  // the thread's own, like what follows
  LevelAlarm alarm_;
  Flapping flapping_;
  bool alarmed_ = false;
  bool flaps_ = false;  // its alarm is set
  std::string said_;  // last logged
  std::unique_ptr<HeldLevel> held_;
  TimePoint held_since_{}, next_probe_{};
  int misses_ = 0;
  std::optional<TimePoint> first_miss_;

  mutable std::mutex mutex_;  // never held while the level is called: its faults come back here
  std::condition_variable changed_;
  bool stopping_ = false;
  bool holds_ = false;
  Incarnation incarnation_ = 0;
  std::optional<Fault> reported_;  // of this incarnation
  std::optional<Fault> last_fault_;
  TimePoint next_attempt_{};
  Patience* calling_ = nullptr;  // of the call under way
  std::thread thread_;
};

}  // namespace ratchet::db
