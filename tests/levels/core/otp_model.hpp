// OTP's supervisor as a small executable model, written from supervisor.erl and not from ours: processes that do one
// thing after another, each with a mailbox. It shares only the vocabulary of levels/core/supervisor.hpp.
//
// Both are let loose on the same made-up world: children whose starts succeed or fail by a script, and which die when
// the script says so. What they did to the world, in order, is compared.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "levels/core/supervisor.hpp"

namespace ratchet::tests {

// One child, and what it is: a worker, or a supervisor with children of its own.
struct Spec {
  int id = 0;
  supervisor::Restart restart = supervisor::Restart::permanent;
  std::vector<bool> starts;  // a worker's: how its first, second, ... start goes; those after the last go well
  bool is_supervisor = false;
  supervisor::Strategy strategy = supervisor::Strategy::one_for_one;
  std::size_t intensity = 0;
  int period_s = 1;
  std::vector<Spec> children;
};

struct Death {
  int worker;  // one that is not alive does not die
  supervisor::Reason reason;
  int after;  // between two stimuli: milliseconds after the one before; in the middle of work: how many starts and
              // stops
};

struct Script {
  Spec root;                      // a supervisor
  int operation_ms = 0;           // what each start and stop takes
  std::vector<Death> one_by_one;  // each once the one before has been dealt with
  std::vector<Death> meanwhile;   // in the middle of a start or stop; only where no supervisor is below another
};

class World {
 public:
  explicit World(const Script& script) : script_(script) {}

  bool start(const Spec& worker) {
    operate("start " + std::to_string(worker.id));
    const std::size_t turn = turns_[worker.id]++;
    const bool good = turn >= worker.starts.size() || worker.starts[turn];
    if (good) alive_.insert(worker.id);
    note((good ? "is up " : "fails ") + std::to_string(worker.id));
    return good;
  }
  void stop(const Spec& worker) {
    operate("stop " + std::to_string(worker.id));
    alive_.erase(worker.id);
  }
  void die(int worker, supervisor::Reason reason) {
    if (alive_.erase(worker) == 0) return;
    note("dies " + std::to_string(worker));
    on_death(worker, reason);
  }
  void pass(int ms) { now_ += std::chrono::milliseconds(ms); }
  void note(std::string what) { trace_.push_back(std::move(what)); }

  TimePoint now() const { return now_; }
  bool is_alive(const Spec& worker) const { return alive_.count(worker.id) > 0; }
  const std::vector<std::string>& trace() const { return trace_; }

  std::function<void(int worker, supervisor::Reason)> on_death;

 private:
  void operate(std::string what) {
    note(std::move(what));
    pass(script_.operation_ms);
    ++operations_;
    for (const Death& death : script_.meanwhile)
      if (death.after == operations_) die(death.worker, death.reason);
  }

  const Script& script_;
  TimePoint now_{std::chrono::hours(1)};
  int operations_ = 0;
  std::map<int, std::size_t> turns_;
  std::set<int> alive_;
  std::vector<std::string> trace_;
};

// What OTP does in that world.
std::vector<std::string> played_by_otp(const Script& script);

// What a step function like supervisor::step does in it. `most_notices`: the longest that its queue ever was, in parts
// of its children.
using SupervisorStep =
    std::function<supervisor::Next(const supervisor::Plan&, supervisor::State, const supervisor::Event&, TimePoint)>;
std::vector<std::string> played_by(const SupervisorStep& step, const Script& script, double* most_notices = nullptr);

}  // namespace ratchet::tests
