#include "tests/simulation/process.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ratchet::simulation {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr auto kNap = milliseconds(20);     // Patience::nap
constexpr auto kThreads = milliseconds(5);  // what waking and one turn may take here
constexpr auto kFall = seconds(3);          // of a fall by fault, all levels together
constexpr auto kTurn = milliseconds(1050);  // the control loop looks at least so often
constexpr auto kOverrunAlarm = seconds(2);
constexpr auto kOverrunEnd = seconds(10);
constexpr auto kStopOverrunEnd = seconds(1);
constexpr auto kAlarm = seconds(15);

std::string number(int level) { return std::to_string(level); }

}  // namespace

// ---- levels ------------------------------------------------------------------------------------------------------

// Held: its birth and its death are where the rules on order are checked.
class Process::Held final : public HeldLevel {
 public:
  Held(Process& process, int level) : process_(process), level_(level) {
    process_.must(process_.held_now_ == level - 1, "level n is held only while 1..n-1 are", "raised " + number(level));
    process_.held_now_ = level;
  }
  ~Held() override {
    process_.must(process_.held_now_ == level_, "the top falls first", "released " + number(level_));
    process_.held_now_ = level_ - 1;
    process_.released(level_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  std::optional<Fault> probe(Patience&) override { return process_.probe_now(level_); }
  void drain(Patience&, Leave leave) override { process_.drain_now(level_, leave); }

 private:
  Process& process_;
  const int level_;
};

// The patience and the probing of the real levels (levels/N/level.cpp). Called when the time that it takes is over.
class SimulatedLevel final : public Level {
 public:
  SimulatedLevel(Process& process, int level) : process_(process), level_(level) {}
  std::string_view name() const noexcept override {
    return level_ == 1 ? "database" : level_ == 2 ? "broker" : "service";
  }
  Duration raise_patience() const noexcept override { return seconds(level_ == 2 ? 10 : 5); }
  ProbePlan probe_plan() const noexcept override {
    if (level_ == 1) return {seconds(1), milliseconds(750), 2};
    if (level_ == 2) return {seconds(2), seconds(1), 2};
    return {seconds(1), seconds(1), 2};
  }
  Result<std::unique_ptr<HeldLevel>> raise(Patience& patience, Incarnation incarnation) override {
    std::optional<Fault> fault;
    if (patience.over(process_.now()) && process_.world_.dice.one_in(2))  // else it is there at the last moment
      fault = Fault{level_, incarnation, FaultKind::timed_out, "not in time", {}};
    if (!fault) fault = process_.raise_now(level_, incarnation);
    if (fault) {
      fault->level = level_;
      fault->incarnation = incarnation;
      fault->since = process_.now();
      return *std::move(fault);
    }
    return std::unique_ptr<HeldLevel>(std::make_unique<Process::Held>(process_, level_));
  }

 private:
  Process& process_;
  const int level_;
};

std::optional<Fault> Process::raise_now(int level, Incarnation incarnation) {
  const auto fault = [level](FaultKind kind, const char* text) { return Fault{level, 0, kind, text, {}}; };
  if (level == 1) {
    if (auto hindrance = Pool::obstacle(world_)) return hindrance;
    pool_.open(incarnation);
  } else if (level == 2) {
    if (world_.broker.mood() == Broker::Mood::down) return fault(FaultKind::refused, "broker down");
    if (world_.broker.mood() == Broker::Mood::frozen) return fault(FaultKind::timed_out, "broker frozen");
    relay_.start(incarnation);
  } else {
    if (world_.port_taken) return fault(FaultKind::address_in_use, "port in use");
    port_open_ = true;
  }
  return std::nullopt;
}

std::optional<Fault> Process::probe_now(int level) {
  if (level == 1) return pool_.probe();
  if (level == 2 && (world_.broker.mood() == Broker::Mood::down || world_.broker.mood() == Broker::Mood::frozen))
    return Fault{2, 0, FaultKind::timed_out, "no leader", now()};
  return std::nullopt;
}

void Process::drain_now(int level, Leave leave) {
  if (level == 2) relay_.stop(leave);
  if (level != kTopLevel) return;
  must(!board_.ready(), "deregistered before the port closes");
  port_open_ = false;
}

void Process::released(int level) {
  Desk& d = desk(level);
  d.stand = Stand::down;
  d.faulted.reset();
  if (level == 1) pool_.close();
  if (level == 2) relay_.stop(Leave::fault);
  if (level == kTopLevel) port_open_ = false;
}

bool Process::hangs(int level, Verb verb) const {
  if (verb == Verb::drain) return false;
  if (level == 1) return world_.database.frozen();
  if (level == 2) return world_.broker.mood() == Broker::Mood::frozen || world_.broker.mood() == Broker::Mood::down;
  return false;
}

Duration Process::takes(int level, Verb verb) {
  Dice& dice = world_.dice;
  const Duration usual = verb == Verb::probe   ? dice.between(microseconds(200), milliseconds(3))
                         : verb == Verb::raise ? dice.between(milliseconds(1), milliseconds(60))
                         : level == kTopLevel  ? dice.between(milliseconds(1), seconds(2))
                                               : dice.between(milliseconds(1), milliseconds(100));
  if (world_.slow_calls == 0 || !dice.one_in(world_.slow_calls)) return usual;
  if (verb == Verb::drain && desk(level).leave == Leave::asked) return usual;
  return usual + dice.between(milliseconds(1), verb == Verb::probe ? seconds(2) : seconds(12));
}

// ---- life --------------------------------------------------------------------------------------------------------

Process::Process(World& world, int number, Log& log)
    : world_(world),
      number_(number),
      alarms_(world.time, log),
      pool_(world, *this),
      relay_(world, pool_, *this, "daemon-" + std::to_string(number) + "-" + std::to_string(world.dice.roll())) {
  for (int level = 1; level <= kTopLevel; ++level)
    levels_[static_cast<std::size_t>(level - 1)] = std::make_unique<SimulatedLevel>(*this, level);
  Conductor::LastResort last_resort;
  last_resort.abort = [this](std::string_view) { finish(End::aborted); };
  last_resort.leave = [this](std::string_view) { finish(End::left); };
  conductor_ =
      std::make_unique<Conductor>(Conductor::Parts{.instance = "daemon-" + std::to_string(number),
                                                   .version = "simulated",
                                                   .levels = {levels_[0].get(), levels_[1].get(), levels_[2].get()},
                                                   .time = world.time,
                                                   .chance = [&world] { return world.dice.chance(); },
                                                   .log = log,
                                                   .metrics = metrics_,
                                                   .history = history_,
                                                   .alarms = alarms_,
                                                   .board = board_,
                                                   .drain = DrainSettings{},
                                                   .last_resort = last_resort},
                                  *this);
  note("starts");
  conductor_->begin();
  wake();
}

// As a kill does: nothing is said to anybody, the kernel closes the sockets.
Process::~Process() {
  for (int level = kTopLevel; level >= 1; --level)
    desk(level).lowering.reset();
  mailbox_.wait(Duration::zero());  // a level that was raised a moment ago
}

void Process::must(bool holds, const char* rule, const std::string& detail) {
  world_.judge.must(holds, rule, "daemon " + std::to_string(number_) + (detail.empty() ? "" : ", " + detail));
}

void Process::finish(End end) {
  if (end_) return;
  end_ = end;
  note(end == End::asked ? "exits" : end == End::left ? "leaves by _exit" : "aborts");
}

void Process::wake() {
  if (turn_due_) return;
  turn_due_ = true;
  after(world_.dice.between(microseconds(5), milliseconds(1)), [this] { turn(); });
}

void Process::turn() {
  turn_due_ = false;
  if (end_) return;
  auto mail = mailbox_.wait(Duration::zero());
  stop_taken_ = stop_taken_ || mail.stops > 0;
  conductor_->turn(std::move(mail));
  if (conductor_->exited()) {
    must(held_now_ == 0, "exit at level 0");
    finish(End::asked);
  }
  look();
  if (end_) return;
  after(conductor_->nap(), [this, nap = ++naps_] {
    if (nap == naps_) wake();
  });
}

void Process::stop() {
  note("SIGTERM");
  if (!stop_sent_) stop_sent_ = now();
  mailbox_.stop();
  wake();
}

void Process::hang_up() {
  mailbox_.hangup();
  wake();
}

void Process::ask(Command command) {
  note("asked: verb " + std::to_string(static_cast<int>(command.verb)) + ", level " + number(command.level));
  if (auto reply = mailbox_.ask(std::move(command))) replies_.push_back(std::move(*reply));
  wake();
}

void Process::report(const Fault& fault) noexcept {
  Desk& d = desk(fault.level);
  const bool counts = fault.incarnation == d.incarnation && d.stand != Stand::down;
  note("fault of level " + number(fault.level) + ", incarnation " + std::to_string(fault.incarnation) +
       (counts ? "" : " (stale)") + ": " + fault.text);
  if (counts && !d.faulted) d.faulted = now();
  mailbox_.report(fault);
  wake();
}

void Process::report_anything(int level) {
  const Incarnation latest = desk(level).incarnation;
  if (latest == 0) return;
  const auto back = static_cast<Incarnation>(world_.dice.below(3));
  const Incarnation incarnation = latest > back ? latest - back : 1;
  report({level, incarnation, FaultKind::connection_lost, "late news", now()});
}

void Process::report_held(int level) {
  if (desk(level).stand == Stand::held)
    report({level, desk(level).incarnation, FaultKind::unknown, "out of nowhere", now()});
}

void Process::post(const std::string& key, std::int64_t event, std::function<void(bool)> then) {
  const Pool::Connection connection = port_open_ ? pool_.lease() : 0;
  if (connection == 0) {
    then(false);
    return;
  }
  auto statement = [&database = world_.database, key, event](const Database::Reply& reply) {
    database.append(key, event, reply);
  };
  pool_.call(connection, true, std::move(statement), [this, connection, then](Answer said) {
    pool_.give_back(connection);
    then(said == Answer::done);
  });
}

// ---- workers -----------------------------------------------------------------------------------------------------

std::optional<Workers::Call> Process::call(int level) const {
  const Desk& d = desk(level);
  if (!d.calling) return std::nullopt;
  const char* verb = *d.calling == Verb::raise ? "raise" : *d.calling == Verb::probe ? "probe" : "drain";
  return Workers::Call{verb, std::max(d.patience->deadline(), d.begun)};
}

void Process::raise(int level, Incarnation incarnation, TimePoint deadline) {
  const ladder::State& state = conductor_->state();
  note("raise " + number(level));
  must(!stop_taken_, "no raise after stop");
  must(level <= state.ceiling, "no raise above the ceiling", "level " + number(level));
  must(held_now_ == level - 1, "level n is raised only while 1..n-1 are held", "level " + number(level));
  must(now() >= state.wake_at, "no raise before its rest is over");
  must(!failed_at_ || now() - *failed_at_ >= BackoffSettings{}.base, "a failed raise is followed by a rest");
  for (int other = 1; other <= kTopLevel; ++other)
    must(!desk(other).job && !desk(other).lowering, "one raise or lower at a time", "raise " + number(level));
  failed_at_.reset();
  Desk& d = desk(level);
  d.incarnation = incarnation;
  d.stand = Stand::raising;
  d.faulted.reset();
  d.was_stubborn = false;
  d.job = Verb::raise;
  d.job_patience = std::make_shared<Patience>(deadline);
  begin_job(level);
}

void Process::watch(int level, HeldLevel& held, Incarnation incarnation) {
  Desk& d = desk(level);
  must(held_now_ == level && d.incarnation == incarnation, "what was raised last is watched");
  d.stand = Stand::held;
  d.held_since = now();
  d.watched = &held;
  d.watch.emplace(level, incarnation, level_of(level).probe_plan(), now());
  await_probe(level);
}

void Process::await_probe(int level) {
  Desk& d = desk(level);
  world_.time.at(d.watch->next(), [this, life = std::weak_ptr<int>(life_), level, watch = ++d.watches] {
    if (life.expired() || end_) return;
    Desk& again = desk(level);
    if (!again.watch || again.watches != watch || again.calling) return;
    begin(level, Verb::probe, std::make_shared<Patience>(now() + again.watch->patience()));
  });
}

void Process::lower(int level, std::unique_ptr<HeldLevel> held, Leave leave, TimePoint deadline) {
  note("lower " + number(level) + (leave == Leave::fault ? " by fault" : " as asked"));
  must(held_now_ == level, "the top falls first", "lower " + number(level));
  for (int other = 1; other <= kTopLevel; ++other)
    must(!desk(other).job && !desk(other).lowering, "one raise or lower at a time", "lower " + number(level));
  bool founded = false;
  for (int below = 1; below <= level; ++below)
    founded = founded || desk(below).faulted;
  must(leave == Leave::asked || founded, "only a fault of what is held makes it fall", "level " + number(level));
  must(leave == Leave::asked || deadline <= now() + kFall, "a fall takes 3 s in all");
  must(deadline <= now() + DrainSettings{}.total, "a way down takes drain.total_ms at most");
  if (level == kTopLevel) must(!board_.ready(), "not ready before the way down begins");
  Desk& d = desk(level);
  d.stand = Stand::lowering;
  d.lowering = std::move(held);
  d.leave = leave;
  d.watched = nullptr;
  d.watch.reset();
  d.job = Verb::drain;
  d.job_patience = std::make_shared<Patience>(deadline);
  if (d.calling)
    d.patience->shrink_to(now());  // a probe: nobody waits for its answer any more
  else
    begin_job(level);
}

void Process::hurry(int level, Leave leave, TimePoint deadline) {
  Desk& d = desk(level);
  if (d.calling) d.patience->shrink_to(deadline);
  d.hurried = true;
  if (!d.job) return;
  d.job_patience->shrink_to(deadline);
  if (*d.job == Verb::drain) d.leave = leave;
}

void Process::begin_job(int level) { begin(level, *desk(level).job, desk(level).job_patience); }

void Process::begin(int level, Verb verb, std::shared_ptr<Patience> patience) {
  Desk& d = desk(level);
  d.calling = verb;
  d.begun = now();
  d.patience = std::move(patience);
  d.stubborn_until = TimePoint::min();
  d.hurried = false;
  d.ready_at = now() + takes(level, verb);
  Dice& dice = world_.dice;
  if (world_.stubborn_calls != 0 && dice.one_in(world_.stubborn_calls * (verb == Verb::probe ? 20 : 1))) {
    d.stubborn_until = now() + dice.between(milliseconds(500), dice.one_in(3) ? seconds(60) : seconds(8));
    d.was_stubborn = true;
  }
  carry_on(level, ++calls_);
}

// Is the call over? Not while it hangs or waits, unless its patience is; a stubborn one does not look at that.
void Process::carry_on(int level, std::uint64_t call) {
  if (end_) return;
  Desk& d = desk(level);
  const bool stubborn = world_.stubborn_calls != 0 && now() < d.stubborn_until;
  const bool waits = now() < d.ready_at || hangs(level, *d.calling);
  if (stubborn || (waits && !d.patience->over(now()))) {
    const TimePoint look = stubborn ? now() + seconds(1) : d.patience->nap(now());
    world_.time.at(now() < d.ready_at ? std::min(look, d.ready_at) : look,
                   [this, life = std::weak_ptr<int>(life_), level, call] {
                     if (!life.expired()) carry_on(level, call);
                   });
    return;
  }
  done(level, *d.calling);
}

void Process::done(int level, Verb verb) {
  Desk& d = desk(level);
  if (verb == Verb::raise) {
    RaiseDone raised{d.incarnation, level_of(level).raise(*d.patience, d.incarnation)};
    note(std::string(raised.result ? "raised " : "failed to raise ") + number(level));
    if (!raised.result) {
      d.stand = Stand::down;
      d.faulted.reset();
      if (!d.hurried) failed_at_ = now();
    }
    d.calling.reset();
    d.job.reset();
    mailbox_.complete(level, std::move(raised));
    wake();
  } else if (verb == Verb::drain) {
    d.lowering->drain(*d.patience, d.leave);
    d.lowering.reset();
    note("lowered " + number(level));
    d.calling.reset();
    d.job.reset();
    mailbox_.complete(level, LowerDone{});
    wake();
  } else {
    d.calling.reset();
    if (!d.watch) {  // told to let go meanwhile
      begin_job(level);
      return;
    }
    if (const auto fault = d.watch->judge(d.watched->probe(*d.patience), now())) {
      d.watch.reset();
      report(*fault);
    } else {
      await_probe(level);
    }
  }
}

// ---- rules -------------------------------------------------------------------------------------------------------

void Process::look() {
  const ladder::State& state = conductor_->state();
  must(!board_.ready() || (held_now_ == kTopLevel && port_open_), "never registered below level 3");
  if (end_) return;
  rule_on_end();
  const bool stubborn = std::any_of(desks_.begin(), desks_.end(), [](const Desk& d) { return d.was_stubborn; });
  for (int level = 1; level <= kTopLevel; ++level) {
    const Desk& d = desk(level);
    // A fault leads down, whatever else: 3 s from when it is held and known, and what waking takes.
    if (d.faulted && d.stand != Stand::raising)
      must(stubborn || now() <= std::max(*d.faulted, d.held_since) + kFall + kTurn, "a fall ends",
           "level " + number(level));
    const auto called = call(level);
    if (called && now() > called->due + kOverrunAlarm + kTurn) {
      const auto alarms = alarms_.list();
      must(std::any_of(alarms.begin(), alarms.end(),
                       [&](const AlarmStatus& a) { return a.id == "level." + number(level) + ".overrun"; }),
           "who overruns by 2 s is alarmed", "level " + number(level));
      must(now() <= called->due + kOverrunEnd + kTurn, "who overruns by 10 s is ended", "level " + number(level));
    }
    // Not held though it is its turn: an alarm after 15 s.
    const bool missing = !state.stopping && level <= state.ceiling && level == state.held + 1;
    auto& since = missing_since_[static_cast<std::size_t>(level)];
    if (!missing)
      since.reset();
    else if (!since)
      since = now();
    if (since && now() > *since + kAlarm + kTurn) {
      const auto alarms = alarms_.list();
      must(std::any_of(alarms.begin(), alarms.end(),
                       [&](const AlarmStatus& a) { return a.id == "level." + number(level); }),
           "a level that is missed for 15 s is alarmed", "level " + number(level));
    }
  }
}

void Process::rule_on_end() {
  if (stop_sent_) must(now() <= *stop_sent_ + DrainSettings{}.total + kStopOverrunEnd + kTurn, "a stop reaches exit");
}

}  // namespace ratchet::simulation
