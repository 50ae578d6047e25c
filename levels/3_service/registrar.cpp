#include "levels/3_service/registrar.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ratchet::service {

namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kLeastRest{100};
constexpr milliseconds kMostRest{5000};
constexpr milliseconds kBetweenLooks{50};
constexpr seconds kRepeatAfter{1};

Duration rest(unsigned failures, double chance) {
  const milliseconds most = std::min(kMostRest, 2 * kLeastRest * (1 << std::min(failures, 6U)));
  return kLeastRest + duration_cast<Duration>((most - kLeastRest) * chance);
}

}  // namespace

std::string_view to_string(Verb verb) noexcept {
  constexpr std::string_view kNames[] = {"register", "drain", "status", "deregister", "heartbeat"};
  return kNames[static_cast<std::size_t>(verb)];
}

Registration::Next Registration::want(bool here, TimePoint now, double chance) {
  if (here == here_) return decide(now, chance);
  here_ = here;
  failures_ = tries_ = 0;
  gave_up_ = false;
  next_ = now;
  if (here) {
    registered_ = false;  // whatever became of the leaving, it is undone by a register, not by a heartbeat
  } else {
    stage_ = settings_.has_drain ? Stage::drain : settings_.has_status ? Stage::status : Stage::deregister;
    leave_by_ = now + settings_.deregister;
    status_by_ = now + settings_.deregister / 2;
  }
  return decide(now, chance);
}

Registration::Next Registration::tick(TimePoint now, double chance) { return decide(now, chance); }

Registration::Next Registration::told(const Told& told, TimePoint now, double chance) {
  assert(flying_);
  const Verb verb = *std::exchange(flying_, std::nullopt);
  const bool about_us = verb == Verb::register_ || verb == Verb::heartbeat;
  if (std::exchange(cut_, false)) {
    doubtful_ = doubtful_ || about_us;
    if (about_us) registered_ = false;
  } else {
    after(verb, told, now, chance);
  }
  return decide(now, chance);
}

void Registration::after(Verb verb, const Told& told, TimePoint now, double chance) {
  const bool done = told.word == Told::Word::done;
  switch (verb) {
    case Verb::register_:
    case Verb::heartbeat:
      registered_ = done;
      if (!done) {
        doubtful_ = true;
        return failed(verb, told, now, chance);
      }
      failures_ = 0;
      trouble_.clear();
      next_ = now + settings_.heartbeat - duration_cast<Duration>(settings_.heartbeat * (chance / 10));
      return;
    case Verb::drain:
      if (!done) trouble_ = std::string(to_string(verb)) + ": " + told.text;
      stage_ = settings_.has_status ? Stage::status : Stage::deregister;
      return;
    case Verb::status:
      next_ = now + kBetweenLooks;
      if (told.word == Told::Word::again && next_ < status_by_) return;
      stage_ = Stage::deregister;
      next_ = now;
      return;
    case Verb::deregister:
      registered_ = false;
      if (!done) {
        failed(verb, told, now, chance);
      } else {
        failures_ = 0;
        trouble_.clear();
      }
      if (here_) {
        next_ = now;  // overtaken: whatever came of it, we register
      } else if (stage_ == Stage::repeat) {
        stage_ = Stage::out;
      } else if (done) {
        stage_ = std::exchange(doubtful_, false) ? Stage::repeat : Stage::out;
        next_ = now + kRepeatAfter;
      }
      return;
  }
}

void Registration::failed(Verb verb, const Told& told, TimePoint now, double chance) {
  trouble_ = std::string(to_string(verb)) + ": " + told.text;
  next_ = now + rest(failures_++, chance);
}

Registration::Next Registration::decide(TimePoint now, double) {
  if (flying_) {
    const bool cut = !cut_ && overtaken(*flying_);
    cut_ = cut_ || cut;
    return {std::nullopt, cut};
  }
  if (here_) {
    if (now < next_) return {};
    return {fly(registered_ ? Verb::heartbeat : Verb::register_, now + settings_.timeout)};
  }
  if (stage_ == Stage::out) return {};
  // What the time is not enough for any more is not begun, and not waited for.
  if (stage_ != Stage::repeat && std::max(now, next_) >= leave_by_) {
    stage_ = Stage::out;
    gave_up_ = true;
    return {};
  }
  if (now < next_) return {};
  return {fly(verb_of_stage(),
              stage_ == Stage::repeat ? now + settings_.timeout : std::min(now + settings_.timeout, leave_by_))};
}

Registration::Order Registration::fly(Verb verb, TimePoint due) {
  flying_ = verb;
  ++tries_;
  return {verb, due};
}

bool Registration::overtaken(Verb verb) const noexcept {
  if (here_) return verb == Verb::drain || verb == Verb::status;
  return verb == Verb::register_ || verb == Verb::heartbeat;
}

Verb Registration::verb_of_stage() const noexcept {
  switch (stage_) {
    case Stage::drain:
      return Verb::drain;
    case Stage::status:
      return Verb::status;
    case Stage::deregister:
    case Stage::repeat:
    case Stage::out:
      break;
  }
  return Verb::deregister;
}

std::optional<TimePoint> Registration::wake_at() const {
  if (flying_ || (!here_ && stage_ == Stage::out)) return std::nullopt;
  return here_ || stage_ == Stage::repeat ? next_ : std::min(next_, leave_by_);
}

}  // namespace ratchet::service
