#include "tests/levels/core/otp_model.hpp"

#include <algorithm>
#include <cassert>
#include <list>

namespace ratchet::tests {

namespace {

using namespace supervisor;

std::string name(Outcome outcome) {
  switch (outcome) {
    case Outcome::start_failed:
      return "start failed";
    case Outcome::gave_up:
      return "gave up";
    case Outcome::ended:
      break;
  }
  return "ended";
}

// ---- OTP -----------------------------------------------------------------------------------------------------------

class Process {
 public:
  Process(const Spec& spec, World& world) : spec_(spec), world_(world) {
    for (const Spec& child : spec.children)
      children_.push_back({&child, Pid::undefined, nullptr});
  }

  // init/1: true, or it is no more.
  bool init() {
    if (start_children(children_.begin())) {
      world_.note("ready " + std::to_string(spec_.id));
      return true;
    }
    terminate(Outcome::start_failed);
    return false;
  }

  // Reads its mail until none is left, those below it first. False: it has given up, and is no more.
  bool settle() {
    for (Child& child : children_)
      if (child.process && !child.process->settle()) {
        child.process.reset();
        mailbox_.push_back({child.spec->id, Reason::shutdown});
      }
    while (!mailbox_.empty()) {
      const Mail mail = mailbox_.front();
      mailbox_.pop_front();
      if (handle(mail)) continue;
      terminate(Outcome::gave_up);
      return false;
    }
    return true;
  }

  void terminate(Outcome outcome) {
    terminate_children(children_.begin());
    world_.note("over " + std::to_string(spec_.id) + ": " + name(outcome));
  }

  // A worker's 'EXIT' reaches the mailbox of its supervisor.
  bool exited(int worker, Reason reason) {
    for (Child& child : children_) {
      if (child.process && child.process->exited(worker, reason)) return true;
      if (child.spec->id != worker) continue;
      mailbox_.push_back({worker, reason});
      return true;
    }
    return false;
  }

 private:
  enum class Pid { undefined, alive, restarting };
  struct Child {
    const Spec* spec;
    Pid pid;
    std::unique_ptr<Process> process;  // of a supervisor
  };
  using Children = std::list<Child>;
  struct Mail {
    int id;
    std::optional<Reason> exit;  // without: the cast {try_again_restart, Id}
  };

  bool handle(const Mail& mail) {
    const auto child = find(mail.id);
    if (child == children_.end()) return true;
    if (!mail.exit) return child->pid != Pid::restarting || restart(child);
    return do_restart(child, *mail.exit);
  }

  // do_restart/3
  bool do_restart(Children::iterator child, Reason reason) {
    switch (child->spec->restart) {
      case Restart::permanent:
        return restart(child);
      case Restart::transient:
        if (reason == Reason::crash) return restart(child);
        child->pid = Pid::undefined;
        return true;
      case Restart::temporary:
        children_.erase(child);
        return true;
    }
    return true;
  }

  // restart/2 and restart/3. False: {shutdown, State}.
  bool restart(Children::iterator child) {
    if (!add_restart()) {
      child->pid = Pid::undefined;
      return false;
    }
    if (spec_.strategy == Strategy::one_for_one) {
      if (start_child(*child)) return true;
      child->pid = Pid::restarting;
      mailbox_.push_back({child->spec->id, std::nullopt});
      return true;
    }
    child->pid = Pid::undefined;
    const auto keeper = child->spec;
    const auto before =
        spec_.strategy == Strategy::one_for_all || child == children_.begin() ? children_.end() : std::prev(child);
    terminate_children(spec_.strategy == Strategy::one_for_all ? children_.begin() : child);
    auto from = before == children_.end() ? children_.begin() : std::next(before);
    assert(std::any_of(from, children_.end(), [keeper](const Child& c) { return c.spec == keeper; }));
    static_cast<void>(keeper);
    start_again(from);
    return true;
  }

  void start_again(Children::iterator from) {
    for (auto child = from; child != children_.end(); ++child) {
      if (start_child(*child)) continue;
      child->pid = Pid::restarting;
      mailbox_.push_back({child->spec->id, std::nullopt});
      return;
    }
  }

  // add_restart/1: true while no more than `intensity` are left of the last `period`.
  bool add_restart() {
    const long now =
        static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(world_.now().time_since_epoch()).count());
    std::deque<long> kept{now};
    for (const long then : restarts_) {
      if (then < now - spec_.period_s) break;
      kept.push_back(then);
    }
    restarts_ = std::move(kept);
    return restarts_.size() <= spec_.intensity;
  }

  bool start_children(Children::iterator from) {
    for (auto child = from; child != children_.end(); ++child)
      if (!start_child(*child)) return false;
    return true;
  }

  bool start_child(Child& child) {
    if (child.spec->is_supervisor) {
      child.process = std::make_unique<Process>(*child.spec, world_);
      if (!child.process->init()) {
        child.process.reset();
        return false;
      }
    } else if (!world_.start(*child.spec)) {
      return false;
    }
    child.pid = Pid::alive;
    return true;
  }

  // terminate_children/2: the last one first; temporary ones are forgotten.
  void terminate_children(Children::iterator from) {
    if (from == children_.end()) return;
    auto child = children_.end();
    bool done = false;
    while (!done) {
      --child;
      done = child == from;
      shutdown(*child);
      child->pid = Pid::undefined;
      if (child->spec->restart == Restart::temporary) child = children_.erase(child);
    }
  }

