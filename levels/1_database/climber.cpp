#include "levels/1_database/climber.hpp"

#include <pthread.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "levels/core/runbook.hpp"

namespace ratchet::db {
namespace {

using std::chrono::milliseconds;

constexpr auto kLetGo = milliseconds(1000);    // after a fault: what is under way has that long
constexpr auto kFarewell = milliseconds(250);  // at the end: nothing is under way any more

}  // namespace

Climber::Climber(Parts parts)
    : parts_(std::move(parts)), backoff_(parts_.backoff), alarm_(parts_.alarm_after, parts_.backoff.settle) {}

Climber::~Climber() { stop(); }

void Climber::start(Level& level) {
  assert(level_ == nullptr);
  level_ = &level;
  next_attempt_ = parts_.time.now();
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "climber");
}

void Climber::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (calling_ != nullptr) calling_->shrink_to(parts_.time.now() + kFarewell);
  }
  changed_.notify_all();
  thread_.join();
}

void Climber::report(const Fault& fault) noexcept {
  std::lock_guard lock(mutex_);
  if (fault.incarnation != incarnation_ || reported_) return;
  reported_ = fault;
  changed_.notify_all();
}

std::optional<TimePoint> Climber::next_attempt() const {
  std::lock_guard lock(mutex_);
  if (holds_ || calling_ != nullptr) return std::nullopt;
  return next_attempt_;
}

std::optional<std::string> Climber::missing() const {
  std::lock_guard lock(mutex_);
  if (holds_) return std::nullopt;
  return last_fault_ ? last_fault_->text : "database " + parts_.pool + ": not connected yet";
}

// ---- the thread ----------------------------------------------------------------------------------------------------

void Climber::run() {
  Lock lock(mutex_);
  while (!stopping_) {
    const TimePoint now = parts_.time.now();
    look_at_alarm(now);
    if (held_ && reported_) {
      lost(lock, *std::exchange(reported_, std::nullopt));
    } else if (held_ && now >= next_probe_) {
      probe(lock);
    } else if (!held_ && now >= next_attempt_) {
      raise(lock);
    } else {
      changed_.wait_until(lock, next_look(now));
    }
  }
  let_go(lock, Leave::asked);
  parts_.alarms.clear(alarm_id());
  parts_.alarms.clear(flapping_id());
}

TimePoint Climber::next_look(TimePoint now) const {
  TimePoint next = held_ ? next_probe_ : next_attempt_;
  for (const auto& look : {alarm_.next_look(), flapping_.next_look()})
    if (look) next = std::min(next, std::max(*look, now));
  return next;
}

void Climber::raise(Lock& lock) {
  const Incarnation incarnation = ++incarnation_;
  reported_.reset();
  Patience patience(parts_.time.now() + level_->raise_patience());
  calling_ = &patience;
  lock.unlock();
  auto raised = level_->raise(patience, incarnation);
  const TimePoint now = parts_.time.now();
  lock.lock();
  calling_ = nullptr;
  if (!raised) {
    if (!stopping_) failed(raised.error(), false);
    return;
  }
  held_ = *std::move(raised);
  holds_ = true;
  held_since_ = now;
  next_probe_ = now + level_->probe_plan().every;
  misses_ = 0;
  first_miss_.reset();
  said_.clear();
  parts_.log.notice("optional pool held", {{"pool", parts_.pool}});
  parts_.history.add({parts_.time.wall(), "pool raised", 1, "database " + parts_.pool});
}

void Climber::probe(Lock& lock) {
  const ProbePlan plan = level_->probe_plan();
  Patience patience(parts_.time.now() + plan.patience);
  calling_ = &patience;
  lock.unlock();
  auto fault = held_->probe(patience);
  const TimePoint now = parts_.time.now();
  lock.lock();
  calling_ = nullptr;
  next_probe_ = fault ? now : now + plan.every;
  if (!fault) {
    misses_ = 0;
    first_miss_.reset();
    return;
  }
  if (!first_miss_) first_miss_ = now;
  if (stopping_ || ++misses_ < plan.misses) return;
  fault->since = *first_miss_;
  lost(lock, *fault);
}

void Climber::lost(Lock& lock, const Fault& fault) {
  let_go(lock, Leave::fault);
  const TimePoint now = parts_.time.now();
  flapping_.fell(now);
  backoff_.fell(now - held_since_, flapping_.falls(now));
  failed(fault, true);
}

void Climber::let_go(Lock& lock, Leave leave) {
  if (!held_) return;
  holds_ = false;
  Patience patience(parts_.time.now() + (leave == Leave::asked ? kFarewell : kLetGo));
  calling_ = &patience;
  lock.unlock();
  held_->drain(patience, leave);
  held_.reset();
  lock.lock();
  calling_ = nullptr;
}

void Climber::failed(const Fault& fault, bool was_held) {
  last_fault_ = fault;
  const Duration rest = ends_at_once(fault.kind) ? backoff_.soon(parts_.chance()) : backoff_.next(parts_.chance());
  next_attempt_ = parts_.time.now() + rest;
  const std::string kind(to_string(fault.kind));
  parts_.metrics
      .counter("ratchet_pool_faults_total", "Faults of optional pools and their failed attempts",
               {{"pool", parts_.pool}, {"kind", kind}})
      .add();
  if (flaps_) set_flapping_alarm();
  if (std::exchange(said_, fault.text) == fault.text && !was_held) return;
  const std::string what = was_held ? "optional pool lost" : "optional pool not reached";
  parts_.log.warning(what, {{"pool", parts_.pool}, {"kind", kind}, {"text", fault.text}});
  parts_.history.add({parts_.time.wall(), was_held ? "pool fault" : "pool raise failed", 1, fault.text});
  if (alarmed_) set_alarm();
}

void Climber::look_at_alarm(TimePoint now) {
  switch (alarm_.look(true, held_ != nullptr, now)) {
    case LevelAlarm::Verdict::keep:
      break;
    case LevelAlarm::Verdict::raise:
      alarmed_ = true;
      set_alarm();
      break;
    case LevelAlarm::Verdict::clear:
      alarmed_ = false;
      parts_.alarms.clear(alarm_id());
      break;
  }
  const LevelAlarm::Verdict verdict = flapping_.look(now);
  if (verdict == LevelAlarm::Verdict::keep) return;
  flaps_ = verdict == LevelAlarm::Verdict::raise;
  if (flaps_) set_flapping_alarm();
  else parts_.alarms.clear(flapping_id());
}

void Climber::set_flapping_alarm() {
  if (!last_fault_) return;
  parts_.alarms.set(flapping_id(),
                    "database " + parts_.pool + ": lost " + std::to_string(flapping_.falls(parts_.time.now())) +
                        " times within five minutes, the last time by: " + last_fault_->text,
                    "It comes back each time and is lost again; /history has each fall. " +
                        std::string(runbook(last_fault_->kind)));
}

// The cause, not the symptom: that the pool is missing stands in the alarm's id.
void Climber::set_alarm() {
  if (last_fault_) {
    parts_.alarms.set(alarm_id(), last_fault_->text, runbook(last_fault_->kind));
  } else {
    parts_.alarms.set(alarm_id(), "database " + parts_.pool + ": no attempt has ended yet",
                      "Wait for the attempt under way: it ends with a cause.");
  }
}

}  // namespace ratchet::db
