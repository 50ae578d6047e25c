// All registrars of the configuration, each supervised (registrar.hpp) on a thread of its own, so that one that hangs
// keeps nobody else waiting. They exist as long as the daemon; level 3 says when we are here and when we leave.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "levels/0_baseline/alarm_board.hpp"
#include "levels/0_baseline/health.hpp"
#include "levels/0_baseline/metrics.hpp"
#include "levels/3_service/registrar.hpp"
#include "levels/core/level.hpp"
#include "levels/core/patience.hpp"

namespace ratchet::service {

// How one kind of balancer is told. Called on its registrar's thread only.
class Balancer {
 public:
  virtual ~Balancer() = default;

  // Blocks until there is an answer, at most until `patience` is over (which may shrink meanwhile). Safe to be called
  // again with the same verb. Must not throw. `leave`: why we leave; `asked` for the other verbs.
  virtual Told tell(Verb verb, Leave leave, Patience& patience) = 0;
};

class Registrars {
 public:
  struct Parts {
    const Settings& settings;
    Health& health;
    const TimeSource& time;
    Log& log;
    Metrics& metrics;
    AlarmBoard& alarms;
    std::function<double()> chance;       // uniform in [0, 1), any thread
    std::function<bool()> port_survived;  // the service port is open since the last process; any thread
  };
  // Starts the threads. What cannot be started is alarmed: registrars never keep a daemon from running.
  explicit Registrars(const Parts& parts);
  ~Registrars();  // breaks off what is under way

  // Any thread; return at once. The port is open; and: it is going to be closed.
  void here();
  void leave(Leave why);

  bool any() const noexcept;
  // Everybody has been told that we leave, or has been given up.
  bool left() const;
  // Since when left() is true, and whether somebody confirmed it.
  struct Word {
    bool left = true;
    bool confirmed = false;  // at least one was told
    TimePoint since{};
  };
  Word word() const;
  // "haproxy: left after 12 ms", "dns: gave up after 10000 ms (deregister: exit status 1)"; one for each.
  std::vector<std::string> results() const;

 private:
  class One;
  std::vector<std::unique_ptr<One>> all_;
};

}  // namespace ratchet::service