  // shutdown/1: whatever its 'EXIT' says is taken out of the mailbox.
  void shutdown(Child& child) {
    if (child.pid == Pid::alive) {
      if (child.process) {
        child.process->terminate(Outcome::ended);
        child.process.reset();
      } else if (!child.spec->is_supervisor && world_.is_alive(*child.spec)) {
        world_.stop(*child.spec);
      }
    }
    const int id = child.spec->id;
    std::erase_if(mailbox_, [id](const Mail& mail) { return mail.id == id && mail.exit; });
  }

  Children::iterator find(int id) {
    return std::find_if(children_.begin(), children_.end(), [id](const Child& child) { return child.spec->id == id; });
  }

  const Spec& spec_;
  World& world_;
  Children children_;
  std::deque<Mail> mailbox_;
  std::deque<long> restarts_;
};

// ---- ours ----------------------------------------------------------------------------------------------------------

Plan plan_of(const Spec& spec) {
  Plan plan{spec.strategy, spec.intensity, std::chrono::seconds(spec.period_s), {}};
  for (const Spec& child : spec.children)
    plan.children.push_back({child.restart});
  return plan;
}

class Runner {
 public:
  Runner(const Spec& spec, World& world, const SupervisorStep& step, double& most_notices)
      : spec_(spec),
        world_(world),
        step_(step),
        most_notices_(most_notices),
        plan_(plan_of(spec)),
        below_(spec.children.size()) {}

  bool boot() {
    take(supervisor::begin(plan_, world_.now()));
    pump();
    return !over_;
  }
  bool is_over() const { return over_.has_value(); }

  void feed(const Event& event) {
    events_.push_back(event);
    if (!pumping_) pump();
  }

  // A worker has died: whoever supervises it is told, and whoever supervises one that gave up over that.
  bool died(int worker, Reason reason) {
    for (std::size_t i = 0; i < below_.size(); ++i) {
      if (spec_.children[i].id == worker) {
        feed(Died{i, state_.children[i].life, reason});
        return true;
      }
      if (!below_[i] || !below_[i]->died(worker, reason)) continue;
      if (below_[i]->is_over()) feed(Died{i, state_.children[i].life, Reason::shutdown});
      return true;
    }
    return false;
  }

 private:
  void pump() {
    pumping_ = true;
    while (!events_.empty()) {
      const Event event = events_.front();
      events_.pop_front();
      take(step_(plan_, state_, event, world_.now()));
    }
    pumping_ = false;
  }

  void take(Next next) {
    pumping_ = true;
    state_ = std::move(next.state);
    most_notices_ = std::max(most_notices_, static_cast<double>(state_.notices.size()) /
                                                static_cast<double>(std::max<std::size_t>(1, below_.size())));
    for (const Action& action : next.actions)
      std::visit([this](const auto& a) { perform(a); }, action);
  }

  void perform(const Start& a) {
    const Spec& child = spec_.children[a.child];
    bool good = false;
    if (child.is_supervisor) {
      below_[a.child] = std::make_unique<Runner>(child, world_, step_, most_notices_);
      good = below_[a.child]->boot();
    } else {
      good = world_.start(child);
    }
    if (good)
      events_.push_back(Started{a.child, a.life});
    else
      events_.push_back(StartFailed{a.child, a.life});
  }
  void perform(const Stop& a) {
    if (below_[a.child]) {
      below_[a.child]->feed(End{});
      below_[a.child].reset();
    } else {
      world_.stop(spec_.children[a.child]);
    }
    events_.push_back(Stopped{a.child, a.life});
  }
  void perform(const Hurry&) {}
  void perform(const Ready&) { world_.note("ready " + std::to_string(spec_.id)); }
  void perform(const Over& a) {
    over_ = a.outcome;
    world_.note("over " + std::to_string(spec_.id) + ": " + name(a.outcome));
  }

  const Spec& spec_;
  World& world_;
  const SupervisorStep& step_;
  double& most_notices_;
  const Plan plan_;
  State state_;
  std::vector<std::unique_ptr<Runner>> below_;
  std::deque<Event> events_;
  std::optional<Outcome> over_;
  bool pumping_ = false;
};

}  // namespace

std::vector<std::string> played_by_otp(const Script& script) {
  World world(script);
  Process root(script.root, world);
  world.on_death = [&root](int worker, Reason reason) { root.exited(worker, reason); };
  bool alive = root.init() && root.settle();
  for (const Death& death : script.one_by_one) {
    world.pass(death.after);
    world.die(death.worker, death.reason);
    alive = alive && root.settle();
  }
  if (alive) root.terminate(Outcome::ended);
  return world.trace();
}

std::vector<std::string> played_by(const SupervisorStep& step, const Script& script, double* most_notices) {
  World world(script);
  double most = 0;
  Runner root(script.root, world, step, most);
  world.on_death = [&root](int worker, Reason reason) { root.died(worker, reason); };
  root.boot();
  for (const Death& death : script.one_by_one) {
    world.pass(death.after);
    world.die(death.worker, death.reason);
  }
  if (!root.is_over()) root.feed(End{});
  if (most_notices != nullptr) *most_notices = most;
  return world.trace();
}

}  // namespace ratchet::tests
