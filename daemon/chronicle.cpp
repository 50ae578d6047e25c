#include "daemon/chronicle.hpp"

#include <algorithm>
#include <utility>

#include "levels/core/runbook.hpp"

namespace ratchet {

namespace {

std::string in_ms(Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count());
}

std::string in_s(Duration d) { return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(d).count()); }

std::string alarm_id(int level) { return "level." + std::to_string(level); }

std::string flapping_id(int level) { return alarm_id(level) + ".flapping"; }

std::string overrun_id(int level) { return alarm_id(level) + ".overrun"; }

}  // namespace

Chronicle::Chronicle(Parts parts)
    : parts_(std::move(parts)),
      level_alarms_(static_cast<std::size_t>(kTopLevel), LevelAlarm(parts_.alarm_after, parts_.settle)),
      level_gauge_(parts_.metrics.gauge("ratchet_level", "The highest operational level held, 0 to 3")),
      born_(parts_.time.now()),
      since_(parts_.time.wall()) {
  for (LevelNotes& n : notes_)
    n.since = since_;
  notes(0).held_since = born_;
  level_gauge_.set(0);
}

void Chronicle::raise_begun(int level) {
  ++notes(level).attempts;
  notes(level).raise_began = parts_.time.now();
}

void Chronicle::raised(int level) {
  LevelNotes& n = notes(level);
  const TimePoint now = parts_.time.now();
  parts_.log.notice("level held", {{"level", std::to_string(level)},
                                   {"name", std::string(name(level))},
                                   {"took_ms", in_ms(now - n.raise_began.value_or(now))},
                                   {"attempts", std::to_string(n.attempts)},
                                   {"failures_not_logged", std::to_string(n.unsaid_failures)}});
  n.held_since = now;
  n.said.clear();
  n.unsaid_failures = 0;
  n.since = parts_.time.wall();
  add_history("raised", level, std::string(name(level)));
  transition(level - 1, level, "raised");
}

void Chronicle::raise_failed(int level, const Fault& fault, Duration rest) {
  note_fault(level, fault);
  LevelNotes& n = notes(level);
  std::string reason = std::string(to_string(fault.kind)) + ": " + fault.text;
  if (reason == n.said) {
    ++n.unsaid_failures;
    return;
  }
  parts_.log.warning("raise failed", {{"level", std::to_string(level)},
                                      {"name", std::string(name(level))},
                                      {"kind", std::string(to_string(fault.kind))},
                                      {"text", fault.text},
                                      {"next_attempt_ms", in_ms(rest)}});
  add_history("raise failed", level, fault.text);
  n.said = std::move(reason);
}

void Chronicle::raise_broken_off(int level) {
  parts_.log.info("raise broken off", {{"level", std::to_string(level)}, {"name", std::string(name(level))}});
}

void Chronicle::faulted(const Fault& fault, std::uint64_t count) {
  note_fault(fault.level, fault);
  parts_.log.warning("level lost", {{"level", std::to_string(fault.level)},
                                    {"name", std::string(name(fault.level))},
                                    {"kind", std::string(to_string(fault.kind))},
                                    {"text", fault.text},
                                    {"reports", std::to_string(count)}});
  add_history("fault", fault.level, fault.text);
  notes(fault.level).flapping.fell(parts_.time.now());
  if (notes(fault.level).flaps) set_flapping_alarm(fault.level);
}

void Chronicle::lowered(int level, std::string_view reason) {
  LevelNotes& n = notes(level);
  const TimePoint now = parts_.time.now();
  parts_.log.notice("level let go", {{"level", std::to_string(level)},
                                     {"name", std::string(name(level))},
                                     {"reason", std::string(reason)},
                                     {"held_s", in_s(held_for(level, now))}});
  n.held_since.reset();
  n.attempts = 0;
  n.since = parts_.time.wall();
  add_history("lowered", level, std::string(reason));
  transition(level, level - 1, reason);
}

