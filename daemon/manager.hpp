// The control thread: the conductor's turns, woken by the mailbox, and the workers' threads. Everybody else posts to
// the mailbox and reads the snapshot.
//
//   mailbox -> conductor.turn -> workers -> levels
//      ^                            |
//      +-------- completion --------+
#pragma once

#include <array>
#include <memory>

#include "daemon/conductor.hpp"
#include "daemon/mailbox.hpp"
#include "daemon/worker.hpp"

namespace ratchet {

class Manager {
 public:
  using LastResort = Conductor::LastResort;
  using Parts = Conductor::Parts;

  Manager(Parts parts, Mailbox& mailbox);
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  // The control loop, on the calling thread, until a stop has been carried out. Returns the exit code.
  int run();

  // Tests: after the clock was moved by hand. Any thread.
  void nudge();

 private:
  // One thread for each level.
  class Threads final : public Workers {
   public:
    Threads(const std::array<Level*, kTopLevel>& levels, const TimeSource& time, Mailbox& mailbox);
    ~Threads() override;  // the top first, as in a fall
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;
    void raise(int level, Incarnation incarnation, TimePoint deadline) override;
    void watch(int level, HeldLevel& held, Incarnation incarnation) override;
    void lower(int level, std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline) override;
    void hurry(int level, Leave leave, TimePoint deadline) override;
    std::optional<Call> call(int level) const override;
    void nudge();

   private:
    Worker& of(int level) const { return *threads_[static_cast<std::size_t>(level - 1)]; }
    std::array<std::unique_ptr<Worker>, kTopLevel> threads_;
  };

  Mailbox& mailbox_;
  std::unique_ptr<Threads> workers_;
  Conductor conductor_;
};

}  // namespace ratchet
