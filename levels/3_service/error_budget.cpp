#include "levels/3_service/error_budget.hpp"

#include <algorithm>
#include <utility>

namespace ratchet::service {

namespace {

using std::chrono::seconds;

constexpr seconds kResetWindow{60};
constexpr std::size_t kMostResets = 3;  // the third wish is a fault
constexpr seconds kPortProbe{1};

BreakerSettings by_number_alone() {
  BreakerSettings settings;
  settings.window = seconds(10);
  settings.most_bad = 5;
  settings.bad_share = 0;
  return settings;
}

}  // namespace

ErrorBudget::ErrorBudget(std::size_t routes) : routes_(routes, Breaker(by_number_alone())), port_(by_number_alone()) {}

std::optional<Breaker::Pass> ErrorBudget::ask(std::size_t route, TimePoint now, double chance) noexcept {
  return routes_[route].ask(now, chance);
}

// The number of the errors alone counts, so what goes well is told to a breaker only where it waits for that.
Breaker::Change ErrorBudget::probed(std::size_t route, Breaker::Pass pass, Breaker::Call outcome, TimePoint now,
                                    double chance) noexcept {
  return routes_[route].done(pass, outcome, {}, now, chance);
}

Breaker::Change ErrorBudget::failed(std::size_t route, std::optional<Breaker::Pass> pass, TimePoint now,
                                    double chance) noexcept {
  Breaker& breaker = routes_[route];
  return pass ? breaker.done(*pass, Breaker::Call::bad, {}, now, chance) : breaker.failed(now, chance);
}

// No call asks whether connections are accepted again: that nothing has failed for a second, in which it was tried ten
// times if anybody came, is the port's probe. It has gone well at that moment, not when it is noticed.
void ErrorBudget::settle_port(TimePoint now, double chance) noexcept {
  if (port_.state() == Breaker::State::closed) return;
  const TimePoint quiet = std::max(port_.closed_until(), last_accept_failure_) + kPortProbe;
  if (now < quiet) return;
  if (const auto probe = port_.ask(quiet, chance)) port_.done(*probe, Breaker::Call::good, {}, quiet, chance);
}

Breaker::Change ErrorBudget::accept_failed(TimePoint now, double chance) noexcept {
  settle_port(now, chance);
  last_accept_failure_ = now;
  if (port_.state() == Breaker::State::closed) return port_.failed(now, chance);
  const auto probe = port_.ask(now, chance);
  return probe ? port_.done(*probe, Breaker::Call::bad, {}, now, chance) : Breaker::Change::none;
}

bool ErrorBudget::port_is_open(TimePoint now, double chance) noexcept {
  settle_port(now, chance);
  return port_.state() != Breaker::State::closed;
}

bool ErrorBudget::wants_reset() const noexcept {
  std::size_t standing = port_.openings();
  for (const Breaker& breaker : routes_)
    standing += breaker.openings();
  return standing >= kMostOpenings;
}

void ErrorBudget::reset() noexcept {
  for (Breaker& breaker : routes_)
    breaker.reset();
  port_.reset();
  last_accept_failure_ = TimePoint::min();
}

Resets::Verdict Resets::look(bool wanted, std::size_t stuck, std::size_t workers, TimePoint now) {
  if (spent_) return Verdict::fault;
  const bool too_many_stuck = stuck > 0 && stuck * 4 >= workers;
  if (!wanted && !too_many_stuck) {
    suspected_ = false;
    return Verdict::well;
  }
  if (!wanted && !std::exchange(suspected_, true)) return Verdict::suspect;
  suspected_ = false;
  while (!resets_.empty() && now - resets_.front() > kResetWindow)
    resets_.pop_front();
  resets_.push_back(now);
  if (resets_.size() < kMostResets) return Verdict::reset;
  spent_ = true;
  return Verdict::fault;
}

}  // namespace ratchet::service
