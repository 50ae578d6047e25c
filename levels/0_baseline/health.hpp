// /live, /ready and /health, on the service port and on the ops port: answered by the reactor thread itself,
// outside limits and access log. GET and HEAD.
//
//   path     200                                                   otherwise
//   /live    the control loop ticked within 5 s                    503
//   /ready   level 3 is held and nobody is draining                503 + Retry-After; draining: the drain code and
//                                                                  x-envoy-immediate-health-check-fail
//   /health  as /ready; "warn" with an alarm or a degraded level   503 "fail"  (health+json: a summary, no details)
//
// Load balancers poll them; HAProxy tells in each probe what it thinks of us (http-check send-state). That is read
// here, for the drain: whose word is heard, see balancer_words.hpp; what is made of it and of anybody who asks,
// probers.hpp.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "levels/0_baseline/balancer_words.hpp"
#include "levels/0_baseline/probers.hpp"
#include "levels/0_baseline/rare_lines.hpp"
#include "levels/0_baseline/reactor.hpp"
#include "levels/0_baseline/status_board.hpp"

namespace ratchet {

class Health {
 public:
  // `log`: where it is said of a word that is not heard; null: nowhere.
  Health(const StatusBoard& board, const TimeSource& time, int drain_code, BalancerRules rules = {},
         Log* log = nullptr);

  static bool asks(const http::Head& head) noexcept;  // for one of the three, with GET or HEAD

  // Answers if the path is one of the three; false: not ours. Reactor thread (of either port).
  bool serve(http::Reactor& reactor, const http::Request& request);

  // From now on /ready says the drain code, whatever the board says, and of the balancers only that counts which they
  // say from now on. Any thread.
  void set_draining(bool draining) noexcept;

  // What the balancers let us know by their probes of /ready (or /health). `settled`: see Probers. Any thread.
  using Balancers = Probers::View;
  Balancers balancers(bool settled = false) const;

  // What X-Ratchetd-Probe must hold, where the rules want it. Empty: it cannot be had. Any thread.
  void set_probe_secret(std::string secret);

  // A node was told by other means that we leave, and nothing of it is under way any more: what it last said by its
  // probes, or says no more, is not waited for. Any thread.
  void node_is_done(std::string_view node, std::string_view server);

  // Seconds a client should wait: until the true next attempt, with jitter; 30 under a hold; at least 1.
  int retry_after(const Status& status, TimePoint now) const;
  int retry_after() const;  // by the board, now

 private:
  void note_probe(const http::Reactor& reactor, const http::Request& request);
  void say_unheard(const Probe& probe, TimePoint now);
  bool control_loop_turns() const noexcept;
  void live(http::Reactor& reactor, const http::Request& request) const;
  void ready(http::Reactor& reactor, const http::Request& request, bool summary) const;

  const StatusBoard& board_;
  const TimeSource& time_;
  const int drain_code_;
  std::atomic<bool> draining_{false};
  mutable std::atomic<std::uint64_t> waits_told_{0};  // spreads Retry-After

  Log* const log_;
  mutable std::mutex mutex_;  // protects what follows
  BalancerWords words_;
  Probers probers_;
  RareLines unheard_;
};

}  // namespace ratchet
