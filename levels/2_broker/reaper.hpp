// Where old producers go to be destroyed: one thread with a short queue. Destroying waits for the producer's own
// threads, and one of those may sit in a name resolution for 19 s; nobody who has to climb again waits for that.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/log.hpp"

namespace ratchet::kafka {

class Reaper {
 public:
  static constexpr int kMost = 3;  // waiting or under way; then no new producer may be made

  Reaper(Log& log, AlarmBoard& alarms);
  // Waits up to 500 ms for what is under way. What takes longer is left to its thread and to the end of the process.
  ~Reaper();
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  // Before each producer: starts the thread if it does not run yet. Empty: it runs; else why not. Any thread.
  std::optional<std::string> ready();

  // Runs `destroy` soon, on the reaper's thread. Never blocks, never refuses: whoever makes producers asks `ready` and
  // `full` first, so there are never more than `kMost`. Any thread.
  void take(std::function<void()> destroy);

  // Too many are still being destroyed: make no new one. Any thread.
  bool full() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace ratchet::kafka
