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

#include "daemon/conductor.hpp"
#include "daemon/mailbox.hpp"
#include "daemon/watch.hpp"
#include "levels/core/level.hpp"

namespace ratchet {

class Worker {
 public:
  Worker(int number, Level& level, const TimeSource& time, Mailbox& mailbox);
  // Shrinks every patience to now and joins.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // See Workers. Control thread.
  void raise(Incarnation incarnation, TimePoint deadline);
  void watch(HeldLevel& held, Incarnation incarnation);
  void lower(std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline);
  void hurry(Leave leave, TimePoint deadline);
  // Looks at the clock again (it was moved).
  void nudge();

  std::optional<Workers::Call> call() const;

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
  struct Watched {
    HeldLevel* held;
    Watch watch;
  };

  // What a held level is given to voice its doubts; it may outlive the worker.
  struct Ear {
    std::mutex mutex;
    Worker* worker;
  };

  void run();
  void probe_soon();  // any thread
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
  TimePoint begun_{};                  // of that call
  std::optional<Watched> watched_;
  bool nudged_ = false;
  bool ending_ = false;

  std::shared_ptr<Ear> ear_;
  std::thread thread_;  // last: starts when all is there
};

}  // namespace ratchet
