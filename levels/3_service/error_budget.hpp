// Level 3's error budget: what its own errors lead to, step by step. An error is an exception that left a handler, or a
// connection that could not be accepted for want of files or memory; never a 4xx, never a dependency's fault. Pure.
//
//   an error                                               its connection is closed                      (the server)
//   5 errors of one route in 10 s                          the route's breaker opens: 503, Retry-After   (ErrorBudget)
//   5 connections not accepted in 10 s                     the port's opens: each answer ends its connection, so that
//                                                          files come free
//   3 openings that stand                                  workers and listener are made anew            (Resets)
//   25 % of the workers stuck, in two looks in a row       the same
//   the third such wish in 60 s                            Fault{3}: level 3 falls, and balancers are told
//
// "Openings that stand": each breaker that is not closed counts as often as it has opened in a row. So three routes
// that fail together are enough, and so is one that failed both its probes: a daemon with one route has every step,
// too.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "levels/core/breaker.hpp"

namespace ratchet::service {

// The reactor thread's.
class ErrorBudget {
 public:
  static constexpr std::size_t kMostOpenings = 3;  // that stand

  explicit ErrorBudget(std::size_t routes);

  bool is_closed(std::size_t route) const noexcept { return routes_[route].state() == Breaker::State::closed; }
  // Before a route's handler runs, where its breaker is not closed. Empty: it must not.
  std::optional<Breaker::Pass> ask(std::size_t route, TimePoint now, double chance) noexcept;
  TimePoint closed_until(std::size_t route) const noexcept { return routes_[route].closed_until(); }

  // The handler that passed so has returned (good), or did not run after all (nothing).
  Breaker::Change probed(std::size_t route, Breaker::Pass pass, Breaker::Call outcome, TimePoint now,
                         double chance) noexcept;
  // An exception has left it. Without a pass: at some later moment of a request.
  Breaker::Change failed(std::size_t route, std::optional<Breaker::Pass> pass, TimePoint now, double chance) noexcept;

  Breaker::Change accept_failed(TimePoint now, double chance) noexcept;
  // Must answers end their connections? No more, once its time is over and nothing has failed for a second.
  bool port_is_open(TimePoint now, double chance) noexcept;

  bool wants_reset() const noexcept;
  void reset() noexcept;

 private:
  void settle_port(TimePoint now, double chance) noexcept;

  std::vector<Breaker> routes_;
  Breaker port_;
  TimePoint last_accept_failure_ = TimePoint::min();
};

// The level's worker thread's. One for each incarnation.
class Resets {
 public:
  enum class Verdict : std::uint8_t {
    well,
    suspect,  // too many stuck: look again at once
    reset,    // make workers and listener anew, now
    fault,    // for good
  };

  // `wanted`: ErrorBudget's wish. `stuck` of `workers`: past their deadline by more than 1 s.
  Verdict look(bool wanted, std::size_t stuck, std::size_t workers, TimePoint now);

 private:
  std::deque<TimePoint> resets_;  // of the last 60 s
  bool suspected_ = false;
  bool spent_ = false;
};

}  // namespace ratchet::service
