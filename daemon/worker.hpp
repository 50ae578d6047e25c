// One level's worker: the thread on which its raise, probes, drain and release run, so that a long drain never
// stops another level's probing. One job at a time; between raise and lower it probes what is held.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <variant>

#include "daemon/mailbox.hpp"
#include "levels/core/level.hpp"

namespace ratchet {

class Worker {
 public:
  Worker(int number, Level& level, const TimeSource& time, Mailbox& mailbox);
  // Shrinks every patience to now and joins.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // All of these: control thread, and never wait for the level.

  // Completes with RaiseDone. The worker must be idle (nothing held, no job).
  void raise(Incarnation incarnation, TimePoint deadline);
  // Probes it by the level's plan from now on; so many misses in a row are reported to the mailbox as a fault of
  // `incarnation`, once. `held` stays alive until it comes back through `lower`.
  void watch(HeldLevel& held, Incarnation incarnation);
  // Ends the probing, drains, destroys, completes with LowerDone.
  void lower(std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline);
  // What is under way should end by `deadline`. A lower that has not begun yet begins as `leave`.
  void hurry(Leave leave, TimePoint deadline);
  // Looks at the clock again (it was moved).
  void nudge();

  // The call the level's code is in, to see when it overruns.
  struct Call {
    std::string_view verb;  // "raise", "probe", "drain"
    TimePoint deadline;
  };
  std::optional<Call> call() const;

 private:
  struct RaiseJob {
    Incarnation incarnation;
  };
  struct LowerJob {
    std::unique_ptr<HeldLevel> held;
    Leave leave;
  };
  struct Job {
    std::variant<RaiseJob, LowerJob> what;
    std::shared_ptr<Patience> patience;
  };
  struct Watch {
    HeldLevel* held;
    Incarnation incarnation;
    TimePoint next;  // probe
    int misses = 0;
    std::optional<TimePoint> first_miss;
  };

  void run();
  void give(Job job);
  Completion execute(RaiseJob& job, Patience& patience);
  Completion execute(LowerJob& job, Patience& patience);
  void work(std::unique_lock<std::mutex>& lock);
  void probe(std::unique_lock<std::mutex>& lock);
  void begin(std::string_view verb, std::shared_ptr<Patience> patience);  // a call
  void end();

  const int number_;
  Level& level_;
  const TimeSource& time_;
  Mailbox& mailbox_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // protected by mutex_
  std::optional<Job> job_;             // given, not begun
  std::shared_ptr<Patience> calling_;  // of the level's code under way; empty: none
  std::string_view verb_;              // of that call
  std::optional<Watch> watch_;
  bool nudged_ = false;
  bool ending_ = false;

  std::thread thread_;  // last: starts when all is there
};

}  // namespace ratchet
