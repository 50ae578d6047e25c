// /live, /ready and /health, on the service port and on the ops port: answered by the reactor thread itself,
// outside limits and access log. GET and HEAD.
//
//   path     200                                                   otherwise
//   /live    the control loop ticked within 5 s                    503
//   /ready   level 3 is held and nobody is draining                503 + Retry-After; draining: the drain code and
//                                                                  x-envoy-immediate-health-check-fail
//   /health  as /ready; "warn" with an alarm or a degraded level   503 "fail"  (health+json: a summary, no details)
//
// Load balancers poll them; HAProxy tells in each probe what it thinks of us (http-check send-state), and this is
// where that is read, for the drain. What a prober says is believed for 3 of its own intervals, at least 2 s.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "levels/0_baseline/reactor.hpp"
#include "levels/0_baseline/status_board.hpp"

namespace ratchet {

// One x-haproxy-server-state header: "UP 2/3; name=be/srv; node=lb1; weight=1/2; scur=13/22; qcur=0".
struct HaproxyState {
  std::string key;       // "lb1 be/srv": one prober
  bool stopped = false;  // NOLB, DOWN, or weight 0: it sends no new requests
  bool idle = false;     // scur=0: none of its connections to us is in use
};
std::optional<HaproxyState> parse_haproxy_state(std::string_view header);  // empty: no node and name in it

class Health {
 public:
  Health(const StatusBoard& board, const TimeSource& time, int drain_code);

  static bool asks(const http::Head& head) noexcept;  // for one of the three, with GET or HEAD

  // Answers if the path is one of the three; false: not ours. Reactor thread (of either port).
  bool serve(http::Reactor& reactor, const http::Request& request);

  // From now on /ready says the drain code, whatever the board says, and of the balancers only that counts which they
  // say from now on. Any thread.
  void set_draining(bool draining) noexcept;

  // What the balancers let us know by their probes of /ready (or /health). Any thread.
  struct Balancers {
    std::size_t nodes = 0;     // (node, name) pairs that sent x-haproxy-server-state in the last 3 periods
    bool all_stopped = false;  // each of them said NOLB or DOWN (or weight 0) ...
    bool all_idle = false;     // ... with scur=0
    std::optional<TimePoint> last_probe;
    std::optional<Duration>
        interval;  // the longest between two probes of one prober, of those heard in the last minute
  };
  Balancers balancers() const;

  // A node was told by other means that we leave, and nothing of it is under way any more: what it last said by its
  // probes, or says no more, is not waited for. Any thread.
  void node_is_done(std::string_view node, std::string_view server);

  // Seconds a client should wait: until the true next attempt, with jitter; 30 under a hold; at least 1.
  int retry_after(const Status& status, TimePoint now) const;
  int retry_after() const;  // by the board, now

 private:
  struct Seen {
    bool speaks = false;  // sends the header
    bool stopped = false;
    bool idle = false;
    TimePoint at{};
    std::optional<Duration> interval;
    bool is_live(TimePoint now) const noexcept;
  };
  void note_probe(const http::Request& request);
  void note(const std::string& key, const std::optional<HaproxyState>& said);
  bool control_loop_turns() const noexcept;
  void live(http::Reactor& reactor, const http::Request& request) const;
  void ready(http::Reactor& reactor, const http::Request& request, bool summary) const;

  const StatusBoard& board_;
  const TimeSource& time_;
  const int drain_code_;
  std::atomic<bool> draining_{false};
  mutable std::atomic<std::uint64_t> waits_told_{0};  // spreads Retry-After

  mutable std::mutex mutex_;                          // protects what follows
  std::map<std::string, Seen, std::less<>> probers_;  // at most 64
  std::optional<TimePoint> too_many_at_;              // when a 65th was last seen: then not all have spoken
  std::optional<TimePoint> last_probe_;
};

}  // namespace ratchet