void Chronicle::held_back(HoldStatus hold) {
  const std::string text = "held back at level " + std::to_string(hold.level) + " by " + hold.who +
                           (hold.reason.empty() ? "" : ": " + hold.reason);
  parts_.log.notice("held back", {{"level", std::to_string(hold.level)}, {"who", hold.who}, {"reason", hold.reason}});
  add_history("hold", hold.level, text);
  parts_.alarms.set("hold", text, "ratchetctl release, when it may serve again");
  hold_ = std::move(hold);
}

void Chronicle::released(std::string_view who) {
  parts_.log.notice("released", {{"who", std::string(who)}});
  add_history("release", kTopLevel, "by " + std::string(who));
  parts_.alarms.clear("hold");
  hold_.reset();
}

void Chronicle::stopping(std::string_view who) {
  parts_.log.notice("stopping", {{"asked_by", std::string(who)}});
  add_history("stop", 0, "asked by " + std::string(who));
  stop_began_ = parts_.time.now();
}

void Chronicle::stopped(std::optional<std::uint64_t> cut_requests) {
  const TimePoint now = parts_.time.now();
  parts_.log.notice("stopped", {{"took_ms", in_ms(now - stop_began_.value_or(now))},
                                {"uptime_s", in_s(now - born_)},
                                {"transitions", std::to_string(transitions_)},
                                {"cut", std::to_string(cut_requests.value_or(0))}});
}

void Chronicle::overrun(int level, std::string_view verb, Duration by) {
  if (std::exchange(notes(level).overruns, true)) return;
  parts_.alarms.set(overrun_id(level),
                    "level " + std::to_string(level) + " (" + std::string(name(level)) + "): " + std::string(verb) +
                        " has overrun its patience by " + in_s(by) + " s",
                    "it ends itself with evidence at 10 s; report that line");
}

void Chronicle::overrun_ended(int level) {
  if (std::exchange(notes(level).overruns, false)) parts_.alarms.clear(overrun_id(level));
}

Duration Chronicle::held_for(int level, TimePoint now) const {
  return notes(level).held_since ? now - *notes(level).held_since : Duration::zero();
}

std::optional<FaultKind> Chronicle::last_kind(int level) const {
  if (!notes(level).last_fault) return std::nullopt;
  return notes(level).last_fault->kind;
}

int Chronicle::falls(int level, TimePoint now) const { return notes(level).flapping.falls(now); }

// A level is missed while it is its turn: what stands above a missing level has nothing to be blamed for.
void Chronicle::look(const ladder::State& state, TimePoint now) {
  for (int level = 1; level <= kTopLevel; ++level) {
    const bool wanted = !state.stopping && level <= state.ceiling && level <= state.held + 1;
    const auto index = static_cast<std::size_t>(level);
    switch (level_alarms_[index - 1].look(wanted, level <= state.held, now)) {
      case LevelAlarm::Verdict::keep:
        break;
      case LevelAlarm::Verdict::raise:
        alarmed_[index] = true;
        set_level_alarm(level);
        break;
      case LevelAlarm::Verdict::clear:
        alarmed_[index] = false;
        parts_.alarms.clear(alarm_id(level));
        break;
    }
    look_at_flapping(level, now);
  }
  count_alarms();
}

std::optional<TimePoint> Chronicle::next_look() const {
  std::optional<TimePoint> next;
  for (const LevelAlarm& alarm : level_alarms_)
    if (const auto look = alarm.next_look()) next = next ? std::min(*next, *look) : *look;
  for (const LevelNotes& n : notes_)
    if (const auto look = n.flapping.next_look()) next = next ? std::min(*next, *look) : *look;
  return next;
}

