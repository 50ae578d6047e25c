#include "levels/core/breaker.hpp"

#include <algorithm>
#include <utility>

namespace ratchet {

std::optional<Breaker::Pass> Breaker::ask(TimePoint now, double chance) noexcept {
  settle(now, chance);
  if (state_ == State::closed) return Pass{turn_};
  if (state_ == State::probing || now < until_) return std::nullopt;
  state_ = State::probing;
  until_ = now + settings_.lease;
  return Pass{++turn_};
}

Breaker::Change Breaker::done(Pass pass, Call call, Duration took, TimePoint now, double chance) noexcept {
  return done(pass, call, took, now, chance, true);
}

Breaker::Change Breaker::done(Pass pass, Call call, Duration took, TimePoint now, double chance,
                              bool may_probe) noexcept {
  settle(now, chance);
  if (pass.turn != turn_ || state_ == State::open || (state_ == State::probing && !may_probe)) return Change::none;
  const bool bad = call == Call::bad || (call == Call::good && took > settings_.slow);
  if (state_ == State::probing) {
    if (bad) {
      open(now, chance);
      return Change::opened;
    }
    if (call == Call::good) {
      close(now);
      return Change::closed;
    }
    state_ = State::open;  // its time is over: the next call is the probe
    until_ = now;
    ++turn_;
    return Change::none;
  }
  if (call == Call::nothing) return Change::none;
  count(bad, now);
  if (!bad || !too_bad(now)) return Change::none;
  open(now, chance);
  return Change::opened;
}

TimePoint Breaker::closed_until() const noexcept { return state_ == State::closed ? TimePoint::min() : until_; }

// What time alone has changed. A lease that ran out is a failed probe of that moment, not of the moment it is noticed.
void Breaker::settle(TimePoint now, double chance) noexcept {
  if (state_ == State::probing && now >= until_) open(until_, chance);
  if (closed_at_ && now - *closed_at_ >= settings_.window) {
    length_ = settings_.open;
    openings_ = 0;
    closed_at_.reset();
  }
}

void Breaker::count(bool bad, TimePoint now) noexcept {
  const std::int64_t current = number(now);
  Part& part = parts_[static_cast<std::size_t>(current % kParts)];
  if (part.number != current) part = {current, 0, 0};
  ++part.calls;
  part.bad += bad ? 1 : 0;
}

bool Breaker::too_bad(TimePoint now) const noexcept {
  const std::int64_t oldest = number(now) - kParts + 1;
  std::uint64_t calls = 0, bad = 0;
  for (const Part& part : parts_) {
    if (part.number < oldest) continue;
    calls += part.calls;
    bad += part.bad;
  }
  return bad >= settings_.most_bad && static_cast<double>(bad) >= settings_.bad_share * static_cast<double>(calls);
}

void Breaker::open(TimePoint at, double chance) noexcept {
  const auto most = static_cast<double>(length_.count());
  until_ = at + Duration(static_cast<Duration::rep>(most - chance * most / 5));
  length_ = std::min(settings_.cap, length_ * 2);
  state_ = State::open;
  ++turn_;
  ++openings_;
  closed_at_.reset();
}

void Breaker::close(TimePoint now) noexcept {
  state_ = State::closed;
  ++turn_;
  closed_at_ = now;
  parts_ = {};
}

}  // namespace ratchet
