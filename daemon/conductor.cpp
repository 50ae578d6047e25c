#include "daemon/conductor.hpp"

#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <utility>

namespace ratchet {

namespace {

constexpr Duration kLongestNap = std::chrono::seconds(1);
constexpr Duration kFall = std::chrono::seconds(3);            // by a fault, all levels together
constexpr Duration kOverrunAlarm = std::chrono::seconds(2);    // of a call's patience
constexpr Duration kOverrunEnd = std::chrono::seconds(10);     // of a call's patience
constexpr Duration kStopOverrunEnd = std::chrono::seconds(1);  // of the whole stop
constexpr int kExitVital = 75;

void say(std::string_view evidence) {
  const std::string line = "ratchetd: " + std::string(evidence) + "\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

Chronicle::Parts for_chronicle(const Conductor::Parts& parts) {
  const auto& levels = parts.levels;
  return {parts.instance,      parts.version, {"baseline", levels[0]->name(), levels[1]->name(), levels[2]->name()},
          parts.time,          parts.log,     parts.metrics,
          parts.history,       parts.alarms,  parts.alarm_after,
          parts.backoff.settle};
}

}  // namespace

Conductor::Conductor(Parts parts, Workers& workers)
    : parts_(std::move(parts)), workers_(workers), chronicle_(for_chronicle(parts_)) {
  backoff_.fill(Backoff(parts_.backoff));
  if (!parts_.last_resort.abort)
    parts_.last_resort.abort = [](std::string_view evidence) {
      say(evidence);
      std::abort();
    };
  if (!parts_.last_resort.leave)
    parts_.last_resort.leave = [](std::string_view evidence) {
      say(evidence);
      ::_exit(1);
    };
  publish(parts_.time.now());  // from here on nobody reads an empty board
}

// After a whole run nothing is held any more. Without one (a test): top first, as in a fall.
Conductor::~Conductor() {
  while (!held_.empty())
    held_.pop_back();
}

void Conductor::begin() { apply(ladder::begin(parts_.time.now())); }

void Conductor::sum_up() {
  chronicle_.stopped(parts_.cut_requests ? std::optional(parts_.cut_requests()) : std::nullopt);
}

// A stop is taken first, so that nothing is raised that would have to be lowered at once; faults before
// completions, so that a raise that succeeded in the meantime is not built upon.
void Conductor::turn(Mailbox::Mail mail) {
  const TimePoint now = parts_.time.now();
  parts_.board.tick(now);
  if (mail.stops > 0) take_stops(mail.stops);
  for (const auto& slot : mail.faults)
    if (slot) take_fault(*slot);
  for (auto& asked : mail.commands)
    asked.reply.set_value(take_command(asked.command));
  for (int level = 1; level <= kTopLevel; ++level)
    if (auto& completion = mail.completions[static_cast<std::size_t>(level)]) take(level, *completion);
  if (mail.hangup && parts_.on_hangup) parts_.on_hangup();
  if (rests() && now >= state_.wake_at) feed(ladder::Wake{});

  watch_overruns(now);
  watch_vital(now);
  chronicle_.look(state_, now);
  parts_.log.say_repeats();
  publish(now);
  if (parts_.on_turn) parts_.on_turn(*parts_.board.read(), now);
}

void Conductor::take_stops(unsigned stops) {
  stops_ += stops;
  const bool hurry = stops_ > 1 && !std::exchange(in_haste_, stops_ > 1);
  begin_stop("signal");
  if (!hurry || state_.work == ladder::Work::idle) return;
  const int level = state_.work == ladder::Work::raising ? state_.held + 1 : state_.held;
  workers_.hurry(level, Leave::fault, parts_.time.now());
}

void Conductor::begin_stop(std::string_view who) {
  if (state_.stopping) return;
  stop_end_ = parts_.time.now() + parts_.drain.total;
  chronicle_.stopping(who);
  feed(ladder::Stop{});
  // To the ladder a stop is not more urgent than the way down under way, but its budget may end sooner.
  if (state_.work != ladder::Work::lowering) return;
  const Leave leave = state_.fall_to < state_.held ? Leave::fault : Leave::asked;
  workers_.hurry(state_.held, leave, deadline(leave, parts_.time.now()));
}

// Asks the ladder first what it would make of the fault: late and repeated ones are not told to anybody.
void Conductor::take_fault(const Mailbox::FaultSlot& slot) {
  const ladder::FaultSeen event{slot.first.level, slot.first.incarnation};
  const ladder::State after = ladder::step(state_, event, parts_.time.now()).state;
  if (after.fall_to != state_.fall_to || after.doomed != state_.doomed) chronicle_.faulted(slot.first, slot.count);
  feed(event);
}

void Conductor::take(int level, Completion& completion) {
  if (auto* raise = std::get_if<RaiseDone>(&completion))
    take_raise(level, *raise);
  else
    take_lowered(level);
}

void Conductor::take_raise(int level, RaiseDone& done) {
  if (done.result) {
    held_.push_back(std::move(*done.result));
    workers_.watch(level, *held_.back(), done.incarnation);
    chronicle_.raised(level);
    feed(ladder::Raised{level, done.incarnation});
  } else if (raise_hurried_) {
    chronicle_.raise_broken_off(level);
    feed(ladder::RaiseFailed{level, done.incarnation, Duration::zero()});
  } else {
    const Duration wait = rest(level, done.result.error().kind);
    chronicle_.raise_failed(level, done.result.error(), wait);
    feed(ladder::RaiseFailed{level, done.incarnation, wait});
  }
}

void Conductor::take_lowered(int level) {
  const TimePoint now = parts_.time.now();
  backoff_[static_cast<std::size_t>(level)].fell(chronicle_.held_for(level, now), chronicle_.falls(level, now));
  const bool falling = state_.fall_to < state_.held;
  const bool foot = state_.fall_to == level - 1;
  const Duration wait = foot ? rest(level, chronicle_.last_kind(level).value_or(FaultKind::unknown)) : Duration::zero();
  chronicle_.lowered(level, falling ? "fault" : state_.stopping ? "stop" : "hold");
  feed(ladder::Lowered{level, wait});
}

Duration Conductor::rest(int level, FaultKind kind) {
  Backoff& backoff = backoff_[static_cast<std::size_t>(level)];
  if (ends_at_once(kind)) return backoff.soon(parts_.chance());
  return needs_a_person(kind) ? backoff.cap(parts_.chance()) : backoff.next(parts_.chance());
}

CommandReply Conductor::take_command(const Command& command) {
  if (command.verb == Command::Verb::stop) {
    begin_stop(command.who);
    return {true, "stopping"};
  }
  if (state_.stopping) return {false, "it is stopping"};
  switch (command.verb) {
    case Command::Verb::hold:
      return hold(command.level, command);
    case Command::Verb::drain:
      return hold(kTopLevel - 1, command);
    case Command::Verb::release:
      if (state_.ceiling == kTopLevel) return {true, "nothing was held back"};
      chronicle_.released(command.who);
      feed(ladder::Ceiling{kTopLevel});
      return {true, "climbing"};
    case Command::Verb::stop:
      break;
  }
  return {false, "no such command"};
}

CommandReply Conductor::hold(int level, const Command& command) {
  if (level < 0 || level >= kTopLevel) return {false, "a hold is at level 0, 1 or 2"};
  chronicle_.held_back({level, command.reason, command.who});
  feed(ladder::Ceiling{level});
  return {true, (state_.held > level ? "going down to level " : "held back at level ") + std::to_string(level)};
}

void Conductor::feed(const ladder::Event& event) { apply(ladder::step(state_, event, parts_.time.now())); }

// Said before done: nobody may see "ready" after the way down has begun.
void Conductor::apply(const ladder::Next& next) {
  const TimePoint now = parts_.time.now();
  state_ = next.state;
  keep_budgets(now);
  publish(now);
  for (const ladder::Action& action : next.actions)
    std::visit([this](const auto& a) { perform(a); }, action);
}

void Conductor::keep_budgets(TimePoint now) {
  auto keep = [now](std::optional<TimePoint>& end, bool under_way, Duration budget) {
    if (!under_way) end.reset();
    if (under_way && !end) end = now + budget;
  };
  keep(fall_end_, state_.fall_to < state_.held, kFall);
  keep(down_end_, ladder::goal(state_) < state_.held, parts_.drain.total);
}

void Conductor::perform(const ladder::Raise& raise) {
  raise_hurried_ = false;
  chronicle_.raise_begun(raise.level);
  const Duration patience = parts_.levels[static_cast<std::size_t>(raise.level - 1)]->raise_patience();
  workers_.raise(raise.level, raise.incarnation, parts_.time.now() + patience);
}

void Conductor::perform(const ladder::Lower& lower) {
  assert(held_.size() == static_cast<std::size_t>(lower.level));
  auto top = std::move(held_.back());
  held_.pop_back();
  workers_.lower(lower.level, std::move(top), lower.leave, deadline(lower.leave, parts_.time.now()));
}

// A raise that is not wanted any more may end now; a way down gets what a fall leaves it.
void Conductor::perform(const ladder::Hurry& hurry) {
  const TimePoint now = parts_.time.now();
  raise_hurried_ = state_.work == ladder::Work::raising;
  workers_.hurry(hurry.level, hurry.leave, raise_hurried_ ? now : deadline(hurry.leave, now));
}

TimePoint Conductor::deadline(Leave leave, TimePoint now) const {
  if (in_haste_) return now;
  const TimePoint end = leave == Leave::fault ? *fall_end_ : *down_end_;
  return stop_end_ ? std::min(end, *stop_end_) : end;
}

bool Conductor::rests() const { return state_.work == ladder::Work::idle && state_.held < ladder::goal(state_); }

Duration Conductor::nap() const {
  const TimePoint now = parts_.time.now();
  TimePoint until = now + kLongestNap;
  if (rests()) until = std::min(until, state_.wake_at);
  if (const auto look = chronicle_.next_look()) until = std::min(until, *look);
  if (stop_end_) until = std::min(until, *stop_end_ + kStopOverrunEnd);
  return std::max(until - now, Duration::zero());
}

void Conductor::watch_overruns(TimePoint now) {
  const bool stop_overran = stop_end_ && now >= *stop_end_ + kStopOverrunEnd && !state_.exited;
  for (int level = 1; level <= kTopLevel; ++level) {
    const auto call = workers_.call(level);
    const bool overruns = call && now >= call->due + kOverrunAlarm;
    if (!overruns) {
      chronicle_.overrun_ended(level);
      continue;
    }
    chronicle_.overrun(level, call->verb, now - call->due);
    if (now < call->due + kOverrunEnd) continue;
    const std::string evidence = "level " + std::to_string(level) + " (" +
                                 std::string(parts_.levels[static_cast<std::size_t>(level - 1)]->name()) +
                                 "): " + std::string(call->verb) + " has overrun its patience by 10 s";
    state_.stopping ? parts_.last_resort.leave(evidence) : parts_.last_resort.abort(evidence);
  }
  if (stop_overran)
    parts_.last_resort.leave("the stop has overrun drain.total_ms by 1 s, at level " + std::to_string(state_.held));
}

// The only way in which the environment ends the process, and only where the operator has said so.
void Conductor::watch_vital(TimePoint now) {
  for (int level = 1; level <= kTopLevel; ++level) {
    const bool missed = !state_.stopping && level <= state_.ceiling && level == state_.held + 1;
    if (!parts_.vital[static_cast<std::size_t>(level)].is_over(missed, now)) continue;
    const std::string name(parts_.levels[static_cast<std::size_t>(level - 1)]->name());
    parts_.log.error("a vital level is missed for too long: leaving with exit code 75",
                     {{"level", std::to_string(level)}, {"name", name}});
    exit_code_ = kExitVital;
    begin_stop("vital " + name);
  }
}

void Conductor::publish(TimePoint now) {
  Chronicle::Degraded degraded;
  for (std::size_t i = 0; i < held_.size(); ++i)
    degraded[i + 1] = held_[i]->degraded();
  parts_.board.publish(std::make_shared<const Status>(chronicle_.status(state_, degraded, now)));
}

}  // namespace ratchet