Status Chronicle::status(const ladder::State& state, const Degraded& degraded, TimePoint now) const {
  const WallTime wall = parts_.time.wall();
  Status s;
  s.instance = parts_.instance;
  s.version = parts_.version;
  s.held = state.held;
  s.ceiling = state.ceiling;
  s.doing = doing(state);
  s.since = since_;
  s.hold = hold_;
  s.alarms = parts_.alarms.list();
  s.ready = state.held == kTopLevel && goal(state) == kTopLevel && state.work != ladder::Work::lowering;
  if (state.work == ladder::Work::idle && state.held < goal(state) && now < state.wake_at)
    s.next_attempt = state.wake_at;
  for (int level = 0; level <= kTopLevel; ++level) {
    const LevelNotes& n = notes(level);
    LevelStatus& l = s.levels[static_cast<std::size_t>(level)];
    l.level = level;
    l.name = name(level);
    l.held = level <= state.held;
    l.since = n.since;
    l.attempts = n.attempts;
    l.last_fault = n.last_fault;
    l.degraded = degraded[static_cast<std::size_t>(level)];
    if (s.next_attempt && level == state.held + 1)
      l.next_attempt = wall + std::chrono::duration_cast<WallTime::duration>(*s.next_attempt - now);
  }
  return s;
}

void Chronicle::transition(int from, int to, std::string_view reason) {
  ++transitions_;
  since_ = parts_.time.wall();
  level_gauge_.set(to);
  parts_.metrics
      .counter("ratchet_level_transitions_total", "Changes of the operational level",
               {{"from", std::to_string(from)}, {"to", std::to_string(to)}, {"reason", std::string(reason)}})
      .add();
}

void Chronicle::note_fault(int level, const Fault& fault) {
  notes(level).last_fault = FaultNote{fault.kind, fault.text, parts_.time.wall()};
  parts_.metrics
      .counter("ratchet_faults_total", "Faults of held levels and failed raises",
               {{"level", std::to_string(level)}, {"kind", std::string(to_string(fault.kind))}})
      .add();
  if (alarmed_[static_cast<std::size_t>(level)]) set_level_alarm(level);
}

void Chronicle::add_history(std::string what, int level, std::string text) {
  parts_.history.add({parts_.time.wall(), std::move(what), level, std::move(text)});
}

// The cause, not the symptom: that the level is missing stands in the alarm's id.
void Chronicle::set_level_alarm(int level) {
  const auto& fault = notes(level).last_fault;
  if (fault) {
    parts_.alarms.set(alarm_id(level), fault->text, runbook(fault->kind));
  } else {
    parts_.alarms.set(
        alarm_id(level),
        std::string(name(level)) + ": not held for " + in_s(parts_.alarm_after) + " s, no attempt has ended yet",
        "Wait for the attempt under way: it ends with a cause.");
  }
}

void Chronicle::look_at_flapping(int level, TimePoint now) {
  LevelNotes& n = notes(level);
  const LevelAlarm::Verdict verdict = n.flapping.look(now);
  if (verdict == LevelAlarm::Verdict::keep) return;
  n.flaps = verdict == LevelAlarm::Verdict::raise;
  if (n.flaps) set_flapping_alarm(level);
  else parts_.alarms.clear(flapping_id(level));
}

void Chronicle::set_flapping_alarm(int level) {
  const LevelNotes& n = notes(level);
  const FaultNote last = n.last_fault.value_or(FaultNote{});
  parts_.alarms.set(flapping_id(level),
                    std::string(name(level)) + ": lost " + std::to_string(falls(level, parts_.time.now())) +
                        " times within five minutes, the last time by: " + last.text,
                    "It comes back each time and is lost again; /history has each fall. " +
                        std::string(runbook(last.kind)));
}

// An id once seen keeps its series, at 0 when cleared: a series that vanishes cannot be told from a dead daemon.
void Chronicle::count_alarms() {
  const auto alarms = parts_.alarms.list();
  for (const auto& [id, gauge] : alarm_gauges_) {
    const bool set = std::any_of(alarms.begin(), alarms.end(), [&id = id](const AlarmStatus& a) { return a.id == id; });
    if (!set) gauge.set(0);
  }
  for (const AlarmStatus& alarm : alarms) {
    auto found = alarm_gauges_.find(alarm.id);
    if (found == alarm_gauges_.end()) {
      const Gauge gauge = parts_.metrics.gauge("ratchet_alarms", "1 while the alarm is set", {{"id", alarm.id}});
      found = alarm_gauges_.emplace(alarm.id, gauge).first;
    }
    found->second.set(1);
  }
}

}  // namespace ratchet
